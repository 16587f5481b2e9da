"""One text query: a whole cold process as started by a user, and a warm engine that stays open."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.galleries import made_gallery
from benchmarks.measure import Measured, Series, alternate, foreign_note, tell
from benchmarks.peer import Rclip
from benchmarks.settings import COMMAND, Bench
from benchmarks.stopwatch import Timed
from benchmarks.tables import Table
from benchmarks.warm import measure_warm
from retrieval.encoders.cache import CACHE_NAME
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery

_BARE = "python -c pass"
_HELP = "search --help"
_RCLIP = "rclip"
_EVICTED = ", evicted"
_WORDS = ("a red bird", "two dogs on a beach", "snow on mountains", "a plate of food", "an old street at night")


@dataclass(frozen=True)
class Searched:
    """A gallery, its name in the tables, and the files that a query of it may read."""

    name: str
    gallery: Gallery
    files: Sequence[Path]


@dataclass
class ColdCommand:
    """A command whose runs are all timed; its value in a round is its wall time in seconds."""

    run: Callable[[], Timed]
    before: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.runs: list[Timed] = []

    def __call__(self) -> float:
        self.before()
        self.runs.append(self.run())
        return self.runs[-1].wall


def query_tables(bench: Bench) -> list[Table]:
    """Cold commands, alternating with a bare interpreter and rclip; then warm queries."""
    searched = []
    for model in dict.fromkeys(("builtin-224", bench.model)):
        encoder = load_encoder(model)
        files = _files_below(encoder.folder.path) if isinstance(encoder, OnnxEncoder) else []
        for count in bench.sizes.galleries:
            gallery = made_gallery(bench.data, count, encoder)
            (gallery.path / CACHE_NAME).unlink(missing_ok=True)  # has the queries of earlier benchmarks
            name = f"{encoder.spec.name}, {count:,} pictures"
            searched.append(Searched(name, gallery, [*files, *_files_below(gallery.path)]))
    return [_cold(bench, searched), _warm(bench, searched)]


def _cold(bench: Bench, searched: Sequence[Searched]) -> Table:
    tell("cold queries")
    texts = _texts()
    commands = {
        _BARE: ColdCommand(lambda: bench.stopwatch.run([sys.executable, "-c", "pass"])),
        _HELP: ColdCommand(partial(_ask, bench, ["--help"])),
    }
    for one in searched:
        command = partial(_search, bench, one.gallery, texts)
        commands[f"search, {one.name}"] = ColdCommand(command)
        commands[f"search, {one.name}{_EVICTED}"] = ColdCommand(command, partial(_evict, one.files))
    if bench.rclip is not None:
        commands |= _rclip_commands(bench, bench.rclip, texts)
    measured = alternate(commands, bench.rounds)
    rows = [_row(name, commands[name], measured) for name in measured]
    notes = [
        "Whole processes, command line and printing included; every query has new words.",
        "CPU is the median, peak memory the maximum. Evicted: files of gallery and model were not in the page cache.",
        measured.foreign_note(),
    ]
    if bench.rclip is not None:
        notes.append(f"{_RCLIP} --no-indexing over {bench.sizes.small:,} pictures that it has indexed.")
    head = ("command", "wall ms (min–max)", "CPU ms", "peak MB", ": python -c pass", ": rclip")
    return Table("Cold query", head, rows, notes)


def _row(name: str, command: ColdCommand, measured: Measured) -> tuple[str, ...]:
    series = measured[name]
    peer = measured.get(_RCLIP + _EVICTED if name.endswith(_EVICTED) else _RCLIP)
    kept = command.runs[-len(series.values) :]  # without the warm-up
    return (
        name,
        series.shown(0, times=1e3),
        f"{Series([timed.cpu for timed in kept]).median * 1e3:,.0f}",
        f"{max(timed.peak for timed in kept) / 1e6:,.0f}",
        series.over(measured[_BARE]).shown(1),
        "" if peer is None or series is peer else series.over(peer).shown(2),
    )


def _ask(bench: Bench, arguments: Sequence[str]) -> Timed:
    return bench.stopwatch.run([*COMMAND, "search", *arguments], environment=bench.environment)


def _search(bench: Bench, gallery: Gallery, texts: Iterator[str]) -> Timed:
    return _ask(bench, [next(texts), "--gallery", str(gallery.path)])


def _rclip_commands(bench: Bench, rclip: Rclip, texts: Iterator[str]) -> dict[str, ColdCommand]:
    """rclip on pictures that it has really indexed, because it has no other way to get vectors."""
    pictures = bench.data.pictures("small", bench.sizes.small)

    def prepare(folder: Path) -> None:
        rclip.ask(bench.stopwatch, rclip.scratch(folder), pictures, next(texts), check=True)

    data = bench.data.made(f"rclip-{bench.sizes.small}", prepare)
    command = ColdCommand(lambda: rclip.ask(bench.stopwatch, data, pictures, next(texts)))
    evicted = ColdCommand(command.run, partial(_evict, _files_below(data)))
    return {_RCLIP: command, _RCLIP + _EVICTED: evicted}


def _texts() -> Iterator[str]:
    """Texts that were not searched before, so that no cached query answers."""
    number = 0
    while True:
        yield f"{_WORDS[number % len(_WORDS)]} {number}"
        number += 1


def _files_below(folder: Path) -> list[Path]:
    """Follows linked folders, which ``Path.rglob`` does not do everywhere."""
    return [Path(path, name).resolve() for path, _, names in os.walk(folder, followlinks=True) for name in names]


def _evict(files: Iterable[Path]) -> None:
    """Ask the kernel to drop the files' pages (on Linux; elsewhere, and if other processes map them, they stay)."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in files:
        if path.exists():  # SQLite's journals may have been removed
            with path.open("rb") as file:
                os.fsync(file.fileno())  # unwritten pages would stay
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _warm(bench: Bench, searched: Sequence[Searched]) -> Table:
    rows = []
    foreign: list[float | None] = []
    for one in searched:
        tell(f"warm queries: {one.name}")
        found = measure_warm(bench, one.gallery)
        foreign += found.foreign
        rows.append((one.name, *(found[name].shown(2, times=1e3) for name in ("p50", "p99"))))
    notes = [
        f"{bench.sizes.queries} queries a round, each with new words, in a process with one BLAS thread.",
        "Text tower, index, catalog, and a look at each hit's file.",
        foreign_note(foreign),
    ]
    return Table("Warm query", ("engine", "p50 ms (min–max)", "p99 ms (min–max)"), rows, notes)
