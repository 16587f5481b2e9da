"""The contact sheet of a search: all hits with rank, score and name on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.output import human_bytes, score_text
from retrieval.rendering.html_page import END, facts, figure, head, write_html
from retrieval.rendering.thumbnails import data_uri, thumbnails
from retrieval.streams import printable

if TYPE_CHECKING:
    from retrieval.search.hits import Hit

SIDE = 320
"""Pixels of a thumbnail; it is shown at up to 220 CSS pixels, which screens may draw with more device pixels."""


def write_sheet(hits: Sequence[Hit], path: Path, *, title: str, about: Sequence[tuple[str, str]] = ()) -> None:
    """Write the page.

    Args:
        title: the query.
        about: more about the search, as pairs (filters, model).

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    write_html(sheet(hits, title=title, about=about), path)


def sheet(hits: Sequence[Hit], *, title: str, about: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
    """The page in pieces."""
    yield head(title)
    yield f"<h1>{escape(printable(title))}</h1>\n"
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    yield facts([*about, ("pictures", f"{len(hits):,}"), ("made", made)])
    yield "<div class=row>\n"
    for hit, picture in zip(hits, thumbnails((hit.image for hit in hits), SIDE), strict=True):
        yield figure(hit.image, data_uri(picture), _lines(hit, is_seen=picture is not None))
    yield "</div>\n" + END


def _lines(hit: Hit, *, is_seen: bool) -> list[str]:
    image = hit.image
    score = f"{hit.rank} · {score_text(hit.score, 3)}" if hit.score == hit.score else str(hit.rank)
    if hit.relevance is not None:
        score += f" · relevance {hit.relevance:.2f}"
    if hit.burst:
        score += f" · +{hit.burst}"
    what = f"{image.width} × {image.height} {image.format}, {human_bytes(image.size)}"
    taken = (image.taken_text() or "")[:16].replace("T", " ")
    absent = "" if is_seen else "missing" if image.on_disk() == "missing" else "changed since it was indexed"
    return [score, image.path, what, " · ".join(filter(None, (taken, image.camera or ""))), absent]
