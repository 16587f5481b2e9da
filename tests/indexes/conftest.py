from __future__ import annotations

from contextlib import suppress

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A few hundred vectors gain nothing from more, and on a busy machine threads wait for each other."""
    with suppress(ImportError):
        import faiss

        faiss.omp_set_num_threads(1)
