"""Leases of a run that shares a catalog in PostgreSQL with others: who works on which file.

A run says every few seconds that it lives, by the server's clock. It also holds a lock of the server for as long as its
connection lives. Others take its leases over when it has not been heard of for two minutes, or sooner when nobody holds
that lock: its process has died. After a restart of the server, every run has as long as after its beginning.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from retrieval.catalog.leases import Place
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import (
    ALONE,
    CatalogUnreachable,
    close_quietly,
    driver,
    explained,
    open_connection,
    with_patience,
)

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger("photoseek")

T = TypeVar("T")

BEAT_S = 5.0
"""A run says this often that it lives ..."""

GRACE_S = 20.0
"""... is dead if it has not for this time, and holds no lock: it may have lost its connection, and be connecting ..."""

LEASE_S = 120.0
"""... and counts as dead after this time: stopped, asleep, or cut off."""

_WAIT_MS = 2000
"""How long the files of a commit in progress are waited for; then they are another run's, for now."""

_KEY = "hashtextextended('photoseek ' || current_schema() || ' indexer ' || id, 0)"

_INDEXERS = f"""SELECT id, host, pid, settings, silent > %(lease)s OR (silent > %(grace)s AND NOT EXISTS (
        SELECT 1 FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)) = {_KEY}))
    FROM (SELECT *, extract(epoch FROM clock_timestamp())
                    - greatest(beat, extract(epoch FROM pg_postmaster_start_time())) AS silent FROM indexers) AS i"""

_NOW = "extract(epoch FROM clock_timestamp())"

_NEW = f"INSERT INTO indexers (host, pid, settings, beat) VALUES (%(host)s, %(pid)s, %(settings)s, {_NOW}) RETURNING id"

_BEAT = f"""INSERT INTO indexers (id, host, pid, settings, beat)
    VALUES (%(id)s, %(host)s, %(pid)s, %(settings)s, {_NOW})
    ON CONFLICT (id) DO UPDATE SET beat = excluded.beat"""

_HOLD = f"SELECT pg_try_advisory_lock({_KEY}) FROM (SELECT CAST(%(id)s AS integer) AS id) AS own"

_CLAIM = """INSERT INTO leases (key, indexer) SELECT key, %(id)s FROM unnest(CAST(%(keys)s AS bytea[])) AS key
    ON CONFLICT DO NOTHING RETURNING key"""

_HELD = "SELECT key, indexer FROM leases WHERE key = ANY (CAST(%(keys)s AS bytea[]))"

_TAKE_OVER = """UPDATE leases SET indexer = %(id)s WHERE key IN (
        SELECT key FROM leases WHERE key = ANY (CAST(%(keys)s AS bytea[])) AND indexer = ANY (%(dead)s)
        ORDER BY key FOR UPDATE SKIP LOCKED)
    RETURNING key"""

_RELEASE = "DELETE FROM leases WHERE indexer = %(id)s AND key = ANY (CAST(%(keys)s AS bytea[]))"


class OtherRun(NamedTuple):
    """A run that is at work in the same catalog, with the settings that it has."""

    name: str
    settings: dict[str, Any]


class Claim(NamedTuple):
    """The keys that a run may work on now; how many of them a dead run had; and who has the others, by key."""

    own: set[bytes]
    taken_over: int
    others: dict[bytes, str]


