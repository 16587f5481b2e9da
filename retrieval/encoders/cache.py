"""Cache of text embeddings: a repeated query needs neither tokenizer nor text tower.

A small SQLite file next to the catalog. It stores a hash of each text, not the text, and can be deleted at any time.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3

from indexes.base import Vectors
from retrieval.config.process import lookup
from retrieval.foreign_databases import harden, refuse_foreign

CACHE_NAME = "text-cache.sqlite"
NO_CACHE_VARIABLE = "PHOTOSEEK_NO_CACHE"
MAX_ENTRIES = 10_000
"""Maximal number of entries, 24 MB at dimension 512; the oldest are removed first."""

_VERSION = 2  # of the table and of the content of a key
_MAX_VARIABLES = 900  # below SQLite's oldest default limit of 999 parameters in one statement
_LOCK_WAIT_S = 0.05  # about the time of a small text tower: waiting longer saves nothing
_TABLE = """CREATE TABLE IF NOT EXISTS texts (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, is_cut INTEGER NOT NULL,
    digest BLOB NOT NULL)"""
_ADD = """INSERT INTO texts (key, vector, is_cut, digest) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET vector = excluded.vector, is_cut = excluded.is_cut, digest = excluded.digest"""


@dataclass(frozen=True)
class CachedText:
    """The cached result for a text.

    Attributes:
        vector: (dim,) float32 unit vector, exactly as the text tower returned it.
        is_cut: the text is longer than the model's context.
    """

    vector: Vectors
    is_cut: bool


class TextMemory:
    """The most recently requested texts of one encoder, for a long-running process. Not shared between threads.

    Args:
        most: maximal number of texts; the least recently requested one is removed first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[str, CachedText] = OrderedDict()

    def find(self, texts: Iterable[str]) -> dict[str, CachedText]:
        """Those of ``texts`` that are cached."""
        found = {text: self._entries[text] for text in texts if text in self._entries}
        for text in found:
            self._entries.move_to_end(text)
        return found

    def add(self, texts: Iterable[str], entries: Iterable[CachedText]) -> None:
        """Add texts."""
        for text, entry in zip(texts, entries, strict=True):
            self._entries[text] = entry
            self._entries.move_to_end(text)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)


class TextCache:
    """The cached texts of one encoder. Best effort: if anything is wrong with the file, nothing is cached.

    Any number of processes may read and add at the same time. Not shared between threads.

    Args:
        file: created by the first :meth:`add`, readable by its owner only; removed if damaged.
        fingerprint, dim: of the encoder.
    """

    def __init__(self, file: Path, fingerprint: str, dim: int) -> None:
        self._file, self._fingerprint, self._dim = file, fingerprint, dim
        self._connection: sqlite3.Connection | None = None
        self._is_off = False

    def find(self, texts: Iterable[str]) -> dict[str, CachedText]:
        """Those of ``texts`` that are cached."""
        key_of = {self._key(text): text for text in texts}
        connection = self._opened()
        if connection is None:
            return {}
        keys, found = list(key_of), {}
        try:
            for start in range(0, len(keys), _MAX_VARIABLES):
                part = keys[start : start + _MAX_VARIABLES]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(f"SELECT key, vector, is_cut, digest FROM texts WHERE key IN ({marks})", part)
                for key, blob, is_cut, digest in rows.fetchall():
                    vector = self._sound(key, blob, is_cut, digest)
                    if vector is not None:
                        found[key_of[key]] = CachedText(vector, bool(is_cut))
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def add(self, texts: Sequence[str], entries: Sequence[CachedText]) -> None:
        """Add texts; the oldest beyond :data:`MAX_ENTRIES` are removed."""
        connection = self._opened(create=True)
        if connection is None:
            return
        rows = []
        for text, entry in zip(texts, entries, strict=True):
            key, blob = self._key(text), entry.vector.astype("<f4").tobytes()
            rows.append((key, blob, int(entry.is_cut), _digest(key, blob, int(entry.is_cut))))
        try:
            with connection:
                connection.executemany(_ADD, rows)
                connection.execute(
                    "DELETE FROM texts WHERE number <= (SELECT max(number) FROM texts) - ?", [MAX_ENTRIES]
                )
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _key(self, text: str) -> bytes:
        return blake3(f"{self._fingerprint}\n{text}".encode("utf-8", "surrogatepass")).digest()

    def _sound(self, key: object, blob: object, is_cut: object, digest: object) -> Vectors | None:
        """The vector of a row; None if the row differs from what was written (after a power cut, on a failing disk)."""
        if not isinstance(key, bytes) or not isinstance(blob, bytes) or len(blob) != 4 * self._dim:
            return None
        if is_cut not in (0, 1) or digest != _digest(key, blob, int(is_cut)):
            return None
        vector = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            length = float(vector @ vector)
        return vector if abs(length - 1.0) < 1e-4 else None

    def _opened(self, *, create: bool = False) -> sqlite3.Connection | None:
        """The open file; None if there is no usable one."""
        if self._connection is None and not self._is_off:
            try:
                if create:
                    with suppress(FileExistsError):
                        os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                elif not self._file.is_file():
                    return None
                self._connection = _connect(self._file)
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        """Continue without a cache; a damaged file is removed, so that the next process creates a new one."""
        self.close()
        self._is_off = True
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with suppress(OSError):
                self._file.unlink()


