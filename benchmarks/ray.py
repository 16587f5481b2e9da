"""What encoding on a Ray cluster costs beside this machine alone: images a second, and CPU time for an image.

    python -m benchmarks.ray [--data DIR] [--pictures 200] [--workers 1,2,4] [--rounds 3]

Two nodes on the loopback interface, so that all processes share the same cores: with as many workers as cores or more,
a cluster cannot be faster than this machine, and what is missing is the cost of coordination. CPU time counts all
processes (the run, the child process that speaks to Ray, the nodes and their workers); unlike images a second, it
hardly depends on what else the machine does.

Every case is run with so many pictures and with three times as many. The difference of the two is the time of the
pictures alone: what it takes to start workers, each of which loads the model, is in both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import Data
from benchmarks.machine import machine_table
from benchmarks.measure import tell
from benchmarks.ray_nodes import Nodes, cpu_seconds, settings
from benchmarks.tables import Table
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.cluster.on_ray import Cluster, on_ray
from retrieval.indexing.executor import Executor, Work, on_this_machine
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.outcomes import Results

_MODEL = "builtin-224"


class Run(NamedTuple):
    """Of one run: seconds until the first result, seconds until the last, CPU seconds of all processes."""

    first: float
    wall: float
    cpu: float


class Measured(NamedTuple):
    """Seconds until the first result; images a second and CPU milliseconds an image without starting."""

    first: float
    rate: float
    cpu_ms: float


class _Watched:
    """An executor whose results are counted while its workers are still there, with their CPU time."""

    def __init__(self, inner: Executor, count: int, sessions: list[int]) -> None:
        self._inner, self._left, self._sessions = inner, count, sessions
        self._began, self._cpu_before = time.perf_counter(), cpu_seconds(os.getpid(), sessions)
        self._first = 0.0
        self.run_of_all: Run | None = None

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        for results in self._inner.run(candidates, stop=stop):
            self._left -= results.encoded
            self._first = self._first or time.perf_counter() - self._began
            if not self._left:
                cpu = cpu_seconds(os.getpid(), self._sessions) - self._cpu_before
                self.run_of_all = Run(self._first, time.perf_counter() - self._began, cpu)
            yield results


def run_once(pictures: Path, count: int, nodes: Nodes | None, workers: int) -> Run:
    """Index the pictures into a new gallery, with ``workers`` of a cluster or threads of this machine."""
    make = on_this_machine if nodes is None else on_ray(Cluster(nodes.address))
    watched: list[_Watched] = []

    def watch(work: Work) -> Executor:
        watched.append(_Watched(make(work), count, [] if nodes is None else nodes.sessions))
        return watched[0]

    with tempfile.TemporaryDirectory() as folder:
        Indexer(Gallery(Path(folder) / "gallery"), load_encoder(_MODEL), workers=workers, executor=watch).run(pictures)
    found = watched[0].run_of_all
    assert found is not None, "not all pictures were encoded"
    return found


def measured(data: Data, count: int, nodes: Nodes | None, workers: int) -> Measured:
    """A case: the same with ``count`` and three times as many pictures."""
    few, many = (run_once(data.pictures("small", n), n, nodes, workers) for n in (count, 3 * count))
    return Measured(few.first, 2 * count / (many.wall - few.wall), 1000 * (many.cpu - few.cpu) / (2 * count))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("~/.cache/photoseek-benchmarks"), help="folder of test data")
    parser.add_argument("--pictures", type=int, default=200, help="of the smaller run")
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers")
    parser.add_argument("--rounds", type=int, default=3, help="after one that is thrown away")
    given = parser.parse_args()
    os.environ.update(settings())
    data = Data(given.data)
    numbers = [int(each) for each in given.workers.split(",")]
    kinds = [(where, workers) for workers in numbers for where in ("local", "ray")]
    found: dict[tuple[str, int], list[Measured]] = {kind: [] for kind in kinds}
    nodes = Nodes(cpus=-(-max(numbers) // 2))
    try:
        for turn in range(given.rounds + 1):
            for where, workers in kinds:
                tell(f"round {turn}: {workers} {where}")
                result = measured(data, given.pictures, nodes if where == "ray" else None, workers)
                if turn or not given.rounds:
                    found[where, workers].append(result)
    finally:
        nodes.close()
    rows = []
    for (where, workers), results in found.items():
        beside = zip(found["local", workers], results, strict=True)
        lost = statistics.median(1 - local.cpu_ms / each.cpu_ms for local, each in beside)
        middle = [statistics.median(getattr(each, name) for each in results) for name in Measured._fields]
        rows.append(
            (where, str(workers), f"{middle[0]:.1f}", f"{middle[1]:.1f}", f"{middle[2]:.1f}",
             "" if where == "local" else f"{100 * lost:.1f} %")
        )  # fmt: skip
    columns = ("executor", "workers", "s to the first result", "images/s", "CPU ms an image", "share lost")
    title = f"Encoding on a Ray cluster: {given.pictures} and {3 * given.pictures} pictures of 500 px, {_MODEL}"
    sys.stdout.write(f"{machine_table().to_markdown()}\n{Table(title, columns, rows, is_text=True).to_markdown()}\n")


if __name__ == "__main__":
    main()
