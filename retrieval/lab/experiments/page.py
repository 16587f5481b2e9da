"""A section of ``docs/account.md``, written by its experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from retrieval.encoders.files.checks import write_atomically
from retrieval.errors import SettingsError
from retrieval.lab.evaluation.chart_files import to_svg
from retrieval.lab.evaluation.tables import Report, Table, cell_text
from retrieval.lab.experiments.outcome import Outcome

OTHERS = "The picture is of a run on drawn pictures, since others' pictures are not ours to pass on."


def marks(name: str) -> tuple[str, str]:
    """The lines before and after an experiment's section."""
    return f"<!-- {name}: written by python -m retrieval.lab.experiments {name} --page -->", f"<!-- end of {name} -->"


def check_page(page: Path, name: str) -> None:
    """Raise SettingsError unless the page has a section for the experiment; called before the work is done."""
    _parts(page, name)


def write_section(page: Path, name: str, title: str, outcome: Outcome, *, are_ours: bool) -> None:
    """Put tables, conclusions, chart and pictures into the page, replacing those of the last run.

    Args:
        page: with the lines of :func:`marks`; drawings go to a folder next to it with the same name.
        are_ours: the experiment used its own drawn pictures. With other people's pictures, none are saved next to the
            page: a picture from an earlier run on drawn ones is kept.

    Raises:
        SettingsError: the page cannot be read, has no such lines, or cannot be written.
    """
    before, after = _parts(page, name)
    folder = page.with_suffix("")
    try:
        folder.mkdir(exist_ok=True)
        drawing = folder / f"{name}.svg"
        write_atomically(drawing, to_svg(outcome.chart.shapes(title)))
        images = [drawing]
        shown = folder / f"{name}.png"
        if outcome.pictures is not None and are_ours:
            save_picture(outcome, shown)
        if outcome.pictures is not None and shown.exists():
            images.append(shown)
        notes = outcome.report.notes if are_ours or shown not in images else (*outcome.report.notes, OTHERS)
        paths = [f"{folder.name}/{image.name}" for image in images]
        body = "\n\n".join(_section(outcome.report, notes, title, paths))
        first, last = marks(name)
        write_atomically(page, f"{before}{first}\n\n{body}\n\n{last}{after}")
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(page, error, "name another page") from error


def save_picture(outcome: Outcome, path: Path) -> None:
    """Write the pictures to look at as a PNG; raises SettingsError if that fails."""
    assert outcome.pictures is not None
    try:
        outcome.pictures.save(path, "PNG")
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(path, error, "name another file") from error


def _parts(page: Path, name: str) -> tuple[str, str]:
    first, last = marks(name)
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {page}: {error}", "give docs/account.md or a copy of it") from error
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not found or not closed:
        raise SettingsError(f"{page} has no place for {name}", f"put these two lines into it: {first} {last}")
    return before, after


def _section(report: Report, notes: Sequence[str], title: str, images: Sequence[str]) -> Iterator[str]:
    yield "; ".join(f"{label}: {cell_text(value)}" for label, value in report.about.items()) + "."
    for table in report.tables:
        yield "\n".join(_lines(table))
    yield from notes
    for image in images:
        yield f"![{title}]({image})"


def _lines(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.head)} |"
    yield f"|{'---|' * len(table.head)}"
    for row in table.rows:
        yield f"| {' | '.join(cell_text(cell).replace('|', '/') for cell in row)} |"
