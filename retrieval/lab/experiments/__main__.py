"""``python -m retrieval.lab.experiments NAME``: run an experiment, print its table and what it shows."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from retrieval import program
from retrieval.errors import SettingsError
from retrieval.lab.experiments import EXPERIMENTS
from retrieval.logs import log_to_stderr

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(epilog="  ".join(EXPERIMENTS))
def experiment(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Tiny ImageNet (its train/), or class folders; default: drawn."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds: only to see that it runs.")] = False,
    seeds: Annotated[int | None, typer.Option("--seeds", min=2, help="How often everything is trained.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=2, help="Of a training.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the table: a .svg, .html or .png file.")] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="masking: a .png of what is hidden and made up.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the section of docs/account.md.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The tables as one JSON object.")] = False,
) -> None:
    """Run an experiment: real training with several seeds, a table with intervals, and what it shows."""
    from retrieval.lab.evaluation.chart_files import check_chart_path, write_chart
    from retrieval.lab.evaluation.tables import write_report
    from retrieval.lab.experiments.data import load
    from retrieval.lab.experiments.page import check_page, save_picture, write_section
    from retrieval.lab.experiments.setting import FULL, QUICK

    if name not in EXPERIMENTS:
        raise SettingsError(f"no experiment is called {name!r}", f"use one of {', '.join(EXPERIMENTS)}")
    if picture is not None and (name != "masking" or picture.suffix.lower() != ".png"):
        raise SettingsError(f"{name} cannot write {picture}", "--picture FILE.png is for masking")
    if plot is not None:
        check_chart_path(plot)
    if page is not None:
        check_page(page, name)
    setting = QUICK if quick else FULL
    setting = replace(setting, seeds=seeds or setting.seeds, steps=steps or setting.steps)
    module, _, function = EXPERIMENTS[name].target.partition(":")
    begun = time.perf_counter()
    loaded = load(data, setting, side=round(EXPERIMENTS[name].margin * setting.size))
    found = getattr(importlib.import_module(module), function)(loaded, setting)
    found.report.about["seconds"] = time.perf_counter() - begun
    title = EXPERIMENTS[name].question
    write_report(found.report, "json" if as_json else "table", sys.stdout)
    if plot is not None:
        write_chart(found.chart.shapes(title), plot, title=title, table=found.report.tables[0])
    if picture is not None:
        save_picture(found, picture)
    if page is not None:
        write_section(page, name, title, found, are_ours=data is None)


def main() -> None:
    """Run the command line: one line on stderr per training; errors have two lines, as everywhere."""
    log_to_stderr(logging.INFO)
    program.begin()
    with program.errors_in_two_lines():
        program.begin_work()
        app()


if __name__ == "__main__":
    main()
