"""A whole catalog as it travels from one database to another: every table of the schema, in blocks of rows.

The tables are those of ``schema.metadata``, so none can be forgotten. Rows are copied in blocks by their numbers, each
block in one transaction with a note of how far the copy is: a copy that was killed goes on from there. Each row also
counts into a sum of hashes, which must be that of the rows that the target holds in the end.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import BLOB
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from retrieval.catalog.column_types import PathText
from retrieval.catalog.lease_tables import OF_RUNS
from retrieval.catalog.schema import metadata

Kind = Literal["int4", "int8", "float8", "bool", "text", "path", "bytea", "ref"]
"""PostgreSQL's name of a column's type; ``path``: text, or bytes if it is no valid text; ``ref``: as word_tables.py
has it."""

Row = tuple[Any, ...]
"""Values as Python has them: numbers, bools, texts, bytes; a path is a text, or bytes if it is no valid text."""

BLOCK = 2_000
"""Rows that are in memory at once: some 4 MB of embeddings."""

_KINDS: dict[str, Kind] = {
    "INTEGER": "int4", "BIGINT": "int8", "FLOAT": "float8", "BOOLEAN": "bool", "VARCHAR": "text", "TEXT": "text",
    "BYTEA": "bytea",
}  # fmt: skip


class Part(NamedTuple):
    """A table as it travels.

    Attributes:
        key: the column that numbers its rows, by which it is copied in blocks; None: it is copied in one transaction.
    """

    name: str
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    key: str | None

    @property
    def listed(self) -> str:
        """The columns, for a statement."""
        return ", ".join(f'"{column}"' for column in self.columns)


@dataclass(frozen=True)
class Progress:
    """How far the copy of a table is.

    Attributes:
        last: the highest number that was copied.
        rows, digest: of the rows that were copied: how many, and the sum of their hashes.
        is_whole: nothing is left to copy.
    """

    last: int = -1 << 62
    rows: int = 0
    digest: str = "0"
    is_whole: bool = False

    def after(self, part: Part, rows: Sequence[Row]) -> Progress:
        """With these rows, too."""
        last = self.last if part.key is None else int(rows[-1][part.columns.index(part.key)])
        return Progress(last, self.rows + len(rows), f"{(int(self.digest, 16) + digest(rows)) % _MODULUS:x}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


_MODULUS = 1 << 128


def digest(rows: Sequence[Row]) -> int:
    """The sum of the hashes of rows: the same in any order, and of any number of rows that differ another one."""
    # The second version of the format: later ones depend on which objects are the same one.
    return sum(int.from_bytes(blake2b(marshal.dumps(row, 2), digest_size=16).digest()) for row in rows) % _MODULUS


class Side(Protocol):
    """A catalog that is read."""

    def content(self) -> str:
        """The catalog's identity, and a name of what it holds now, which each transaction changes."""

    def count(self, part: Part) -> int:
        """How many rows a table has."""

    def blocks(self, part: Part, after: int | None = None) -> Iterator[list[Row]]:
        """The rows of a table, in blocks that are not empty; with ``after``, those of higher numbers, by number."""

    def last_numbers(self) -> dict[str, int]:
        """Table -> the highest number that a row of it ever had, as far as the database remembers it."""


class Target(Side, Protocol):
    """A catalog that is being made."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written within is written together."""

    def progress(self, part: Part) -> Progress:
        """What was noted."""

    def note(self, part: Part, progress: Progress) -> None:
        """Note how far the copy is."""

    def put(self, part: Part, rows: Sequence[Row]) -> None:
        """Write rows."""


def parts() -> list[Part]:
    """Every table of the schema, those first to which others refer, but for those of runs: none is at work now."""
    found = []
    for table in metadata.sorted_tables:
        if table.name in OF_RUNS:
            continue
        kinds = tuple(_kind(column.type) for column in table.columns)
        names = tuple(column.name for column in table.columns)
        keys = [column.name for column in table.primary_key.columns]
        is_numbered = len(keys) == 1 and kinds[names.index(keys[0])] in ("int4", "int8")
        found.append(Part(table.name, names, kinds, keys[0] if is_numbered else None))
    return found


def _kind(type_: TypeEngine[Any]) -> Kind:
    if isinstance(type_, PathText):
        return "path"
    if isinstance(type_, BLOB):
        return "ref"
    return _KINDS[type_.compile(dialect=postgresql.dialect())]  # type: ignore[no-untyped-call]


def copy(
    source: Side, target: Target, tell: Callable[[str, int, int], None], stop: Callable[[], bool]
) -> dict[str, int]:
    """Copy what is not in the target yet; how many rows each table has.

    Args:
        tell: is told the table, how many of its rows are copied, and how many there are.

    Raises:
        Stopped: ``stop`` said so; what was copied is kept.
    """
    copied = {}
    for part in parts():
        done, total = target.progress(part), source.count(part)
        tell(part.name, done.rows, total)
        if part.key is None and not done.is_whole:
            with target.transaction():
                for block in source.blocks(part):
                    if stop():
                        raise Stopped
                    target.put(part, block)
                    done = done.after(part, block)
                done = replace(done, is_whole=True)
                target.note(part, done)
        elif not done.is_whole:
            for block in source.blocks(part, done.last):
                if stop():
                    raise Stopped
                done = done.after(part, block)
                with target.transaction():
                    target.put(part, block)
                    target.note(part, done)
                tell(part.name, done.rows, total)
            done = replace(done, is_whole=True)
            with target.transaction():
                target.note(part, done)
        copied[part.name] = done.rows
    return copied


class Stopped(Exception):
    """The person asked for an end: the same command goes on from there."""


def differences(source: Side, target: Target, tell: Callable[[str, int, int], None]) -> list[str]:
    """What is not the same in the target: its rows are read again, counted and hashed. Empty: nothing."""
    found = []
    for part in parts():
        noted, wanted = target.progress(part), source.count(part)
        rows = total = 0
        for block in target.blocks(part):
            rows += len(block)
            total = (total + digest(block)) % _MODULUS
            tell(part.name, rows, wanted)
        if rows != wanted:
            found.append(f"{part.name} has {rows:,} rows instead of {wanted:,}")
        elif f"{total:x}" != noted.digest:
            found.append(f"{part.name} holds other values")
    return found
