"""A server under load: response times, throughput, and whether its memory stays constant.

::

    python -m benchmarks.serve                          50 people, 100,000 photos, twice 60 seconds
    python -m benchmarks.serve --clients 5 --seconds 2 --photos 500
    python -m benchmarks.serve --write                  also into benchmarks/RESULTS.md

All progress goes to stderr, all results to stdout.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare import STAGES, bare_seconds
from benchmarks.data import Data
from benchmarks.galleries import photo_gallery
from benchmarks.load import KINDS
from benchmarks.machine import machine_table
from benchmarks.measure import ForeignMeter, foreign_note, percentile, tell
from benchmarks.run import RESULTS, cache_folder
from benchmarks.served import Served
from benchmarks.settings import ROOT, SERVING
from benchmarks.tables import Table, sections
from retrieval.encoders.registry import load_encoder

_WARM_UP_S = 3.0
_BARE_QUERIES = 300


@dataclass(frozen=True)
class Asked:
    """The size of a measurement.

    Attributes:
        clients: number of concurrent users.
        seconds: of each phase.
        pause: mean seconds between a response and the next request, in the phase where users pause.
    """

    clients: int
    seconds: float
    photos: int
    pause: float
    model: str


@dataclass(frozen=True)
class Phase:
    """The results of one phase, and the server's part.

    Attributes:
        load: the output of ``benchmarks.load``.
        cpu: seconds of the server's CPU; None if the system does not report it.
        foreign: share of the machine used by other processes than server and clients; None: unknown.
    """

    name: str
    load: dict[str, Any]
    cpu: float | None
    foreign: float | None


def serve_tables(asked: Asked, data: Data) -> list[Table]:
    """Start a server on a copy of the gallery, send requests, and measure the bare search for comparison."""
    encoder = load_encoder(asked.model)
    made = photo_gallery(data, asked.photos, encoder)
    with data.scratch() as scratch:
        gallery = Path(shutil.copytree(made.path, scratch / "gallery"))  # thumbnails and texts will be written to it
        with Served(gallery) as served:
            memory = [("ready", served.memory())]
            _ask(asked, served, "warming up", _WARM_UP_S, 0.0, seed=9)
            memory.append(("woken", served.memory()))
            phases = []
            for seed, (name, pause) in enumerate((("without a pause", 0.0), ("as people do", asked.pause))):
                phases.append(_ask(asked, served, name, asked.seconds, pause, seed=seed))
                memory.append((f"after {asked.seconds:g} s {name}", served.memory()))
        tell("the bare search")
        meter = ForeignMeter()
        bare = bare_seconds(gallery, _BARE_QUERIES)
        foreign = meter.share()
    return [_waits(asked, phases), _memory(memory, asked), _bare(bare, foreign, asked)]


def _ask(asked: Asked, served: Served, name: str, seconds: float, pause: float, *, seed: int) -> Phase:
    tell(f"{asked.clients} clients, {seconds:g} s {name}")
    command = [
        sys.executable, "-m", "benchmarks.load", served.url, "--clients", str(asked.clients), "--seconds", str(seconds),
        "--pause", str(pause), "--photos", str(asked.photos), "--seed", str(seed),
    ]  # fmt: skip
    meter, before = ForeignMeter(), served.cpu()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    after = served.cpu()
    cpu = None if before is None or after is None else after - before
    load = json.loads(done.stdout)
    return Phase(name, load, cpu, meter.share(cpu or 0.0))


def _waits(asked: Asked, phases: Sequence[Phase]) -> Table:
    rows, notes = [], []
    for phase in phases:
        load = phase.load
        for kind in KINDS:
            if kind in load["kinds"]:
                found = load["kinds"][kind]
                rate = found["count"] / load["wall"]
                rows.append((f"{phase.name}: {kind}", f"{found['count']:,}", *_ms(found), f"{rate:,.1f}"))
        rows.append((f"{phase.name}: all", f"{_count(load):,}", "", "", "", f"{_count(load) / load['wall']:,.1f}"))
        notes.append(_note(phase))
    shares = ", ".join(f"{share} % {kind}" for kind, share in KINDS.items())
    notes += [
        f"{shares}. Each asks again when it has its answer; 'as people do' after {asked.pause:g} s in the mean.",
        "Clients in one process, on loopback. Texts by Zipf's law from 2,000, others in each phase; lists of 100 hits.",
        "Thumbnails are made on first sight, of 1,000 different pictures of 500 x 375.",
        f"{asked.model}, embeddings are random; {_machine()}",
        foreign_note([phase.foreign for phase in phases]),
    ]
    head = ("what", "answers", "p50 ms", "p99 ms", "max ms", "a second")
    return Table(f"{SERVING}: {asked.clients} clients, {asked.photos:,} photos", head, rows, notes)


def _note(phase: Phase) -> str:
    load = phase.load
    used = "not known" if phase.cpu is None else f"{phase.cpu / load['wall']:.2f} cores"
    errors = f"; {load['shown_errors']}" if load["errors"] else ""
    return (
        f"{phase.name}: {load['errors']} errors{errors}; {load['refused']} refused with 503; CPU of the server {used},"
        f" of the clients {load['cpu'] / load['wall']:.2f} cores."
    )


def _count(load: dict[str, Any]) -> int:
    return sum(kind["count"] for kind in load["kinds"].values())


def _ms(found: dict[str, float]) -> tuple[str, ...]:
    return tuple(f"{found[name] * 1e3:,.1f}" for name in ("p50", "p99", "max"))


def _memory(memory: Sequence[tuple[str, int | None]], asked: Asked) -> Table:
    first = memory[1][1]  # after warm-up: model, index and first answers are loaded
    rows = []
    for name, size in memory:
        growth = "" if size is None or first is None else f"{(size - first) / 1e6:+,.0f}"
        rows.append((name, "not known" if size is None else f"{size / 1e6:,.0f}", growth))
    note = "Resident memory of the server's process; memory-mapped files count as far as they were read."
    return Table(f"{SERVING}: memory, {asked.photos:,} photos", ("when", "MB", "over woken, MB"), rows, [note])


def _bare(bare: dict[str, list[float]], foreign: float | None, asked: Asked) -> Table:
    rows = [(stage, *(f"{percentile(bare[stage], share) * 1e3:,.2f}" for share in (0.5, 0.99))) for stage in STAGES]
    notes = [f"{_BARE_QUERIES} new texts, one at a time, one thread, no HTTP.", foreign_note([foreign])]
    return Table(f"{SERVING}: the bare search, {asked.photos:,} photos", ("stage", "p50 ms", "p99 ms"), rows, notes)


def _machine() -> str:
    known = {row[0]: row[1] for row in machine_table().rows}
    return f"{known['CPU']}, {known['cores']} cores, {known['date']}."


def write_sections(tables: Sequence[Table], path: Path) -> None:
    """Put tables into a file of results, replacing those with the same title."""
    found = sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    found |= {table.title: table.to_markdown() for table in tables}
    path.write_text("# Results\n\n" + "\n".join(found.values()), encoding="utf-8")


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Measure and print; 0 without errors, 1 if a request failed for another reason than a full server."""
    given = _parser().parse_args(arguments)
    asked = Asked(given.clients, given.seconds, given.photos, given.pause, given.model)
    say(machine_table().to_markdown())
    tables = serve_tables(asked, Data(given.data or cache_folder()))
    for table in tables:
        say(table.to_markdown())
    if given.write:
        write_sections(tables, RESULTS)
        tell(f"written to {RESULTS}")
    return 0 if all(" 0 errors;" in note for note in tables[0].notes[:2]) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--clients", type=int, default=50, help="people at once (default 50)")
    add("--seconds", type=float, default=60.0, help="of each of the two phases (default 60)")
    add("--photos", type=int, default=100_000, help="in the gallery (default 100,000)")
    add("--pause", type=float, default=2.0, help="mean seconds that people think in the second phase (default 2)")
    add("--model", metavar="NAME|FOLDER", default="builtin-224", help="encoder (default builtin-224)")
    add("--data", metavar="DIR", type=Path, help="where test data is kept (default: your cache folder)")
    add("--write", action="store_true", help=f"also write {RESULTS.relative_to(RESULTS.parent.parent)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
