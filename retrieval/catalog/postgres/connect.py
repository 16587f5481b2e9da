"""Connections to the PostgreSQL server of a catalog: how they are opened, and what is said if that fails.

Each reader and each writer has one connection. It names the program, the machine and the process to the server, so that
others can be told who holds a lock; and it has limits, so that neither a lost network nor a forgotten lock stops a
command for good.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.config.values import setting
from retrieval.errors import GalleryLocked, RuntimeUnavailable, SystemProblem
from retrieval.system_errors import AGAIN

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger("photoseek")

T = TypeVar("T")

CONNECT_S = 10
LOCK_MS = 60_000
PATIENCE_S = 60.0
"""How long a server that went away during work is waited for: a restart or a failover takes seconds."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0


class CatalogUnreachable(SystemProblem):
    """The server of the catalog does not answer, or refuses; nothing is lost."""

    outside = "the server of the catalog cannot be used now"


class ConnectionLost(CatalogUnreachable):
    """The connection ended during work: what was not committed is not there, and may be done again."""

    outside = "the server of the catalog does not answer"


class NoConnectionLeft(ConnectionLost):
    """The server has no connection left for a new one; in the middle of work it is waited for."""


def open_connection(address: CatalogAddress, *, reads: bool = False) -> psycopg.Connection[Any]:
    """A new connection on which each statement is a transaction of its own, unless one is begun.

    Raises:
        CatalogUnreachable: the server is down, refuses, or has no connection left.
        RuntimeUnavailable: psycopg is not installed.
    """
    module = driver()
    settings = {
        "search_path": address.schema,
        # Those of a writer have no limit, only their locks.
        "statement_timeout": int(1000 * setting("catalog.read-seconds")) if reads else 0,
        "lock_timeout": LOCK_MS,
        "client_min_messages": "error",
        "default_transaction_read_only": "on" if reads else "off",
        "jit": "off",  # compiling would take longer than most of the statements
    }
    given = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "dbname": address.database,
        "sslmode": address.tls,
    }
    try:
        connection: psycopg.Connection[Any] = module.connect(
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name=f"photoseek {socket.gethostname()[:40]} {os.getpid()}",
            client_encoding="utf8",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            **{name: value for name, value in given.items() if value},
        )
    except module.Error as error:
        raise explained(error, address) from error
    connection.adapters.register_loader("numeric", _number_loader())
    return connection


def driver() -> Any:
    """The module psycopg.

    Raises:
        RuntimeUnavailable: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise RuntimeUnavailable(
            f"a catalog in PostgreSQL needs psycopg, which cannot be imported ({error})",
            "pip install 'photoseek[postgres]'",
        ) from error
    return psycopg


def _number_loader() -> type:
    from psycopg.adapt import Loader

    class NumberLoader(Loader):
        """Sums and means of whole numbers, which are decimal numbers in PostgreSQL."""

        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return int(text) if text.lstrip(b"-").isdigit() else float(text)

    return NumberLoader


def explained(error: Exception, address: CatalogAddress) -> Exception:
    """An error of psycopg as one that a person understands; wrong statements, which are bugs, unchanged."""
    psycopg = driver()
    state = getattr(error, "sqlstate", None) or ""
    said = " ".join(str(error).split())
    where = f"the catalog in {address.server}"
    if state == "53300" or "too many clients" in said or "connection slots are reserved" in said:
        return NoConnectionLeft(
            f"{where} has no connection left", f"raise max_connections there or end other programs, {AGAIN}"
        )
    if state in ("28P01", "28000") or "authentication failed" in said or "no password supplied" in said:
        return CatalogUnreachable(
            f"{where} refuses this user: {_short(said)}", "put the password into PGPASSWORD or ~/.pgpass"
        )
    if state == "3D000" or ("database" in said and "does not exist" in said):
        return CatalogUnreachable(f"{where} cannot be used: there is no such database", "make it with createdb")
    if state == "42501":
        return CatalogUnreachable(f"{where} does not permit it: {_short(said)}", "ask its owner for the rights")
    if state in ("57014", "55P03"):
        what = "took too long" if state == "57014" else "is locked by another program"
        return CatalogUnreachable(f"{where} {what}", f"look at what the server is doing, {AGAIN}")
    if state.startswith("53"):  # disk full, out of memory
        return CatalogUnreachable(f"{where} cannot go on: {_short(said)}", f"free some space there, {AGAIN}")
    if state == "25006":
        return CatalogUnreachable(f"{where} is read-only now", f"name the primary server, {AGAIN}")
    # 25P03: this process was stopped in a transaction, and the server has ended it.
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or state == "25P03":
        return ConnectionLost(
            f"{where} does not answer: {_short(said)}", f"check that it runs, {AGAIN}; nothing is lost"
        )
    return error


def _short(said: str) -> str:
    return said if len(said) <= 200 else f"{said[:200]}..."


def with_patience(do: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The result of ``do``, which is called again with growing pauses while it raises ConnectionLost.

    Raises:
        ConnectionLost: the server did not come back within ``patience_s``.
    """
    wait, until, is_told = _FIRST_WAIT_S, time.monotonic() + patience_s, False
    while True:
        try:
            return do()
        except ConnectionLost as error:
            if time.monotonic() + wait > until:
                raise
            if not is_told and wait > 1:
                logger.warning("%s; trying again for up to %.0f seconds", error.message, patience_s)
                is_told = True
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)


