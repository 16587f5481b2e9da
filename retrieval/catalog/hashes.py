"""What a search for duplicates reads of the images: perceptual hashes and content hashes of all at once, in blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.catalog.access import Rows

_STEP = 50_000

# Of a damaged row: none.
_HASH = "CASE WHEN typeof(phash) = 'blob' AND length(phash) IN (8, 64) THEN phash END"
_COLOUR = "CASE WHEN typeof(colour) = 'integer' THEN colour ELSE -1 END"


class HashedImage(NamedTuple):
    """A present image: pixels as shown, average colour (-1: not known), perceptual hash of 8 or 64 bytes, or None."""

    id: int
    width: int
    height: int
    colour: int
    phash: bytes | None


def hashed_images(rows: Rows) -> Iterator[list[HashedImage]]:
    """Every present image, by id, in blocks, the last of which may be empty."""
    sql = f"""SELECT id, width, height, {_COLOUR}, {_HASH} FROM images
              WHERE id > :last AND NOT is_retired ORDER BY id LIMIT :count"""
    last = -1
    while True:
        found = rows.rows(sql, {"last": last, "count": _STEP})
        yield [HashedImage(*row) for row in found]
        if len(found) < _STEP:
            return
        last = found[-1][0]


def same_bytes(rows: Rows) -> list[list[int]]:
    """The ids of present pictures with equal content hashes, two or more at a time."""
    sql = """SELECT id, content_hash FROM images WHERE NOT is_retired AND content_hash IN
             (SELECT content_hash FROM images WHERE NOT is_retired GROUP BY content_hash HAVING count(*) > 1)"""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for image_id, digest in rows.rows(sql):
        groups[digest].append(image_id)
    return list(groups.values())
