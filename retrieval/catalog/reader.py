"""Read a catalog: plain ``sqlite3``, because this is the path of a cold query.

SQLAlchemy would cost such a query 170-210 ms of imports, more than everything else in it together. The tables are
those of ``retrieval/catalog/schema.py``; everything that writes is in ``retrieval/catalog/writer.py``.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.catalog.connect import connect, unreadable
from retrieval.catalog.exclusions import SELECT_EXCLUSIONS, Exclusions, stored_exclusions
from retrieval.catalog.records import ImageRecord, is_whole, sound_vectors, taken_at
from retrieval.errors import GalleryNotFound, GalleryOutdated, GalleryTooNew, UnknownImage
from retrieval.paths import decode_path, encode_path, lenient_text

if TYPE_CHECKING:
    from retrieval.filters import Filter

CATALOG_VERSION = "0008"
"""The form of the catalog that these statements fit: the newest file in ``migrations/versions``."""

_BATCH = 4096
"""Rows per step when many are read: 4 MB of 512-d vectors at a time."""

_MAX_VARIABLES = 900
"""Below SQLite's oldest default limit of 999 parameters in one statement."""

_RECORD = """SELECT i.id, f.path, i.name, i.size, i.mtime_ns, i.format, i.width, i.height, i.taken_at,
    i.taken_offset_minutes, i.camera, i.lens, i.latitude, i.longitude, i.content_hash, i.colour, i.taken_instant,
    i.taken_precision, i.ctime_ns, i.iso, i.aperture, i.exposure, i.focal_length
    FROM images AS i JOIN folders AS f ON f.id = i.folder_id"""


@dataclass(frozen=True)
class EncoderRow:
    """An encoder as the catalog knows it."""

    id: int
    name: str
    fingerprint: str
    dim: int
    source: str
    licence: str


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


@dataclass(frozen=True)
class Failure:
    """A file that could not be indexed, and why; ``is_passing``: it is tried again in the next run."""

    path: str
    reason: str
    failed_at: str
    is_passing: bool = False


