"""FaissIndex: Flat, SQ, PQ, IVF and HNSW behind one class. Only this file, faiss_parts.py and gpu.py import faiss.

What faiss 1.15 leaves to its caller, each point tried out on every kind:

- Flat product quantisers, fast-scan or not, refuse id selectors; the other kinds honour them.
- ``IndexRefine`` and fast-scan indexes cannot remove; HNSW never can. So no kind is asked to: removed rows
  stay as tombstones, and faiss's own ids are always rows in order of insertion.
- Adding to an index whose codes are memory-mapped aborts the whole process. Copying 1,000,000 x 512 first takes 5 s
  and 4 GB, so a reader's additions go to a tail of their own that every search compares in full.
- Equal scores come in any order, and the one cut off at ``k`` is arbitrary.
- GPU indexes ignore id selectors or know none. So everything here runs on the CPU, also where faiss-gpu is
  installed; ``gpu.py`` takes candidates from a GPU where a specification asks for that, and says how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from indexes.arrays import open_array, write_array
from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors, check_vectors
from indexes.errors import NotTrained, VectorIndexError
from indexes.faiss_parts import MMAP_FLAG, new_base, new_refine, new_tail, read_faiss, selector
from indexes.ranking import check_k
from indexes.rows import RowIds
from indexes.spec import IndexSpec
from indexes.widening import Candidates, Pool, Rows, nearest_in_pool, search_pool, search_rows

# Decoding a float16 row of 512 numbers takes some 1.4 us, faiss's own comparison behind a selector 0.03 us and
# about 1 ns for each row left out: below some hundred rows the former wins at any size.
_SCAN_ROWS = 500
# A tenth of the rows or fewer: comparing all of these costs about what an approximate search does, and a graph or
# a few cells would miss most of them.
_THOROUGH_SHARE = 10
# Flat product codes know no selector, so 1/share times as many candidates are fetched and the others left out. At
# 1,000,000 vectors, 4.6 ms unfiltered, that takes 5.9 ms for a 10th and 6.8 for a 50th, where comparing all allowed
# ones takes 25.7 and 8.1; for a 100th it is 8.2 against 4.4.
_THOROUGH_SHARE_LEFT_OUT = 64
_LISTED = 1 << 22  # candidates listed at a time, 12 bytes each
# For a few queries faiss's plain fast-scan loop is faster than the one that shares each code among queries: at
# 1,000,000 PQ256x4fs codes 4.2 instead of 6.3 ms for one query and 20 instead of 24 for four; for eight 48 against 24.
_PLAIN_LOOP, _PLAIN_LOOP_QUERIES = 15, 4

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
        self._tail: Any | None = None  # rows from base.ntotal on, while the base is mapped
        self._assemble(new_base(spec, dim), new_refine(spec, dim))

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
        if self._mapped and self._tail is None:
            self._tail = new_tail(self.spec, self.dim)
        if self._tail is None:
            self._unmap()
        (self._index if self._tail is None else self._tail).add(vectors)
        self._rows.append(new)

    def _unmap(self) -> None:
        """Copy memory-mapped codes and append the tail; for a moment this takes twice their size."""
        if self._mapped:
            parts = (self._base, self._refine)
            copies = [part and faiss.deserialize_index(faiss.serialize_index(part)) for part in parts]
            self._assemble(*copies)
            self._mapped = False
        if self._tail is not None:
            tail, self._tail = self._tail, None
            self._index.add(tail.reconstruct_n(0, tail.ntotal))

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
            self._index.remove_ids(selector(~self._rows.live_mask))
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
        share = _THOROUGH_SHARE if self._takes_selector else _THOROUGH_SHARE_LEFT_OUT
        few = pool.size <= pool.total // share
        return search_pool(candidates, queries, k, pool, thorough=few)

    def _fetch(self, queries: Vectors, count: int, thorough: bool, *, pool: Pool, effort: Effort) -> Rows:
        rows = self._fetch_base(queries, count, thorough, pool=pool, effort=effort)
        if self._tail is None:
            return rows
        first = self._base.ntotal
        knobs = {} if pool.mask is None else {"sel": selector(pool.mask[first:])}
        _, tail = self._tail.search(queries, count, params=faiss.SearchParameters(**knobs))
        both = np.hstack([rows, np.where(tail >= 0, tail + first, -1)])
        # No more than were asked for: the last one tells whether an equal score may have been cut off.
        return nearest_in_pool(queries, both, pool, count, self._decode)[0]

    def _fetch_base(self, queries: Vectors, count: int, thorough: bool, *, pool: Pool, effort: Effort) -> Rows:
        if thorough and self._whole is not None:
            return self._listed(self._whole, queries, count, self._whole_params(pool))
        k_factor = effort.k_factor or self.spec.default_k_factor
        params = None
        if self._takes_selector:
            params = self._base_params(pool, effort)
        elif pool.mask is not None and self._refine is not None:
            return self._fetch_and_leave_out(queries, count, count * k_factor, pool)
        else:  # nothing can be left out beforehand, so fetch more by what will be left out afterwards
            count = min(pool.total, -(-count * pool.total // pool.size))
        if self._refine is not None:
            k_factor = max(1, min(k_factor, self._base.ntotal / count))
            params = faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=params)
        return self._listed(self._index, queries, count, params)

    def _listed(self, index: Any, queries: Vectors, count: int, params: Any = None) -> Rows:
        if self.spec.family == "flat" and self.spec.fast_scan:
            # Shared by searches in other threads: whichever loop they get, they find the same.
            self._base.implem = _PLAIN_LOOP if len(queries) <= _PLAIN_LOOP_QUERIES else 0
        _, rows = index.search(queries, count, params=params)
        return np.asarray(rows, dtype=np.int64)

    def _fetch_and_leave_out(self, queries: Vectors, count: int, rescored: int, pool: Pool) -> Rows:
        """The ``count`` nearest of some ``rescored`` candidates in the pool.

        Where a query found under half of them (its neighbours are not among what is allowed), or where they would be
        much of the pool, the whole pool is compared.
        """
        best = np.full((len(queries), count), -1, dtype=np.int64)
        short = np.ones(len(queries), dtype=np.bool_)
        if rescored * 4 < pool.size:
            ask = -(-rescored * pool.total // pool.size)
            step = max(1, _LISTED // ask)
            for start in range(0, len(queries), step):
                part = slice(start, start + step)
                rows = self._listed(self._base, queries[part], ask)
                best[part], found = nearest_in_pool(queries[part], rows, pool, count, self._decode)
                short[part] = found * 2 < rescored
        if short.any():
            best[short] = self._listed(self._whole, queries[short], count, self._whole_params(pool))
        return best

    @property
    def _takes_selector(self) -> bool:
        return not (self.spec.family == "flat" and self.spec.codec == "PQ")

    def _base_params(self, pool: Pool, effort: Effort) -> Any:
        knobs = {} if pool.mask is None else {"sel": selector(pool.mask)}
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
        knobs = {} if pool.mask is None else {"sel": selector(pool.mask)}
        if self.spec.family == "ivf" and self._refine is None:
            return faiss.SearchParametersIVF(nprobe=self.spec.cells, **knobs)
        return faiss.SearchParameters(**knobs)

    def _decode(self, rows: Rows) -> Vectors:
        source = self._base if self._refine is None else self._refine
        if self._tail is None:
            return np.asarray(source.reconstruct_batch(rows), dtype=np.float32)
        late = rows >= self._base.ntotal
        vectors = np.empty((len(rows), self.dim), dtype=np.float32)
        vectors[~late] = source.reconstruct_batch(rows[~late])
        vectors[late] = self._tail.reconstruct_batch(rows[late] - self._base.ntotal)
        return vectors

    def close(self) -> None:
        """Let go of memory and files."""
        self._base = self._refine = self._index = self._tail = None
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
        self._unmap()
        faiss.write_index(self._base, str(target("base.faiss")))
        if self._refine is not None:
            faiss.write_index(self._refine, str(target("refine.faiss")))
        write_array(target("ids.npy"), "<i8", (self._rows.total,), [self._rows.ids])

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> Self:
        """Open what :meth:`write_parts` wrote. Raises ValueError or OSError where it is not sound."""
        index = cls(spec, dim)
        rows = RowIds(open_array(parts["ids.npy"], "<i8", (None,), mmap=mmap))
        flags = MMAP_FLAG if mmap else 0
        base = read_faiss(parts["base.faiss"], flags, like=index._base, rows=rows.total)
        refine = None
        if spec.refine:
            refine = read_faiss(parts["refine.faiss"], flags, like=index._refine, rows=rows.total)
        index._rows, index._mapped = rows, bool(flags)
        index._assemble(base, refine)
        return index


def _check_effort(effort: Effort) -> None:
    for name in ("nprobe", "ef_search", "k_factor"):
        value = getattr(effort, name)
        if value is not None and value < 1:
            raise VectorIndexError(f"{name} cannot be {value}", "give at least 1, or leave it out")
