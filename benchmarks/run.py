"""``make bench``: measure this machine and print tables side by side.

All progress goes to stderr, all results to stdout; ``--write`` also stores them in ``benchmarks/RESULTS.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from benchmarks.machine import machine_table
from benchmarks.measure import tell
from benchmarks.settings import QUICK, RANDOM, SERVING, Bench, Sizes
from benchmarks.stopwatch import Stopwatch
from benchmarks.tables import Table, sections
from retrieval.errors import RetrievalError

PARTS = {
    "stages": ("benchmarks.stages", "stage_tables"),
    "encoder": ("benchmarks.encoder", "encoder_tables"),
    "reindex": ("benchmarks.reindex", "reindex_tables"),
    "query": ("benchmarks.query", "query_tables"),
    "memory": ("benchmarks.memory", "memory_tables"),
    "vectors": ("benchmarks.vectors", "vector_tables"),
    "gpu": ("benchmarks.gpu", "gpu_tables"),
}
"""Part -> module and function; a module is imported when its part is requested."""

_ONLY_WHEN_NAMED = {"gpu"}

RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print; 0 if every part ran, 2 for wrong use, else the exit code of photoseek's error."""
    parser = _parser()
    given = parser.parse_args(arguments)
    wanted = [part for part in PARTS if part in given.only.split(",")] if given.only else _default_parts()
    if unknown := set(filter(None, given.only.split(","))) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds needs at least 1")
    with Stopwatch() as stopwatch:
        try:
            bench = _bench(given, wanted, stopwatch)
        except ValueError as error:
            parser.error(str(error))
        try:
            tables = _measured(bench, wanted)
        except RetrievalError as error:
            tell(f"{error.message}\n{error.hint}")
            return error.exit_code
    if given.write:
        write_results(tables, RESULTS)
        tell(f"written to {RESULTS}")
    return 0


def write_results(tables: Sequence[Table], path: Path) -> None:
    """Write a file of results; those of ``benchmarks.serve``, and figures of the other kind of CPU, are kept."""
    before = sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = [text for title, text in before.items() if title.startswith((SERVING, "AVX2 only"))]
    path.write_text("# Results\n\n" + "\n".join([*(t.to_markdown() for t in tables), *kept]), encoding="utf-8")


def _measured(bench: Bench, wanted: Sequence[str]) -> list[Table]:
    tables = [machine_table()]
    print(tables[0].to_markdown(), flush=True)
    for part in wanted:
        module, function = PARTS[part]
        measure: Callable[[Bench], list[Table]] = getattr(import_module(module), function)
        for table in measure(bench):
            tables.append(table)
            print(table.to_markdown(), flush=True)
    return tables


def _default_parts() -> list[str]:
    return [part for part in PARTS if part not in _ONLY_WHEN_NAMED]


def _bench(given: argparse.Namespace, wanted: Sequence[str], stopwatch: Stopwatch) -> Bench:
    """The requested benchmark; raises ValueError for folders and commands that do not exist."""
    # After the stopwatch has been started: these modules are large, and its process should stay small.
    from benchmarks.data import Data
    from benchmarks.peer import found_rclip

    if given.photos is not None and not given.photos.is_dir():
        raise ValueError(f"there is no folder {given.photos}")
    rclip = found_rclip(given.rclip, given.rclip_data)
    data = Data(given.data or cache_folder())
    sizes = QUICK if given.quick else Sizes()
    if given.million:
        sizes = replace(sizes, vectors=(*sizes.vectors, 1_000_000))
    model = given.model or ("builtin-224" if given.quick else RANDOM)
    if model == RANDOM and wanted != ["gpu"]:  # which makes its own, for torch
        model = str(data.random_model())
    rounds = given.rounds or (1 if given.quick else 5)
    return Bench(data, model, given.photos, sizes, rounds, stopwatch, rclip)


def cache_folder() -> Path:
    """The folder of test data, unless another one is given."""
    from platformdirs import user_cache_path

    return user_cache_path("photoseek") / "benchmarks"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    add = parser.add_argument
    add("--only", metavar="PART,...", default="", help=f"some of: {', '.join(PARTS)}")
    add("--photos", metavar="FOLDER", type=Path, help="your own pictures for the stages, in place of generated ones")
    add("--model", metavar="NAME|FOLDER", default="", help=f"encoder; default: {RANDOM} (cost of ViT-B-32-256)")
    add("--rounds", type=int, metavar="N", help="alternating rounds (default 5)")
    add("--quick", action="store_true", help="tiny sizes, one round, built-in model: does everything work?")
    add("--million", action="store_true", help="also search 1,000,000 vectors (needs 6 GB of memory)")
    add("--data", metavar="DIR", type=Path, help="where test data is kept (default: your cache folder; 2 GB)")
    add("--rclip", metavar="COMMAND", type=Path, help="an rclip to measure beside photoseek")
    add("--rclip-data", metavar="DIR", type=Path, help="rclip's data folder, with its model in it")
    add("--write", action="store_true", help=f"also write {RESULTS.relative_to(RESULTS.parent.parent)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
