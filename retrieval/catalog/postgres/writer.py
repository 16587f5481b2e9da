"""Write a catalog in PostgreSQL: the methods of ``catalog/writer.py``, on a connection that is opened again if it ends.

The locks of the gallery belong to the connection on which everything is written. So a writer that was cut off from the
server has no lock any more, and cannot write either: it has to connect, and to get the locks, before it goes on.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retrieval.catalog.batch import Batch, Counts, KnownFile
from retrieval.catalog.folders import note_host, roots_only_elsewhere
from retrieval.catalog.known import KNOWN_FILES
from retrieval.catalog.label_moves import LabelMoves
from retrieval.catalog.leases import Place, only_own, place_of
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import (
    PATIENCE_S,
    CatalogUnreachable,
    ConnectionLost,
    LockName,
    close_quietly,
    driver,
    explained,
    give_lock_back,
    open_connection,
    take_locks,
    try_lock,
    with_patience,
)
from retrieval.catalog.postgres.leases import Leases, OtherRun
from retrieval.catalog.postgres.schema import is_older, make
from retrieval.catalog.postgres.transaction import ServerTransaction
from retrieval.catalog.transaction import Transaction
from retrieval.catalog.writer import Catalog
from retrieval.errors import GalleryLocked
from retrieval.paths import decode_path, is_remote
from retrieval.system_errors import AGAIN

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

FOR_RUNS = """SET idle_in_transaction_session_timeout = 60000; SET lock_timeout = 120000;
    SET statement_timeout = 1800000"""
"""A run that is stopped in the middle of a transaction must not stop the others: the server ends it while they wait."""

_TABLES = """SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'
    ORDER BY 1"""


class ServerCatalog(Catalog):
    """The writer of a catalog in PostgreSQL; see :class:`Catalog`.

    Args:
        address: of the catalog, which is brought to the newest form.
        folder: of the gallery.
        locks: those that it holds, with the seconds to wait for each.

    Raises:
        CatalogUnreachable: the server does not answer.
        GalleryLocked: another process, on any machine, holds a lock.
    """

    def __init__(self, address: CatalogAddress, folder: Path, locks: Sequence[tuple[LockName, float]]) -> None:
        self._address, self._folder, self._locks = address, folder, tuple(locks)
        self._psycopg = driver()
        self._labels = LabelMoves()
        self._retired = set()
        self._leases: Leases | None = None
        self._lost: set[Place] = set()
        self._server = self._opened()

    def _opened(self) -> psycopg.Connection[Any]:
        connection = open_connection(self._address)
        try:
            more_s = 0.0
            if is_older(connection):
                make(self._address, str(self._folder))
                more_s = 10.0  # the server gives its locks back a moment after it
            if "runs" in (name for name, _ in self._locks):
                connection.execute(FOR_RUNS)
            take_locks(connection, [(name, wait_s + more_s) for name, wait_s in self._locks], str(self._folder))
        except self._psycopg.Error as error:
            close_quietly(connection)
            raise explained(error, self._address) from error
        except BaseException:
            close_quietly(connection)
            raise
        return connection

    def close(self) -> None:
        """Give the leases back, and close the connection, which gives the locks back."""
        if self._leases is not None:
            self._leases.close()
        close_quietly(self._server)

    def roll_back(self) -> None:
        """Roll back what an interrupt left open."""
        with suppress(self._psycopg.Error):
            if not self._server.closed:
                self._server.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See :meth:`Catalog.transaction`. If the connection ends, ConnectionLost is raised, and nothing was written;
        if it ends during the commit, the server is asked later what became of it."""
        transaction = with_patience(self._begun)
        try:
            yield transaction
            transaction.end()
        except BaseException:
            self.roll_back()
            raise
        try:
            if self._server.execute("COMMIT").statusmessage != "COMMIT":
                raise CatalogUnreachable(
                    f"the catalog in {self._address.server} did not accept a change", f"nothing was written; {AGAIN}"
                )
        except self._psycopg.Error as error:
            ours = explained(error, self._address)
            close_quietly(self._server)
            if not isinstance(ours, ConnectionLost) or not with_patience(lambda: self._was_committed(transaction)):
                raise ours from error
        except BaseException:
            self.roll_back()
            raise

    def _begun(self, *, reads_only: bool = False) -> ServerTransaction:
        self._connected()
        return ServerTransaction(self._server, self._address, reads_only=reads_only)

    def _connected(self) -> None:
        """Connect again if the connection has ended. The server may not yet know that the earlier one, which holds our
        locks, has."""
        until = time.monotonic() + PATIENCE_S
        while self._server.closed:
            try:
                self._server = self._opened()
            except GalleryLocked:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _was_committed(self, transaction: ServerTransaction) -> bool:
        later = self._begun()
        try:
            return transaction.was_committed(later)
        finally:
            self.roll_back()

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        yield with_patience(lambda: self._begun(reads_only=True))

    def _again(self, do: Callable[[], Any]) -> Any:
        """The result of ``do``, which is a transaction of its own: once more if the connection ends in it."""
        try:
            return do()
        except ConnectionLost:
            return do()

    def compact(self) -> bool:
        """Give the space of deleted rows back, and remove what they held from the tables' files.

        Returns:
            True. (Backups and the log of the server may still hold what was deleted.)
        """
        self._connected()
        try:
            for (name,) in self._server.execute(_TABLES).fetchall():
                self._server.execute(f'VACUUM (FULL) "{name}"')
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error
        return True

    def known_files(self, folder_id: int, encoder_id: int) -> dict[str, KnownFile]:
        """See :meth:`Catalog.known_files`."""
        with self._reading() as rows:
            found = rows.rows(KNOWN_FILES, {"encoder": encoder_id, "folder": folder_id})
        return {decode_path(row[0]): row[1:] for row in found}

    def commit(self, batch: Batch, encoder_id: int, *, unplugged: Sequence[str] = ()) -> Counts:
        """See :meth:`Catalog.commit`. If the connection ends, the batch is written once more."""
        labels = deepcopy(self._labels)

        def write() -> Counts:
            self._labels = deepcopy(labels)
            return super(ServerCatalog, self).commit(batch, encoder_id, unplugged=unplugged)

        counts: Counts = self._again(write)
        if self._leases is not None:
            places = [*map(place_of, batch.indexed), *map(place_of, batch.failed)]
            self._leases.settle(places, self._lost)
        return counts

    def _writable(
        self, transaction: Transaction, batch: Batch, unplugged: Sequence[str]
    ) -> tuple[Batch, Sequence[str]]:
        # Others may have begun with a folder since this run began: its files are not gone because they are not here.
        away = [*unplugged, *roots_only_elsewhere(transaction, socket.gethostname())]
        if self._leases is None:
            return batch, away
        leases = self._leases
        own, self._lost = only_own(transaction, batch, leases.id, leases.files, leases.before)
        return own, away

    def share(self, settings: Mapping[str, Any], check: Callable[[Sequence[OtherRun]], None]) -> Leases:
        """See :meth:`Catalog.share`."""
        self._leases = Leases(self._address, settings, check)
        return self._leases

    def note_host(self, root: str) -> None:
        """See :meth:`Catalog.note_host`."""
        if is_remote(root):  # a store is everywhere
            return
        with self.transaction() as transaction:
            note_host(transaction, root, socket.gethostname())

    @contextmanager
    def index_turn(self, wait_s: float = 0.0) -> Iterator[bool]:
        """See :meth:`Catalog.index_turn`."""
        until = time.monotonic() + wait_s
        while not (is_ours := self._asked(try_lock)) and time.monotonic() < until:
            time.sleep(0.1)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._asked(give_lock_back)

    def _asked(self, do: Callable[[psycopg.Connection[Any], LockName], T]) -> T:
        def once() -> T:
            try:
                self._connected()
                return do(self._server, "index")
            except self._psycopg.Error as error:
                ours = explained(error, self._address)
                if isinstance(ours, ConnectionLost):
                    close_quietly(self._server)
                raise ours from error

        return with_patience(once)


def make_catalog(address: CatalogAddress, folder: Path) -> bool:
    """Make the catalog at an address, or bring it to the newest form; whether it is new. Raises as ``schema.make``."""
    try:
        return make(address, str(folder))
    except driver().Error as error:
        raise explained(error, address) from error
