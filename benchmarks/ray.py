"""What encoding on a Ray cluster costs beside this machine alone: images a second, and CPU time for an image.

    python -m benchmarks.ray [--data DIR] [--pictures 600] [--workers 1,2,4] [--rounds 3]

Two nodes on the loopback interface, so that all processes share the same cores: with as many workers as cores or more,
a cluster cannot be faster than this machine, and what is missing is the cost of coordination. CPU time counts all
processes (the run, the child process that speaks to Ray, the nodes and their workers); unlike images a second, it
hardly depends on what else the machine does. Both are measured after a third of the pictures: starting workers is told
separately.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.data import Data
from benchmarks.machine import machine_table
from benchmarks.measure import tell
from benchmarks.ray_nodes import Nodes, cpu_seconds, settings
from benchmarks.tables import Table
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.cluster.on_ray import Cluster, on_ray
from retrieval.indexing.executor import on_this_machine
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import Progress

_MODEL = "builtin-224"


class Measured(NamedTuple):
    """Of one run: seconds until the first result; images a second and CPU milliseconds an image, after a third."""

    first: float
    rate: float
    cpu_ms: float


class _Samples:
    """What is measured while a run reports its progress."""

    def __init__(self, nodes: Nodes | None, count: int) -> None:
        self._nodes, self._count = nodes, count
        self._started = time.perf_counter()
        self._first = 0.0
        self._from: tuple[int, float, float] | None = None
        self._to = (0, 0.0, 0.0)

    def look(self, progress: Progress) -> None:
        if progress.encoded and not self._first:
            self._first = time.perf_counter() - self._started
        if progress.encoded >= self._count // 3 and progress.encoded > self._to[0]:
            sessions = self._nodes.sessions if self._nodes is not None else []
            self._to = (progress.encoded, time.perf_counter(), cpu_seconds(os.getpid(), sessions))
            self._from = self._from or self._to

    def result(self) -> Measured:
        assert self._from is not None
        images, seconds, cpu = (after - before for after, before in zip(self._to, self._from, strict=True))
        return Measured(self._first, images / seconds, 1000 * cpu / images)


def measured(pictures: Path, count: int, nodes: Nodes | None, workers: int) -> Measured:
    """Index the pictures into a new gallery, with ``workers`` of a cluster or threads of this machine."""
    executor = on_this_machine
    if nodes is not None:
        executor = on_ray(Cluster(nodes.address))  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        encoder = load_encoder(_MODEL)
        samples = _Samples(nodes, count)
        Indexer(Gallery(Path(folder) / "gallery"), encoder, workers=workers, executor=executor).run(
            pictures, on_progress=samples.look
        )
        return samples.result()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("~/.cache/photoseek-benchmarks"), help="folder of test data")
    parser.add_argument("--pictures", type=int, default=600, help="how many")
    parser.add_argument("--workers", default="1,2,4", help="numbers of workers")
    parser.add_argument("--rounds", type=int, default=3, help="after one that is thrown away")
    given = parser.parse_args()
    os.environ.update(settings())
    pictures = Data(given.data).pictures("small", given.pictures)
    numbers = [int(each) for each in given.workers.split(",")]
    kinds = [(where, workers) for workers in numbers for where in ("local", "ray")]
    found: dict[tuple[str, int], list[Measured]] = {kind: [] for kind in kinds}
    nodes = Nodes(cpus=-(-max(numbers) // 2))
    try:
        for turn in range(given.rounds + 1):
            for where, workers in kinds:
                tell(f"round {turn}: {workers} {where}")
                result = measured(pictures, given.pictures, nodes if where == "ray" else None, workers)
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
    title = f"Encoding on a Ray cluster: {given.pictures} pictures of 500 px, {_MODEL}"
    sys.stdout.write(f"{machine_table().to_markdown()}\n{Table(title, columns, rows, is_text=True).to_markdown()}\n")


if __name__ == "__main__":
    main()
