"""One text query: a whole cold process as a person starts it, and a warm engine that stays open."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.galleries import made_gallery
from benchmarks.measure import Measured, Series, alternate, foreign_note, tell
from benchmarks.peer import Rclip
from benchmarks.settings import CLI, Bench
from benchmarks.stopwatch import Stopwatch, Timed
from benchmarks.tables import Table
from benchmarks.warm import measure_warm
from retrieval.encoders.load import load_encoder
from retrieval.gallery import Gallery

_BARE = "python -c pass"
_HELP = "search --help"
_RCLIP = "rclip"
_WORDS = ("a red bird", "two dogs on a beach", "snow on mountains", "a plate of food", "an old street at night")


@dataclass
class ColdCommand:
    """A command whose every run is timed; its value in a round is its wall time."""

    run: Callable[[], Timed]
    before: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.runs: list[Timed] = []

    def __call__(self) -> float:
        self.before()
        self.runs.append(self.run())
        return self.runs[-1].wall


def query_tables(bench: Bench) -> list[Table]:
    """Cold commands, alternating with a bare interpreter and the peer; then warm queries."""
    models = dict.fromkeys(("builtin-64", bench.model))
    galleries = {
        (Path(model).name, count): made_gallery(bench.data, count, load_encoder(model))
        for model in models
        for count in bench.sizes.galleries
    }
    return [_cold(bench, galleries, [Path(model) for model in models]), _warm(bench, galleries)]


Galleries = dict[tuple[str, int], Gallery]


def _cold(bench: Bench, galleries: Galleries, models: list[Path]) -> Table:
    tell("cold queries")
    commands = {
        _BARE: ColdCommand(lambda: bench.stopwatch.run([sys.executable, "-c", "pass"])),
        _HELP: ColdCommand(partial(_ask, bench.stopwatch, bench.data.models, ["--help"])),
    }
    texts = _texts()
    for (model, count), gallery in galleries.items():
        command = partial(_search, bench.stopwatch, bench.data.models, gallery, texts)
        name = f"search, {model}, {count:,} pictures"
        commands[name] = ColdCommand(command)
        files = [*_files_below(gallery.path), *(f for path in models if path.name == model for f in _files_below(path))]
        evict = partial(_evict, files)
        commands[f"{name}, evicted"] = ColdCommand(command, evict)
    if bench.rclip is not None:
        commands |= _rclip_commands(bench, bench.rclip, texts)
    measured = alternate(commands, bench.rounds)
    rows = [_row(name, commands[name], measured) for name in measured]
    head = ("command", "wall ms (min–max)", "CPU ms", "peak MB", ": python -c pass", ": rclip")
    notes = [
        (
            "Whole processes, command line and printing included; every query has new words. CPU is the median, peak the "
            "maximum. Evicted: the gallery's and the model's files were not in the page cache."
        ),
        measured.foreign_note(),
    ]
    return Table("Cold query", head, rows, notes)


def _row(name: str, command: ColdCommand, measured: Measured) -> tuple[str, ...]:
    series = measured[name]
    peer = measured.get(f"{_RCLIP}, evicted" if name.endswith("evicted") else _RCLIP)
    kept = command.runs[-len(series.values) :]  # the warm-up came first
    cpu = Series([timed.cpu for timed in kept])
    return (
        name,
        series.shown(0, times=1e3),
        f"{cpu.median * 1e3:,.0f}",
        f"{max(timed.peak for timed in kept) / 1e6:,.0f}",
        series.over(measured[_BARE]).shown(1),
        "" if peer is None or series is peer else series.over(peer).shown(2),
    )


def _ask(stopwatch: Stopwatch, models: Path, arguments: list[str]) -> Timed:
    command = [sys.executable, str(CLI), "search", *arguments]
    return stopwatch.run(command, environment={"PHOTOSEEK_MODELS": str(models)})


def _search(stopwatch: Stopwatch, models: Path, gallery: Gallery, texts: Iterable[str]) -> Timed:
    return _ask(stopwatch, models, [next(iter(texts)), "--gallery", str(gallery.path)])


def _rclip_commands(bench: Bench, rclip: Rclip, texts: Iterable[str]) -> dict[str, ColdCommand]:
    """rclip over pictures that it has really indexed: it has no other way to get vectors."""
    pictures = bench.data.pictures("small", bench.sizes.small)
    data = bench.data.made("rclip", lambda folder: _indexed(bench.stopwatch, rclip, folder, pictures))
    command = partial(_rclip_search, bench.stopwatch, rclip, data, pictures, texts)
    evict = partial(_evict, _files_below(data))
    return {_RCLIP: ColdCommand(command), f"{_RCLIP}, evicted": ColdCommand(command, evict)}


def _indexed(stopwatch: Stopwatch, rclip: Rclip, folder: Path, pictures: Path) -> None:
    rclip.ask(stopwatch, rclip.scratch(folder), pictures, "a dog", check=True)


def _rclip_search(stopwatch: Stopwatch, rclip: Rclip, data: Path, pictures: Path, texts: Iterable[str]) -> Timed:
    return rclip.ask(stopwatch, data, pictures, next(iter(texts)))


def _texts() -> Iterable[str]:
    """Words that were not asked for before, so that no remembered query answers."""
    number = 0
    while True:
        yield f"{_WORDS[number % len(_WORDS)]} {number}"
        number += 1


def _files_below(folder: Path) -> list[Path]:
    return [path.resolve() for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _evict(files: Iterable[Path]) -> None:
    """Ask the kernel to forget the files' pages (Linux; elsewhere the pages stay)."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _warm(bench: Bench, galleries: Galleries) -> Table:
    rows = []
    foreign: list[float | None] = []
    for (model, count), gallery in galleries.items():
        tell(f"warm queries: {model}, {count:,} pictures")
        found = measure_warm(bench, gallery)
        foreign += found.foreign
        spans = [found[name].shown(2, times=1e3) for name in ("p50", "p99")]
        rows.append((f"{model}, {count:,} pictures", *spans))
    head = ("engine", "p50 ms (min–max)", "p99 ms (min–max)")
    notes = [
        (
            f"{bench.sizes.queries} queries a round, in a process of its own with one BLAS thread: text tower, index, "
            "catalog and a look at each hit's file."
        ),
        foreign_note(foreign),
    ]
    return Table("Warm query", head, rows, notes)
