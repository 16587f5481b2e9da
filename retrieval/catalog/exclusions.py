"""Permanent exclusions of a gallery: patterns given to ``index --exclude``, and forgotten paths below a folder that is
still indexed. The catalog stores them in one table; a walk reads them here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blake3 import blake3

from retrieval.catalog.access import Rows
from retrieval.paths import decode_path, encode_path, is_below

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One row.

    Attributes:
        path: absolute: the folder that ``pattern`` is relative to, or the excluded path itself. None if only its
            fingerprint is kept, because the name itself was purged.
        pattern: in ``.gitignore`` syntax, a leading ``!`` includes again; None: everything at or below ``path``.
        fingerprint: BLAKE3 of the purged path.
    """

    path: str | None
    pattern: str | None = None
    fingerprint: bytes | None = None

    def text(self) -> str:
        """A text for people; only for rows whose path is kept."""
        if self.pattern is None:
            return f"{self.path} (forgotten)"
        if self.pattern.startswith("!"):
            return f"{self.path}: but not {self.pattern[1:]}"
        return f"{self.path}: {self.pattern}"


class Exclusions:
    """All of them, in the order in which they were given.

    Args:
        everywhere: patterns that apply below every indexed folder, where no row decides; not stored.
    """

    def __init__(self, rows: Iterable[Exclusion] = (), everywhere: Sequence[str] = ()) -> None:
        self.rows, self.everywhere = tuple(rows), tuple(everywhere)
        self._whole = {row.path for row in self.rows if row.path is not None and row.pattern is None}
        self._fingerprints = {row.fingerprint for row in self.rows if row.fingerprint is not None}
        self._has_whole = bool(self._whole or self._fingerprints)

    def in_words(self) -> list[str]:
        """Texts for people, one line each."""
        lines = [row.text() for row in self.rows if row.path is not None]
        if self._fingerprints:
            lines.append(f"{len(self._fingerprints):,} more that were purged (their names are not kept)")
        return lines

    def patterns(self, folder: str) -> list[str]:
        """The patterns that are relative to a folder."""
        return [row.pattern for row in self.rows if row.path == folder and row.pattern is not None]

    def folders(self) -> set[str]:
        """Folders that have patterns."""
        return {row.path for row in self.rows if row.path is not None and row.pattern is not None}

    def leaves_out(self, path: str) -> bool:
        """True for a path that was forgotten or purged."""
        if not self._has_whole:
            return False
        return path in self._whole or (bool(self._fingerprints) and fingerprint(path) in self._fingerprints)

    def lifted(self, path: str) -> list[Exclusion]:
        """The rows that exclude exactly ``path``: they end when it is indexed by its name."""
        mark = fingerprint(path) if self._fingerprints else None
        return [
            row
            for row in self.rows
            if row.pattern is None and (row.path == path if row.fingerprint is None else row.fingerprint == mark)
        ]

    def below(self, folder: str) -> list[Exclusion]:
        """The rows at or below a folder, if their names are kept."""
        return [row for row in self.rows if row.path is not None and is_below(row.path, folder)]


def all_exclusions(rows: Rows) -> Exclusions:
    """All permanent exclusions."""

    def text(stored: str | bytes | None) -> str | None:
        return None if stored is None else decode_path(stored)

    stored = rows.rows("SELECT path, pattern, fingerprint FROM exclusions ORDER BY id")
    return Exclusions(Exclusion(text(path), text(pattern), mark) for path, pattern, mark in stored)


def replace_exclusions(transaction: Transaction, rows: Sequence[Exclusion]) -> None:
    """Write the exclusions that apply from now on."""
    if tuple(rows) == all_exclusions(transaction).rows:
        return

    def stored(text: str | None) -> str | bytes | None:
        return None if text is None else encode_path(text)

    transaction.run("DELETE FROM exclusions")
    transaction.run(
        "INSERT INTO exclusions (path, pattern, fingerprint) VALUES (:path, :pattern, :fingerprint)",
        [{"path": stored(r.path), "pattern": stored(r.pattern), "fingerprint": r.fingerprint} for r in rows],
    )


def fingerprint(path: str) -> bytes:
    """What is kept of a path whose name must not be kept: 32 bytes of BLAKE3."""
    return blake3(os.fsencode(path)).digest()


def changed(
    before: Exclusions, folder: str, exclude: Sequence[str], include: Sequence[str], *, start_anew: bool
) -> list[Exclusion]:
    """The rows as they are after ``index --exclude``, ``--include`` and ``--no-exclude`` for a folder.

    ``include`` removes the same pattern if it was excluded, and otherwise overrides all others.

    Args:
        start_anew: drop the existing exclusions at or below the folder.
    """
    rows = list(before.rows)
    if start_anew:
        dropped = before.below(folder)
        rows = [row for row in rows if row not in dropped and row.fingerprint is None]
    for pattern in exclude:
        rows = [row for row in rows if (row.path, row.pattern) not in ((folder, pattern), (folder, f"!{pattern}"))]
        rows.append(Exclusion(folder, pattern))
    for pattern in include:
        had = [row for row in rows if (row.path, row.pattern) in ((folder, pattern), (folder, f"!{pattern}"))]
        named = os.path.normpath(os.path.join(folder, pattern.strip("/")))
        had += Exclusions(rows).lifted(named)
        rows = [row for row in rows if row not in had]
        if not any(row.pattern is None or row.pattern == pattern for row in had):
            rows.append(Exclusion(folder, f"!{pattern}"))
    return rows
