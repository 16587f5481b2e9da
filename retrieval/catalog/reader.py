"""Read a catalog with plain ``sqlite3``, because cold queries use this path.

SQLAlchemy would cost such a query 170-210 ms of imports, more than everything else in it together. The statements stand
in the modules beside this one, table by table; what writes them is ``retrieval/catalog/writer.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.catalog.access import Functions
from retrieval.catalog.connect import connect, unreadable
from retrieval.catalog.embeddings import embedding_of, vectors_of
from retrieval.catalog.encoders import EncoderRow, active_encoder, all_encoders
from retrieval.catalog.exclusions import Exclusions, all_exclusions
from retrieval.catalog.folders import all_roots, passed_over
from retrieval.catalog.images import image_count, record_at, records_of, summary
from retrieval.catalog.records import ImageRecord, sound_vectors
from retrieval.catalog.runs import Failure, all_failures, failure_count, last_run
from retrieval.errors import GalleryNotFound, GalleryOutdated, GalleryTooNew, UnknownImage
from retrieval.paths import lenient_text

if TYPE_CHECKING:
    from retrieval.filters import Filter

CATALOG_VERSION = "0009"
"""The form of the catalog that these statements fit: the newest file in ``migrations/versions``."""

_BATCH = 4096
"""Rows per step when many are read: 4 MB of 512-d vectors at a time."""


@dataclass(frozen=True)
class Changes:
    """A piece of the replay log, to be applied as *remove all of* ``touched``, *then add* ``ids``.

    Attributes:
        touched: (m,) ids of every image that changed in any way.
        ids: (n,) those of them that are present and have an embedding that is not damaged.
        vectors: (n, dim) their embeddings.
        last: the change number that an index holds after this piece; None for all pieces but the last.
    """

    touched: Ids
    ids: Ids
    vectors: Vectors
    last: int | None


class CatalogReader:
    """Read-only view of ``catalog.sqlite``; many may be open while one writer works. Not shared between threads.

    Raises:
        GalleryNotFound: there is no catalog at ``path``.
        GalleryOutdated, GalleryTooNew: an older or a newer photoseek wrote it.
        GalleryError: the file is damaged or not a catalog.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise GalleryNotFound(f"there is no gallery at {path.parent}", "create one: photoseek index FOLDER")
        self._path = path
        self._connection = connect(path)
        self._functions: set[str] = set()
        try:
            self._check_version()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database connection."""
        self._connection.close()

    def _check_version(self) -> None:
        try:
            row = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error):
                raise unreadable(self._path, error) from error
            row = None
        if row is None:
            raise GalleryNotFound(f"nothing is indexed in {self._path.parent}", "run: photoseek index FOLDER")
        if type(row[0]) is not str or len(row[0]) != len(CATALOG_VERSION) or not row[0].isdecimal():
            from retrieval.system_errors import damaged

            raise damaged(self._path, "it has no version")
        if row[0] < CATALOG_VERSION:
            raise GalleryOutdated(
                "this gallery was written by an older photoseek", "upgrade it: run photoseek index once"
            )
        if row[0] > CATALOG_VERSION:
            raise GalleryTooNew(
                "this gallery was written by a newer photoseek", "upgrade photoseek, or use another --gallery"
            )

    def rows(
        self, sql: str, values: Mapping[str, Any] | None = None, *, functions: Functions | None = None
    ) -> list[Any]:
        """The rows of a statement, for the modules beside this one, which hold the statements.

        Args:
            functions: that the statement calls; they depend on their arguments alone and raise nothing.

        Raises:
            GalleryError: the file is damaged.
        """
        for name, (arguments, function) in (functions or {}).items():
            if name not in self._functions:
                self._connection.create_function(name, arguments, function, deterministic=True)
                self._functions.add(name)
        try:
            return self._connection.execute(sql, values or {}).fetchall()
        except sqlite3.DatabaseError as error:
            if _is_of_text(error) and self._connection.text_factory is str:
                self._connection.text_factory = lenient_text
                return self.rows(sql, values)
            raise unreadable(self._path, error) from error

    # What the gallery is

    def version(self) -> str:
        """A random name of what the catalog holds now: another one after each commit, also one that touched no image.

        Equal names mean equal answers, for whichever reader and catalog.
        """
        return str(self.rows("SELECT version FROM state")[0][0])

    def change(self) -> int:
        """The number of the last transaction that touched images or embeddings."""
        return int(self.rows("SELECT change FROM state")[0][0])

    def revision(self, change: int | None = None) -> str | None:
        """The name of a change (default: the last one), which no other catalog has; None if this one never had it."""
        sql = "SELECT revision FROM revisions WHERE change = coalesce(:change, (SELECT change FROM state))"
        rows = self.rows(sql, {"change": change})
        return str(rows[0][0]) if rows else None

    def identity(self) -> str:
        """A random name that this catalog, its backups and its copies have, and no other one."""
        return str(self.rows("SELECT revision FROM revisions ORDER BY change LIMIT 1")[0][0])

    def index_spec(self) -> str | None:
        """The index specification that the user asked for; None lets the size decide."""
        spec: str | None = self.rows("SELECT index_spec FROM state")[0][0]
        return spec

    def encoders(self) -> list[EncoderRow]:
        """Every encoder that has embeddings here."""
        return all_encoders(self)

    def active_encoder(self) -> EncoderRow | None:
        """The encoder that searches use; None before the first image is committed."""
        return active_encoder(self)

    # Images

    def count(self, encoder_id: int | None = None) -> int:
        """How many images are present; with an encoder, how many of them it has embedded."""
        return image_count(self, encoder_id)

    def records(self, ids: Sequence[int]) -> list[ImageRecord]:
        """The records of ``ids`` in that order; retired, unknown and damaged ones are left out."""
        return records_of(self, ids)

    def record_at(self, path: str | Path) -> ImageRecord | None:
        """The present image at ``path`` (symbolic links in its folder resolved), or None."""
        return record_at(self, path)

    def select(self, where: Filter) -> Ids:
        """(n,) ids of the present images that pass the filter, sorted."""
        from retrieval.catalog.selection import select

        return select(self, where).ids

    def vectors(self, ids: Sequence[int], encoder: EncoderRow) -> Vectors:
        """(n, dim) embeddings in the order of ``ids``.

        Raises:
            UnknownImage: one is missing, or damaged.
        """
        sound, vectors = self.sound_vectors(ids, encoder)
        if len(sound) < len(ids):
            missing = next(int(i) for i in ids if int(i) not in set(sound))
            raise UnknownImage(
                f"no embedding by {encoder.name} for image {missing}", "run: photoseek index, then search again"
            )
        return vectors

    def sound_vectors(self, ids: Sequence[int], encoder: EncoderRow) -> tuple[list[int], Vectors]:
        """Those of ``ids`` that have a sound embedding, in that order, and (n, dim) their embeddings."""
        return vectors_of(self, ids, encoder)

    def embedding_of(self, content_hash: bytes, encoder_id: int) -> tuple[bytes, tuple[Any, ...]] | None:
        """The stored vector and metadata of any image with exactly these bytes, retired ones included."""
        return embedding_of(self, content_hash, encoder_id)

    # Replay

    def changes(self, after: int, encoder: EncoderRow) -> Iterator[Changes]:
        """Everything that touched the encoder's view of the gallery after change ``after``, in pieces by image id.

        The pieces come from one snapshot of the database, so a writer at work cannot tear them. An image that
        changed twice comes once, as it is now.
        """
        connection = connect(self._path)  # its own: an open read transaction must not hold back other reads
        try:
            connection.execute("BEGIN")
            last = int(connection.execute("SELECT change FROM state").fetchone()[0])
            sql = "SELECT id, 1, NULL, NULL FROM purged_images WHERE change > :after"
            if purged := connection.execute(sql, {"after": after}).fetchall():
                yield _as_changes(purged, encoder.dim, None)
            cursor = connection.execute(
                """SELECT i.id, i.is_retired, e.vector, e.crc FROM images AS i
                   LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder
                   WHERE i.id IN (SELECT id FROM images WHERE change > :after
                                  UNION SELECT image_id FROM embeddings
                                        WHERE encoder_id = :encoder AND change > :after)
                   ORDER BY i.id"""
                if after > 0
                # A rebuild reads everything: the plain join spares it the sorted set of all ids.
                else """SELECT i.id, i.is_retired, e.vector, e.crc FROM images AS i
                        LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder
                        WHERE :after <= 0 ORDER BY i.id""",
                {"encoder": encoder.id, "after": after},
            )
            while True:
                rows = cursor.fetchmany(_BATCH)
                yield _as_changes(rows, encoder.dim, last if len(rows) < _BATCH else None)
                if len(rows) < _BATCH:
                    return
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error
        finally:
            connection.close()

    # What people ask about

    def failures(self) -> list[Failure]:
        """Every file that could not be indexed and has not changed since, by path."""
        return all_failures(self)

    def failure_count(self) -> int:
        """How many files could not be indexed."""
        return failure_count(self)

    def roots(self) -> list[str]:
        """The folders that were given to ``index``, by path."""
        return all_roots(self)

    def exclusions(self) -> Exclusions:
        """What is left out for good."""
        return all_exclusions(self)

    def passed_over(self) -> list[str | None]:
        """For each root what its last walk passed over, as JSON text (see ``pictures/passed_over.py``)."""
        return passed_over(self)

    def last_run(self) -> dict[str, Any] | None:
        """The newest run: encoder, started_at, finished_at, outcome (None: killed or running), roots, report."""
        return last_run(self)

    def summary(self) -> dict[str, Any]:
        """Counts by format, span of dates, how many have a date, a place or an exposure time."""
        return summary(self)


def _is_of_text(error: sqlite3.DatabaseError) -> bool:
    """True if all that is wrong is a text that is not valid UTF-8."""
    return "decode to UTF-8" in str(error)


def _as_changes(rows: list[Any], dim: int, last: int | None) -> Changes:
    present = [(row[0], row[2:]) for row in rows if not row[1] and row[2] is not None]
    ids = np.fromiter((row[0] for row in present), dtype=np.int64, count=len(present))
    sound, vectors = sound_vectors([row[1] for row in present], dim)
    return Changes(
        touched=np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows)),
        ids=ids[sound],
        vectors=vectors,
        last=last,
    )
