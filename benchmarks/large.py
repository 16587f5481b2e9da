"""The recommended index for more vectors than memory has room for twice: build, peak memory, search, incremental adds.

::

    python -m benchmarks.large                                  10,000,000 x 512, about 15 minutes, 24 GB of memory
    python -m benchmarks.large --vectors 10000000 --dim 256     about 8 minutes, 12 GB
    python -m benchmarks.large --vectors 300000 --dim 64        a smoke test

The vectors are made in pieces and never all held; the true neighbours are found in the same pass. A plain read of the
codes by one thread stands beside the searches: without cells, each has to do as much. The index is kept: a
second run only searches. All progress goes to stderr, all results to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Data
from benchmarks.machine import machine_table
from benchmarks.measure import ForeignMeter, foreign_note, percentile, tell
from benchmarks.run import RESULTS, cache_folder
from benchmarks.serve import write_sections
from benchmarks.tables import Table
from indexes import StoredIndex, create_index, load_snapshot, recommend_spec, save_snapshot
from indexes.base import Vectors

K = 10
QUERIES = 100
ADDED = 1000
_PIECE = 50_000
_CLUSTERS = 1000
_KEPT = (0.01, 0.10, 0.50)
_FINGERPRINT = "0" * 64


class Source:
    """Clustered unit vectors of any number, made anew in each pass, and two kinds of queries.

    As in ``benchmarks.vectors``: the noise has a power-law spectrum in a random basis; text-like queries are shifted
    off all vectors in a common direction.
    """

    def __init__(self, count: int, dim: int, *, seed: int = 1) -> None:
        self.count, self.dim, self._seed = count, dim, seed
        rng = np.random.default_rng(seed)
        basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        spectrum = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
        self._turned = (spectrum / np.linalg.norm(spectrum))[:, None] * basis
        self._centres = _unit(self._noise(rng, _CLUSTERS) + 0.6 * _unit(self._noise(rng, 1)))
        near = self._piece(0, min(_PIECE, count))[rng.integers(0, min(_PIECE, count), QUERIES)]
        gap = _unit(self._noise(rng, 1))
        self.queries = {
            "image-like": _unit(near + 0.3 * self._noise(rng, QUERIES)),
            "text-like": _unit(0.3 * near + 0.9 * gap + 0.3 * self._noise(rng, QUERIES)),
        }

    def pieces(self) -> Iterator[tuple[int, Vectors]]:
        """The first row's number and (rows, dim) vectors."""
        for at in range(0, self.count, _PIECE):
            yield at, self._piece(at, min(_PIECE, self.count - at))

    def sample(self, size: int) -> Vectors:
        """(size, dim) for training: pieces are alike, so the first ones do."""
        parts = [self._piece(at, min(_PIECE, size - at)) for at in range(0, size, _PIECE)]
        return np.concatenate(parts)

    def _piece(self, at: int, rows: int) -> Vectors:
        rng = np.random.default_rng((self._seed, at))
        return _unit(self._centres[rng.integers(0, _CLUSTERS, rows)] + 0.7 * self._noise(rng, rows))

    def _noise(self, rng: np.random.Generator, rows: int) -> Vectors:
        made: Vectors = rng.standard_normal((rows, self.dim), np.float32) @ self._turned
        return made


class Truth:
    """The ids of the ``K`` nearest of all pieces seen so far, for each query; optionally of some ids only."""

    def __init__(self, queries: Vectors, mask: NDArray[np.bool_] | None = None) -> None:
        self._queries, self._mask = queries, mask
        self._best = np.empty((len(queries), 0), np.float32)
        self.ids = np.empty((len(queries), 0), np.int64)

    def see(self, at: int, piece: Vectors) -> None:
        """Look at the vectors with ids ``at`` and following."""
        scores = self._queries @ piece.T
        if self._mask is not None:
            scores[:, ~self._mask[at : at + len(piece)]] = -2
        top = np.argpartition(-scores, min(K, scores.shape[1] - 1), axis=1)[:, :K]
        best = np.hstack([self._best, np.take_along_axis(scores, top, 1)])
        ids = np.hstack([self.ids, top + at])
        order = np.argsort(-best, axis=1)[:, :K]
        self._best, self.ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)


