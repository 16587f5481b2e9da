"""A substitute for a GPU in tests: faiss's own CPU indexes with the restrictions of those on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("faiss")

import faiss


class TouchyIndex:
    """An index that takes no selectors, one caller at a time and no more hits than a GPU gives; these are noted."""

    def __init__(self, index: Any, most: int) -> None:
        self._index, self._most, self._busy = index, most, threading.Lock()
        self.asked: list[int] = []

    def add(self, vectors: NDArray[np.float32]) -> None:
        self._index.add(vectors)

    @property
    def ntotal(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: NDArray[np.float32], k: int, *, params: Any = None) -> tuple[NDArray, NDArray]:
        assert getattr(params, "sel", None) is None, "a GPU ignores selectors without a word"
        assert 0 < k <= self._most
        assert self._busy.acquire(blocking=False), "two searches at a time break faiss's GPU resources"
        try:
            self.asked.append(k)
            found: tuple[NDArray, NDArray] = self._index.search(queries, k, params=params)
            return found
        finally:
            self._busy.release()


class CpuDevice:
    """``indexes.gpu.Device`` without a GPU: a scan in the given precision, and HNSW for CAGRA. Keeps what it made."""

    def __init__(self) -> None:
        self.made: list[TouchyIndex] = []

    def flat(self, dim: int, *, half: bool) -> TouchyIndex:
        return self._keep(faiss.index_factory(dim, "SQfp16" if half else "Flat", faiss.METRIC_INNER_PRODUCT), 2048)

    def graph(self, vectors: NDArray[np.float16], degree: int) -> TouchyIndex:
        assert vectors.dtype == np.float16
        index = faiss.IndexHNSWFlat(vectors.shape[1], degree // 2, faiss.METRIC_L2)
        index.add(vectors.astype(np.float32))
        return self._keep(index, 512)

    def graph_params(self, candidates: int) -> Any:
        assert candidates <= 512
        return faiss.SearchParametersHNSW(efSearch=candidates)

    def _keep(self, index: Any, most: int) -> TouchyIndex:
        self.made.append(TouchyIndex(index, most))
        return self.made[-1]


@contextmanager
def cpu_for_gpu() -> Iterator[CpuDevice]:
    """GPU kinds of index can be made, and find candidates on the CPU."""
    device = CpuDevice()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexes.gpu.found_device", lambda spec: device)
        patch.setattr("indexes.gpu.require_device", lambda spec: None)
        yield device
