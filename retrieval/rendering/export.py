"""Export pictures and their metadata: a folder of copies, links or resized pictures, with CSV and JSON files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from retrieval.errors import SettingsError
from retrieval.output import COLUMNS, as_json, cell
from retrieval.regular_files import replacing
from retrieval.rendering.copies import Placed, place_hits
from retrieval.rendering.resized import Resize

if TYPE_CHECKING:
    from retrieval.labels.reading import ImageLabels
    from retrieval.search.hits import Hit

Form = Literal["copies", "links", "resized", "none"]

CSV_NAME, JSON_NAME = "pictures.csv", "pictures.json"
_PLACE = ("latitude", "longitude", "place")
_MADE_BY = "photoseek export"
_MOST_OURS = 64 << 20  # bytes; a larger list is never taken for one of ours


@dataclass(frozen=True)
class Export:
    """Options of an export.

    Args:
        form: form of the pictures; ``none`` writes only the lists.
        resize: settings of resized pictures; with ``location`` False, the lists omit places, too.
        numbered: prefix each name with the rank.
        dry_run: write nothing.

    Raises:
        SettingsError: unknown form, or options that exclude each other.
    """

    form: str = "copies"
    resize: Resize = field(default_factory=Resize)
    numbered: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise SettingsError(f"cannot export {self.form!r}", f"use {', '.join(get_args(Form))}")
        if not self.resize.location and self.form in ("copies", "links"):
            raise SettingsError(
                f"{self.form} hold all that the originals say, also where they were taken",
                "make smaller pictures without it: --size 2048 --no-location",
            )


@dataclass
class ExportReport:
    """Results of an export: number of pictures by outcome, bytes of the originals of new ones, and the failures."""

    new: int = 0
    there: int = 0
    missing: int = 0
    failed: int = 0
    bytes: int = 0
    problems: list[Placed] = field(default_factory=list)


def export_hits(
    hits: Sequence[Hit],
    said: Mapping[int, ImageLabels],
    folder: Path,
    asked: Export,
    about: Mapping[str, Any],
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportReport:
    """Write hits into a folder with two lists of their metadata, ``pictures.csv`` and ``pictures.json``.

    Files of other origin are not overwritten. Repeating an export writes only missing pictures, and renews the lists.
    See :func:`retrieval.rendering.copies.place_hits`.

    Args:
        said: id -> labels of each picture.
        about: the query, for the JSON file.

    Raises:
        SettingsError: the folder cannot be created, or a list cannot be written.
    """
    report, files = ExportReport(), dict[int, list[str]]()
    if asked.form != "none":
        resize = asked.resize if asked.form == "resized" else None
        sizes = {image.id: image.size for hit in hits for image in (hit.image, *hit.mates)}
        places = place_hits(
            hits, folder, link=asked.form == "links", numbered=asked.numbered, resize=resize, dry_run=asked.dry_run
        )
        for done, placed in enumerate(places, 1):
            setattr(report, placed.result, getattr(report, placed.result) + 1)
            report.bytes += sizes[placed.image_id] if placed.result == "new" else 0
            if placed.place is None:
                report.problems.append(placed)
            else:
                files.setdefault(placed.image_id, []).append(placed.place.name)
            on_progress(done, len(sizes))
    if not asked.dry_run:
        rows = [_row(hit, said.get(hit.image.id), files, asked) for hit in hits]
        _write_lists(folder, rows, about, asked)
    return report


def _row(hit: Hit, said: ImageLabels | None, files: Mapping[int, list[str]], asked: Export) -> dict[str, Any]:
    names = [name for image in (hit.image, *hit.mates) for name in files.get(image.id, ())]
    row = {"files": names, **as_json(hit, said)}
    return row if asked.resize.location else {name: value for name, value in row.items() if name not in _PLACE}


def _write_lists(folder: Path, rows: Sequence[dict[str, Any]], about: Mapping[str, Any], asked: Export) -> None:
    columns = ["files", *(name for name in COLUMNS if asked.resize.location or name not in _PLACE)]
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(columns)
    writer.writerows([cell(row.get(name)) for name in columns] for row in rows)
    told = {"made_by": _MADE_BY, **about, "pictures": rows}
    contents = {CSV_NAME: table.getvalue(), JSON_NAME: json.dumps(told, indent=1) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            _write_list(folder, name, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(folder, error, "name another folder") from error


def _write_list(folder: Path, name: str, content: bytes) -> None:
    """Replace our list of an earlier export; if the name is taken by another file, append a number to ours."""
    stem, _, suffix = name.rpartition(".")
    place, number = folder / name, 1
    while os.path.lexists(place) and not _is_ours(place):
        number += 1
        place = folder / f"{stem}-{number}.{suffix}"
    with replacing(place) as file:
        file.write(content)


def _is_ours(place: Path) -> bool:
    if place.is_symlink() or not place.is_file() or place.stat().st_size > _MOST_OURS:
        return False
    with place.open("rb") as file:
        head = file.read(100)
    return head.startswith((b"files,rank,score,", f'{{\n "made_by": "{_MADE_BY}"'.encode()))
