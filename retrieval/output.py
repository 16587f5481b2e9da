"""Output of results: a table for people, lines for programs. Functions write to the stream they are given."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from retrieval.errors import SettingsError
from retrieval.paths import as_text, is_remote
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.catalog.records import ImageRecord
    from retrieval.indexing.report import IndexReport
    from retrieval.labels.reading import ImageLabels
    from retrieval.search.hits import Hit
    from retrieval.search.pages import Page

HitFormat = Literal["table", "plain", "json", "csv", "paths", "null"]

COLUMNS = (
    "rank", "score", "relevance", "burst", "path", "mates", "id", "taken_at", "added_at", "camera", "lens", "iso",
    "aperture", "exposure", "focal_length", "latitude", "longitude", "place", "width", "height", "format", "bytes",
    "duration_s", "time_s", "motion", "tags", "predicted_tags", "captions", "rating", "favourite",
    "albums",
)  # fmt: skip
"""The columns of CSV."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # including full-width forms


def choose_format(
    out: IO[str], *, as_json: bool = False, as_csv: bool = False, paths: bool = False, null: bool = False
) -> HitFormat:
    """The requested format, by default a table on a terminal and plain lines elsewhere.

    Raises:
        SettingsError: more than one was requested.
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
    hits: Sequence[Hit],
    form: HitFormat,
    out: IO[str],
    said: Mapping[int, ImageLabels] | None = None,
    *,
    explain: bool = False,
) -> None:
    """Write hits to ``out``.

    ``table`` is for a terminal (paths can be clicked), ``plain`` has tabs, ``json`` one object per line, ``csv`` is for
    spreadsheets (see :func:`write_csv`), ``paths`` and ``null`` are bare paths terminated by a newline or a NUL, byte
    for byte as on disk.

    Args:
        said: id -> labels of the picture, for ``json`` and ``csv``.
        explain: add a line that says why each hit was found, in ``table`` and ``plain``.
    """
    if form == "table":
        _write_table(hits, out, explain=explain)
    elif form == "plain":
        for hit in hits:
            note = (f"\t+{hit.burst}" if hit.burst else "") + "".join(f"\t{name}" for name in _mates(hit))
            path = printable(hit.image.path) + moment_text(hit.image)
            out.write(f"{hit.rank}\t{score_text(hit.score, 4)}\t{path}{note}\n")
            if explain:
                out.write(f"\t\t{_why(hit)}\n")
    elif form == "json":
        for hit in hits:
            out.write(json.dumps(as_json(hit, None if said is None else said.get(hit.image.id))) + "\n")
    elif form == "csv":
        values = (as_json(hit, (said or {}).get(hit.image.id)) for hit in hits)
        columns = (*COLUMNS, *(("found_by",) if any(hit.reason for hit in hits) else ()))
        write_csv(columns, ([each.get(name) for name in columns] for each in values), out)
    else:
        end = b"\0" if form == "null" else b"\n"
        out.flush()
        raw = out.buffer if hasattr(out, "buffer") else None
        for image in (image for hit in hits for image in (hit.image, *hit.mates)):
            line = os.fsencode(image.path) + end
            if raw is None:
                out.write(os.fsdecode(line))
            else:
                raw.write(line)
        if raw is not None:
            raw.flush()


def as_json(hit: Hit, said: ImageLabels | None = None) -> dict[str, object]:
    """A hit as plain values; paths that are not valid text keep their bytes as ``\\udcXX`` escapes.

    Args:
        said: the labels of the picture, to be included.
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
        "place": image.place,
        "on_disk": hit.on_disk,
        "relevance": None if hit.relevance is None else round(hit.relevance, 4),
        "burst": hit.burst,
    }
    if hit.reason is not None:
        values["fused_rank"] = hit.rank
        values["visual_rank"] = hit.reason.visual_rank
        values["found_by"] = list(hit.reason.by)
        values["matched"] = {source: list(words) for source, words in hit.reason.words.items()}
    if image.duration_s is not None:
        values |= {"duration_s": image.duration_s, "time_s": image.time_s}
    if image.motion is not None:
        values["motion"] = image.motion
    if hit.mates:
        values["mates"] = [mate.path for mate in hit.mates]
    if said is not None:
        values["tags"] = list(dict.fromkeys(tag.text for tag in said.tags))
        values["predicted_tags"] = [predicted.tag for predicted in said.predicted]
        values["captions"] = list(dict.fromkeys(caption.text for caption in said.captions))
        values["rating"] = said.rating
        values["favourite"] = said.is_favourite
        values["albums"] = said.albums
        values["added_at"] = said.added_at
    return values


def moment_text(image: ImageRecord) -> str:
    """`` at 1:23`` behind the name of a video; empty for other pictures."""
    return "" if image.time_s is None else f" at {time_text(image.time_s)}"


