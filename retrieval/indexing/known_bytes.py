"""Looks up which bytes are embedded already, from many threads, before they are decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Protocol, TypeAlias

from retrieval.catalog.batch import Metadata
from retrieval.catalog.moments import Moment, moments_by_hash
from retrieval.catalog.reader import PATIENCE_S, CatalogReader
from retrieval.errors import SystemProblem

MOST_CONNECTIONS = 4
"""To a server, which has a hundred for all. Threads share them: each looks up a file only now and then."""

Known: TypeAlias = tuple[bytes, Metadata, tuple[Moment, ...]]
"""The embedding and the metadata of a file's bytes, and the moments of a video."""


class Lookups(Protocol):
    """Looks up which bytes are embedded already; called by many threads."""

    def find(self, digest: bytes) -> Known | None:
        """What is known of the bytes with this hash."""
        ...

    def close(self) -> None:
        """No more lookups; those in progress end or are waited for."""
        ...


class KnownBytes:
    """Looks up which bytes are embedded already; each thread uses a connection of its own, up to a few of a server.

    Closing waits for queries in progress, and later ones fail: Ctrl-C while a pool starts a thread leaves one that the
    pool does not know and does not wait for, and closing its SQLite connection meanwhile crashes the process.
    """

    def __init__(self, open_reader: Callable[[], CatalogReader], encoder_id: int) -> None:
        self._open_reader, self._encoder_id = open_reader, encoder_id
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[CatalogReader, threading.Lock]] = []
        self._is_closed = self._is_enough = False
        self._threads = 0

    def find(self, digest: bytes) -> Known | None:
        """The embedding and the metadata for these bytes, and the moments of a video."""
        reader, lock = self._mine()
        with lock:
            if self._is_closed:
                raise CancelledError
            found = reader.embedding_of(digest, self._encoder_id)
            if found is None:
                return None
            metadata = Metadata(*found[1])
            moments = () if metadata.duration_s is None else moments_by_hash(reader, digest, self._encoder_id)
            return None if moments is None else (found[0], metadata, moments)

    def _mine(self) -> tuple[CatalogReader, threading.Lock]:
        mine: tuple[CatalogReader, threading.Lock] | None = getattr(self._own, "mine", None)
        if mine is None:
            with self._lock:
                if self._is_closed:
                    raise CancelledError
                mine = self._own.mine = self._new() or self._open[self._threads % len(self._open)]
                self._threads += 1
        return mine

    def _new(self) -> tuple[CatalogReader, threading.Lock] | None:
        """Another connection; None if there are enough, or the server has none left: then threads share them."""
        if self._is_enough:
            return None
        try:
            reader = self._open_reader()
        except SystemProblem:
            if not self._open:
                raise
            self._is_enough = True
            return None
        reader.patience_s = PATIENCE_S
        made = reader, threading.Lock()
        self._open.append(made)
        self._is_enough = reader.is_server and len(self._open) >= MOST_CONNECTIONS
        return made

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for reader, lock in self._open:
                with lock:
                    reader.close()
            self._open.clear()
