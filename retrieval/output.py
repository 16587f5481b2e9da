"""Output of results: a table for people, lines for programs. Functions write to the stream they are given."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from retrieval.errors import SettingsError
from retrieval.paths import as_text
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.indexing.report import IndexReport
    from retrieval.labels.reading import ImageLabels
    from retrieval.search.engine import Hit
    from retrieval.search.pages import Page

HitFormat = Literal["table", "plain", "json", "csv", "paths", "null"]

_COLUMNS = (
    "rank", "score", "relevance", "burst", "path", "id", "taken_at", "added_at", "camera", "lens", "iso", "aperture",
    "exposure", "focal_length", "latitude", "longitude", "width", "height", "format", "bytes", "tags",
    "predicted_tags", "captions", "rating",
)  # fmt: skip
"""Of CSV."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # as wide letters, too


def choose_format(
    out: IO[str], *, as_json: bool = False, as_csv: bool = False, paths: bool = False, null: bool = False
) -> HitFormat:
    """The format that was asked for, else a table on a terminal and plain lines elsewhere.

    Raises:
        SettingsError: more than one was asked for.
    """
    asked: list[HitFormat] = []
    if as_json:
        asked.append("json")
    if as_csv:
        asked.append("csv")
    if paths:
        asked.append("paths")
    if null:
        asked.append("null")
    if len(asked) > 1:
        raise SettingsError("--json, --csv, --paths and --null exclude each other", "give one of them")
    return asked[0] if asked else "table" if out.isatty() else "plain"


def write_hits(
    hits: Sequence[Hit], form: HitFormat, out: IO[str], said: Mapping[int, ImageLabels] | None = None
) -> None:
    """Write hits to ``out``.

    ``table`` is for a terminal (paths can be clicked), ``plain`` has tabs, ``json`` is an object a line, ``csv`` is for
    spreadsheets (see :func:`write_csv`), ``paths`` and ``null`` are bare paths ended by a newline or a NUL, byte for
    byte as on disk.

    Args:
        said: id -> what is said about the picture, for ``json`` and ``csv``.
    """
    if form == "table":
        _write_table(hits, out)
    elif form == "plain":
        for hit in hits:
            note = f"\t+{hit.burst}" if hit.burst else ""
            out.write(f"{hit.rank}\t{score_text(hit.score, 4)}\t{printable(hit.image.path)}{note}\n")
    elif form == "json":
        for hit in hits:
            out.write(json.dumps(as_json(hit, None if said is None else said.get(hit.image.id))) + "\n")
    elif form == "csv":
        values = (as_json(hit, (said or {}).get(hit.image.id)) for hit in hits)
        write_csv(_COLUMNS, ([each.get(name) for name in _COLUMNS] for each in values), out)
    else:
        end = b"\0" if form == "null" else b"\n"
        out.flush()
        raw = out.buffer if hasattr(out, "buffer") else None
        for hit in hits:
            line = os.fsencode(hit.image.path) + end
            if raw is None:
                out.write(os.fsdecode(line))
            else:
                raw.write(line)
        if raw is not None:
            raw.flush()


def as_json(hit: Hit, said: ImageLabels | None = None) -> dict[str, object]:
    """A hit as plain values; paths that are not valid text keep their bytes as ``\\udcXX`` escapes.

    Args:
        said: what is said about the picture, if that is to be in it, too.
    """
    image = hit.image
    values: dict[str, object] = {
        "rank": hit.rank,
        "score": round(hit.score, 6) if hit.score == hit.score else None,
        "path": image.path,
        "id": image.id,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "bytes": image.size,
        "taken_at": image.taken_text(),
        "camera": image.camera,
        "lens": image.lens,
        "iso": image.iso,
        "aperture": image.aperture,
        "exposure": image.exposure,
        "focal_length": image.focal_length,
        "latitude": image.latitude,
        "longitude": image.longitude,
        "on_disk": hit.on_disk,
        "relevance": None if hit.relevance is None else round(hit.relevance, 4),
        "burst": hit.burst,
    }
    if said is not None:
        values["tags"] = list(dict.fromkeys(tag.text for tag in said.tags))
        values["predicted_tags"] = [predicted.tag for predicted in said.predicted]
        values["captions"] = list(dict.fromkeys(caption.text for caption in said.captions))
        values["rating"] = said.rating
        values["added_at"] = said.added_at
    return values


def score_text(score: float, digits: int) -> str:
    """A score in figures; empty where nothing was looked for."""
    return f"{score:.{digits}f}" if score == score else ""


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], out: IO[str]) -> None:
    """Rows with a head, as RFC 4180 has them; several values in one cell have a semicolon between them.

    Files, cameras and tags are named by strangers: a text that a spreadsheet would take for a formula gets an
    apostrophe before it (OWASP, "CSV injection"), which spreadsheets do not show.
    """
    import csv

    table = csv.writer(out)
    table.writerow(columns)
    table.writerows([cell(value) for value in row] for row in rows)


def cell(value: object) -> object:
    """A value as a spreadsheet may read it, see :func:`write_csv`."""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = as_text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_next(page: Page, out: IO[str]) -> None:
    """The last line of a page in JSON: the cursor of the next one, and how many hits there are where that is known."""
    out.write(json.dumps({"next": page.next, "total": page.total}) + "\n")


