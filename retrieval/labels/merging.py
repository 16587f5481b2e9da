"""Move labels of a removed copy to the copy that is kept, until the removed one is restored.

It has a source of its own, so that it comes apart again: what the user says about the copy meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.labels import KINDS, put_said, remove_said, said_of
from retrieval.labels.reading import MERGED

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


@dataclass(frozen=True)
class Labels:
    """What is said about a picture, whoever said it."""

    tags: frozenset[str] = frozenset()
    captions: frozenset[str] = frozenset()
    ratings: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tags or self.captions or self.ratings)


def said_about(transaction: Transaction, image_id: int) -> Labels:
    """Everything that people say about an image, present or retired."""
    found: dict[str, Any] = {
        kind: frozenset(row.value for row in said_of(transaction, kind, [image_id])) for kind in KINDS
    }
    return Labels(**found)


def add_merged(transaction: Transaction, image_id: int, labels: Labels) -> None:
    """Say about an image what is said about a copy that makes way for it, where it is not said already."""
    own = said_about(transaction, image_id)
    for kind in KINDS:
        wanted = getattr(labels, kind) - getattr(own, kind)
        if kind == "ratings":  # a picture has one
            wanted = set() if own.ratings else set(sorted(wanted)[-1:])
        put_said(transaction, kind, [(image_id, value, MERGED) for value in sorted(wanted)])


def merge_anew(transaction: Transaction, image_id: int, others: Iterable[Labels]) -> None:
    """Make what is merged into an image what is said about these copies, and no more."""
    for kind in KINDS:
        remove_said(transaction, kind, [image_id], [MERGED])
    for labels in others:
        add_merged(transaction, image_id, labels)
