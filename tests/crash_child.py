"""Indexing runs that kill themselves, one fork each: ``python -m tests.crash_child``, run by test_crash.py.

One line of JSON in is one run; one line out is its wait status. Everything is imported before the first fork, so
that a run costs no start of Python; threads and databases exist only in the forks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import alembic.command  # noqa: F401
import filelock  # noqa: F401
import PIL.PngImagePlugin  # noqa: F401

import indexes.exact
import indexes.snapshot  # noqa: F401
from retrieval.catalog import writer as catalog
from retrieval.gallery import Gallery
from retrieval.indexing import indexer
from tests.command_child import limit_files
from tests.fakes import ColourEncoder

PROJECT = str(Path(__file__).parents[1]) + os.sep
SOURCES = (PROJECT + "retrieval" + os.sep, PROJECT + "indexes" + os.sep)
SIZE = "size"
"""In place of an event's name: a run is killed in the write that would make a file longer than so many bytes."""

C_CALLS = {"fsync", "replace", "unlink", "execute", "executemany", "commit", "write"}


class Events:
    """Names every call into the library, and the calls of C that change a disk; kills at one of them."""

    def __init__(self, point: list[Any] | None) -> None:
        self.seen: list[str] = []
        self._names: dict[CodeType, str | None] = {}  # None: not of ours
        self._counts: Counter[str] = Counter()
        self._point = None if point is None else tuple(point)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        name: str | None
        if event == "call":
            try:
                name = self._names[frame.f_code]
            except KeyError:
                name = self._names[frame.f_code] = _name_of(frame.f_code)
        elif event == "c_call":
            name = argument.__name__
            name = f"c:{name}" if name in C_CALLS else None
        else:
            return
        if name is None:
            return
        self._counts[name] += 1
        self.seen.append(name)
        if self._point == (name, self._counts[name]):
            os.kill(os.getpid(), signal.SIGKILL)


def _name_of(code: CodeType) -> str | None:
    is_ours = code.co_filename.startswith(SOURCES)
    return f"{code.co_filename[len(PROJECT) :]}:{code.co_name}" if is_ours else None


def log_commits(path: str) -> None:
    """From now on write down what each transaction held, once it has returned."""
    commit = catalog.Catalog.commit
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def logged(self: catalog.Catalog, batch: Any, encoder_id: int, **named: Any) -> Any:
        counts = commit(self, batch, encoder_id, **named)
        indexed = [[image.folder_id, image.name, image.content_hash.hex()] for image in batch.indexed]
        failed = [[failure.folder_id, failure.name] for failure in batch.failed]
        os.write(log, json.dumps({"indexed": indexed, "failed": failed, "retired": batch.retired}).encode() + b"\n")
        return counts

    catalog.Catalog.commit = logged  # type: ignore[method-assign]


def run(job: dict[str, Any]) -> None:
    """Index ``photos`` with small transactions and an index that is saved often; never returns where it is killed."""
    indexer.COMMIT_IMAGES = 5
    indexer.IndexKeeper = partial(indexer.IndexKeeper, save_every=8)  # type: ignore[misc, assignment]
    log_commits(job["log"])
    kind, number = job["point"] or (None, 0)
    if kind == SIZE:
        limit_files(number)
    events = Events(None if kind == SIZE else job["point"])
    if job["trace"] or kind not in (None, SIZE):
        threading.setprofile(events)
        sys.setprofile(events)
    indexer.Indexer(Gallery(job["gallery"]), ColourEncoder(batch_size=3)).run(job["photos"])
    sys.setprofile(None)
    if job["trace"]:
        Path(job["trace"]).write_text(json.dumps(events.seen))


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                run(job)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(json.dumps(status), flush=True)


if __name__ == "__main__":
    main()
