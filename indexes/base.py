"""The interface of a vector index: unit vectors in, ranked integer ids out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

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
    """The answer to a search over ``q`` queries.

    Attributes:
        ids: (q, k) int64; -1 where fewer than ``k`` vectors exist.
        scores: (q, k) float32 cosine similarity in [-1, 1], descending, equal scores by smaller id;
            -inf beside an id of -1.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Effort:
    """How hard an approximate index searches in one call; changes nothing in the index.

    Args:
        nprobe: IVF cells visited.
        ef_search: HNSW candidate list size.
        k_factor: how many times ``k`` candidates a refined index re-scores.

    ``None`` leaves a knob at what the index's specification recommends.
    """

    nprobe: int | None = None
    ef_search: int | None = None
    k_factor: int | None = None


DEFAULT_EFFORT = Effort()


class VectorIndex(Protocol):
    """One contract for every backend; ``tests/indexes/test_contract.py`` holds them all to it."""

    spec: IndexSpec
    dim: int

    def __len__(self) -> int:
        """How many vectors a search can return."""
        ...

    def __contains__(self, image_id: int) -> bool: ...

    @property
    def is_trained(self) -> bool: ...

    def train(self, sample: Vectors) -> None:
        """Learn cells and codebooks from ``sample`` (n, dim); nothing to do for exact kinds."""
        ...

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors. Raises DimensionMismatch, DuplicateId, NotTrained; on any of them nothing is added."""
        ...

    def remove(self, ids: Ids) -> int:
        """Remove ids and return how many were present; unknown ids are no error."""
        ...

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest of ``queries`` (q, dim); with ``allowed``, among these ids only."""
        ...

    def close(self) -> None:
        """Let go of files and memory; the index is not used afterwards."""
        ...


def check_vectors(vectors: NDArray[np.float32], dim: int) -> Vectors:
    """Return ``vectors`` as C-contiguous float32 (n, dim) or say what is wrong with them.

    Raises:
        DimensionMismatch: another width or rank.
        VectorIndexError: NaN or infinity, or rows that are not of length 1 (tolerance 1e-3).
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dim:
        raise DimensionMismatch(
            f"these vectors have shape {tuple(array.shape)}, the index holds vectors of {dim} numbers",
            "search an index only with the encoder that built it",
        )
    # One pass gives both answers: a NaN or infinity anywhere makes its row's squared norm not finite.
    squared = np.einsum("ij,ij->i", array, array)
    if not np.isfinite(squared).all():
        raise VectorIndexError("a vector holds NaN or infinity", "encode the image again; report it if it stays")
    if array.shape[0] and float(np.abs(squared - 1.0).max()) > 2e-3:
        raise VectorIndexError("a vector is not of length 1", "normalise embeddings before they reach an index")
    return array
