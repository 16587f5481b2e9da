"""The exception hierarchy. Each class is printed as two lines (what happened, what to do) and has a stable exit code.

::

    RetrievalError(message, hint)           exit 3 by default
    ├── SettingsError, QueryError           exit 2: what was given, what is accepted; PageExpired
    ├── GalleryError                        GalleryNotFound, GalleryLocked, GalleryOutdated, GalleryTooNew, UnknownImage
    ├── EncoderError                        UnknownEncoder (exit 2), WeightsUnavailable (ModelGone),
    │                                       TextNotSupported (exit 2), EncoderMismatch (EarlierBuiltin),
    │                                       RuntimeUnavailable (CpuOnly)
    ├── UnreadableImage                     exit 2 for a query; recorded, never raised, while indexing
    ├── WorkersLost                         the machines that encode for a run
    ├── SystemProblem                       full or failing disk, missing permission, no memory (system_errors.py)
    └── VectorIndexError                    SpecError (exit 2), DimensionMismatch, DuplicateId, NotTrained,
                                            SnapshotCorrupt (SnapshotStale), BackendUnavailable, IndexUnreachable
"""

from __future__ import annotations

from indexes.errors import (
    BackendUnavailable,
    DimensionMismatch,
    DuplicateId,
    IndexUnreachable,
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
    "IndexUnreachable",
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
    "UnknownAlbum",
    "UnknownEncoder",
    "UnknownImage",
    "UnknownPerson",
    "UnreadableImage",
    "VectorIndexError",
    "WeightsUnavailable",
    "WorkersLost",
]


class SettingsError(RetrievalError):
    """A flag, variable or settings file has an invalid value."""

    exit_code = 2


class QueryError(RetrievalError):
    """The query cannot be answered."""

    exit_code = 2


class PageExpired(QueryError):
    """The gallery has changed since the previous page, so the next one would skip or repeat hits."""


class UnknownAlbum(QueryError):
    """No album has this id."""


class UnknownPerson(QueryError):
    """There is no person or face with this id."""


class GalleryError(RetrievalError):
    """Base class of problems with the gallery folder."""


class GalleryNotFound(GalleryError):
    """There is no gallery, or nothing is indexed in it yet."""


class GalleryLocked(GalleryError):
    """Another process is writing to the gallery; the message names it."""


class GalleryOutdated(GalleryError):
    """The catalog was written by an older photoseek; the next write upgrades it."""


class GalleryTooNew(GalleryError):
    """The catalog was written by a newer photoseek."""


class UnknownImage(GalleryError):
    """A picture or folder, named by its path or its id, is not in the catalog."""


class SystemProblem(RetrievalError):
    """A problem of the machine: the disk is full or failing, a permission is missing, there is not enough memory."""


class WorkersLost(RetrievalError):
    """The machines that encode for a run do not answer any more, or cannot be used."""


class EncoderError(RetrievalError):
    """Base class of problems with a model."""


class UnknownEncoder(EncoderError):
    """No such model; the hint offers the nearest names."""

    exit_code = 2


class WeightsUnavailable(EncoderError):
    """The weights are missing, damaged, or in a refused format; the hint says which file to put where."""


class ModelGone(WeightsUnavailable):
    """A gallery's model is no longer where it was; the message names the place."""


class TextNotSupported(EncoderError):
    """A text embedding was requested from an image-only encoder."""

    exit_code = 2


class EncoderMismatch(EncoderError):
    """The gallery was built with another model than the one given."""


class EarlierBuiltin(EncoderMismatch):
    """A gallery's embeddings are from an earlier version of the built-in model, whose weights no longer exist."""


class RuntimeUnavailable(EncoderError):
    """The library that runs this model is not installed; the hint names the extra."""


class CpuOnly(RuntimeUnavailable):
    """A GPU was requested, but this model runs on the CPU only."""


class UnreadableImage(RetrievalError):
    """This file cannot be used as a picture; ``reason`` is short and stable enough to be stored and grouped."""

    exit_code = 2

    def __init__(self, reason: str, hint: str = "give another picture") -> None:
        super().__init__(reason, hint)
        self.reason = reason


class Busy(RetrievalError):
    """There are more requests than can be answered: the client should try again in a second."""

    def __init__(self) -> None:
        super().__init__("the server has more to do than it can take on", "try again in a second")
