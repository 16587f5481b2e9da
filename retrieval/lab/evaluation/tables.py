"""Output of results: aligned columns or tabs for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Literal, TypeAlias

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.output import write_pairs
from retrieval.streams import printable

Cell: TypeAlias = str | int | float | Estimate | None
Form = Literal["table", "json", "csv"]


@dataclass(frozen=True)
class Table:
    """A table with a header.

    Attributes:
        name: its title; its key in JSON.
        head: names of the columns.
        rows: cells; None for empty ones.
    """

    name: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Report:
    """A result: how it was obtained, and its tables.

    Attributes:
        about: label -> value, e.g. the model and the number of pictures.
        tables: ``--csv`` writes the first one.
        notes: remarks for people.
    """

    about: dict[str, Cell]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)


def choose_form(*, as_json: bool, as_csv: bool) -> Form:
    """The requested form; raises SettingsError for both."""
    if as_json and as_csv:
        raise SettingsError("--json and --csv exclude each other", "give one of them")
    return "json" if as_json else "csv" if as_csv else "table"


def write_report(report: Report, form: Form, out: IO[str]) -> None:
    """Write a report: ``table`` for people (tabs if ``out`` is not a terminal), ``json`` one object, ``csv`` its first
    table with separate columns for the bounds of intervals."""
    if form == "json":
        json.dump(as_json(report), out, indent=1)
        out.write("\n")
    elif form == "csv":
        _write_csv(report.tables[0], out)
    else:
        write_pairs(((label, cell_text(value)) for label, value in report.about.items()), out)
        for table in report.tables:
            out.write(f"\n{printable(table.name)}\n")
            _write_table(table, out)
        if report.notes:
            out.write("\n" + "\n".join(map(printable, report.notes)) + "\n")


def as_json(report: Report) -> dict[str, object]:
    """The report as plain values: ``about``, and the rows of each table as objects by column."""
    body: dict[str, object] = {"about": {label: _plain(value) for label, value in report.about.items()}}
    for table in report.tables:
        body[table.name] = [
            {column: _plain(cell) for column, cell in zip(table.head, row, strict=True)} for row in table.rows
        ]
    return body | ({"notes": list(report.notes)} if report.notes else {})


def cell_text(cell: Cell) -> str:
    """A cell for people: ``0.425 (0.340-0.510)``, ``1,234``, empty for None."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        low, high = (_number(bound) for bound in (cell.low, cell.high))
        return f"{_number(cell.value)} ({low} to {high})"
    if isinstance(cell, float):
        return _number(cell)
    return f"{cell:,}" if isinstance(cell, int) else printable(cell)


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def _plain(cell: Cell) -> object:
    if isinstance(cell, Estimate):
        return {"value": _rounded(cell.value), "low": _rounded(cell.low), "high": _rounded(cell.high)}
    return _rounded(cell) if isinstance(cell, float) else cell


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None  # JSON has no infinity


def _write_table(table: Table, out: IO[str]) -> None:
    rows = [[printable(name) for name in table.head], *([cell_text(cell) for cell in row] for row in table.rows)]
    for line in _aligned(rows) if out.isatty() else ("\t".join(row) for row in rows):
        out.write(line.rstrip(" ") + "\n")


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _write_csv(table: Table, out: IO[str]) -> None:
    wide = [any(isinstance(row[at], Estimate) for row in table.rows) for at in range(len(table.head))]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [name for head, is_wide in zip(table.head, wide, strict=True)
         for name in ((head, f"{head} low", f"{head} high") if is_wide else (head,))]
    )  # fmt: skip
    for row in table.rows:
        cells: list[object] = []
        for cell, is_wide in zip(row, wide, strict=True):
            if isinstance(cell, Estimate):
                cells += [_rounded(part) for part in cell]
            else:
                cells += [_plain(cell), *(["", ""] if is_wide else [])]
        writer.writerow(cells)