@dataclass
class Built:
    """Seconds and bytes of an index's making, and the share of the machine that others used meanwhile."""

    training_s: float
    adding_s: float
    saving_s: float
    peak_bytes: int
    disk_bytes: int
    foreign: float | None


def large_tables(data: Data, count: int, dim: int, rounds: int) -> list[Table]:
    """Build and save, unless that was done before; open and search; a table of each."""
    source = Source(count, dim)
    masks = {f"text-like, a filter keeps {share:.0%}": _mask(count, share) for share in _KEPT}
    folder = data.made(f"large-{count}-{dim}", lambda target: _make(source, masks, target))
    built = Built(**json.loads((folder / "built.json").read_text()))
    meter = ForeignMeter()
    saved = folder / "index"
    _forget(saved)
    index, opening = _opened(saved, dim)
    rows: list[tuple[str, ...]] = []
    cold = 0.0
    for name in [*source.queries, *masks]:
        queries = source.queries[name.partition(",")[0]]
        allowed = np.flatnonzero(masks[name]) if name in masks else None
        if not rows:  # what is mapped by now cannot be forgotten again
            cold = _timed(lambda: index.search(queries[:1], K))[0]  # noqa: B023  (called at once)
        spent, found = _searched(index, queries, allowed, rounds)
        p50, p99 = (f"{percentile(spent, share) * 1e3:.1f}" for share in (0.5, 0.99))
        truth = np.load(folder / _truth_name(name))
        rows.append((name, p50, p99, f"{_recall(found, truth):.4f}"))
    base = next(saved.glob("base-*.faiss"))
    codes = base.stat().st_size
    words = np.memmap(base, np.uint64, "r", shape=(codes // 8,))
    read = min(_timed(words.max)[0] for _ in range(5))
    tail = _with_tail(index, source)
    index.close()
    spec, reason = recommend_spec(count, dim)
    notes = [
        f"{spec}: {reason}.",
        f"A plain read of the {codes / 1e6:,.0f} MB of codes by one thread, warm: {read * 1e3:.1f} ms.",
        f"{QUERIES} queries of one vector each, {rounds} rounds, k = {K}; recall against exact float32.",
        f"Files not in the page cache: opened in {opening * 1e3:,.0f} ms, first search {cold * 1e3:,.0f} ms. {tail}",
        foreign_note([meter.share()]),
    ]
    making = [
        ("training", f"{built.training_s:,.0f} s"),
        ("adding", f"{built.adding_s:,.0f} s"),
        ("saving, checksums included", f"{built.saving_s:,.0f} s"),
        ("peak memory of the process", f"{built.peak_bytes / 1e9:.1f} GB"),
        ("on disk", f"{built.disk_bytes / 1e9:.2f} GB, {built.disk_bytes / (2 * count * dim):.2f} of float16"),
    ]
    title = f"{count:,} x {dim}"
    return [
        Table(f"Large index, {title}: build", ("what", "value"), making, [foreign_note([built.foreign])]),
        Table(f"Large index, {title}: search", ("queries", "p50 ms", "p99 ms", f"recall@{K}"), rows, notes),
    ]


def _make(source: Source, masks: dict[str, NDArray[np.bool_]], target: Path) -> None:
    """Write the index, the true neighbours and what the making cost into a new folder."""
    truths = {kind: Truth(queries) for kind, queries in source.queries.items()}
    truths |= {name: Truth(source.queries["text-like"], mask) for name, mask in masks.items()}
    built = _build(source, target / "index", truths)
    for name, truth in truths.items():
        np.save(target / _truth_name(name), truth.ids)
    (target / "built.json").write_text(json.dumps(vars(built)))


def _truth_name(name: str) -> str:
    return f"truth-{name.replace(', a filter keeps ', '-').rstrip('%')}.npy"


def _mask(count: int, share: float) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = np.random.default_rng((2, round(share * 100))).random(count) < share
    return chosen


def _build(source: Source, folder: Path, truths: dict[str, Truth]) -> Built:
    meter = ForeignMeter()
    spec = recommend_spec(source.count, source.dim).spec
    index = create_index(spec, source.dim)
    training = adding = 0.0
    if spec.needs_training:
        sample = source.sample(spec.training_size(source.count))
        training = _timed(lambda: index.train(sample))[0]
        del sample
    for at, piece in source.pieces():
        ids = np.arange(at, at + len(piece), dtype=np.int64)
        adding += _timed(lambda: index.add(ids, piece))[0]  # noqa: B023  (called at once)
        for truth in truths.values():
            truth.see(at, piece)
        if at % (_PIECE * 20) == 0:
            tell(f"{at:,} of {source.count:,}, adding {adding:.0f} s, peak {_peak() / 1e9:.1f} GB")
    saving = _timed(lambda: save_snapshot(index, folder, fingerprint=_FINGERPRINT, change=1))[0]
    index.close()
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Built(training, adding, saving, _peak(), size, meter.share())


def _opened(folder: Path, dim: int) -> tuple[StoredIndex, float]:
    spent, loaded = _timed(lambda: load_snapshot(folder, fingerprint=_FINGERPRINT, dim=dim))
    if loaded is None:
        raise RuntimeError("the index that was just saved is not there")
    return loaded[0], spent


def _searched(
    index: StoredIndex, queries: Vectors, allowed: NDArray[np.int64] | None, rounds: int
) -> tuple[list[float], NDArray[np.int64]]:
    found = index.search(queries, K, allowed=allowed).ids  # also warms
    spent = []
    for _ in range(rounds):
        for at in range(len(queries)):
            one = queries[at : at + 1]
            spent.append(_timed(lambda: index.search(one, K, allowed=allowed))[0])  # noqa: B023  (called at once)
    return spent, np.asarray(found)


def _recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def _with_tail(index: StoredIndex, source: Source) -> str:
    """What later pictures cost that a reader holds in memory beside the mapped index."""
    queries = source.queries["image-like"]
    rows = source.sample(ADDED)
    ids = np.arange(source.count, source.count + ADDED, dtype=np.int64)
    adding = _timed(lambda: index.add(ids, rows))[0]
    spent = [_timed(lambda: index.search(queries[at : at + 1], K))[0] for at in range(len(queries))]  # noqa: B023
    then = percentile(spent, 0.5) * 1e3
    return f"{ADDED:,} later vectors beside it: added in {adding * 1e3:.0f} ms, p50 then {then:.1f} ms."


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _forget(folder: Path) -> None:
    """Tell the kernel that the files' pages are not needed; it drops those that are on disk already."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _unit(rows: NDArray[np.float32]) -> Vectors:
    scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled.astype(np.float32, copy=False)


def main(arguments: Sequence[str] | None = None, say: Callable[[str], Any] = print) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--vectors", type=int, default=10_000_000, help="how many (default 10,000,000)")
    add("--dim", type=int, default=512, help="numbers of a vector (default 512)")
    add("--rounds", type=int, default=3, help="times that each query is asked (default 3)")
    add("--data", metavar="DIR", type=Path, help="where the index is kept (default: your cache folder)")
    add("--write", action="store_true", help=f"also write {RESULTS.relative_to(RESULTS.parent.parent)}")
    given = parser.parse_args(arguments)
    say(machine_table().to_markdown())
    tables = large_tables(Data(given.data or cache_folder()), given.vectors, given.dim, given.rounds)
    for table in tables:
        say(table.to_markdown())
    if given.write:
        write_sections(tables, RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
