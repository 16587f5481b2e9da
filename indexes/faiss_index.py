"""FaissIndex: Flat, SQ, PQ, IVF and HNSW behind one class; the only file that imports faiss.

What faiss 1.15 leaves to its caller, each point tried out on every kind:

- Flat product quantisers, fast-scan or not, refuse id selectors; the other kinds honour them.
- ``IndexRefine`` and fast-scan indexes cannot remove; HNSW never can. So no kind is asked to: removed rows
  stay as tombstones, and faiss's own ids are always rows in order of insertion.
- Adding to an index whose codes are memory-mapped aborts the whole process, so they are copied first.
- Equal scores come in any order, and the one cut off at ``k`` is arbitrary.
- GPU Flat and IVF indexes without cuVS ignore id selectors silently (faiss issues 3114 and 3924). Everything
  here runs on the CPU; a GPU must not be given a search with ``allowed`` or with tombstones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.arrays import open_array, write_array
from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors, check_vectors
from indexes.errors import NotTrained, VectorIndexError
from indexes.ranking import check_k
from indexes.rows import RowIds
from indexes.spec import IndexSpec
from indexes.widening import Candidates, Pool, Rows, search_pool, search_rows

# Decoding a float16 row of 512 numbers takes some 1.4 us, faiss's own comparison behind a selector 0.03 us and
# about 1 ns for each row left out: below some hundred rows the former wins at any size.
_SCAN_ROWS = 500
# A tenth of the rows or fewer: comparing all of these costs about what an approximate search does, and a graph or
# a few cells would miss most of them.
_THOROUGH_SHARE = 10
_EF_CONSTRUCTION = 100
_MMAP_FLAG = getattr(faiss, "IO_FLAG_MMAP_IFC", 0)  # older than faiss 1.11: files are read instead of mapped

# From this many queries on a Flat search is one matrix product. faiss 1.15's default of 128,000 never reaches
# BLAS in practice and answered 281 instead of 979 to 2780 queries/s over 100,000 vectors.
faiss.cvar.distance_compute_blas_threshold = 20


class FaissIndex:
    """A faiss index of inner products that keeps the whole contract, whatever its kind.

    Candidates come from faiss; their order does not: each is decoded (from the refinement where there is one)
    and scored again as :mod:`indexes.widening` describes, so equal vectors tie, ``k`` hits come back wherever
    there are ``k`` vectors, and equally stored vectors score the same in every kind.

    Any number of threads may search at once: knobs travel in faiss's per-call parameters. Changes must not
    overlap with anything else.

    Args:
        spec: Any specification but Exact.
        dim: Numbers a vector.
    """

    def __init__(self, spec: IndexSpec, dim: int) -> None:
        self.spec = spec
        self.dim = dim
        self._rows = RowIds()
        self._mapped = False
        self._assemble(_new_base(spec, dim), _new_refine(spec, dim))

    def _assemble(self, base: Any, refine: Any | None) -> None:
        self._base, self._refine = base, refine
        self._index = base if refine is None else faiss.IndexRefine(base, refine)

    def __len__(self) -> int:
        return self._rows.live

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._rows

    @property
    def is_trained(self) -> bool:
        self._check_open()
        return bool(self._index.is_trained)

    @property
    def needs_rebuild(self) -> bool:
        """Whether over 20 % of the rows are tombstones, which cost memory and search time."""
        return self._rows.mostly_dead

    def train(self, sample: Vectors) -> None:
        """Learn cells and codebooks from ``sample`` (n, dim); ``spec.training_size`` says how many to draw.

        Raises:
            VectorIndexError: fewer than ``spec.minimum_training`` vectors, or the index holds some already.
            DimensionMismatch: another width.
        """
        self._check_open()
        if not self.spec.needs_training:
            return
        sample = check_vectors(sample, self.dim)
        if self._rows.total:
            raise VectorIndexError("this index holds vectors already", "train a new one")
        if len(sample) < self.spec.minimum_training:
            raise VectorIndexError(
                f"'{self.spec}' learns from at least {self.spec.minimum_training} vectors, not {len(sample)}",
                "use a kind that needs no training, such as SQfp16",
            )
        self._index.train(sample)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (n, dim) under ids (n,).

        Raises:
            DimensionMismatch, DuplicateId, NotTrained, VectorIndexError: and nothing is added.
        """
        if not self.is_trained:
            raise NotTrained(f"'{self.spec}' has not learned from any vectors yet", "call train first")
        vectors = check_vectors(vectors, self.dim)
        new = self._rows.check_new(ids, len(vectors))
        if len(new) == 0:
            return
        self._unmap()
        self._index.add(vectors)
        self._rows.append(new)

    def _unmap(self) -> None:
        """Copy memory-mapped codes; for a moment this takes twice their size."""
        if self._mapped:
            parts = (self._base, self._refine)
            copies = [part and faiss.deserialize_index(faiss.serialize_index(part)) for part in parts]
            self._assemble(*copies)
            self._mapped = False

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        self._check_open()
        removed = len(self._rows.remove(ids))
        if removed and self._rows.live == 0:
            self._unmap()
            self._index.reset()
            self._rows = RowIds()
        elif removed and self._rows.mostly_dead and self._can_compact:
            self._unmap()
            self._index.remove_ids(_selector(~self._rows.live_mask))
            self._rows.compact()
        return removed

    @property
    def _can_compact(self) -> bool:
        """Flat arrays of codes close the gaps in place and keep their order."""
        return self.spec.family == "flat" and self.spec.codec != "PQ" and self._refine is None

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest of ``queries`` (q, dim); with ``allowed``, among these ids only.

        Where a tenth of the index or less is allowed, all of it is compared, whatever the kind. Beyond that the
        allowed ids go to faiss as a selector, or the others are left out of a larger fetch where it takes none.

        Raises:
            DimensionMismatch, VectorIndexError: queries of another width or length, a number under 1.
        """
        self._check_open()
        check_k(k)
        _check_effort(effort)
        queries = check_vectors(queries, self.dim)
        pool = Pool(self._rows.live_mask if self._rows.dead else None, self._rows.live, self._rows.total)
        if allowed is not None:
            rows = self._rows.rows_of(allowed)
            mask = np.zeros(pool.total, dtype=np.bool_)
            mask[rows] = True
            pool = Pool(mask, len(rows), pool.total)
        candidates = Candidates(partial(self._fetch, pool=pool, effort=effort), self._decode, self._rows.ids)
        if pool.size <= _SCAN_ROWS:
            return search_rows(candidates, queries, k, pool.rows)
        few = pool.size <= pool.total // _THOROUGH_SHARE
        return search_pool(candidates, queries, k, pool, thorough=few)

    def _fetch(self, queries: Vectors, count: int, thorough: bool, *, pool: Pool, effort: Effort) -> Rows:
        index, params = self._index, None
        if thorough and self._whole is not None:
            index, params = self._whole, self._whole_params(pool)
        else:
            if self._takes_selector:
                params = self._base_params(pool, effort)
            else:  # nothing can be left out beforehand, so fetch more by what will be left out afterwards
                count = min(pool.total, -(-count * pool.total // pool.size))
            if self._refine is not None:
                k_factor = min(effort.k_factor or self.spec.default_k_factor, pool.total / count)
                params = faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=params)
        _, rows = index.search(queries, count, params=params)
        return np.asarray(rows, dtype=np.int64)

    @property
    def _takes_selector(self) -> bool:
        return not (self.spec.family == "flat" and self.spec.codec == "PQ")

    def _base_params(self, pool: Pool, effort: Effort) -> Any:
        knobs = {} if pool.mask is None else {"sel": _selector(pool.mask)}
        # The nearest allowed vectors lie further out than the nearest of all, in proportionally more cells.
        widen = -(-pool.total // pool.size)
        if self.spec.family == "ivf":
            nprobe = effort.nprobe or self.spec.default_nprobe
            return faiss.SearchParametersIVF(nprobe=min(self.spec.cells, nprobe * widen), **knobs)
        if self.spec.family == "hnsw":
            ef_search = effort.ef_search or self.spec.default_ef_search
            return faiss.SearchParametersHNSW(efSearch=min(pool.total, ef_search * widen), **knobs)
        return faiss.SearchParameters(**knobs)

    @property
    def _whole(self) -> Any | None:
        """The part that can compare a query with all rows behind a selector, much faster than decoding them."""
        if self._refine is not None:
            return self._refine
        if self.spec.family == "hnsw":
            return faiss.downcast_index(self._base.storage)
        return self._base if self._takes_selector else None

    def _whole_params(self, pool: Pool) -> Any:
        knobs = {} if pool.mask is None else {"sel": _selector(pool.mask)}
        if self.spec.family == "ivf" and self._refine is None:
            return faiss.SearchParametersIVF(nprobe=self.spec.cells, **knobs)
        return faiss.SearchParameters(**knobs)

    def _decode(self, rows: Rows) -> Vectors:
        source = self._base if self._refine is None else self._refine
        return np.asarray(source.reconstruct_batch(rows), dtype=np.float32)

    def close(self) -> None:
        """Let go of memory and files."""
        self._base = self._refine = self._index = None
        self._rows = RowIds()

    def _check_open(self) -> None:
        if self._index is None:
            raise VectorIndexError("this index is closed", "open it again")

    @classmethod
    def part_names(cls, spec: IndexSpec) -> tuple[str, ...]:
        return ("base.faiss", "refine.faiss", "ids.npy") if spec.refine else ("base.faiss", "ids.npy")

    @classmethod
    def structure_in_bulk(cls, spec: IndexSpec) -> bool:
        """IVF list sizes and HNSW links lie all over the file, and faiss follows them unchecked."""
        return spec.family != "flat"

    def write_parts(self, target: Callable[[str], Path]) -> None:
        """Write the index and its refinement apart, so that each file's start tells how long it must be."""
        self._check_open()
        faiss.write_index(self._base, str(target("base.faiss")))
        if self._refine is not None:
            faiss.write_index(self._refine, str(target("refine.faiss")))
        write_array(target("ids.npy"), "<i8", (self._rows.total,), [self._rows.ids])

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> FaissIndex:
        """Open what :meth:`write_parts` wrote. Raises ValueError or OSError where it is not sound."""
        index = cls(spec, dim)
        rows = RowIds(open_array(parts["ids.npy"], "<i8", (None,), mmap=mmap))
        flags = _MMAP_FLAG if mmap else 0
        base = _read(parts["base.faiss"], flags, like=index._base, rows=rows.total)
        refine = None
        if spec.refine:
            refine = _read(parts["refine.faiss"], flags, like=index._refine, rows=rows.total)
        index._rows, index._mapped = rows, bool(flags)
        index._assemble(base, refine)
        return index


