"""The known files of a folder, read from a catalog without a lock."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from retrieval.catalog.access import Rows
from retrieval.catalog.batch import KnownFailure, KnownFile
from retrieval.catalog.exclusions import Exclusions
from retrieval.catalog.folders import folders_and_mounts, present_counts
from retrieval.catalog.reader import CatalogReader
from retrieval.paths import decode_path, encode_path, is_below

KNOWN_FILES = """SELECT i.name, i.id, i.size, i.mtime_ns, i.is_retired, e.id IS NOT NULL, i.ctime_ns FROM images AS i
    LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder WHERE i.folder_id = :folder"""

_KNOWN_FAILURES = "SELECT name, id, size, mtime_ns, is_transient FROM failures WHERE folder_id = :folder"

_SAME_BYTES = """SELECT i.id, f.path, i.name, i.is_retired, e.id IS NOT NULL FROM images AS i
    JOIN folders AS f ON f.id = i.folder_id
    LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder
    WHERE i.content_hash = :hash ORDER BY i.id"""


def known_failures(rows: Rows, folder_id: int) -> dict[str, KnownFailure]:
    """Name -> (failure id, size, mtime_ns, is_transient) of the files in a folder that could not be indexed."""
    found = rows.rows(_KNOWN_FAILURES, {"folder": folder_id})
    return {decode_path(row[0]): (row[1], row[2], row[3], bool(row[4])) for row in found}


def is_known(rows: Rows, folder_id: int, name: str) -> bool:
    """True if an image of this name, retired or not, or a failure is known in a folder."""
    found = rows.rows(
        """SELECT EXISTS (SELECT 1 FROM images WHERE folder_id = :folder AND name = :name)
           OR EXISTS (SELECT 1 FROM failures WHERE folder_id = :folder AND name = :name)""",
        {"folder": folder_id, "name": encode_path(name)},
    )
    return bool(found[0][0])


class SameBytes(NamedTuple):
    """An image with given bytes: its id, where its file was, whether it is retired, whether it has an embedding."""

    id: int
    path: str
    is_retired: bool
    is_embedded: bool


class KnownToReader:
    """Implements ``compare.KnownImages`` with a reader; folders that a run would add exist only here.

    Args:
        reader: None for a gallery that does not exist yet: nothing is known then.
        encoder_id: whose embeddings count.
        damaged: images whose embedding is treated as missing, since a run would compute it again.
    """

    def __init__(self, reader: CatalogReader | None, encoder_id: int, damaged: Collection[int] = ()) -> None:
        self._reader, self._encoder_id = reader, encoder_id
        self._damaged = frozenset(damaged)
        self._folders: dict[str, tuple[int, bool]] = {}
        self._counts: list[tuple[str, int]] | None = None
        self._sizes: frozenset[int] | None = None
        self._last: tuple[int, dict[str, KnownFile], dict[str, KnownFailure]] | None = None
        self.moved: dict[int, str] = {}
        """Images that were found elsewhere, and the folders where they were."""
        self.counted: set[int] = set()
        """Present images with an embedding, of the folders queried so far."""
        if reader is not None:
            self._folders = folders_and_mounts(reader)

    def roots(self) -> list[str]:
        return [] if self._reader is None else self._reader.roots()

    def mounts(self) -> list[str]:
        return [path for path, (_, is_mount) in self._folders.items() if is_mount]

    def exclusions(self) -> Exclusions:
        return Exclusions() if self._reader is None else self._reader.exclusions()

    def folder_id(self, path: str, *, is_root: bool = False, is_mount: bool = False) -> int:
        id_, _ = self._folders.get(path, (-1 - len(self._folders), False))
        self._folders[path] = id_, is_mount
        return id_

    def folders_below(self, root: str) -> dict[str, tuple[int, bool]]:
        return {path: folder for path, folder in self._folders.items() if is_below(path, root)}

    def known_files(self, folder_id: int, encoder_id: int) -> dict[str, KnownFile]:
        return dict(self._folder(folder_id)[0])

    def known_failures(self, folder_id: int) -> dict[str, KnownFailure]:
        return dict(self._folder(folder_id)[1])

    def is_known(self, folder_id: int, name: str) -> bool:
        return self.file(folder_id, name) is not None or self.has_failed(folder_id, name)

    def file(self, folder_id: int, name: str) -> KnownFile | None:
        """What is known about one file."""
        return self._folder(folder_id)[0].get(name)

    def has_failed(self, folder_id: int, name: str) -> bool:
        """True if a failure is known for this file."""
        return name in self._folder(folder_id)[1]

    def _folder(self, folder_id: int) -> tuple[dict[str, KnownFile], dict[str, KnownFailure]]:
        """Files and failures; the last folder is cached, since a walk asks folder by folder."""
        if self._last is None or self._last[0] != folder_id:
            self._last = folder_id, self._read_files(folder_id), self._read_failures(folder_id)
        return self._last[1:]

    def _read_files(self, folder_id: int) -> dict[str, KnownFile]:
        found: dict[str, KnownFile] = {}
        if self._reader is None or folder_id < 0:
            return found
        rows = self._reader.rows(KNOWN_FILES, {"encoder": self._encoder_id, "folder": folder_id})
        for name, id_, size, mtime_ns, is_retired, has_row, ctime_ns in rows:
            is_embedded = has_row and id_ not in self._damaged
            found[decode_path(name)] = id_, size, mtime_ns, is_retired, is_embedded, ctime_ns
            if is_embedded and not is_retired:
                self.counted.add(id_)
        return found

    def _read_failures(self, folder_id: int) -> dict[str, KnownFailure]:
        if self._reader is None or folder_id < 0:
            return {}
        return known_failures(self._reader, folder_id)

    def count_embedded(self) -> int:
        """How many present images have an embedding that is not damaged."""
        if self._reader is None:
            return 0
        sql = "SELECT is_retired FROM images WHERE id = :id"
        lost = sum(not row[0] for id_ in self._damaged for row in self._reader.rows(sql, {"id": id_}))
        return self._reader.count(self._encoder_id) - lost

    def count_present(self, below: str) -> int:
        if self._counts is None:
            self._counts = [] if self._reader is None else present_counts(self._reader)
        elsewhere = sum(is_below(folder, below) for folder in self.moved.values())
        return sum(count for path, count in self._counts if is_below(path, below)) - elsewhere

    def may_know(self, size: int) -> bool:
        """False if no image, retired or not, has a file of this size: then none has the same content."""
        if self._sizes is None:
            rows = [] if self._reader is None else self._reader.rows("SELECT DISTINCT size FROM images")
            self._sizes = frozenset(row[0] for row in rows)
        return size in self._sizes

    def same_bytes(self, content_hash: bytes) -> list[SameBytes]:
        """The images with this content, oldest first."""
        if self._reader is None:
            return []
        rows = self._reader.rows(_SAME_BYTES, {"encoder": self._encoder_id, "hash": content_hash})
        return [
            SameBytes(id_, os.path.join(decode_path(folder), decode_path(name)), bool(is_retired), bool(is_embedded))
            for id_, folder, name, is_retired, is_embedded in rows
            if id_ not in self._damaged
        ]