def _write_table(hits: Sequence[Hit], out: IO[str]) -> None:
    from rich.console import Console
    from rich.style import Style
    from rich.table import Table
    from rich.text import Text

    with_dates = any(hit.image.taken_at is not None for hit in hits)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("rank", justify="right")
    with_scores = any(hit.score == hit.score for hit in hits)
    if with_scores:
        table.add_column("score", justify="right")
    with_relevance = any(hit.relevance is not None for hit in hits)
    if with_relevance:
        table.add_column("relevance", justify="right")
    if with_dates:
        table.add_column("taken")
    table.add_column("path", overflow="fold")
    for hit in hits:
        path = Text(printable(hit.image.path), Style(link=file_uri(hit.image.path)))
        if hit.burst:
            path.append(f"  +{hit.burst}", "dim")
        taken = (hit.image.taken_text() or "")[:10]
        cells: list[str | Text] = [str(hit.rank), *([score_text(hit.score, 3)] if with_scores else [])]
        if with_relevance:
            cells.append("" if hit.relevance is None else f"{hit.relevance:.2f}")
        table.add_row(*cells, *([taken] if with_dates else []), path)
    Console(file=out, soft_wrap=True, highlight=False).print(table)


def file_uri(path: str) -> str:
    """``file:///...`` for a link that a terminal opens."""
    return Path(path).as_uri()


def report_rows(report: IndexReport) -> list[tuple[str, str]]:
    """The summary of a run as (label, value) pairs; nothing that did not happen is listed."""
    counts = report.counts
    total = report.seconds["total"]
    rows = [("model", report.encoder)]
    labels = (
        ("new", counts.added),
        ("changed", counts.updated),
        ("encoded by this model", counts.encoded_again),
        ("read again, same content", counts.verified),
        ("moved or renamed", counts.moved),
        ("restored", counts.restored),
        ("missing", counts.retired),
        ("unchanged", report.unchanged),
        ("failed", counts.failed),
    )
    rows += [(label, f"{count:,}") for label, count in labels if count]
    if report.adapted:
        rows.append(("adapted", f"{report.adapted:,} (from stored embeddings, no picture read)"))
    if report.damaged:
        rows.append(("damaged in the catalog", f"{report.damaged:,} (read again if the files exist)"))
    if report.decoded_on:
        left = report.decoded_on.left_to_cpu
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(left.items()))
        on_cpu = f"; decoded on the CPU: {reasons}" if reasons else ""
        rows.append((f"decoded on {report.decoded_on.device}", f"{report.decoded_on.pictures:,}{on_cpu}"))
    if report.reused:
        rows.append(("embedding re-used", f"{report.reused:,} (same bytes as a known picture)"))
    if report.passed_over:
        from retrieval.pictures.passed_over import in_words

        kinds = "; ".join(f"{kind} {count}" for kind, count in in_words(report.passed_over))
        rows.append(("skipped files", kinds))
    if report.decoder_lines:
        lines = plural(report.decoder_lines, "line")
        rows.append(("decoder messages", f"{lines} about damaged pictures; the first: {report.decoder_first}"))
    rows.append(("pictures after the run" if report.is_dry_run else "pictures in the gallery", f"{report.images:,}"))
    if report.index:
        rows.append(("index", report.index))
    rate = f", {report.encoded / total:.1f} images/s" if report.encoded and total else ""
    rows.append(("time", f"{total:.1f} s{rate}"))
    return rows


def profile_rows(report: IndexReport, workers: int) -> list[tuple[str, str]]:
    """Seconds and share per stage, and the stage that limits; threads' seconds are divided by ``workers``."""
    threads = ("read", "decode", "encode")
    wall = {s: t / (workers if s in threads else 1) for s, t in report.seconds.items() if s != "total"}
    total = sum(wall.values()) or 1.0
    ordered = sorted(wall.items(), key=lambda item: -item[1])
    rows = [(stage, f"{seconds:8.2f} s  {100 * seconds / total:5.1f} %") for stage, seconds in ordered]
    return [*rows, ("bottleneck", ordered[0][0])] if ordered else rows


def nothing_indexed(failures: int, passed_over: Mapping[str, Mapping[str, int]]) -> str:
    """Why a gallery is empty although folders were indexed, in one line."""
    from retrieval.pictures.passed_over import in_words

    reasons = []
    if failures:
        reasons.append(f"{plural(failures, 'file')} could not be read (photoseek info --failures)")
    reasons += [f"{kind} {count}" for kind, count in in_words(passed_over)]
    return "no picture could be indexed: " + ("; ".join(reasons) if reasons else "the folders contain none")


def write_pairs(rows: Iterable[tuple[str, str]], out: IO[str]) -> None:
    """Two aligned columns; nothing in them steers a terminal."""
    rows = [(printable(label), printable(value)) for label, value in rows]
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        out.write(f"{label:<{width}}  {value}\n")


def counts_text(counts: Mapping[str, int], shown: int = 10) -> str:
    """Tags with their counts, most frequent first, cut with the number of those that are left out."""
    first = ", ".join(f"{printable(tag)} {count:,}" for tag, count in list(counts.items())[:shown])
    rest = len(counts) - shown
    return f"{first}, and {rest:,} more" if rest > 0 else first


def human_bytes(count: int) -> str:
    """``1.5 MB``: decimal units, as file managers show them."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