def _new_base(spec: IndexSpec, dim: int) -> Any:
    index = faiss.index_factory(dim, spec.base_text, faiss.METRIC_INNER_PRODUCT)
    # Samples under 39 vectors a centroid make faiss print warnings; the specification says how many it needs.
    learners: list[Any] = [index, getattr(index, "pq", None)]
    for learner in learners:
        if hasattr(learner, "cp"):
            learner.cp.min_points_per_centroid = 1
    if hasattr(index, "do_polysemous_training"):
        # Reorders 8-bit codes for a Hamming filter that no search here uses: 22 s of the 22 s of a small PQ16.
        index.do_polysemous_training = False
    if spec.family == "hnsw":
        index.hnsw.efConstruction = _EF_CONSTRUCTION
    if spec.family == "ivf" and not spec.refine:
        index.make_direct_map()  # finds a row's code again, to score it
    return index


def _new_refine(spec: IndexSpec, dim: int) -> Any | None:
    return faiss.index_factory(dim, spec.refine, faiss.METRIC_INNER_PRODUCT) if spec.refine else None


def _selector(mask: NDArray[np.bool_]) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _check_effort(effort: Effort) -> None:
    for name in ("nprobe", "ef_search", "k_factor"):
        value = getattr(effort, name)
        if value is not None and value < 1:
            raise VectorIndexError(f"{name} cannot be {value}", "give at least 1, or leave it out")


def _read(path: Path, flags: int, *, like: Any, rows: int) -> Any:
    """Read one faiss file that must hold ``rows`` vectors in an index built like ``like``."""
    try:
        found = faiss.read_index(str(path), flags)
    except (RuntimeError, MemoryError) as error:
        path.stat()  # FileNotFoundError where a newer save removed it just now: the caller looks again
        raise ValueError(f"{path.name}: faiss cannot read it") from error
    if _design(found) != _design(like) or found.ntotal != rows or (rows and not found.is_trained):
        raise ValueError(f"{path.name} holds another index than its manifest says")
    return found


def _design(index: Any) -> tuple[Any, ...]:
    """What must agree between a file and its specification: kinds, widths and code sizes."""
    storage = _design(faiss.downcast_index(index.storage)) if hasattr(index, "storage") else ()
    names = ("d", "metric_type", "code_size", "nlist", "by_residual")
    plain = (getattr(index, name, None) for name in names)
    scalar = getattr(getattr(index, "sq", None), "qtype", None)
    product = getattr(getattr(index, "pq", None), "M", None)
    kind = type(index).__name__.replace("IndexFlatIP", "IndexFlat")  # one class, named by how it was made
    return (kind, *plain, scalar, product, storage)