class Leases:
    """The leases of one run. Used by the run's thread; another one keeps them alive.

    Args:
        settings: told to others; JSON.
        check: called with the runs that are at work, before this one is one of them; may raise.

    Attributes:
        before: the number of the last transaction before this run.
        files: the key of each file that is leased, by its place; its owner adds to it.
        lost: files that turned out, when their rows were to be written, to be another run's by now.

    Raises:
        CatalogUnreachable: the server does not answer.
    """

    def __init__(
        self,
        address: CatalogAddress,
        settings: Mapping[str, Any],
        check: Callable[[Sequence[OtherRun]], None],
    ) -> None:
        self._address, self._psycopg = address, driver()
        self.files: dict[Place, bytes] = {}
        self.lost: list[Place] = []
        self._own = {"host": socket.gethostname(), "pid": os.getpid(), "settings": json.dumps(dict(settings))}
        self._lock = threading.Lock()
        self._is_held = False
        self._server = self._opened()
        self.id, self.before = 0, 0
        try:
            self._register(check)
        except BaseException:
            close_quietly(self._server)
            raise
        self._ending = threading.Event()
        self._heart = threading.Thread(target=self._beat_until_the_end, name="photoseek-leases", daemon=True)
        self._heart.start()

    def _opened(self) -> psycopg.Connection[Any]:
        connection = open_connection(self._address)
        connection.execute(f"SET lock_timeout = {_WAIT_MS}")
        connection.execute("SET statement_timeout = 60000")
        self._is_held = False
        return connection

    def _register(self, check: Callable[[Sequence[OtherRun]], None]) -> None:
        try:
            with self._server.transaction():
                self._server.execute("SET LOCAL lock_timeout = 60000")
                self._server.execute(ALONE)
                runs = self._indexers()
                if dead := [run[0] for run in runs if run[4]]:
                    self._server.execute("DELETE FROM leases WHERE indexer = ANY (%(dead)s)", {"dead": dead})
                    self._server.execute("DELETE FROM indexers WHERE id = ANY (%(dead)s)", {"dead": dead})
                check([_other(run) for run in runs if not run[4]])
                self.id = int(self._row(_NEW, self._own)[0])
                self._own["id"] = self.id
                self._is_held = bool(self._row(_HOLD, self._own)[0])
                self.before = int(self._row("SELECT change FROM state", {})[0])
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error

    def others(self) -> list[OtherRun]:
        """The other runs that are at work now."""
        return [_other(run) for run in self._again(self._indexers) if run[0] != self.id and not run[4]]

    def claim(self, keys: Sequence[bytes]) -> Claim:
        """Lease files that nobody has, or that a dead run had.

        Raises:
            CatalogUnreachable: the server does not answer.
        """
        return self._again(lambda: self._claimed(sorted(keys)))  # one order for all: no two wait for each other

    def _claimed(self, keys: Sequence[bytes]) -> Claim:
        own = self._keys(_CLAIM, {"keys": keys}, none_if_locked=True)
        rest = [key for key in keys if key not in own]
        if not rest:
            return Claim(own, 0, {})
        held = {bytes(key): indexer for key, indexer in self._server.execute(_HELD, {"keys": rest}).fetchall()}
        own |= {key for key, indexer in held.items() if indexer == self.id}  # the answer to an earlier try was lost
        runs = {run[0]: run for run in self._indexers()}
        dead = [id_ for id_ in set(held.values()) - {self.id} if id_ not in runs or runs[id_][4]]
        taken = self._keys(_TAKE_OVER, {"keys": rest, "dead": dead}) if dead else set()
        names = {id_: _other(run).name for id_, run in runs.items()}
        left = {key: names.get(held.get(key, 0), "another run") for key in rest if key not in own | taken}
        return Claim(own | taken, len(taken), left)

    def release(self, keys: Sequence[bytes]) -> None:
        """End leases of files that need no work."""
        self._again(lambda: self._server.execute(_RELEASE, self._own | {"keys": list(keys)}))

    def settle(self, places: Sequence[Place], lost: set[Place]) -> None:
        """Called when the rows of files have been written, but for those that were lost."""
        leased = [place for place in places if self.files.pop(place, None) is not None]
        self.lost += [place for place in leased if place in lost]

    def close(self) -> None:
        """End all leases of the run."""
        self._ending.set()
        self._heart.join(timeout=2.0)
        try:
            with self._server.transaction():
                self._server.execute("DELETE FROM leases WHERE indexer = %(id)s", self._own)
                self._server.execute("DELETE FROM indexers WHERE id = %(id)s", self._own)
        except self._psycopg.Error:  # cut off, or interrupted: others take them over in a moment
            logger.debug("the leases of this run were not given back", exc_info=True)
        close_quietly(self._server)

    def _beat_until_the_end(self) -> None:
        while not self._ending.wait(BEAT_S):
            try:
                self._again(self._beat)
            except CatalogUnreachable as error:
                logger.debug("this run could not say that it lives: %s", error.message)

    def _beat(self) -> None:
        # Inserted again if others took this run for dead: what it does from now on is new.
        self._server.execute(_BEAT, self._own)
        if not self._is_held:
            self._is_held = bool(self._row(_HOLD, self._own)[0])

    def _again(self, do: Callable[[], T]) -> T:
        """The result of ``do``, on a new connection if the present one has ended."""

        def once() -> T:
            with self._lock:
                try:
                    if self._server.closed:
                        self._server = self._opened()
                        self._beat()
                    return do()
                except self._psycopg.Error as error:
                    ours = explained(error, self._address)
                    if ours is not error and not isinstance(error, self._psycopg.errors.LockNotAvailable):
                        close_quietly(self._server)
                    raise ours from error

        return with_patience(once)

    def _indexers(self) -> list[Any]:
        return self._server.execute(_INDEXERS, {"lease": LEASE_S, "grace": GRACE_S}).fetchall()

    def _keys(self, sql: str, values: Mapping[str, Any], *, none_if_locked: bool = False) -> set[bytes]:
        try:
            return {bytes(key) for (key,) in self._server.execute(sql, self._own | dict(values)).fetchall()}
        except self._psycopg.errors.LockNotAvailable:
            if not none_if_locked:
                raise
            return set()

    def _row(self, sql: str, values: Mapping[str, Any]) -> Any:
        return self._server.execute(sql, values).fetchone()


def _other(run: Any) -> OtherRun:
    return OtherRun(f"process {run[2]} on {run[1]}", json.loads(run[3]))