def remembered(texts: Iterable[str], *stores: TextMemory | TextCache | None) -> tuple[dict[str, CachedText], list[str]]:
    """What the stores contain of texts, and the texts that none of them contains, each once.

    Each store is asked for the texts that the stores before it do not have.
    """
    known: dict[str, CachedText] = {}
    new = list(dict.fromkeys(texts))
    for store in stores:
        if store is not None and new:
            known.update(store.find(new))
            new = [text for text in new if text not in known]
    return known, new


def is_wanted() -> bool:
    """False if searched texts must not be stored: the setting ``text-cache``, or its variable."""
    if given := os.environ.get(NO_CACHE_VARIABLE):
        return given == "0"
    return lookup("text-cache", "") is not False


def open_text_cache(folder: Path, fingerprint: str, dim: int) -> TextCache | None:
    """The cache in a gallery's folder; None if ``PHOTOSEEK_NO_CACHE`` is set to anything but 0."""
    if not is_wanted():
        return None
    return TextCache(folder / CACHE_NAME, fingerprint, dim)


def _digest(key: bytes, blob: bytes, is_cut: int) -> bytes:
    """Detects damaged rows: a flipped bit would be another query, with hits that look just as plausible."""
    return blake3(key + blob + bytes([is_cut])).digest(8)


def _add_digests(connection: sqlite3.Connection) -> None:
    """Upgrade a table without digests. Its texts are kept: if the model is gone, they cannot be encoded again."""
    connection.execute("ALTER TABLE texts ADD COLUMN digest BLOB NOT NULL DEFAULT x''")
    rows = connection.execute("SELECT number, key, vector, is_cut FROM texts").fetchall()
    digests = [(_digest(bytes(key), bytes(vector), int(is_cut)), number) for number, key, vector, is_cut in rows]
    connection.executemany("UPDATE texts SET digest = ? WHERE number = ?", digests)


def _connect(file: Path) -> sqlite3.Connection:
    """Open for reading and writing (SQLite falls back to reading if writing is not permitted).

    Raises:
        sqlite3.Error: not a database, or of another version.
    """
    uri = f"{file.resolve().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT_S, check_same_thread=False)
    try:
        harden(connection)
        refuse_foreign(connection)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("PRAGMA page_size = 16384")  # for a new file; a 512-dimensional vector would fill 4096
        # No need to wait for the disk: damage by a power cut is detected, and the text is encoded again.
        connection.execute("PRAGMA synchronous = OFF")
        if version < _VERSION:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                found = connection.execute("PRAGMA user_version").fetchone()[0]
                if found < _VERSION:  # no other process has upgraded it meanwhile
                    if found == 1:
                        _add_digests(connection)
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.OperationalError(f"a text cache of version {version}")
    except BaseException:
        connection.close()
        raise
    return connection
