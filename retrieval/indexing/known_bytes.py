"""Looks up which bytes are embedded already, from many threads, before they are decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Protocol, TypeAlias

from retrieval.catalog.batch import Metadata
from retrieval.catalog.moments import Moment, moments_by_hash
from retrieval.catalog.reader import CatalogReader

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
    """Looks up which bytes are embedded already; each thread uses a connection of its own.

    Closing waits for queries in progress, and later ones fail: Ctrl-C while a pool starts a thread leaves one that the
    pool does not know and does not wait for, and closing its SQLite connection meanwhile crashes the process.
    """

    def __init__(self, open_reader: Callable[[], CatalogReader], encoder_id: int) -> None:
        self._open_reader, self._encoder_id = open_reader, encoder_id
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[CatalogReader, threading.Lock]] = []
        self._is_closed = False

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
                mine = self._own.mine = self._open_reader(), threading.Lock()
                self._open.append(mine)
        return mine

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for reader, lock in self._open:
                with lock:
                    reader.close()
            self._open.clear()
