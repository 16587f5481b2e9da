"""Damage to a database file as caused by disks: pages lost, exchanged, overwritten; single bytes and bits."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

KINDS = ("bit", "bytes", "run", "zeros", "noise", "exchanged", "older", "cut", "value")


def spoil_the_schema(database: Path) -> None:
    """What SQLite says of it is then no text: the message quotes the damaged byte."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    found = bytearray(database.read_bytes())
    found[found.rfind(b"CREATE ") + 7] = 0xFF
    database.write_bytes(found)


def damaged(path: Path, kind: str, rng: np.random.Generator) -> str:
    """Damage the file at a random place; says where."""
    if kind == "value":
        return _value(path, rng)
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    page, other = (int(at) * size for at in rng.integers(len(content) // size, size=2))
    place = page + int(rng.integers(size))
    if kind == "bit":
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":  # in the header and the cell pointers of a page, where they say most
        for at in rng.integers(min(size, 256), size=3).tolist():
            content[page + at] = int(rng.integers(256))
    elif kind == "run":
        length = int(rng.integers(4, 200))
        content[place : place + length] = rng.bytes(len(content[place : place + length]))
    elif kind == "zeros":
        content[page : page + size] = bytes(size)
    elif kind == "noise":
        content[page : page + size] = rng.bytes(size)
    elif kind == "exchanged":
        content[page : page + size], content[other : other + size] = (
            content[other : other + size],
            content[page : page + size],
        )
    elif kind == "older":  # a write that never reached the disk: what was in another page's place stays there
        content[page : page + size] = content[other : other + size]
    else:
        del content[max(place, 1) :]
    path.write_bytes(content)
    return f"{kind} at byte {place} (page {page // size + 1}, other page {other // size + 1})"


def _value(path: Path, rng: np.random.Generator) -> str:
    """Another value, of any type, in a random column of a random row; the file stays a sound database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        # Not the tables in which an index of words keeps itself: it is made again from these.
        listed = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT wr"
        tables = [row[0] for row in connection.execute(listed) if row[0] != "sqlite_schema"]
        filled = [t for t in sorted(tables) if connection.execute(f'SELECT 1 FROM "{t}"').fetchone() is not None]
        table = filled[int(rng.integers(len(filled)))]
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        column = columns[int(rng.integers(len(columns)))]
        at = int(rng.integers(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]))
        (rowid,) = connection.execute(f'SELECT rowid FROM "{table}" LIMIT 1 OFFSET ?', (at,)).fetchone()
        values = ("'garbage'", "x'ff00fe'", "-1", "1e300", "9223372036854775807", "''", "NULL", "CAST(x'ff2e' AS TEXT)")
        value = values[int(rng.integers(len(values)))]
        try:
            connection.execute(f'UPDATE "{table}" SET "{column}" = {value} WHERE rowid = ?', (rowid,))
        except sqlite3.Error as error:
            return f"nothing: {error}"
    return f"{table}.{column} = {value} in row {rowid}"
