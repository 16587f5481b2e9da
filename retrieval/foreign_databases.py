"""SQLite files that may come from a stranger: nothing in them is run, and no value in them is larger than ours are.

A database can hold programs: views, triggers, computed columns and virtual tables are run by whoever reads or writes
it. So its schema is looked at before any statement of ours meets it (https://www.sqlite.org/security.html).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection

from blake3 import blake3

MOST_BYTES = 64 << 20
"""Of one text or BLOB, and of one row: the longest of ours, reports of runs and lists of albums, are far below it."""

_VIRTUAL = re.compile(r"\s*create\s+virtual\b", re.I)
_COMPUTED = re.compile(r"\bgenerated\s+always\b|\bas\s*\(", re.I)


def harden(connection: sqlite3.Connection, *, trusts_schema: bool = False) -> None:
    """Bound what this connection reads, and let a schema call only functions that are known to be harmless.

    Args:
        trusts_schema: its triggers were compared with ours. One of them writes to an FTS5 table, which would be
            refused otherwise.

    Raises:
        sqlite3.DatabaseError: its schema cannot be read.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 16)
    if not trusts_schema:
        connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except UnicodeDecodeError as error:  # what SQLite says of a damaged schema quotes the damaged bytes
        raise sqlite3.DatabaseError("malformed database schema") from error


def foreign_part(
    connection: sqlite3.Connection, triggers: Collection[tuple[str, str]] = (), virtual: Collection[str] = ()
) -> str | None:
    """What the schema holds that would run when it is read or written; None if there is nothing.

    Args:
        triggers: name and :func:`digest_of` of the expected ones.
        virtual: names of the expected virtual tables.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
        text, named = str(sql), f"{str(name)[:40]!r}"
        if kind == "view":
            return f"a view {named}"
        if kind == "trigger" and (name, digest_of(text)) not in triggers:
            return f"a foreign trigger {named}"
        if kind != "table" or name in virtual:
            continue
        if _VIRTUAL.match(text):
            return f"a virtual table {named}"
        if _COMPUTED.search(text):
            return f"computed columns in {named}"
    return None


def digest_of(statement: str) -> str:
    """The same for statements that differ in white space only."""
    return blake3(" ".join(statement.split()).encode("utf-8", "surrogateescape")).hexdigest(8)


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """For files that need nothing of the kind.

    Raises:
        sqlite3.DatabaseError: there is a :func:`foreign_part`.
    """
    if (part := foreign_part(connection)) is not None:
        raise sqlite3.DatabaseError(f"it has {part}")
