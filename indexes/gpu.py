"""GpuIndex: candidates from a GPU copy, everything else from the CPU index. Not measured on a GPU.

Limitations of faiss's GPU indexes, and how they are handled:

- Flat and IVF indexes without cuVS silently ignore id selectors (faiss issues 3114 and 3924), and most searches have
  tombstones or filters. So no selector is passed to the device. Instead, more candidates are fetched, in proportion
  to what will be dropped here; if that is too many, or does not suffice, the CPU index is searched with its
  selector.
- CAGRA cannot add vectors and neither kind can remove them: rows that are not in the graph are compared on the CPU
  until they are a fifth of all rows, and removed rows are tombstones, as in every FaissIndex.
- GPU indexes must not be searched by two threads at once, so a lock serialises the searches.

The CPU index is what is saved, so a snapshot can be opened anywhere; without a GPU, it is searched on the CPU.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.base import Effort, Ids, Vectors
from indexes.errors import BackendUnavailable
from indexes.faiss_index import FaissIndex
from indexes.spec import IndexSpec
from indexes.widening import Pool, Rows, nearest_in_pool

log = logging.getLogger("photoseek")

_MOST_FLAT = 2048  # faiss's own limit for k on a GPU
_MOST_GRAPH = 512  # cuVS's largest list of intermediate results
_BLOCK_ROWS = 65_536
_LATE_SHARE = 5
_TEMPORARY_BYTES = 256 << 20  # faiss's default of 1.5 GiB would be missing for the encoder


class Device(Protocol):
    """What :class:`GpuIndex` needs from a GPU."""

    def flat(self, dim: int, *, half: bool) -> Any:
        """An empty index with ``add`` and ``search`` by inner product; ``half`` stores float16."""
        ...

    def graph(self, vectors: NDArray[np.float16], degree: int) -> Any:
        """An index over unit ``vectors`` (n, dim), with ``search`` only; results are nearest first."""
        ...

    def graph_params(self, candidates: int) -> Any:
        """Parameters for a graph search with a candidate list of this size."""
        ...


class FaissGpu:
    """The first GPU, used through faiss.

    Args:
        library: faiss with GPU support.
    """

    def __init__(self, library: Any) -> None:
        self._faiss = library
        self._resources = library.StandardGpuResources()
        self._resources.setTempMemory(_TEMPORARY_BYTES)

    def flat(self, dim: int, *, half: bool) -> Any:
        """See :class:`Device`."""
        options = self._faiss.GpuClonerOptions()
        options.useFloat16 = half
        return self._faiss.index_cpu_to_gpu(self._resources, 0, self._faiss.IndexFlatIP(dim), options)

    def graph(self, vectors: NDArray[np.float16], degree: int) -> Any:
        """See :class:`Device`. Uses L2, which ranks unit vectors as the cosine does and which every cuVS supports."""
        config = self._faiss.GpuIndexCagraConfig()
        config.graph_degree, config.intermediate_graph_degree = degree, 2 * degree
        index = self._faiss.GpuIndexCagra(self._resources, vectors.shape[1], self._faiss.METRIC_L2, config)
        if hasattr(self._faiss, "Float16"):
            index.train(vectors, numeric_type=self._faiss.Float16)
        else:  # faiss before 1.12
            index.train(vectors.astype(np.float32))
        return index

    def graph_params(self, candidates: int) -> Any:
        """See :class:`Device`."""
        params = self._faiss.SearchParametersCagra()
        params.itopk_size = candidates
        return params


@cache
def found_device(spec: IndexSpec) -> Device | None:
    """The GPU for an index of this kind, or None if it cannot be used."""
    if _what_is_missing(spec) is not None:
        return None
    return FaissGpu(faiss)


def require_device(spec: IndexSpec) -> None:
    """Raise BackendUnavailable unless an index of this kind can be created here."""
    missing = _what_is_missing(spec)
    if missing is not None:
        what, package = missing
        raise BackendUnavailable(
            f"an index of kind '{spec}' needs a GPU, but {what}",
            f"install {package}, or use the kind '{spec.base_text}' or 'auto'",
        )


def _what_is_missing(spec: IndexSpec) -> tuple[str, str] | None:
    """What is missing, and the package that provides it."""
    if not hasattr(faiss, "StandardGpuResources"):
        return f"faiss {faiss.__version__} was built without GPUs", "faiss-gpu-cu12 (pip install 'photoseek[gpu]')"
    if faiss.get_num_gpus() < 1:
        return f"faiss {faiss.__version__} sees none", "the NVIDIA driver"
    if spec.gpu == "cagra" and not hasattr(faiss, "GpuIndexCagra"):
        return f"faiss {faiss.__version__} was built without cuVS", "faiss-gpu-cuvs (conda, channels pytorch, rapidsai)"
    return None


class GpuIndex(FaissIndex):
    """A flat FaissIndex that gets its candidates from a GPU; the copy on the GPU is made at the first search.

    Args:
        spec: ``GPU,Flat``, ``GPU,SQfp16`` or ``CAGRAn``.
        dim: Vector dimension.
    """

    def __init__(self, spec: IndexSpec, dim: int) -> None:
        super().__init__(spec, dim)
        self._device = found_device(spec)
        self._turn = threading.Lock()
        self._copy: Any | None = None
        self._dataset: NDArray[np.float16] | None = None  # cuVS may refer to this memory during the graph's lifetime
        self._copied = 0  # the copy holds this many rows of the base, the first ones

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        before = self._rows.total
        removed = super().remove(ids)
        if self._rows.total != before:  # the gaps were closed, so row numbers have changed
            self._forget()
        return removed

    def close(self) -> None:
        """Release memory, files and the copy on the device."""
        self._forget()
        super().close()

    def _forget(self) -> None:
        with self._turn:
            self._copy, self._dataset, self._copied = None, None, 0

    def _fetch_base(self, queries: Vectors, count: int, thorough: bool, *, pool: Pool, effort: Effort) -> Rows:
        ask = -(-count * pool.total // pool.size)
        most = _MOST_GRAPH if self.spec.gpu == "cagra" else _MOST_FLAT
        if self._device is not None and not thorough and ask <= most:
            try:
                with self._turn:
                    return self._from_device(self._device, queries, ask, effort)
            except RuntimeError as error:  # from faiss, usually out of device memory
                log.warning("the GPU cannot search, going on without it: %s", str(error).strip().partition("\n")[0])
                self._forget()
                self._device = None
        return super()._fetch_base(queries, count, thorough, pool=pool, effort=effort)

    def _from_device(self, device: Device, queries: Vectors, count: int, effort: Effort) -> Rows:
        """The ``count`` nearest rows (q, count) of the base, including removed rows and rows excluded by a filter."""
        total = int(self._base.ntotal)
        if self.spec.gpu != "cagra":
            copy = self._flat_copy(device, total)
            _, rows = copy.search(queries, min(count, total))
            return np.asarray(rows, dtype=np.int64)
        copy = self._graph_copy(device, total)
        wide = min(_MOST_GRAPH, max(count, effort.ef_search or self.spec.default_ef_search))
        _, found = copy.search(queries, min(count, self._copied), params=device.graph_params(wide))
        rows = np.where((found >= 0) & (found < self._copied), found, -1).astype(np.int64)  # unused slots are undefined
        if self._copied == total:
            return rows
        behind = faiss.SearchParameters(sel=faiss.IDSelectorRange(self._copied, total))
        _, late = self._base.search(queries, min(count, total - self._copied), params=behind)
        both = np.hstack([rows, np.asarray(late, dtype=np.int64)])
        return nearest_in_pool(queries, both, Pool(None, total, total), count, self._decode)[0]

    def _flat_copy(self, device: Device, total: int) -> Any:
        if self._copy is None:
            self._copy = device.flat(self.dim, half=self.spec.codec == "SQfp16")
        while self._copied < total:
            rows = np.arange(self._copied, min(self._copied + _BLOCK_ROWS, total))
            self._copy.add(self._decode(rows))
            self._copied += len(rows)
        return self._copy

    def _graph_copy(self, device: Device, total: int) -> Any:
        if self._copy is None or (total - self._copied) * _LATE_SHARE > total:
            self._copy, self._dataset, self._copied = None, None, 0  # frees memory before the next one is built
            vectors = np.empty((total, self.dim), dtype=np.float16)
            for start in range(0, total, _BLOCK_ROWS):
                rows = np.arange(start, min(start + _BLOCK_ROWS, total))
                vectors[rows] = self._decode(rows)
            self._copy, self._copied = device.graph(vectors, self.spec.links), total
            self._dataset = vectors
        return self._copy