class CatalogReader:
    """Read-only view of ``catalog.sqlite``; many may be open while one writer works. Not shared between threads.

    Raises:
        GalleryNotFound: there is no catalog at ``path``.
        GalleryOutdated, GalleryTooNew: an older or a newer photoseek wrote it.
        GalleryError: the file is damaged or not a catalog.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise GalleryNotFound(f"there is no gallery at {path.parent}", "make one: photoseek index FOLDER")
        self._path = path
        self._connection = connect(path)
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

            raise damaged(self._path, "it does not say its version")
        if row[0] < CATALOG_VERSION:
            raise GalleryOutdated(
                "this gallery was written by an older photoseek", "bring it up to date: run photoseek index once"
            )
        if row[0] > CATALOG_VERSION:
            raise GalleryTooNew(
                "this gallery was written by a newer photoseek", "upgrade photoseek, or use another --gallery"
            )

    def _all(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if _is_of_text(error) and self._connection.text_factory is str:
                self._connection.text_factory = lenient_text
                return self._all(sql, values)
            raise unreadable(self._path, error) from error

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """The rows of a statement, for the modules beside this one that read tables of their own.

        Raises:
            GalleryError: the file is damaged.
        """
        return self._all(sql, values)

    def define(self, name: str, arguments: int, function: Callable[..., Any]) -> None:
        """Let statements call a function that depends on its arguments alone and raises nothing."""
        self._connection.create_function(name, arguments, function, deterministic=True)

    # What the gallery is

    def version(self) -> int:
        """A number that differs after any commit by another connection, also one that touched no image."""
        return int(self._all("PRAGMA data_version")[0][0])

    def change(self) -> int:
        """The number of the last transaction."""
        return int(self._all("SELECT change FROM state")[0][0])

    def revision(self, change: int | None = None) -> str | None:
        """The name of a change (default: the last one), which no other catalog has; None if this one never had it."""
        sql = "SELECT revision FROM revisions WHERE change = coalesce(?, (SELECT change FROM state))"
        rows = self._all(sql, [change])
        return str(rows[0][0]) if rows else None

    def identity(self) -> str:
        """A random name that this catalog, its backups and its copies have, and no other one."""
        return str(self._all("SELECT revision FROM revisions ORDER BY change LIMIT 1")[0][0])

    def index_spec(self) -> str | None:
        """The index specification that the user asked for; None lets the size decide."""
        spec: str | None = self._all("SELECT index_spec FROM state")[0][0]
        return spec

    def encoders(self) -> list[EncoderRow]:
        """Every encoder that has embeddings here."""
        sql = "SELECT id, name, fingerprint, dim, source, licence FROM encoders ORDER BY id"
        return [EncoderRow(*row) for row in self._all(sql)]

    def active_encoder(self) -> EncoderRow | None:
        """The encoder that searches use; None before the first image is committed."""
        sql = """SELECT e.id, e.name, e.fingerprint, e.dim, e.source, e.licence
                 FROM encoders AS e JOIN state AS s ON s.active_encoder_id = e.id"""
        rows = self._all(sql)
        return EncoderRow(*rows[0]) if rows else None

    # Images

    def count(self, encoder_id: int | None = None) -> int:
        """How many images are present; with an encoder, how many of them it has embedded."""
        if encoder_id is None:
            return int(self._all("SELECT count(*) FROM images WHERE NOT is_retired")[0][0])
        sql = """SELECT count(*) FROM embeddings AS e JOIN images AS i ON i.id = e.image_id
                 WHERE e.encoder_id = ? AND NOT i.is_retired"""
        return int(self._all(sql, [encoder_id])[0][0])

    def records(self, ids: Sequence[int]) -> list[ImageRecord]:
        """The records of ``ids`` in that order; retired, unknown and damaged ones are left out."""
        found: dict[int, ImageRecord] = {}
        for start in range(0, len(ids), _MAX_VARIABLES):
            part = [int(i) for i in ids[start : start + _MAX_VARIABLES]]
            sql = f"{_RECORD} WHERE NOT i.is_retired AND i.id IN ({', '.join('?' * len(part))})"
            found.update((row[0], record) for row in self._all(sql, part) if (record := _record(row)) is not None)
        return [found[int(i)] for i in ids if int(i) in found]

    def record_at(self, path: str | Path) -> ImageRecord | None:
        """The present image at ``path`` (symbolic links in its folder resolved), or None."""
        folder, name = os.path.split(os.path.abspath(path))
        for candidate in dict.fromkeys((os.path.realpath(folder), folder)):
            sql = f"{_RECORD} WHERE NOT i.is_retired AND f.path = ? AND i.name = ?"
            rows = self._all(sql, [encode_path(candidate), encode_path(name)])
            if rows:
                return _record(rows[0])
        return None

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
        found: dict[int, tuple[object, object]] = {}
        for start in range(0, len(ids), _MAX_VARIABLES):
            part = [int(i) for i in ids[start : start + _MAX_VARIABLES]]
            sql = f"""SELECT image_id, vector, crc FROM embeddings
                      WHERE encoder_id = ? AND image_id IN ({", ".join("?" * len(part))})"""
            found.update((row[0], row[1:]) for row in self._all(sql, [encoder.id, *part]))
        there = [int(i) for i in ids if int(i) in found]
        sound, vectors = sound_vectors([found[i] for i in there], encoder.dim)
        return [i for i, good in zip(there, sound.tolist(), strict=True) if good], vectors

    def embedding_of(self, content_hash: bytes, encoder_id: int) -> tuple[bytes, tuple[Any, ...]] | None:
        """The stored vector and metadata of any image with exactly these bytes, retired ones included."""
        # CROSS keeps SQLite from starting with all of the encoder's embeddings, which it prefers without statistics:
        # 1.4 ms a file among 9,000 images instead of 0.005, and in proportion to their number.
        sql = """SELECT e.crc, e.vector, i.format, i.width, i.height, i.taken_at, i.taken_offset_minutes, i.camera,
                        i.lens, i.latitude, i.longitude, i.phash, i.colour, i.taken_instant, i.taken_precision,
                        i.taken_source, i.place_source, i.iso, i.aperture, i.exposure, i.focal_length
                 FROM images AS i CROSS JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = ?
                 WHERE i.content_hash = ? LIMIT 1"""
        rows = self._all(sql, [encoder_id, content_hash])
        if not rows or not is_whole(rows[0][1], rows[0][0]):
            return None
        return rows[0][1], tuple(rows[0][2:])

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
            sql = "SELECT id, 1, NULL, NULL FROM purged_images WHERE change > ?"
            if purged := connection.execute(sql, [after]).fetchall():
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
        sql = """SELECT f.path, x.name, x.reason, x.failed_at, x.is_transient FROM failures AS x
                 JOIN folders AS f ON f.id = x.folder_id ORDER BY f.path, x.name"""
        return [
            Failure(os.path.join(decode_path(folder), decode_path(name)), reason, failed_at, bool(is_passing))
            for folder, name, reason, failed_at, is_passing in self._all(sql)
        ]

    def failure_count(self) -> int:
        """How many files could not be indexed."""
        return int(self._all("SELECT count(*) FROM failures")[0][0])

    def roots(self) -> list[str]:
        """The folders that were given to ``index``, by path."""
        rows = self._all("SELECT path FROM folders WHERE is_root ORDER BY path")
        return [decode_path(row[0]) for row in rows]

    def exclusions(self) -> Exclusions:
        """What is left out for good."""
        return stored_exclusions(self._all(SELECT_EXCLUSIONS))

    def passed_over(self) -> list[str | None]:
        """For each root what its last walk passed over, as JSON text (see ``pictures/passed_over.py``)."""
        return [row[0] for row in self._all("SELECT passed_over FROM folders WHERE is_root ORDER BY path")]

    def last_run(self) -> dict[str, Any] | None:
        """The newest run: encoder, started_at, finished_at, outcome (None: killed or running), roots, report."""
        sql = """SELECT e.name, r.started_at, r.finished_at, r.outcome, r.roots, r.report
                 FROM runs AS r JOIN encoders AS e ON e.id = r.encoder_id ORDER BY r.id DESC LIMIT 1"""
        rows = self._all(sql)
        if not rows:
            return None
        name, started, finished, outcome, roots, report = rows[0]
        return {
            "encoder": name,
            "started_at": started,
            "finished_at": finished,
            "outcome": outcome,
            "roots": json.loads(roots),
            "report": json.loads(report) if report else None,
        }

    def summary(self) -> dict[str, Any]:
        """Counts by format, span of dates, how many have a date, a place or an exposure time."""
        formats = dict(
            self._all("SELECT format, count(*) FROM images WHERE NOT is_retired GROUP BY format ORDER BY 2 DESC")
        )
        first, last, dated, placed, exposed = self._all(
            """SELECT min(taken_at), max(taken_at), count(taken_at), count(latitude), count(exposure)
               FROM images WHERE NOT is_retired"""
        )[0]
        retired = self._all("SELECT count(*) FROM images WHERE is_retired")[0][0]
        return {
            "formats": formats,
            "first_taken_at": first,
            "last_taken_at": last,
            "with_date": dated,
            "with_place": placed,
            "with_exposure": exposed,
            "retired": retired,
        }


def _is_of_text(error: sqlite3.DatabaseError) -> bool:
    """True if all that is wrong is a text that is not valid UTF-8."""
    return "decode to UTF-8" in str(error)


_KINDS: tuple[type | tuple[type, ...], ...] = (int, (str, bytes), (str, bytes), int, int, str, int, int)
"""What the first columns of a record are, if nothing happened to them."""


def _record(row: Sequence[Any]) -> ImageRecord | None:
    """One image; None where the row is damaged: the next run reads its picture anew."""
    id_, folder, name, size, mtime_ns, form, width, height, taken, offset, *rest = row
    if not all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=False)):
        return None
    path = os.path.join(decode_path(folder), decode_path(name))
    try:
        record = ImageRecord(id_, path, size, mtime_ns, form, width, height, taken_at(taken, offset), *rest)
    except (ValueError, TypeError):
        return None
    return record if type(record.content_hash) is bytes else None


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
