"""The recommended vector index by itself: time, recall against exact search, opening, size, filters.

The vectors are in clusters, and queries are of two kinds, because indexes that were tuned on one fail on the
other: *image-like* ones are close to a stored vector; *text-like* ones are shifted away from all vectors in a common
direction, like the gap between the pictures and texts of CLIP.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Series, alternate, percentile, tell
from benchmarks.settings import Bench
from benchmarks.tables import Table
from indexes import IndexSpec, StoredIndex, create_index, load_snapshot, recommend_spec, save_snapshot
from indexes.base import Ids, VectorIndex, Vectors

DIM = 512
K = 10
_CLUSTERS = 1000
_PIECE = 50_000
_KEPT = (0.01, 0.10, 0.50)
_FINGERPRINT = "0" * 64


@dataclass(frozen=True)
class Sample:
    """Stored vectors with ids 0..n-1, and two kinds of queries (q, dim)."""

    stored: Vectors
    queries: dict[str, Vectors]


def vector_tables(bench: Bench) -> list[Table]:
    """A table for each number of vectors."""
    return [_table(bench, count) for count in bench.sizes.vectors]


def made_sample(count: int, queries: int, *, seed: int = 1) -> Sample:
    """Clustered unit vectors; the noise has a power-law spectrum in a random basis, like that of embeddings."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32)
    spectrum = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    turned = (spectrum / np.linalg.norm(spectrum))[:, None] * basis

    def noise(rows: int) -> Vectors:
        made: Vectors = rng.standard_normal((rows, DIM), np.float32) @ turned
        return made

    centres = _unit(noise(_CLUSTERS) + 0.6 * _unit(noise(1)))
    stored = np.empty((count, DIM), np.float32)
    for at in range(0, count, _PIECE):
        rows = min(_PIECE, count - at)
        stored[at : at + rows] = _unit(centres[rng.integers(0, _CLUSTERS, rows)] + 0.7 * noise(rows))
    near = stored[rng.integers(0, count, queries)]
    gap = _unit(noise(1))
    kinds = {
        "image-like": _unit(near + 0.3 * noise(queries)),
        "text-like": _unit(0.3 * near + 0.9 * gap + 0.3 * noise(queries)),
    }
    return Sample(stored, kinds)