# Locks

LockName = str
"""``writer``: whatever rewrites rows; ``runs``: the same lock, shared by all runs of the indexer, each of which keeps
whatever rewrites rows away; ``labels``: changes of what people say; ``index``: changes of an index in a server."""

ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('photoseek ' || current_schema() || ' transaction', 0))"
"""One transaction that writes at a time, as in SQLite: what it reads cannot change before it writes."""

_KEY = "hashtextextended('photoseek ' || current_schema() || ' ' || %(name)s, 0)"

_HOLDER = f"""SELECT a.application_name FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)) = {_KEY} LIMIT 1"""


def take_locks(connection: psycopg.Connection[Any], names: Sequence[tuple[LockName, float]], place: str) -> None:
    """Hold locks for as long as the connection lives: a process that dies, or is cut off, holds none.

    Args:
        names: with the seconds to wait for each.
        place: the gallery, for the message.

    Raises:
        GalleryLocked: another process, on this or another machine, holds one.
    """
    for name, wait_s in names:
        until = time.monotonic() + wait_s
        name, how = ("writer", "_shared") if name == "runs" else (name, "")
        while not _row(connection, f"SELECT pg_try_advisory_lock{how}({_KEY})", name)[0]:
            if time.monotonic() >= until:
                raise GalleryLocked(
                    f"the gallery {place} is being written by {holder(connection, name) or 'another process'}",
                    "wait until it has finished, or stop it (Ctrl-C loses nothing)",
                )
            time.sleep(0.05)


def try_lock(connection: psycopg.Connection[Any], name: LockName) -> bool:
    """Take a lock, to be given back with :func:`give_lock_back`; False if another connection has it."""
    return bool(_row(connection, f"SELECT pg_try_advisory_lock({_KEY})", name)[0])


def give_lock_back(connection: psycopg.Connection[Any], name: LockName) -> None:
    """End :func:`try_lock`."""
    _row(connection, f"SELECT pg_advisory_unlock({_KEY})", name)


def holder(connection: psycopg.Connection[Any], name: LockName) -> str | None:
    """Who holds a lock: ``process 12 on HOST``; None if nobody does."""
    found = connection.execute(_HOLDER, {"name": name}).fetchone()
    if found is None:
        return None
    parts = str(found[0]).split()
    return f"process {parts[2]} on {parts[1]}" if len(parts) == 3 and parts[0] == "photoseek" else "another program"


def _row(connection: psycopg.Connection[Any], sql: str, name: str) -> Any:
    return connection.execute(sql, {"name": name}).fetchone()


def close_quietly(connection: psycopg.Connection[Any]) -> None:
    """Close a connection, which may be broken."""
    with suppress(Exception):
        connection.close()
