from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Indexes of a few hundred vectors gain nothing from more, and on a busy machine threads wait for each other."""
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