def _table(bench: Bench, count: int) -> Table:
    tell(f"vectors: {count:,}")
    sample = made_sample(count, bench.sizes.queries)
    spec, reason = recommend_spec(count, DIM)
    with bench.data.scratch() as folder:
        building = _build(count, sample, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        index, opening = _open(folder)
        try:
            runs = runs_on(len(index), sample)
            latencies = {name: Latencies(index, *run) for name, run in runs.items()}
            measured = alternate(latencies, bench.rounds)
            rows = [
                (
                    name,
                    measured[name].shown(2, times=1e3),
                    latencies[name].p99().shown(2, times=1e3),
                    f"{recall(index, sample.stored, *run):.4f}",
                    measured[name].over(measured[_plain(name)]).shown(2),
                )
                for name, run in runs.items()
            ]
        finally:
            index.close()
    notes = [
        f"{spec}: {reason}.",
        (
            f"Built in {building:.1f} s; {size / 1e6:,.0f} MB on disk, {size / (2 * DIM * count):.2f} of the float16 "
            f"vectors; opened (memory-mapped, first search included) in {opening * 1e3:.0f} ms."
        ),
        f"{bench.sizes.queries} queries a round of one vector each, k = {K}; ann_recall@{K} against exact float32.",
        "In this process, with as many BLAS and OpenMP threads as they take by themselves.",
        measured.foreign_note(),
    ]
    head = ("queries", "p50 ms (min–max)", "p99 ms (min–max)", f"recall@{K}", ": unfiltered")
    return Table(f"Vector search, {count:,} x {DIM}", head, rows, notes)


def _build(count: int, sample: Sample, folder: Path) -> float:
    """Train, fill and save the index that is recommended for this many vectors; returns the seconds."""
    started = time.perf_counter()
    index = filled(recommend_spec(count, DIM).spec, sample)
    save_snapshot(index, folder, fingerprint=_FINGERPRINT, change=1)
    index.close()
    return time.perf_counter() - started


def filled(spec: IndexSpec, sample: Sample) -> StoredIndex:
    """An index of the given kind, trained if necessary, with all vectors of the sample."""
    index, count = create_index(spec, DIM), len(sample.stored)
    if spec.needs_training:
        chosen = np.random.default_rng(0).permutation(count)[: spec.training_size(count)]
        index.train(sample.stored[np.sort(chosen)])
    for at in range(0, count, _PIECE):
        piece = sample.stored[at : at + _PIECE]
        index.add(np.arange(at, at + len(piece), dtype=np.int64), piece)
    return index


def _open(folder: Path) -> tuple[VectorIndex, float]:
    query = _unit(np.ones((1, DIM), np.float32))
    started = time.perf_counter()
    loaded = load_snapshot(folder, fingerprint=_FINGERPRINT, dim=DIM)
    if loaded is None:
        raise RuntimeError("the index that was just saved is not there")
    loaded[0].search(query, K)
    return loaded[0], time.perf_counter() - started


Run = tuple[Vectors, Ids | None]


def runs_on(count: int, sample: Sample) -> dict[str, Run]:
    """Name -> (queries, allowed ids): both kinds, then text-like ones under filters."""
    rng = np.random.default_rng(2)
    runs: dict[str, Run] = {kind: (queries, None) for kind, queries in sample.queries.items()}
    for share in _KEPT:
        kept = np.sort(rng.permutation(count)[: max(K, int(share * count))]).astype(np.int64)
        runs[f"text-like, a filter keeps {share:.0%}"] = (sample.queries["text-like"], kept)
    return runs


def _plain(name: str) -> str:
    return name.partition(",")[0]


class Latencies:
    """A case: one search per query; its value is the round's median; the 99th percentiles are stored separately."""

    def __init__(self, index: VectorIndex, queries: Vectors, allowed: Ids | None) -> None:
        self._index, self._queries, self._allowed = index, queries, allowed
        self._p99: list[float] = []

    def __call__(self) -> float:
        spent = []
        for at in range(len(self._queries)):
            started = time.perf_counter()
            self._index.search(self._queries[at : at + 1], K, allowed=self._allowed)
            spent.append(time.perf_counter() - started)
        self._p99.append(percentile(spent, 0.99))
        return percentile(spent, 0.5)

    def p99(self) -> Series:
        """Of each round, without the warm-up."""
        return Series(self._p99[1:])  # the first one is the warm-up


def recall(index: VectorIndex, stored: Vectors, queries: Vectors, allowed: Ids | None) -> float:
    """The fraction of the true K nearest that the index finds, averaged over the queries."""
    found = index.search(queries, K, allowed=allowed).ids
    truth = _exact(stored, queries, allowed)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)]))


def _exact(stored: Vectors, queries: Vectors, allowed: Ids | None) -> NDArray[np.int64]:
    """(q, k) ids of the true neighbours, in pieces so that a million vectors need no second copy."""
    ids = np.arange(len(stored), dtype=np.int64) if allowed is None else allowed
    best_ids = np.empty((len(queries), 0), np.int64)
    best = np.empty((len(queries), 0), np.float32)
    for at in range(0, len(ids), _PIECE):
        piece = ids[at : at + _PIECE]
        best = np.hstack([best, queries @ stored[piece].T])
        best_ids = np.hstack([best_ids, np.broadcast_to(piece, (len(queries), len(piece)))])
        top = np.argsort(-best, axis=1)[:, :K]
        best, best_ids = np.take_along_axis(best, top, 1), np.take_along_axis(best_ids, top, 1)
    return best_ids


def _unit(rows: NDArray[np.float32]) -> Vectors:
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled.astype(np.float32, copy=False)
