"""The same vectors in every kind of index that photoseek can use: FAISS, pgvector, milvus-lite, a Milvus server.

::

    python -m benchmarks.engines                     # 100,000 vectors in every engine that starts here
    python -m benchmarks.engines --vectors 1000000 --engines faiss,pgvector

Each engine has a process of its own, and is asked as photoseek asks it: candidates from the server, exact scores here.
A Milvus server (``make milvus-server``) listens on every interface, so it gets a network of its own (Linux, root).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine_table
from benchmarks.measure import percentile, tell
from benchmarks.tables import Table
from benchmarks.vectors import DIM, K, Sample, filled, made_sample, recall
from indexes import IndexSpec, create_index, load_snapshot, recommend_spec, save_snapshot
from indexes.base import VectorIndex
from indexes.server import ServerIndex

ENGINES = ("faiss", "pgvector", "milvus-lite", "milvus")
QUERIES = 200
_PIECE = 10_000
_FINGERPRINT = "0" * 64
_ALONE = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@dataclass(frozen=True)
class Place:
    """Where an engine keeps vectors: bytes on disk, and bytes of memory of the processes that hold them."""

    spec: IndexSpec
    disk: Callable[[], int]
    memory: Callable[[], int]


def main() -> None:
    """Measure each engine in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only is not None:
        print(json.dumps(measured(asked.only, asked.vectors)))
        return
    rows, notes = [], []
    for name in asked.engines.split(","):
        tell(f"engines: {name}, {asked.vectors:,} vectors")
        found = _in_a_process(name, asked.vectors)
        tell(f"engines: {json.dumps(found)}")  # a run that is ended early has said this much
        if "reason" in found:
            notes.append(f"{name}: not measured ({found['reason']}).")
            continue
        notes.append(
            f"{name}: {found['spec']}; load average {found['load'][0]:.1f} before and {found['load'][1]:.1f} after."
        )
        for kind, each in found["queries"].items():
            rows.append(
                (
                    name,
                    kind,
                    f"{found['seconds']:.1f}",
                    f"{each['p50'] * 1e3:.2f}",
                    f"{each['p99'] * 1e3:.2f}",
                    f"{each['recall']:.4f}",
                    f"{found['disk'] / asked.vectors:,.0f}",
                    f"{found['memory'] / asked.vectors:,.0f}",
                )
            )
    head = (
        "engine", "queries", "build s", "p50 ms", "p99 ms", f"recall@{K}", "disk B/vector", "memory B/vector",
    )  # fmt: skip
    notes += [
        f"{QUERIES} queries of one vector each, k = {K}, after as many untimed ones; recall against exact float32.",
        "memory: of the server's processes (shared pages counted once), or what that of FAISS or milvus-lite grew by.",
    ]
    print(machine_table().to_markdown())
    print(Table(f"Engines, {asked.vectors:,} x {DIM}", head, rows, notes).to_markdown())


def _in_a_process(name: str, count: int) -> dict[str, Any]:
    alone = _ALONE if name == "milvus" else []
    command = [*alone, sys.executable, "-m", "benchmarks.engines", "--only", name, "--vectors", str(count)]
    environment = os.environ | ({"PHOTOSEEK_TEST_NAMESPACE": "1"} if name == "milvus" else {})
    before = os.getloadavg()[0]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it ended without a word"]
        return {"reason": "; ".join(line.strip() for line in said[-2:])[:300]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"load": (before, os.getloadavg()[0])}


def measured(name: str, count: int) -> dict[str, Any]:
    """Build, ask and weigh one engine."""
    sample = made_sample(count, QUERIES)
    with PLACES[name](count) as place:
        held = place.memory()
        started = time.perf_counter()
        index = _built(place, sample)
        seconds = time.perf_counter() - started
        try:
            queries = {kind: _asked(index, sample, kind) for kind in sample.queries}
            return {
                "spec": str(place.spec), "seconds": seconds, "queries": queries, "disk": place.disk(),
                "memory": max(0, place.memory() - held),
            }  # fmt: skip
        finally:
            index.close()


def _built(place: Place, sample: Sample) -> VectorIndex:
    if "://" not in str(place.spec):
        made = filled(place.spec, sample)
        folder = Path(tempfile.mkdtemp(dir=_scratch()))
        save_snapshot(made, folder, fingerprint=_FINGERPRINT, change=1)
        made.close()
        loaded = load_snapshot(folder, fingerprint=_FINGERPRINT, dim=DIM)
        assert loaded is not None
        return loaded[0]
    index = create_index(place.spec, DIM)
    assert isinstance(index, ServerIndex)
    for at in range(0, len(sample.stored), _PIECE):
        piece = sample.stored[at : at + _PIECE]
        index.add(np.arange(at, at + len(piece), dtype=np.int64), piece)
    index.keep()
    index._server.settle(index.name)
    return index


def _asked(index: VectorIndex, sample: Sample, kind: str) -> dict[str, float]:
    queries, spent = sample.queries[kind], []
    for timed in (False, True):
        for at in range(len(queries)):
            started = time.perf_counter()
            index.search(queries[at : at + 1], K)
            if timed:
                spent.append(time.perf_counter() - started)
    found = recall(index, sample.stored, queries, None)
    return {"p50": percentile(spent, 0.5), "p99": percentile(spent, 0.99), "recall": found}


# The engines


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _scratch() -> Path:
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory(prefix="photoseek-engines-"))
    return Path(_folders[0].name)


@contextmanager
def _faiss(count: int) -> Iterator[Place]:
    yield Place(recommend_spec(count, DIM).spec, lambda: _bytes_of(_scratch()), lambda: _memory([os.getpid()]))


@contextmanager
def _lite(_: int) -> Iterator[Place]:
    spec = IndexSpec.parse(f"milvus://{_scratch()}/vectors.db")
    yield Place(spec, lambda: _bytes_of(_scratch()), lambda: _memory([os.getpid()]))


@contextmanager
def _pgvector(_: int) -> Iterator[Place]:
    from tests.indexes.servers import Postgres

    server = Postgres()
    data = Path(server._data)
    before = _bytes_of(data / "base")
    first = int((data / "postmaster.pid").read_text().splitlines()[0])
    yield Place(
        IndexSpec.parse(server.address), lambda: _bytes_of(data / "base") - before, lambda: _memory(_below(first))
    )
    server.stop()


@contextmanager
def _milvus(_: int) -> Iterator[Place]:
    from tests.indexes.servers import Milvus, milvus_home

    server = Milvus(milvus_home())
    before = _bytes_of(server._folder)
    process = server._process
    assert process is not None
    yield Place(
        IndexSpec.parse(f"{server.address}?index=HNSW"),
        lambda: _bytes_of(server._folder) - before,
        lambda: _memory(_below(process.pid)),
    )
    server.stop()


PLACES = {"faiss": _faiss, "pgvector": _pgvector, "milvus-lite": _lite, "milvus": _milvus}


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _below(first: int) -> list[int]:
    """A process and those that it has started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [first]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _memory(pids: list[int]) -> int:
    """Bytes in memory: what processes share is divided between them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    main()
