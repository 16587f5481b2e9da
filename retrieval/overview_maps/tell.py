"""Output of groups as lines, as JSON, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from retrieval.filters.filter import filter_words
from retrieval.rendering.html_page import END, facts, figure, head, write_html
from retrieval.rendering.thumbnails import data_uri, thumbnails
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.overview_maps.groups import Group, Grouping

_SIDE = 220


def write_groups(grouping: Grouping, out: IO[str], *, as_json: bool = False) -> None:
    """Print a line for each group: number, size, labels, and the picture nearest to its centre."""
    for number, group in enumerate(grouping.groups, start=1):
        if as_json:
            out.write(json.dumps(_as_json(number, group)) + "\n")
            continue
        first = printable(group.pictures[0].path) if group.pictures else ""
        labels = printable(", ".join(group.labels))
        if out.isatty():
            out.write(f"{number:>4}  {len(group.ids):>7,}  {labels:<40}  {first}\n")
        else:
            out.write(f"{number}\t{len(group.ids)}\t{labels}\t{first}\n")


def write_groups_page(grouping: Grouping, path: Path, where: Filter | None = None) -> None:
    """Write a page with every group and its most central pictures.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    write_html(_page(grouping, where), path)


def _page(grouping: Grouping, where: Filter | None) -> Iterator[str]:
    yield head("Clusters") + "<h1>Clusters</h1>\n"
    about = [("pictures", f"{grouping.pictures:,}"), ("clusters", f"{len(grouping.groups):,}")]
    about += [("filters", filter_words(where))] if where is not None else []
    yield facts([*about, ("model", grouping.encoder)])
    images = chain.from_iterable(group.pictures for group in grouping.groups)
    seen = thumbnails(images, _SIDE)
    for number, group in enumerate(grouping.groups, start=1):
        title = ", ".join(group.labels) or f"cluster {number}"
        yield f"<section><h2>{escape(printable(title))} · {plural(len(group.ids), 'picture')}</h2><div class=row>\n"
        for image in group.pictures:
            yield figure(image, data_uri(next(seen)), [image.path])
        yield "</div></section>\n"
    yield END


def _as_json(number: int, group: Group) -> dict[str, object]:
    return {
        "cluster": number,
        "labels": list(group.labels),
        "size": len(group.ids),
        "cohesion": round(group.cohesion, 4),
        "representatives": [{"id": image.id, "path": image.path} for image in group.pictures],
        "ids": group.ids.tolist(),
    }
