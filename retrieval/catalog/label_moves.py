"""What people said about a picture stays with the picture when files change places.

A moved file keeps its row and everything attached to it. But renaming a numbered series (1 to 2, 2 to 3, ...) leaves
each path with another known picture, and tags that stayed with their paths would all be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from retrieval.catalog.images import others_with_bytes
from retrieval.catalog.labels import KINDS, Kind, clear_said, is_any_said, keep_said, put_said, said_of, take_kept
from retrieval.paths import is_below
from retrieval.regular_files import digest_of
from retrieval.sources.reading import look_at, open_anywhere

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

_Labels: TypeAlias = dict[Kind, list[tuple[str | int, str]]]
"""Kind -> (value, source) of what is said about one picture; kinds without values are missing or empty."""


@dataclass
class _Displaced:
    """What was said about the picture that a path showed until this run, and whether that row still carries it."""

    image_id: int
    labels: _Labels
    is_still_there: bool


class LabelMoves:
    """Moves labels between rows as pictures turn up at other paths; one object for each run."""

    def __init__(self) -> None:
        self._displaced: dict[bytes, _Displaced] = {}
        self._is_needed = True

    def begin(self, transaction: Transaction) -> None:
        """Called before a transaction's rows: a gallery without any labels pays for one statement in total."""
        self._is_needed = bool(self._displaced) or is_any_said(transaction)

    def await_content(self, content_hash: bytes) -> bool:
        """Whether labels wait for a picture with this content, which another one has displaced in this run."""
        return content_hash in self._displaced

    def follow(
        self,
        transaction: Transaction,
        image_id: int,
        new: bytes,
        *,
        old: bytes | None,
        is_edit: bool,
        unplugged: Sequence[str],
    ) -> None:
        """Called when a row that is new, or shows another picture than before, has its new content hash.

        A picture that the catalog knew from another file, which no longer shows it, brings its labels along. An
        unknown picture is an edit of the previous one and keeps its labels, if ``is_edit``. Labels that are left
        without a row are kept by the content that they belong to, and return with it.

        Args:
            old, new: content hashes; ``old`` is None for a new row.
            unplugged: mount points that are not mounted now; a file below one still counts as showing its picture.
        """
        if not self._is_needed:
            return
        before: _Labels = {} if old is None else _read(transaction, image_id)
        is_known, brought = self._brought(transaction, image_id, new, unplugged)
        keeps = is_edit and not is_known
        if old is not None and _any(before):
            self._displaced[old] = _Displaced(image_id, before, keeps)
        if old is not None and not keeps:
            for kind, said in before.items():
                keep_said(transaction, old, kind, said)
            clear_said(transaction, image_id)
        for kind, said in (brought or {}).items():
            put_said(transaction, kind, [(image_id, *each) for each in said])

    def _brought(
        self, transaction: Transaction, image_id: int, new: bytes, unplugged: Sequence[str]
    ) -> tuple[bool, _Labels | None]:
        """Whether the picture was known before, and the labels that it brings from its old place."""
        displaced = self._displaced.pop(new, None)
        kept = take_kept(transaction, new)
        if displaced is not None:
            labels = displaced.labels
            if displaced.is_still_there:
                labels = _read(transaction, displaced.image_id)  # people may have changed them since, beside this run
                clear_said(transaction, displaced.image_id)
            return True, labels
        others = others_with_bytes(transaction, new, image_id)
        for other in others:
            labels = _read(transaction, other.id)
            if not _any(labels):
                continue
            if not _shows_still(other.path, other.size, other.mtime_ns, new, unplugged):
                clear_said(transaction, other.id)
            elif not other.is_retired:
                continue
            # A forgotten image also keeps its labels at its old place, in case that folder comes back.
            return True, {kind: labels[kind] + kept[kind] for kind in KINDS}
        return bool(others) or _any(kept), kept if _any(kept) else None


def _shows_still(path: str, size: int, mtime_ns: int, digest: bytes, unplugged: Sequence[str]) -> bool:
    if any(is_below(path, mount) for mount in unplugged):
        return True
    try:
        found = look_at(path)
        if found.size != size:
            return False
        if found.mtime_ns == mtime_ns:
            return True
        with open_anywhere(path) as file:
            return digest_of(file) == digest
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # unreachable: undecided
        return True


def _read(transaction: Transaction, image_id: int) -> _Labels:
    return {kind: [(row.value, row.source) for row in said_of(transaction, kind, [image_id])] for kind in KINDS}


def _any(labels: _Labels) -> bool:
    return any(labels.values())
