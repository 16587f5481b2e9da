"""Move labels of a removed copy to the copy that is kept, until the removed one is restored.

They have a separate source, so that this can be undone: what the user says about the kept copy meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.labels import KINDS, Kind, put_said, remove_said, said_of
from retrieval.labels.reading import MERGED, USER

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


_SHARED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "hidden")
"""What a kept copy takes over. A picture that is shown stays shown, even if a copy of it was hidden."""


@dataclass(frozen=True)
class Labels:
    """Labels of a picture from all sources; ``own_rating`` is its user's, which takes precedence over XMP's."""

    tags: frozenset[str] = frozenset()
    captions: frozenset[str] = frozenset()
    ratings: frozenset[int] = frozenset()
    favourites: frozenset[int] = frozenset()
    memberships: frozenset[int] = frozenset()
    own_rating: int | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in _SHARED)


def said_about(transaction: Transaction, image_id: int) -> Labels:
    """Everything that people say about an image, present or retired."""
    rows = {kind: said_of(transaction, kind, [image_id]) for kind in _SHARED}
    found: dict[str, Any] = {kind: frozenset(row.value for row in rows[kind]) for kind in _SHARED}
    own = next((int(row.value) for row in rows["ratings"] if row.source == USER), None)
    return Labels(**found, own_rating=own)


def add_merged(transaction: Transaction, image_id: int, labels: Labels) -> None:
    """Add to an image the labels of a copy that is removed in its favour, unless it has them already."""
    own = said_about(transaction, image_id)
    for kind in _SHARED:
        wanted = getattr(labels, kind) - getattr(own, kind)
        if kind == "ratings":  # a picture has only one
            if labels.own_rating is not None and own.own_rating is None:
                wanted = {labels.own_rating} - own.ratings
            else:
                wanted = set() if own.ratings else set(sorted(wanted)[-1:])
        put_said(transaction, kind, [(image_id, value, MERGED) for value in sorted(wanted)])


def merge_anew(transaction: Transaction, image_id: int, others: Iterable[Labels]) -> None:
    """Make the merged labels of an image exactly those of these copies."""
    for kind in _SHARED:
        remove_said(transaction, kind, [image_id], [MERGED])
    for labels in others:
        add_merged(transaction, image_id, labels)
