"""How many files a run will process: counted in a walk of its own, beside the first, so that progress has a total."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from retrieval.catalog.exclusions import Exclusions
from retrieval.indexing.report import Progress
from retrieval.indexing.scan import Archives, count_files
from retrieval.paths import is_remote

COUNT_AFTER_SECONDS = 0.5
"""A run without changes has ended by then (100,000 files), and counting would only have slowed it down."""


def elsewhere(root: str, roots: Collection[str]) -> list[str]:
    """The other folders that are roots themselves, in this run or another."""
    return [other for other in roots if other != root]


@contextmanager
def counted_ahead(
    roots: Sequence[str], lasting: Exclusions, all_roots: Collection[str], archives: Archives, progress: Progress
) -> Iterator[None]:
    """Count the files below ``roots`` in a thread, which is much cheaper than the walk, and set ``progress.total``.

    Args:
        lasting: what is left out.
        all_roots: folders that are walked by themselves.
        archives: as for ``scan.walk``.
    """
    done = threading.Event()

    def count() -> None:
        if done.wait(COUNT_AFTER_SECONDS) or any(map(is_remote, roots)):
            return  # to list a store takes as long as to walk it
        seen: set[tuple[int, int]] = set()
        total = 0
        for root in roots:
            others = elsewhere(root, all_roots)
            total += count_files(
                root, lasting=lasting, seen=seen, elsewhere=others, archives=archives, stop=done.is_set
            )
        if not done.is_set():
            progress.total = total

    thread = threading.Thread(target=count, name="photoseek-count", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
