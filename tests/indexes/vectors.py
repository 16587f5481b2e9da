"""Test data for the index tests: unit vectors with the similarities of pictures, and a simple reference search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.factory import StoredIndex
from tests.indexes.servers import created

DIM = 32

EXACT_KINDS = ("Exact", "Flat", "GPU,Flat")
APPROXIMATE_KINDS = (
    "SQfp16",
    "SQ8,Refine(Flat)",
    "SQ8",
    "HNSW16",
    "HNSW16,SQfp16",
    "HNSW16,SQ8,Refine(SQfp16)",
    "IVF16,Flat",
    "IVF16,SQfp16",
    "IVF16,SQ8",
    "IVF16,PQ16,Refine(SQfp16)",
    "IVF16,PQ16x4fsr,Refine(SQfp16)",
    "PQ16x4fs,Refine(SQfp16)",
    "PQ16x4fs,Refine(Flat)",
    "PQ16,Refine(Flat)",
    "GPU,SQfp16",
    "CAGRA32",
)
COARSE_KINDS = ("PQ16", "PQ16x4fs", "IVF16,PQ16")  # too lossy to promise recall
ALL_KINDS = EXACT_KINDS + APPROXIMATE_KINDS + COARSE_KINDS
SERVER_KINDS = ("milvus-lite:HNSW", "pgvector:HNSW", "milvus:HNSW")


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """``vectors`` (n, dim) scaled to length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


_CENTRES = np.random.default_rng(42).normal(size=(40, DIM))


def clustered(n: int, *, seed: int = 0) -> NDArray[np.float32]:
    """(n, DIM) unit vectors around 40 centres, which are the same for every ``seed``."""
    rng = np.random.default_rng(seed)
    return unit(_CENTRES[rng.integers(len(_CENTRES), size=n)] + 0.5 * rng.normal(size=(n, DIM)))


def built(kind: str, ids: Sequence[int] | NDArray[np.int64], vectors: NDArray[np.float32]) -> StoredIndex:
    """An index of ``kind`` trained on 600 vectors of its own and holding ``vectors`` under ``ids``."""
    index = created(kind, vectors.shape[1])
    index.train(clustered(600, seed=99))
    index.add(np.asarray(ids, dtype=np.int64), vectors)
    return index


def brute_force(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], query: NDArray[np.float32], k: int
) -> list[tuple[int, float]]:
    """The ``k`` best (id, score) by plain Python: descending score, equal scores by smaller id."""
    scores = [sum(float(a) * float(b) for a, b in zip(row, query, strict=True)) for row in vectors]
    clipped = [float(np.float32(min(1.0, max(-1.0, score)))) for score in scores]
    return sorted(zip(ids.tolist(), clipped, strict=True), key=lambda pair: (-pair[1], pair[0]))[:k]
