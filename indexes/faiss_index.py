"""FaissIndex: Flat, SQ, PQ, IVF and HNSW behind one class. Only this file, faiss_parts.py and gpu.py import faiss.

What faiss 1.15 leaves to its caller, tested on every kind:

- Flat product quantisers, fast-scan or not, reject id selectors; the other kinds support them.
- ``IndexRefine`` and fast-scan indexes cannot remove vectors, nor can HNSW. So no kind removes: removed rows
  stay as tombstones, and faiss's own ids are always the rows in order of insertion.
- Adding to an index whose codes are memory-mapped aborts the whole process. Copying 1,000,000 x 512 first takes 5 s
  and 4 GB, so additions to an index opened for reading go to a separate tail, which every search compares in full.
- Equal scores are returned in arbitrary order, and which of them is cut off at ``k`` is arbitrary too.
- GPU indexes ignore or lack id selectors. So everything here runs on the CPU, even where faiss-gpu is installed;
  ``gpu.py`` gets candidates from a GPU if the specification asks for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from indexes.arrays import open_array, write_array
from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors, check_effort, check_vectors
from indexes.errors import NotTrained, VectorIndexError
from indexes.faiss_parts import MMAP_FLAG, SHARED_LOOP, FasterLoop, new_base, new_refine, new_tail, read_faiss, selector
from indexes.ranking import check_k
from indexes.rows import RowIds
from indexes.spec import IndexSpec
from indexes.widening import Candidates, Pool, Rows, nearest_in_pool, search_pool, search_rows

# Decoding a float16 row of 512 numbers takes about 1.4 us; faiss's own comparison behind a selector takes 0.03 us, and
# about 1 ns for each excluded row: below a few hundred rows the former is faster at any index size.
_SCAN_ROWS = 500
# A tenth of the rows or fewer: comparing all of these costs about as much as an approximate search, and a graph or
# a few cells would miss most of them.
_THOROUGH_SHARE = 10
# Flat product codes have no selector, so 1/share times as many candidates are fetched and the others are dropped. At
# 1,000,000 vectors (4.6 ms unfiltered) this takes 5.9 ms for a tenth and 6.8 ms for a 50th, whereas comparing all
# allowed rows takes 25.7 and 8.1 ms; for a 100th it is 8.2 against 4.4 ms.
_THOROUGH_SHARE_LEFT_OUT = 64
_LISTED = 1 << 22  # candidates fetched at a time, 12 bytes each
# For eight queries and more, faiss's fast-scan loop that shares each code among queries is faster on every processor.
_FEW_QUERIES = 4

# Flat searches with at least this many queries are one matrix product. faiss 1.15's default of 128,000 never reaches
# BLAS in practice: it gave 281 instead of 979 to 2780 queries/s over 100,000 vectors.
faiss.cvar.distance_compute_blas_threshold = 20


class FaissIndex:
    """A faiss index of inner products that fulfils the whole contract, for every kind.

    faiss provides the candidates but not their order: each candidate is decoded (from the refinement if there is one)
    and scored again as :mod:`indexes.widening` describes, so equal vectors tie, ``k`` hits are returned if there
    are ``k`` vectors, and equally stored vectors score the same in every kind.

    Any number of threads may search at the same time, because settings are passed as faiss's per-call parameters. A
    change must not run concurrently with anything else.

    Args:
        spec: Any specification except Exact.
        dim: Vector dimension.
    """

    def __init__(self, spec: IndexSpec, dim: int) -> None:
        self.spec = spec
        self.dim = dim
        self._rows = RowIds()
        self._mapped = False
        self._loop = FasterLoop()
        self._tail: Any | None = None  # the rows after base.ntotal, while the base is mapped
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
        """Whether more than 20 % of the rows are tombstones, which cost memory and search time."""
        return self._rows.mostly_dead

    def train(self, sample: Vectors) -> None:
        """Learn cells and codebooks from ``sample`` (n, dim); ``spec.training_size`` is the sample size to use.

        Raises:
            VectorIndexError: fewer than ``spec.minimum_training`` vectors, or the index is not empty.
            DimensionMismatch: another dimension.
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
            DimensionMismatch, DuplicateId, NotTrained, VectorIndexError: nothing was added.
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
        """Copy memory-mapped codes and append the tail; this temporarily takes twice their size."""
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
        """Whether faiss can remove rows: flat code arrays close the gaps in place and keep their order."""
        return self.spec.family == "flat" and self.spec.codec != "PQ" and self._refine is None

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest vectors to each of ``queries`` (q, dim); with ``allowed``, among these ids only.

        If a tenth of the index or less is allowed, all allowed rows are compared, for every kind. Above that, the
        allowed ids are passed to faiss as a selector; kinds without selectors fetch more and drop the others.

        Raises:
            DimensionMismatch, VectorIndexError: queries of another dimension or norm, a number below 1.
        """
        self._check_open()
        check_k(k)
        check_effort(effort)
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
        # Not more than requested: the last one shows whether an equal score may have been cut off.
        return nearest_in_pool(queries, both, pool, count, self._decode)[0]

    def _fetch_base(self, queries: Vectors, count: int, thorough: bool, *, pool: Pool, effort: Effort) -> Rows:
        if thorough and self._whole is not None:
            return _searched(self._whole, queries, count, self._whole_params(pool))
        rescored = count * effort.k_factor if effort.k_factor else self.spec.rescored(count, self.dim, pool.size)
        params = None
        if self._takes_selector:
            params = self._base_params(pool, effort)
        elif pool.mask is not None and self._refine is not None:
            return self._fetch_and_leave_out(queries, count, rescored, pool)
        else:  # nothing can be excluded beforehand, so fetch as many more as will be dropped afterwards
            count = min(pool.total, -(-count * pool.total // pool.size))
        if self._refine is not None:
            k_factor = max(1, min(rescored, self._base.ntotal) / count)
            params = faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=params)
        return self._listed(self._index, queries, count, params)

    def _listed(self, index: Any, queries: Vectors, count: int, params: Any = None) -> Rows:
        """The rows that ``index`` finds: the base, or the base with its refinement."""
        search = partial(_searched, index, queries, count, params)
        if self.spec.family != "flat" or not self.spec.fast_scan:
            return search()
        # The base is shared with searches in other threads; all loops give the same results.
        if len(queries) <= _FEW_QUERIES:
            return self._loop.timed(self._base, search)
        self._base.implem = SHARED_LOOP
        return search()

    def _fetch_and_leave_out(self, queries: Vectors, count: int, rescored: int, pool: Pool) -> Rows:
        """The ``count`` nearest of about ``rescored`` candidates in the pool.

        The whole pool is compared for a query that found less than half of them (its neighbours are not among the
        allowed rows), and for all queries if the candidates would be a large part of the pool.
        """
        best = np.full((len(queries), count), -1, dtype=np.int64)
        short = np.ones(len(queries), dtype=np.bool_)
        if rescored * 4 < pool.size:
            ask = -(-rescored * pool.total // pool.size)
            step = max(1, _LISTED // ask)
            for start in range(0, len(queries), step):
                part = slice(start, start + step)
                for at, rows in enumerate(self._listed(self._base, queries[part], ask), start):
                    kept = rows[(rows >= 0) & (True if pool.mask is None else pool.mask[rows])]
                    short[at] = len(kept) * 2 < rescored
                    if not short[at]:
                        best[at] = self._nearest_of(queries[at : at + 1], kept, count)
        if short.any():
            best[short] = _searched(self._whole, queries[short], count, self._whole_params(pool))
        return best

    def _nearest_of(self, query: Vectors, rows: Rows, count: int) -> Rows:
        """(count,) the nearest of ``rows``: passing over a million others costs faiss 1 ms, decoding 2,000 6 ms."""
        mask = np.zeros(self._base.ntotal, dtype=np.bool_)
        mask[rows] = True
        nearest: Rows = _searched(self._whole, query, count, faiss.SearchParameters(sel=selector(mask)))[0]
        return nearest

    @property
    def _takes_selector(self) -> bool:
        return not (self.spec.family == "flat" and self.spec.codec == "PQ")

    def _base_params(self, pool: Pool, effort: Effort) -> Any:
        knobs = {} if pool.mask is None else {"sel": selector(pool.mask)}
        # The nearest allowed vectors are further away than the nearest of all, in proportionally more cells.
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
        """The part that can compare a query with all rows behind a selector, much faster than by decoding them."""
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
        """Release memory and files."""
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
        """True for IVF and HNSW: list sizes and links are all over the file, and faiss follows them unchecked."""
        return spec.family != "flat"

    @classmethod
    def stays_mapped(cls) -> bool:
        """False: faiss changes an index only in memory."""
        return False

    def write_parts(self, target: Callable[[str], Path]) -> None:
        """Write the index and its refinement separately, so that the start of each file determines its length."""
        self._check_open()
        self._unmap()
        faiss.write_index(self._base, str(target("base.faiss")))
        if self._refine is not None:
            faiss.write_index(self._refine, str(target("refine.faiss")))
        write_array(target("ids.npy"), "<i8", (self._rows.total,), [self._rows.ids])

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> Self:
        """Open the files written by :meth:`write_parts`. Raises ValueError or OSError if they are invalid."""
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


def _searched(index: Any, queries: Vectors, count: int, params: Any) -> Rows:
    return np.asarray(index.search(queries, count, params=params)[1], dtype=np.int64)