def time_text(seconds: float) -> str:
    """``1:23``, ``1:02:03``: a time in a video for people, cut to the second."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _why(hit: Hit) -> str:
    """Why a hit is in the list."""
    return "visual" if hit.reason is None else printable(hit.reason.text())


def _mates(hit: Hit) -> list[str]:
    """The names of the other files of its shot, which are in the same folder."""
    return [printable(os.path.basename(mate.path)) for mate in hit.mates]


def score_text(score: float, digits: int) -> str:
    """A score as text; empty if there was no query."""
    return f"{score:.{digits}f}" if score == score else ""


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], out: IO[str]) -> None:
    """Rows with a header, in the format of RFC 4180; several values in one cell are separated by semicolons.

    Names of files, cameras and tags are untrusted: a text that a spreadsheet would treat as a formula gets an
    apostrophe before it (OWASP, "CSV injection"), which spreadsheets do not show.
    """
    import csv

    table = csv.writer(out)
    table.writerow(columns)
    table.writerows([cell(value) for value in row] for row in rows)


def cell(value: object) -> object:
    """A value that is safe in a spreadsheet, see :func:`write_csv`."""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = as_text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_next(page: Page, out: IO[str]) -> None:
    """The last line of a page in JSON: the cursor of the next page, and the total number of hits if it is known."""
    out.write(json.dumps({"next": page.next, "total": page.total}) + "\n")


def _write_table(hits: Sequence[Hit], out: IO[str], *, explain: bool) -> None:
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
        path.append(moment_text(hit.image))
        if hit.burst:
            path.append(f"  +{hit.burst}", "dim")
        for name in _mates(hit):
            path.append(f"  {name}", "dim")
        if explain:
            path.append(f"\n{_why(hit)}", Style(dim=True, link=None))
        taken = (hit.image.taken_text() or "")[:10]
        cells: list[str | Text] = [str(hit.rank), *([score_text(hit.score, 3)] if with_scores else [])]
        if with_relevance:
            cells.append("" if hit.relevance is None else f"{hit.relevance:.2f}")
        table.add_row(*cells, *([taken] if with_dates else []), path)
    Console(file=out, soft_wrap=True, highlight=False).print(table)


def file_uri(path: str) -> str:
    """``file:///...`` for a link that a terminal opens."""
    return path if is_remote(path) else Path(path).as_uri()


def report_rows(report: IndexReport) -> list[tuple[str, str]]:
    """The summary of a run as (label, value) pairs, without zero counts."""
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
    shared = (
        ("indexed by other runs", report.by_others),
        ("taken over from a run that died", report.taken_over),
        ("left to a run that took over", report.superseded),
        *((f"being indexed by {name}", count) for name, count in sorted(report.held_by.items())),
    )
    rows += [(label, f"{count:,}") for label, count in shared if count]
    if report.passed_over:
        from retrieval.pictures.passed_over import in_words

        kinds = "; ".join(f"{kind} {count}" for kind, count in in_words(report.passed_over))
        rows.append(("skipped files", kinds))
    if report.decoder_lines:
        lines = plural(report.decoder_lines, "line")
        rows.append(("decoder messages", f"{lines} about damaged pictures; the first: {report.decoder_first}"))
    if (text := report.text) is not None:
        done = [
            (text.with_text, "with text"),
            (text.failed, "failed"),
            (text.gone, "missing or changed"),
            (text.left, "left"),
        ]
        more = "".join(f", {count:,} {what}" for count, what in done if count)
        rows.append(("read for words", f"{text.read:,}{more}"))
    if (faces := report.faces) is not None:
        done = [
            (faces.with_faces, "with faces"),
            (faces.failed, "failed"),
            (faces.gone, "missing or changed"),
            (faces.left, "left"),
        ]
        more = "".join(f", {count:,} {what}" for count, what in done if count)
        rows.append(("looked at for faces", f"{faces.looked:,}{more}"))
        if faces.faces or faces.joined or faces.groups:
            groups = f"{faces.joined:,} of known persons, {plural(faces.groups, 'new group')}"
            rows.append(("faces", f"{faces.faces:,} found; {groups} (photoseek people)"))
    rows.append(("pictures after the run" if report.is_dry_run else "pictures in the gallery", f"{report.images:,}"))
    if report.index:
        rows.append(("index", report.index))
    rate = f", {report.encoded / total:.1f} images/s" if report.encoded and total else ""
    later = {stage: report.seconds[stage] for stage in ("thumbnails", "words", "faces") if stage in report.seconds}
    more = "".join(f", {seconds:.1f} s of it for {stage}" for stage, seconds in later.items())
    rows.append(("time", f"{total + sum(later.values()):.1f} s{rate}{more}"))
    return rows


def profile_rows(report: IndexReport, workers: int) -> list[tuple[str, str]]:
    """Seconds and share per stage, and the slowest stage; threads' seconds are divided by ``workers``."""
    threads = ("read", "decode", "encode")
    wall = {s: t / (workers if s in threads else 1) for s, t in report.seconds.items() if s != "total"}
    total = sum(wall.values()) or 1.0
    ordered = sorted(wall.items(), key=lambda item: -item[1])
    rows = [(stage, f"{seconds:8.2f} s  {100 * seconds / total:5.1f} %") for stage, seconds in ordered]
    return [*rows, ("bottleneck", ordered[0][0])] if ordered else rows


def write_pairs(rows: Iterable[tuple[str, str]], out: IO[str]) -> None:
    """Two aligned columns, without control characters."""
    rows = [(printable(label), printable(value)) for label, value in rows]
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        out.write(f"{label:<{width}}  {value}\n")


def counts_text(counts: Mapping[str, int], shown: int = 10) -> str:
    """Tags with their counts, most frequent first; at most ``shown`` of them, and the number of others."""
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
