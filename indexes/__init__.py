"""Vector indexes: they store unit vectors with integer ids and return ranked ids. No images, no SQL, no text.

::

    base.py         the contract: VectorIndex, Neighbours, Effort, the array types
    errors.py       what can go wrong
    spec.py         IndexSpec.parse("PQ256x4fs,Refine(SQfp16)"): a design as one printable string
    recommend.py    recommend_spec(n, dim): which one a gallery should have, and why
    factory.py      create_index(spec, dim): imports the one backend it needs
    kinds.py        kinds that other packages bring
    exact.py        ExactIndex: numpy, every vector compared
    faiss_index.py  FaissIndex: Flat, SQ, PQ, IVF, HNSW; with faiss_parts.py and gpu.py all that imports faiss
    gpu.py          GpuIndex: a flat FaissIndex whose candidates a GPU finds
    faiss_parts.py  faiss's own objects: made from a specification, read from files
    ranking.py      exact scores, order and ties, shared by both
    widening.py     from approximate candidates to a complete answer
    rows.py         ids to rows and back, removed rows included
    snapshot.py     save_snapshot, load_snapshot: atomic, checked
    tuning.py       tune: the least effort that agrees with exact search
    manifest.py     read_manifest: what a saved index says about itself
    arrays.py       the .npy files of snapshots

Importing this package imports nothing else: each public name loads its module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexes.base import Effort, Ids, Neighbours, VectorIndex, Vectors, check_vectors
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
    from indexes.factory import StoredIndex, create_index, index_class_for
    from indexes.manifest import Manifest, read_manifest
    from indexes.recommend import Recommendation, recommend_spec
    from indexes.snapshot import load_snapshot, save_snapshot
    from indexes.spec import IndexSpec

_HOME = {
    "base": ("Effort", "Ids", "Neighbours", "VectorIndex", "Vectors", "check_vectors"),
    "errors": (
        "BackendUnavailable",
        "DimensionMismatch",
        "DuplicateId",
        "NotTrained",
        "RetrievalError",
        "SnapshotCorrupt",
        "SnapshotStale",
        "SpecError",
        "VectorIndexError",
    ),
    "factory": ("StoredIndex", "create_index", "index_class_for"),
    "manifest": ("Manifest", "read_manifest"),
    "recommend": ("Recommendation", "recommend_spec"),
    "snapshot": ("load_snapshot", "save_snapshot"),
    "spec": ("IndexSpec",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BackendUnavailable",
    "DimensionMismatch",
    "DuplicateId",
    "Effort",
    "Ids",
    "IndexSpec",
    "Manifest",
    "Neighbours",
    "NotTrained",
    "Recommendation",
    "RetrievalError",
    "SnapshotCorrupt",
    "SnapshotStale",
    "SpecError",
    "StoredIndex",
    "VectorIndex",
    "VectorIndexError",
    "Vectors",
    "check_vectors",
    "create_index",
    "index_class_for",
    "load_snapshot",
    "read_manifest",
    "recommend_spec",
    "save_snapshot",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'indexes' has no attribute '{name}'")
    return getattr(import_module(f"indexes.{_MODULE_OF[name]}"), name)
