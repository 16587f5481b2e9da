"""Peak memory of whole indexing runs: it must not grow with the folder."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import SIDES, Kind
from benchmarks.measure import ForeignMeter, foreign_note, tell
from benchmarks.settings import COMMAND, Bench
from benchmarks.stopwatch import Timed
from benchmarks.tables import Table


def memory_tables(bench: Bench) -> list[Table]:
    """Peak resident memory of ``photoseek index`` in a fresh process, against one picture with the same model."""
    runs: list[tuple[str, Kind, int]] = [("builtin-224", "thumbnail", count) for count in (1, *bench.sizes.memory)]
    runs += [(bench.model, "large", count) for count in dict.fromkeys((1, bench.sizes.large))]
    alone: dict[str, int] = {}
    rows = []
    meter = ForeignMeter()
    for model, kind, count in runs:
        name = f"{count:,} of {'x'.join(map(str, SIDES[kind]))}, {Path(model).name}"
        tell(f"memory: {name}")
        timed = _indexed(bench, model, bench.data.pictures(kind, count))
        growth = timed.peak - alone.setdefault(f"{model} {kind}", timed.peak)
        rows.append((name, f"{timed.peak / 1e6:,.0f}", f"{growth / 1e6:+,.0f}", f"{timed.wall:.1f}"))
    notes = [
        "One run each; the second column of figures is the growth over a single picture with the same model.",
        foreign_note([meter.share()]),
    ]
    head = ("pictures, model", "peak MB", "over 1 picture, MB", "seconds")
    return [Table("Memory of an indexing run", head, rows, notes)]


def _indexed(bench: Bench, model: str, pictures: Path) -> Timed:
    with bench.data.scratch() as gallery:
        arguments = ["index", str(pictures), "--gallery", str(gallery), "--model", model, "--quiet"]
        command = [*COMMAND, *arguments]
        return bench.stopwatch.run(command, environment=bench.environment)
