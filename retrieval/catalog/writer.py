"""Write a catalog. Only this code changes its tables, with one transaction per call.

A call that returned is on disk (WAL, synchronous FULL); a call that was cut off never happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from retrieval.catalog import encoders, folders, runs, schema
from retrieval.catalog.batch import Batch, Counts, KnownFailure, KnownFile
from retrieval.catalog.commit import write_batch
from retrieval.catalog.embeddings import drop_embeddings
from retrieval.catalog.known import KNOWN_FILES, is_known, known_failures
from retrieval.catalog.label_moves import LabelMoves
from retrieval.catalog.transaction import Transaction
from retrieval.paths import decode_path, is_below
from retrieval.system_errors import of_sqlite

if TYPE_CHECKING:
    from retrieval.encoders.base import EncoderSpec


class Catalog:
    """The writer. Whoever makes one holds the gallery's lock (see ``gallery.Gallery.writer``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = schema.open_engine(path)
        self._connections: list[sqlite3.Connection] = []
        event.listen(self._engine, "connect", lambda connection, _: self._connections.append(connection))
        self._labels = LabelMoves()
        self._retired: set[int] = set()  # in this run: what of it turns up elsewhere was moved and not retired
        try:
            with self._engine.connect() as connection:
                current = schema.is_current(connection)
            if not current:
                schema.upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the database; the write-ahead log is folded into it."""
        self._engine.dispose()

    def roll_back(self) -> None:
        """Undo what an interrupt left open: it may hit between a BEGIN and the code that would end it."""
        for connection in self._connections:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction, for the functions of the modules beside this one: all of it or nothing."""
        with self._engine.begin() as begun:
            transaction = Transaction(begun)
            yield transaction
            transaction.end()

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with self._engine.connect() as connection:
            yield Transaction(connection)

    def compact(self) -> bool:
        """Write the database anew with what is in it and nothing else, and empty the write-ahead log.

        Returns:
            False if another process reads the gallery, so that the log keeps old pages until that has ended.

        Raises:
            GalleryError: there is no room for the copy.
        """
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            try:
                driver.execute("VACUUM")
                driver.execute("PRAGMA busy_timeout = 2000")
                is_busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                driver.execute("PRAGMA busy_timeout = 30000")
            except sqlite3.OperationalError as error:
                raise of_sqlite(error, self._path, "write") from error
        return not is_busy

    # Encoders and runs

    def register_encoder(self, spec: EncoderSpec) -> int:
        """The id of the encoder with this fingerprint, after adding it if it is new; where it lies now is noted."""
        with self.transaction() as transaction:
            return encoders.register_encoder(transaction, spec)

    def activate_encoder(self, encoder_id: int) -> None:
        """Make searches use this encoder from now on."""
        with self.transaction() as transaction:
            encoders.activate_encoder(transaction, encoder_id)

    def set_index_spec(self, spec: str | None) -> None:
        """Remember the index specification that the user asked for (None: by size)."""
        with self.transaction() as transaction:
            transaction.run("UPDATE state SET index_spec = :spec", {"spec": spec})

    def begin_run(self, encoder_id: int, roots: Sequence[str]) -> int:
        """Note that a run has started; its id."""
        self._retired.clear()
        self._labels = LabelMoves()
        with self.transaction() as transaction:
            return runs.begin_run(transaction, encoder_id, roots)

    def finish_run(self, run_id: int, outcome: str, report: dict[str, Any]) -> None:
        """Note how a run ended. A run without this was killed."""
        with self.transaction() as transaction:
            runs.finish_run(transaction, run_id, outcome, report)

    # What a run asks and notes

    def folder_id(self, path: str, *, is_root: bool = False, is_mount: bool = False) -> int:
        """The id of the folder, after adding it; ``is_root`` is never taken back, ``is_mount`` is as given."""
        with self.transaction() as transaction:
            return folders.folder_id(transaction, path, is_root=is_root, is_mount=is_mount)

    def note_passed_over(self, root: str, counts: str) -> None:
        """Remember what the walk of a root passed over, as JSON text (see ``pictures/passed_over.py``)."""
        with self.transaction() as transaction:
            folders.note_passed_over(transaction, root, counts)

    def folders_below(self, root: str) -> dict[str, tuple[int, bool]]:
        """Path -> (id, is_mount) of the folders at or below ``root`` that the catalog knows."""
        with self._reading() as rows:
            found = folders.folders_and_mounts(rows)
        return {path: folder for path, folder in found.items() if is_below(path, root)}

    def mounts(self) -> list[str]:
        """Folders on which a file system was mounted when they were last walked."""
        with self._reading() as rows:
            return [path for path, (_, is_mount) in folders.folders_and_mounts(rows).items() if is_mount]

    def unembedded(self, encoder_id: int) -> list[str]:
        """Folders that hold present images which this encoder has not embedded yet."""
        with self._reading() as rows:
            return folders.unembedded_folders(rows, encoder_id)

    def count_present(self, below: str) -> int:
        """How many present images lie at or below a folder."""
        with self._reading() as rows:
            return folders.count_present(rows, below)

    def known_files(self, folder_id: int, encoder_id: int) -> dict[str, KnownFile]:
        """Name -> what is known of it, retired images included.

        Straight from the driver: this runs once a folder in a no-change run, whose whole cost is the walk plus this,
        and SQLAlchemy's rows would add a tenth to it.
        """
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            rows = driver.execute(KNOWN_FILES, {"encoder": encoder_id, "folder": folder_id}).fetchall()
        return {row[0] if type(row[0]) is str else decode_path(row[0]): row[1:] for row in rows}

    def known_failures(self, folder_id: int) -> dict[str, KnownFailure]:
        """Name -> (failure id, size, mtime_ns, is_transient)."""
        with self._reading() as rows:
            return known_failures(rows, folder_id)

    def is_known(self, folder_id: int, name: str) -> bool:
        """True if an image of this name, retired or not, or a failure is known there."""
        with self._reading() as rows:
            return is_known(rows, folder_id, name)

    # Images

    def drop_embeddings(self, encoder_id: int, ids: Sequence[int]) -> None:
        """Delete an encoder's embeddings of images; to a run these are pictures that it has not seen."""
        with self.transaction() as transaction:
            drop_embeddings(transaction, encoder_id, ids)

    def commit(self, batch: Batch, encoder_id: int, *, unplugged: Sequence[str] = ()) -> Counts:
        """Write a batch: all of it or nothing. Searches use the first encoder that an image came from.

        An image that this or an earlier batch of the run retired, and that now turns up elsewhere, is taken off
        the count of retired ones again: the sum over a run's batches says what became of each image.

        Args:
            unplugged: mount points that are not mounted now. A file below one is not "gone", so a second file
                with its bytes is a copy and not the moved file.
        """
        retired = set(self._retired)
        with self.transaction() as transaction:
            counts = write_batch(
                transaction, batch, encoder_id, unplugged=unplugged, labels=self._labels, retired=retired
            )
        self._retired = retired
        return counts
