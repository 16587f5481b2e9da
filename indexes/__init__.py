"""Vector indexes: they store unit vectors with integer ids and return ranked ids. No images, no SQL, no text.

::

    base.py         the contract: VectorIndex, Neighbours, Effort, the array types
    errors.py       the exceptions
    spec.py         IndexSpec.parse("PQ256x4fs,Refine(SQfp16)"): an index configuration as one printable string
    recommend.py    recommend_spec(n, dim): the recommended configuration for a gallery, and the reason
    factory.py      create_index(spec, dim): imports the one backend it needs
    kinds.py        index types of servers and from other packages
    exact.py        ExactIndex: numpy, compares every vector
    faiss_index.py  FaissIndex: Flat, SQ, PQ, IVF, HNSW; only this file, faiss_parts.py and gpu.py import faiss
    gpu.py          GpuIndex: a flat FaissIndex that gets its candidates from a GPU
    faiss_parts.py  faiss objects: created from a specification, read from files
    ranking.py      exact scores, order and ties, shared by both
    widening.py     from approximate candidates to a complete answer
    rows.py         mapping between ids and rows, including removed rows
    snapshot.py     save_snapshot, load_snapshot: atomic, checked
    tuning.py       tune: the lowest effort that agrees with exact search
    manifest.py     read_manifest: the description of a saved index
    store.py        IndexStore: where an index is kept; FolderStore: in a folder
    server_store.py ServerStore: in a server, one collection for each generation
    server.py       ServerIndex: candidates from a server, scores and completeness from here
    server_spec.py  addresses of servers; server_secrets.py: their secrets
    milvus.py, pgvector.py   the two servers
    overlay.py      an index that is only read, with later changes in memory
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
        IndexUnreachable,
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
        "IndexUnreachable",
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
    "IndexUnreachable",
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
