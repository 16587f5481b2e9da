"""Write a catalog. Only this code changes its tables, with one transaction per call.

When a call returns, its changes are on disk (WAL, synchronous FULL); an interrupted call changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from retrieval.catalog import encoders, folders, runs, schema
from retrieval.catalog.batch import Batch, Counts, KnownFailure, KnownFile
from retrieval.catalog.commit import write_batch
from retrieval.catalog.connect import connect
from retrieval.catalog.embeddings import drop_embeddings
from retrieval.catalog.known import KNOWN_FILES, is_known, known_failures
from retrieval.catalog.label_moves import LabelMoves
from retrieval.catalog.leases import Place, known_at
from retrieval.catalog.lexicon import is_sound, make_anew
from retrieval.catalog.transaction import Transaction
from retrieval.catalog.triggers import check_triggers
from retrieval.paths import decode_path, is_below
from retrieval.system_errors import of_sqlite

if TYPE_CHECKING:
    from retrieval.catalog.postgres.leases import Leases, OtherRun
    from retrieval.encoders.base import EncoderSpec


class Catalog:
    """The writer. Its creator must hold the gallery's lock (see ``gallery.Gallery.writer``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            with closing(connect(path)) as before:
                check_triggers(before, path)
        self._engine = schema.open_engine(path)
        self._connections: list[sqlite3.Connection] = []
        event.listen(self._engine, "connect", lambda connection, _: self._connections.append(connection))
        self._labels = LabelMoves()
        self._retired: set[int] = set()  # in this run: images found elsewhere later were moved, not retired
        try:
            with self._engine.connect() as connection:
                current = schema.is_current(connection)
            if not current:
                schema.upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the database; the write-ahead log is merged into it."""
        self._engine.dispose()

    def roll_back(self) -> None:
        """Roll back what an interrupt left open: it may occur between a BEGIN and the code that would end it."""
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
        """Rewrite the database with only its present content, and empty the write-ahead log.

        Returns:
            False if another process reads the gallery, so that the log keeps old pages until that process ends.

        Raises:
            GalleryError: there is no space for the copy.
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

    def mend_words(self) -> bool:
        """Check the index of words, and rebuild it if it is damaged; whether it was."""
        with self.transaction() as transaction:
            if is_sound(transaction):
                return False
            make_anew(transaction)
        return True

    # Encoders and runs

    def register_encoder(self, spec: EncoderSpec) -> int:
        """The id of the encoder with this fingerprint, after adding it if it is new; its location is recorded."""
        with self.transaction() as transaction:
            return encoders.register_encoder(transaction, spec)

    def activate_encoder(self, encoder_id: int) -> None:
        """Make searches use this encoder from now on."""
        with self.transaction() as transaction:
            encoders.activate_encoder(transaction, encoder_id)

    def set_index_spec(self, spec: str | None) -> None:
        """Record the index specification that the user asked for (None: by size)."""
        with self.transaction() as transaction:
            transaction.run("UPDATE state SET index_spec = :spec", {"spec": spec})

    def set_reads_text(self, reads: bool) -> None:
        """Record whether runs of this gallery also read the words in its pictures."""
        with self.transaction() as transaction:
            transaction.run("UPDATE state SET reads_text = :reads", {"reads": reads})

    def set_finds_faces(self, finds: bool) -> None:
        """Record whether runs of this gallery also look for faces."""
        with self.transaction() as transaction:
            transaction.run("UPDATE state SET finds_faces = :finds", {"finds": finds})

    def begin_run(self, encoder_id: int, roots: Sequence[str]) -> int:
        """Record that a run has started; its id."""
        self._retired.clear()
        self._labels = LabelMoves()
        with self.transaction() as transaction:
            return runs.begin_run(transaction, encoder_id, roots)

    def finish_run(self, run_id: int, outcome: str, report: dict[str, Any]) -> None:
        """Record how a run ended. A run without this record was killed."""
        with self.transaction() as transaction:
            runs.finish_run(transaction, run_id, outcome, report)

    # Queries and notes of a run

    def folder_id(self, path: str, *, is_root: bool = False, is_mount: bool = False) -> int:
        """The id of the folder, after adding it; ``is_root`` is never reset, ``is_mount`` is set as given."""
        with self.transaction() as transaction:
            return folders.folder_id(transaction, path, is_root=is_root, is_mount=is_mount)

    def note_passed_over(self, root: str, counts: str) -> None:
        """Record what the walk of a root skipped, as JSON text (see ``pictures/passed_over.py``)."""
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
        """Name -> what is known about the file, retired images included.

        Directly by the driver: this runs once per folder, and a run without changes costs only the walk plus this;
        SQLAlchemy's rows would add a tenth to it.
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

    def known_at(
        self, encoder_id: int, places: Sequence[Place]
    ) -> tuple[dict[Place, KnownFile], dict[Place, KnownFailure]]:
        """What is known of the files at these places, and which of them could not be indexed."""
        with self._reading() as rows:
            return known_at(rows, encoder_id, places)

    # Images

    def drop_embeddings(self, encoder_id: int, ids: Sequence[int]) -> None:
        """Delete an encoder's embeddings of images; a run then treats them as new pictures."""
        with self.transaction() as transaction:
            drop_embeddings(transaction, encoder_id, ids)

    def commit(self, batch: Batch, encoder_id: int, *, unplugged: Sequence[str] = ()) -> Counts:
        """Write a batch: all of it or nothing. The first encoder with an image becomes the one for searches.

        An image that this or an earlier batch of the run retired, and that is now found elsewhere, is subtracted from
        the count of retired ones: the sum over a run's batches says what happened to each image.

        Args:
            unplugged: mount points that are not mounted now. A file below one is not "gone", so a second file
                with its bytes is a copy and not the moved file.
        """
        retired = set(self._retired)
        with self.transaction() as transaction:
            batch, unplugged = self._writable(transaction, batch, unplugged)
            counts = write_batch(
                transaction, batch, encoder_id, unplugged=unplugged, labels=self._labels, retired=retired
            )
        self._retired = retired
        return counts

    def _writable(
        self, transaction: Transaction, batch: Batch, unplugged: Sequence[str]
    ) -> tuple[Batch, Sequence[str]]:
        """What may be written of a batch beside other runs, and which folders are not there: all, with one run."""
        del transaction
        return batch, unplugged

    # Several runs: only a catalog in a server has them

    def share(self, settings: Mapping[str, Any], check: Callable[[Sequence[OtherRun]], None]) -> Leases | None:
        """Become one of the runs that share this catalog, until it is closed; None: there is one at a time.

        Args:
            settings: told to the others.
            check: called with the runs that are at work; may raise, and then this one does not begin.
        """
        del settings, check
        return None

    def note_host(self, root: str) -> None:
        """Record that this machine walks a root, in a catalog that several machines may share."""

    @contextmanager
    def index_turn(self, wait_s: float = 0.0) -> Iterator[bool]:
        """Whether this run may change an index that is kept in a server: one at a time does."""
        del wait_s
        yield True
