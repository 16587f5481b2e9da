"""The vector indexes of a GPU compared with that of a CPU: time, batches, recall, filters, the copy.

No figure of this file has been measured so far: the machines on which photoseek was measured have no GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.measure import alternate, rate, tell
from benchmarks.settings import Bench
from benchmarks.tables import Table
from benchmarks.vectors import DIM, K, Latencies, Sample, filled, made_sample, recall, runs_on
from indexes import BackendUnavailable, IndexSpec, VectorIndex, recommend_spec

KINDS = ("GPU,Flat", "GPU,SQfp16", "CAGRA64")


@dataclass(frozen=True)
class _Filled:
    index: VectorIndex
    building: float
    copying: float  # seconds of the first search, which makes the copy on the device


def index_tables(bench: Bench) -> list[Table]:
    """A table for each number of vectors; kinds not available on this machine or in its faiss are named below."""
    return [_table(bench, count) for count in bench.sizes.vectors]


def _table(bench: Bench, count: int) -> Table:
    tell(f"gpu: {count:,} vectors")
    sample = made_sample(count, bench.sizes.queries)
    base = str(recommend_spec(count, DIM).spec)
    indexes, notes = {}, []
    for kind in (base, *KINDS):
        try:
            indexes[kind] = _fill(IndexSpec.parse(kind), sample)
        except BackendUnavailable as error:
            notes.append(f"{error.message}.")
    runs = runs_on(count, sample)
    everything = np.concatenate(list(sample.queries.values()))
    latencies = {(kind, run): Latencies(each.index, *runs[run]) for kind, each in indexes.items() for run in runs}
    cases: dict[str, Callable[[], float]] = {f"{kind}, {run}": case for (kind, run), case in latencies.items()}
    for kind, each in indexes.items():
        cases[f"{kind}, batch"] = rate(partial(each.index.search, everything, K), len(everything))
        notes.append(f"{kind}: built in {each.building:.1f} s, first search {each.copying * 1e3:,.0f} ms.")
    measured = alternate(cases, bench.rounds)
    rows = []
    for (kind, run), latency in latencies.items():
        series = measured[f"{kind}, {run}"]
        times = (series.shown(2, times=1e3), latency.p99().shown(2, times=1e3))
        found = f"{recall(indexes[kind].index, sample.stored, *runs[run]):.4f}"
        rows.append((kind, run, *times, found, measured[f"{base}, {run}"].over(series).shown(2)))
    for kind, each in indexes.items():
        batch = measured[f"{kind}, batch"]
        gain = batch.over(measured[f"{base}, batch"]).shown(2)
        rows.append((kind, f"{len(everything)} at once, queries/s", batch.shown(), "", "", gain))
        each.index.close()
    head = ("index", "queries", "p50 ms (min–max)", "p99 ms (min–max)", f"recall@{K}", f"times as fast as {base}")
    return Table(f"Vector search on a GPU, {count:,} x {DIM}", head, rows, [*notes, measured.foreign_note()])


def _fill(spec: IndexSpec, sample: Sample) -> _Filled:
    started = time.perf_counter()
    index = filled(spec, sample)
    built = time.perf_counter()
    index.search(sample.stored[:1], K)
    return _Filled(index, built - started, time.perf_counter() - built)
