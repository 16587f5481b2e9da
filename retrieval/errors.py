"""The exception hierarchy. Each leaf prints two lines (what happened, what to do) and has a stable exit code.

::

    RetrievalError(message, hint)           exit 3 unless said otherwise
    ├── SettingsError, QueryError           exit 2: what was given, what is accepted; PageExpired
    ├── GalleryError                        GalleryNotFound, GalleryLocked, GalleryOutdated, GalleryTooNew, UnknownImage
    ├── EncoderError                        UnknownEncoder (exit 2), WeightsUnavailable (ModelGone),
    │                                       TextNotSupported (exit 2), EncoderMismatch (EarlierBuiltin),
    │                                       RuntimeUnavailable (CpuOnly)
    ├── UnreadableImage                     exit 2 for a query; recorded, never raised, while indexing
    ├── SystemProblem                       a full or failing disk, a missing right, no memory (system_errors.py)
    └── VectorIndexError                    SpecError (exit 2), DimensionMismatch, DuplicateId, NotTrained,
                                            SnapshotCorrupt (SnapshotStale), BackendUnavailable
"""

from __future__ import annotations

from indexes.errors import (
    BackendUnavailable,
    DimensionMismatch,
    DuplicateId,
    NotTrained,
    RetrievalError,
    SnapshotCorrupt,
    SnapshotStale,
    SpecError,
    VectorIndexError,
)

__all__ = [
    "BackendUnavailable",
    "CpuOnly",
    "DimensionMismatch",
    "DuplicateId",
    "EarlierBuiltin",
    "EncoderError",
    "EncoderMismatch",
    "GalleryError",
    "GalleryLocked",
    "GalleryNotFound",
    "GalleryOutdated",
    "GalleryTooNew",
    "ModelGone",
    "NotTrained",
    "PageExpired",
    "QueryError",
    "RetrievalError",
    "RuntimeUnavailable",
    "SettingsError",
    "SnapshotCorrupt",
    "SnapshotStale",
    "SpecError",
    "SystemProblem",
    "TextNotSupported",
    "UnknownEncoder",
    "UnknownImage",
    "UnreadableImage",
    "VectorIndexError",
    "WeightsUnavailable",
]


class SettingsError(RetrievalError):
    """A flag, variable or settings file holds something we cannot use."""

    exit_code = 2


class QueryError(RetrievalError):
    """The query cannot be answered as it was asked."""

    exit_code = 2


class PageExpired(QueryError):
    """The gallery changed since the page before, so the next one would skip or repeat hits."""


class GalleryError(RetrievalError):
    """Something about the gallery folder stops us."""


class GalleryNotFound(GalleryError):
    """No gallery here, or nothing indexed in it yet."""


class GalleryLocked(GalleryError):
    """Another process is writing to the gallery; the message names it."""


class GalleryOutdated(GalleryError):
    """The catalog was written by an older photoseek; the next one to write brings it up to date."""


class GalleryTooNew(GalleryError):
    """The catalog was written by a newer photoseek."""


class UnknownImage(GalleryError):
    """A picture or folder that was named, by its path or its id, and of which the catalog holds nothing."""


class SystemProblem(RetrievalError):
    """The machine refused: the disk is full or fails, a right is missing, there is no memory."""


class EncoderError(RetrievalError):
    """Root of everything that can go wrong with a model."""


class UnknownEncoder(EncoderError):
    """No such model; the hint offers the nearest names."""

    exit_code = 2


class WeightsUnavailable(EncoderError):
    """The weights are not here, damaged, or in a format we refuse; the hint says where to put which file."""


class ModelGone(WeightsUnavailable):
    """A gallery's model is not where it was; the message names the place."""


class TextNotSupported(EncoderError):
    """An image-only encoder was asked for a text embedding."""

    exit_code = 2


class EncoderMismatch(EncoderError):
    """The gallery was built with another model than the one given."""


class EarlierBuiltin(EncoderMismatch):
    """A gallery's embeddings are of the built-in model of an earlier version, whose weights are gone."""


class RuntimeUnavailable(EncoderError):
    """The library that runs this model is not installed; the hint names the extra."""


class CpuOnly(RuntimeUnavailable):
    """A GPU was asked for, and this model runs on the CPU alone."""


class UnreadableImage(RetrievalError):
    """This file cannot be used as a picture; ``reason`` is short and stable enough to be stored and grouped."""

    exit_code = 2

    def __init__(self, reason: str, hint: str = "give another picture") -> None:
        super().__init__(reason, hint)
        self.reason = reason


class Busy(RetrievalError):
    """More is asked than can be answered: the client should come back in a second."""

    def __init__(self) -> None:
        super().__init__("the server has more to do than it can take on", "try again in a second")
