"""Read a catalog with plain ``sqlite3``, because cold queries use this path.

SQLAlchemy would cost such a query 170-210 ms of imports, more than everything else in it together. The statements are
in the other modules of this package, table by table; ``retrieval/catalog/writer.py`` runs those that write. Modules
that a query by words does not need are imported on first use.
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
from retrieval.catalog.images import image_count, record_at, records_of, summary
from retrieval.catalog.moments import moment_ids
from retrieval.catalog.records import ImageRecord, sound_vectors
from retrieval.catalog.triggers import check_triggers
from retrieval.errors import GalleryNotFound, GalleryOutdated, GalleryTooNew, UnknownImage
from retrieval.paths import lenient_text

if TYPE_CHECKING:
    from retrieval.catalog.exclusions import Exclusions
    from retrieval.catalog.runs import Failure
    from retrieval.filters import Filter

CATALOG_VERSION = "0025"
"""The schema version that these statements fit: the newest file in ``migrations/versions``."""

PATIENCE_S = 60.0
"""How long a run waits for a server that was restarted, or has no connection left; a search waits less."""

BATCH = 4096
"""Rows per step when many are read: 4 MB of 512-d vectors at a time."""

_PURGED = "SELECT id, 1, NULL, NULL FROM purged_images WHERE change > :after"

_ALL_IMAGES = """SELECT i.id, i.is_retired, e.vector, e.crc FROM images AS i
    LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder WHERE :after <= 0 ORDER BY i.id"""
"""A rebuild reads everything: the plain join avoids the sorted set of all ids."""

_IMAGES = """SELECT i.id, i.is_retired, e.vector, e.crc FROM images AS i
    LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder
    WHERE i.id IN (SELECT id FROM images WHERE change > :after
                   UNION SELECT image_id FROM embeddings WHERE encoder_id = :encoder AND change > :after)
    ORDER BY i.id"""

_ALL_MOMENTS = """SELECT m.moment, i.is_retired, m.vector, m.crc FROM moments AS m
    JOIN images AS i ON i.id = m.image_id WHERE m.encoder_id = :encoder AND :after <= 0 ORDER BY m.moment"""

_MOMENTS = """SELECT m.moment, i.is_retired, m.vector, m.crc FROM moments AS m JOIN images AS i ON i.id = m.image_id
    WHERE m.encoder_id = :encoder AND m.id IN (
        SELECT id FROM moments WHERE encoder_id = :encoder AND change > :after
        UNION SELECT o.id FROM moments AS o WHERE o.image_id IN (SELECT id FROM images WHERE change > :after)
        UNION SELECT p.id FROM moments AS p WHERE p.encoder_id = :encoder
              AND p.moment IN (SELECT id FROM purged_images WHERE change > :after)) ORDER BY m.moment"""
"""Also ids that were purged and exist again, or exist by this encoder and no longer by another."""


@dataclass(frozen=True)
class Changes:
    """A part of the replay log, to be applied as *remove all of* ``touched``, *then add* ``ids``.

    Attributes:
        touched: (m,) ids of every image that changed in any way.
        ids: (n,) those that are present and have an undamaged embedding.
        vectors: (n, dim) their embeddings.
        last: the change number that an index has after this part; None for all parts but the last.
    """

    touched: Ids
    ids: Ids
    vectors: Vectors
    last: int | None


class CatalogReader:
    """Read-only view of ``catalog.sqlite``; many may be open beside one writer. Not shared between threads.

    Raises:
        GalleryNotFound: there is no catalog at ``path``.
        GalleryOutdated, GalleryTooNew: an older or a newer photoseek wrote it.
        GalleryError: the file is damaged or not a catalog.
    """

    is_server = False
    patience_s = 10.0

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise GalleryNotFound(f"there is no gallery at {path.parent}", "create one: photoseek index FOLDER")
        self._path = path
        self._connection = connect(path)
        self._functions: set[str] = set()
        try:
            self._check_version()
            check_triggers(self._connection, path)
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
        self._check_number(row[0])

    @staticmethod
    def _check_number(version: str) -> None:
        if version < CATALOG_VERSION:
            raise GalleryOutdated(
                "this gallery was written by an older photoseek", "upgrade it: run photoseek index once"
            )
        if version > CATALOG_VERSION:
            raise GalleryTooNew(
                "this gallery was written by a newer photoseek", "upgrade photoseek, or use another --gallery"
            )

    def rows(
        self, sql: str, values: Mapping[str, Any] | None = None, *, functions: Functions | None = None
    ) -> list[Any]:
        """The rows of a statement, for the modules of this package, which hold the statements.

        Args:
            functions: those that the statement calls; they depend only on their arguments and raise nothing.

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

    # The gallery as a whole

    def bytes_used(self) -> int:
        """Bytes of the catalog, with its write-ahead log."""
        names = (self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm"))
        return sum(path.stat().st_size for path in names if path.is_file())

    def held_by(self) -> str | None:
        """Who is writing a catalog in a server, on any machine: ``process 12 on HOST``. None: nobody; or a file."""
        return None

    def version(self) -> str:
        """A random name of the catalog's present content: a new one after each commit, even if no image was touched.

        Equal names mean equal answers, whatever the reader or catalog.
        """
        return str(self.rows("SELECT version FROM state")[0][0])

    def change(self) -> int:
        """The number of the last transaction that touched images or embeddings."""
        return int(self.rows("SELECT change FROM state")[0][0])

    def revision(self, change: int | None = None) -> str | None:
        """The name of a change (default: the last one), unique among all catalogs; None if this one never had it."""
        sql = "SELECT revision FROM revisions WHERE change = coalesce(:change, (SELECT change FROM state))"
        rows = self.rows(sql, {"change": change})
        return str(rows[0][0]) if rows else None

    def identity(self) -> str:
        """A random name shared by this catalog, its backups and its copies, and by no other catalog."""
        return str(self.rows("SELECT revision FROM revisions ORDER BY change LIMIT 1")[0][0])

    def index_spec(self) -> str | None:
        """The index specification that the user asked for; None: chosen by size."""
        spec: str | None = self.rows("SELECT index_spec FROM state")[0][0]
        return spec

    def reads_text(self) -> bool:
        """Whether runs of this gallery also read the words in its pictures."""
        return bool(self.rows("SELECT reads_text FROM state")[0][0])

    def finds_faces(self) -> bool:
        """Whether runs of this gallery also look for faces."""
        return bool(self.rows("SELECT finds_faces FROM state")[0][0])

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

    def changes(self, after: int, encoder: EncoderRow, *, moments: bool = False) -> Iterator[Changes]:
        """Everything that touched the encoder's view of the gallery after change ``after``, in parts by image id.

        The parts come from one snapshot of the database, so a writer at work cannot make them inconsistent. An image
        that changed twice comes once, in its present state.

        Args:
            moments: also the frames of videos, by ids of their own (see ``moments.py``), as an index holds them.
        """
        connection = connect(self._path)  # a separate one: an open read transaction must not block other reads
        values = {"encoder": encoder.id, "after": after}
        try:
            connection.execute("BEGIN")
            last = int(connection.execute("SELECT change FROM state").fetchone()[0])
            *others, images = replay_statements(after, moments=moments)
            for sql in others:
                cursor = connection.execute(sql, values)
                while rows := cursor.fetchmany(BATCH):
                    yield as_changes(rows, encoder.dim, None)
            cursor = connection.execute(images, values)
            while True:
                rows = cursor.fetchmany(BATCH)
                yield as_changes(rows, encoder.dim, last if len(rows) < BATCH else None)
                if len(rows) < BATCH:
                    return
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error
        finally:
            connection.close()

    # Questions of people

    def failures(self) -> list[Failure]:
        """Every file that could not be indexed and has not changed since, by path."""
        from retrieval.catalog.runs import all_failures

        return all_failures(self)

    def failure_count(self) -> int:
        """How many files could not be indexed."""
        from retrieval.catalog.runs import failure_count

        return failure_count(self)

    def roots(self) -> list[str]:
        """The folders that were given to ``index``, by path."""
        from retrieval.catalog.folders import all_roots

        return all_roots(self)

    def exclusions(self) -> Exclusions:
        """All permanent exclusions."""
        from retrieval.catalog.exclusions import all_exclusions

        return all_exclusions(self)

    def images_with_text(self, words: str, *, every: bool = True, limit: int | None = None) -> list[tuple[int, float]]:
        """The present images whose text matches a query, the best first: see ``texts.images_with_text``."""
        from retrieval.catalog.texts import images_with_text

        return images_with_text(self, words, every=every, limit=limit)

    def has_shots(self) -> bool:
        """Whether there are shots of several files (see ``shots.py``)."""
        return bool(self.rows("SELECT 1 FROM shots LIMIT 1"))

    def has_hidden(self) -> bool:
        """Whether any picture, present or retired, is hidden."""
        return bool(self.rows("SELECT 1 FROM hidden LIMIT 1"))

    def has_moments(self, encoder_id: int) -> bool:
        """Whether an encoder has embedded frames of videos other than the representative ones."""
        return bool(self.rows("SELECT 1 FROM moments WHERE encoder_id = :encoder LIMIT 1", {"encoder": encoder_id}))

    def moment_ids(self, encoder_id: int) -> Ids:
        """(n,) ids of the frames of videos in an index (see ``moments.py``), ascending."""
        return moment_ids(self, encoder_id)

    def passed_over(self) -> list[str | None]:
        """For each root what its last walk skipped, as JSON text (see ``pictures/passed_over.py``)."""
        from retrieval.catalog.folders import passed_over

        return passed_over(self)

    def last_run(self) -> dict[str, Any] | None:
        """The newest run: encoder, started_at, finished_at, outcome (None: killed or running), roots, report."""
        from retrieval.catalog.runs import last_run

        return last_run(self)

    def summary(self) -> dict[str, Any]:
        """Counts by format, range of dates, how many have a date, a place or an exposure time."""
        return summary(self)


def _is_of_text(error: sqlite3.DatabaseError) -> bool:
    """True if the only problem is a text that is not valid UTF-8."""
    return "decode to UTF-8" in str(error)


def replay_statements(after: int, *, moments: bool) -> list[str]:
    """The statements that give (id, whether it is retired, vector, checksum) of what changed after change ``after``:
    what was purged, if wanted the frames of videos, and images, which come last."""
    wanted = [_PURGED]
    if moments:
        wanted.append(_MOMENTS if after > 0 else _ALL_MOMENTS)
    return [*wanted, _IMAGES if after > 0 else _ALL_IMAGES]


def as_changes(rows: list[Any], dim: int, last: int | None) -> Changes:
    """A part of a replay from rows of :func:`replay_statements`."""
    present = [(row[0], row[2:]) for row in rows if not row[1] and row[2] is not None]
    ids = np.fromiter((row[0] for row in present), dtype=np.int64, count=len(present))
    sound, vectors = sound_vectors([row[1] for row in present], dim)
    return Changes(
        touched=np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows)),
        ids=ids[sound],
        vectors=vectors,
        last=last,
    )
