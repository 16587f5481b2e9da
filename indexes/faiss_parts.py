"""Faiss objects: created from a specification, or read from files and validated."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.spec import IndexSpec

_EF_CONSTRUCTION = 100
SHARED_LOOP, PLAIN_LOOP = 0, 15
"""faiss's loops over fast-scan codes: each code shared among several queries, or one query after the other."""

_TRIES = 3
T = TypeVar("T")
MMAP_FLAG = getattr(faiss, "IO_FLAG_MMAP_IFC", 0)  # before faiss 1.11, files are read instead of mapped


class FasterLoop:
    """Which of faiss's two fast-scan loops is faster for a few queries: it depends on the processor.

    One query among 1,000,000 PQ256x4fs codes takes 6.3 ms with the shared loop and 4.2 with the plain one on one
    machine with AVX-512, 16 and 20 ms on another. So the first searches use them in turn, and later ones the faster.
    """

    def __init__(self) -> None:
        self._best = {SHARED_LOOP: float("inf"), PLAIN_LOOP: float("inf")}
        self._tried = 0

    def timed(self, base: Any, search: Callable[[], T]) -> T:
        """The result of ``search``, which reads ``base.implem``."""
        loops = list(self._best)
        is_trying = self._tried < _TRIES * len(loops)
        loop = loops[self._tried % len(loops)] if is_trying else min(loops, key=self._best.__getitem__)
        base.implem = loop
        started = time.perf_counter()
        found = search()
        if is_trying:
            self._best[loop] = min(self._best[loop], time.perf_counter() - started)
            self._tried += 1
        return found


def new_base(spec: IndexSpec, dim: int) -> Any:
    """The empty index that scans the codes; already trained if the kind needs no training."""
    index = faiss.index_factory(dim, spec.base_text, faiss.METRIC_INNER_PRODUCT)
    # faiss prints warnings below 39 vectors per centroid; the specification has the required sample size.
    learners: list[Any] = [index, getattr(index, "pq", None)]
    for learner in learners:
        if hasattr(learner, "cp"):
            learner.cp.min_points_per_centroid = 1
    if hasattr(index, "do_polysemous_training"):
        # Reorders 8-bit codes for a Hamming filter that no search here uses; took all of the 22 s of a small PQ16.
        index.do_polysemous_training = False
    if spec.family == "hnsw":
        index.hnsw.efConstruction = _EF_CONSTRUCTION
    if spec.family == "ivf" and not spec.refine:
        index.make_direct_map()  # finds the code of a row, to score it again
    return index


def new_refine(spec: IndexSpec, dim: int) -> Any | None:
    """The empty index that re-scores candidates; None if the specification has no refinement."""
    return faiss.index_factory(dim, spec.refine, faiss.METRIC_INNER_PRODUCT) if spec.refine else None


def new_tail(spec: IndexSpec, dim: int) -> Any | None:
    """An empty index that stores vectors exactly as the main one decodes them; None if that requires training."""
    codec = spec.refine or (spec.codec if spec.family == "flat" else None)
    return faiss.index_factory(dim, codec, faiss.METRIC_INNER_PRODUCT) if codec in ("Flat", "SQfp16") else None


def selector(mask: NDArray[np.bool_]) -> Any:
    """A selector of the rows where ``mask`` (rows,) is True."""
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def read_faiss(path: Path, flags: int, *, like: Any, rows: int) -> Any:
    """Read one faiss file that must hold ``rows`` vectors in an index built like ``like``."""
    try:
        found = faiss.read_index(str(path), flags)
    except (RuntimeError, MemoryError) as error:
        path.stat()  # raises FileNotFoundError if a newer save has just removed it: the caller tries again
        raise ValueError(f"{path.name}: faiss cannot read it") from error
    if _design(found) != _design(like) or found.ntotal != rows or (rows and not found.is_trained):
        raise ValueError(f"{path.name} holds another index than its manifest says")
    if not _stays_inside(found, rows):
        raise ValueError(f"{path.name} has links to rows that it does not have")
    return found


def _stays_inside(index: Any, rows: int) -> bool:
    """Whether links, lists and the map from rows to lists lead to places within the index: faiss follows them
    unchecked, and a checksum is only as good as whoever wrote it. 64 million links take 40 ms."""
    if hasattr(index, "hnsw"):
        graph = index.hnsw
        links, starts = (faiss.rev_swig_ptr(part.data(), part.size()) for part in (graph.neighbors, graph.offsets))
        levels = faiss.vector_to_array(graph.levels).astype(np.int64)
        widths = faiss.vector_to_array(graph.cum_nneighbor_per_level).astype(np.int64)
        if not rows:
            return len(links) == 0
        return bool(
            len(levels) == rows and len(starts) == rows + 1 and int(links.min()) >= -1 and int(links.max()) < rows
            and int(levels.min()) >= 1 and int(levels.max()) < len(widths) and 0 <= graph.entry_point < rows
            and 0 <= graph.max_level < int(levels[graph.entry_point]) and int(starts[0]) == 0 and widths[0] == 0
            and bool((np.diff(widths) >= 0).all()) and int(starts[-1]) == len(links)
            and np.array_equal(np.diff(starts.astype(np.int64)), widths[levels])
        )  # fmt: skip
    if hasattr(index, "invlists"):
        lists = faiss.downcast_InvertedLists(index.invlists)
        sizes = np.array([lists.list_size(number) for number in range(index.nlist)], np.int64)
        if int(sizes.sum()) != rows:
            return False
        for number in np.flatnonzero(sizes).tolist():
            ids = faiss.rev_swig_ptr(lists.get_ids(number), int(sizes[number]))
            if int(ids.min()) < 0 or int(ids.max()) >= rows:
                return False
        places = faiss.vector_to_array(index.direct_map.array)
        at, within = places >> 32, places & 0xFFFFFFFF
        if len(places) == 0:
            return True
        if len(places) != rows or int(at.min()) < 0 or int(at.max()) >= index.nlist:
            return False
        return bool((within < sizes[at]).all())
    return True


def _design(index: Any) -> tuple[Any, ...]:
    """The properties that a file and its specification must share: kinds, dimensions and code sizes."""
    storage = _design(faiss.downcast_index(index.storage)) if hasattr(index, "storage") else ()
    names = ("d", "metric_type", "code_size", "nlist", "by_residual")
    plain = (getattr(index, name, None) for name in names)
    scalar = getattr(getattr(index, "sq", None), "qtype", None)
    product = getattr(getattr(index, "pq", None), "M", None)
    kind = type(index).__name__.replace("IndexFlatIP", "IndexFlat")  # one class with two names
    return (kind, *plain, scalar, product, storage)
