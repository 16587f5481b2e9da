"""Warm queries, in a separate process, because the number of BLAS threads is fixed when numpy is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.measure import ForeignMeter, Measured, Series, percentile
from benchmarks.settings import ROOT

if TYPE_CHECKING:
    from benchmarks.settings import Bench
    from retrieval.gallery import Gallery


def measure_warm(bench: Bench, gallery: Gallery) -> Measured:
    """Seconds per query: ``p50`` is the median and ``p99`` the 99th percentile of each round."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **bench.environment}
    command = [sys.executable, "-m", "benchmarks.warm", str(gallery.path), str(bench.sizes.queries), str(bench.rounds)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answer = json.loads(done.stdout)
    measured = Measured({name: Series(answer[name]) for name in ("p50", "p99")})
    measured.foreign = answer["foreign"]
    return measured


def _main(gallery: str, queries: int, rounds: int) -> None:
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine
    from retrieval.search.query import Query

    answer: dict[str, list[float | None]] = {"p50": [], "p99": [], "foreign": []}
    with QueryEngine(Gallery(gallery), remember_texts=False) as engine:
        for number in range(3):
            engine.search(Query.text(f"warming up {number}"))
        for each in range(rounds):
            meter, spent = ForeignMeter(), []
            for number in range(queries):
                query = Query.text(f"a photo of {number} red birds in round {each}")
                started = time.perf_counter()
                engine.search(query)
                spent.append(time.perf_counter() - started)
            answer["p50"].append(percentile(spent, 0.5))
            answer["p99"].append(percentile(spent, 0.99))
            answer["foreign"].append(meter.share())
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
