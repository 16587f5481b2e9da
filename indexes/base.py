"""The interface of a vector index: unit vectors in, ranked integer ids out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from indexes.errors import DimensionMismatch, VectorIndexError

if TYPE_CHECKING:
    from indexes.spec import IndexSpec

Vectors: TypeAlias = NDArray[np.float32]
"""(n, dim) float32, C-contiguous, every row of L2 norm 1."""

Ids: TypeAlias = NDArray[np.int64]
"""(n,) int64, unique, >= 0."""


class Neighbours(NamedTuple):
    """The result of a search for ``q`` queries.

    Attributes:
        ids: (q, k) int64; -1 where fewer than ``k`` vectors exist.
        scores: (q, k) float32 cosine similarity in [-1, 1], descending, equal scores by smaller id;
            -inf where the id is -1.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Effort:
    """The search effort of an approximate index for one call; the index itself is not changed.

    Args:
        nprobe: IVF cells visited.
        ef_search: HNSW candidate list size.
        k_factor: how many times ``k`` candidates a refined index re-scores.

    ``None`` means the default of the index's specification.
    """

    nprobe: int | None = None
    ef_search: int | None = None
    k_factor: int | None = None


DEFAULT_EFFORT = Effort()


class VectorIndex(Protocol):
    """The contract of every backend; ``tests/indexes/test_contract.py`` tests all of them against it."""

    spec: IndexSpec
    dim: int

    def __len__(self) -> int:
        """The number of vectors that a search can return."""
        ...

    def __contains__(self, image_id: int) -> bool: ...

    @property
    def is_trained(self) -> bool: ...

    def train(self, sample: Vectors) -> None:
        """Learn cells and codebooks from ``sample`` (n, dim); does nothing for exact kinds."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors. If it raises DimensionMismatch, DuplicateId or NotTrained, nothing was added."""
        ...

    def remove(self, ids: Ids) -> int:
        """Remove ids and return how many were present; unknown ids are ignored."""
        ...

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest vectors to each of ``queries`` (q, dim); with ``allowed``, among these ids only."""
        ...

    def close(self) -> None:
        """Release files and memory; the index cannot be used afterwards."""
        ...


@runtime_checkable
class HoldsMany(Protocol):
    """An index in which many ids are looked up at once, because each question takes a while."""

    def present(self, ids: Ids) -> Ids:
        """Those of ``ids`` that are there, sorted."""
        ...


def held_by(index: VectorIndex, ids: Ids) -> Ids:
    """Those of ``ids`` (n,), each once and ascending, that an index holds."""
    if isinstance(index, HoldsMany):
        return index.present(ids)
    return ids[np.fromiter((image_id in index for image_id in ids.tolist()), np.bool_, len(ids))]


def check_vectors(vectors: NDArray[np.float32], dim: int) -> Vectors:
    """Return ``vectors`` as C-contiguous float32 (n, dim), or raise if they are invalid.

    Raises:
        DimensionMismatch: another dimension, or not two-dimensional.
        VectorIndexError: NaN or infinity, or rows whose norm is not 1 (tolerance 1e-3).
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise DimensionMismatch(
            f"these vectors have shape {tuple(array.shape)}, the index holds vectors of {dim} numbers",
            "search an index only with the encoder that built it",
        )
    # One pass covers both checks: a NaN or infinity anywhere makes the squared norm of its row not finite.
    squared = np.einsum("ij,ij->i", array, array)
    if not np.isfinite(squared).all():
        raise VectorIndexError("a vector holds NaN or infinity", "encode the image again; report it if it stays")
    if array.shape[0] and float(np.abs(squared - 1.0).max()) > 2e-3:
        raise VectorIndexError("a vector is not of length 1", "normalise embeddings before they reach an index")
    return array


def check_effort(effort: Effort) -> None:
    """Raise VectorIndexError unless every setting is left out or at least 1."""
    for name in ("nprobe", "ef_search", "k_factor"):
        value = getattr(effort, name)
        if value is not None and value < 1:
            raise VectorIndexError(f"{name} cannot be {value}", "give at least 1, or leave it out")
