"""Every error that photoseek raises on purpose descends from :class:`RetrievalError`.

This module holds the root and the branch of the vector indexes; ``retrieval.errors`` draws the whole tree.
"""

from __future__ import annotations


class RetrievalError(Exception):
    """An error that a person can act on: what is wrong, and what to do about it.

    Args:
        message: What happened, in one line and without a trailing full stop's worth of internals.
        hint: What the person can do now, in one line.

    The command line prints ``message`` and ``hint`` on two lines of stderr and exits with ``exit_code``.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class VectorIndexError(RetrievalError):
    """Root of everything a vector index can refuse."""


class SpecError(VectorIndexError):
    """The index specification is not one we know; the hint names the nearest valid spelling."""

    exit_code = 2


class DimensionMismatch(VectorIndexError):
    """Vectors of another width than the index was made for."""


class DuplicateId(VectorIndexError):
    """An id was added that the index already holds, or twice in one call."""


class NotTrained(VectorIndexError):
    """The index learns from data (IVF, PQ) and ``train`` was not called yet."""


class SnapshotCorrupt(VectorIndexError):
    """A saved index is damaged or not what its manifest says: rebuild it from the catalog."""


class SnapshotStale(SnapshotCorrupt):
    """A sound saved index, but of another encoder, kind or format: rebuild it, nothing is damaged."""


class BackendUnavailable(VectorIndexError):
    """The library behind this kind of index is not installed; the hint names the extra to install."""
