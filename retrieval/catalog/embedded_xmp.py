"""Metadata that photoseek wrote into picture files: how to take it out again, and the change of a picture's bytes.

A file with new metadata is the same picture: its row, embeddings, text and labels stay, only the hash changes.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from retrieval.catalog.access import Rows
from retrieval.catalog.faces import move_faces
from retrieval.catalog.records import utc_now
from retrieval.catalog.texts import copy_texts

if TYPE_CHECKING:
    from retrieval.catalog.records import ImageRecord
    from retrieval.catalog.transaction import Transaction

Replaced = Sequence[tuple[int, int, bytes]]
"""(start, end, bytes) in ascending order: what to replace in a file to have the earlier one."""


class Earlier(NamedTuple):
    """The file before photoseek wrote into it: its hash, and what to replace to have it again."""

    content_hash: bytes
    replaced: list[tuple[int, int, bytes]]


def earlier(rows: Rows, content_hash: bytes) -> Earlier | None:
    """What a content was before photoseek wrote metadata into it; None if it was not written by photoseek."""
    sql = "SELECT original_hash, replaced FROM embedded_xmp WHERE content_hash = :hash"
    for original, replaced in rows.rows(sql, {"hash": content_hash}):
        try:
            return Earlier(original, [(start, end, b64decode(text)) for start, end, text in json.loads(replaced)])
        except (ValueError, TypeError):  # a damaged row
            return None
    return None


def note_earlier(transaction: Transaction, content_hash: bytes, original_hash: bytes, replaced: Replaced) -> None:
    """Note what a content that is about to be written replaces."""
    text = json.dumps([[start, end, b64encode(old).decode("ascii")] for start, end, old in replaced])
    transaction.run(
        """INSERT INTO embedded_xmp (content_hash, original_hash, replaced, written_at)
           VALUES (:hash, :original, :replaced, :at) ON CONFLICT (content_hash) DO UPDATE SET
           original_hash = excluded.original_hash, replaced = excluded.replaced, written_at = excluded.written_at""",
        {"hash": content_hash, "original": original_hash, "replaced": text, "at": utc_now()},
    )


_UNUSED = """WITH RECURSIVE used (hash) AS (SELECT content_hash FROM images UNION
    SELECT e.original_hash FROM embedded_xmp AS e JOIN used AS u ON e.content_hash = u.hash)
    DELETE FROM embedded_xmp WHERE content_hash NOT IN (SELECT hash FROM used)"""
"""Deletes what leads from no image's content to an earlier one: a file may have been written several times."""


def forget_earlier(transaction: Transaction, content_hashes: Iterable[bytes]) -> None:
    """Forget it for contents that no image has any more, and that are no earlier content of one."""
    transaction.run(f"{_UNUSED} AND content_hash = :hash", [{"hash": content_hash} for content_hash in content_hashes])


def forget_gone(transaction: Transaction) -> None:
    """For a purge: the same for all contents."""
    transaction.run(_UNUSED)


def set_bytes(
    transaction: Transaction, image: ImageRecord, content_hash: bytes, size: int, mtime_ns: int, ctime_ns: int | None
) -> None:
    """Write that the file of an image has other metadata before its picture data, but shows the same picture.

    Text that was read in it stays with it; a motion photo's video has moved by as much as the file has grown.
    """
    change = transaction.change()
    transaction.run(
        """UPDATE images SET content_hash = :new, size = :size, mtime_ns = :mtime, ctime_ns = :ctime, change = :change,
           motion_offset = motion_offset + (:size - size) WHERE id = :id AND content_hash = :old""",
        {
            "new": content_hash, "size": size, "mtime": mtime_ns, "ctime": ctime_ns, "change": change,
            "id": image.id, "old": image.content_hash,
        },
    )  # fmt: skip
    copy_texts(transaction, image.content_hash, content_hash)
    move_faces(transaction, image.content_hash, content_hash)
