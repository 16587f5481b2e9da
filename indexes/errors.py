"""Every error that photoseek raises on purpose is derived from :class:`RetrievalError`.

This module has the base class and the errors of vector indexes; ``retrieval.errors`` has all others.
"""

from __future__ import annotations


class RetrievalError(Exception):
    """An error that the user can act on: what is wrong, and what to do about it.

    Args:
        message: What happened, in one line, without internals.
        hint: What the user can do now, in one line.

    The command line prints ``message`` and ``hint`` on two lines of stderr and exits with ``exit_code``.
    """

    exit_code = 3

    outside = ""
    """What clients of a server are told instead, if the message may name machines and users; empty: the message."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class VectorIndexError(RetrievalError):
    """Base class of all errors raised by vector indexes."""


class SpecError(VectorIndexError):
    """The index specification is invalid; the hint names the nearest valid one."""

    exit_code = 2


class DimensionMismatch(VectorIndexError):
    """Vectors of another dimension than the index was made for."""


class DuplicateId(VectorIndexError):
    """An added id is already in the index, or was given twice in one call."""


class NotTrained(VectorIndexError):
    """The index learns from data (IVF, PQ) and ``train`` has not been called yet."""


class SnapshotCorrupt(VectorIndexError):
    """A saved index is damaged or does not match its manifest: rebuild it from the catalog."""


class SnapshotStale(SnapshotCorrupt):
    """An intact saved index of another encoder, kind or format: rebuild it, nothing is damaged."""


class BackendUnavailable(VectorIndexError):
    """The library that this kind of index needs is not installed; the hint names the extra to install."""


class IndexUnreachable(VectorIndexError):
    """The server that keeps an index does not answer, refuses access, or may not be used; nothing was changed."""

    outside = "the server of the vector index cannot be used now"
