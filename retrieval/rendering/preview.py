"""Rows of thumbnails in a terminal, with rank and score below each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

from PIL import Image

from retrieval.output import score_text
from retrieval.pictures.geometry import fitted
from retrieval.rendering.protocols import blocks, iterm, kitty, sixel
from retrieval.rendering.terminal import Terminal
from retrieval.rendering.thumbnails import thumbnails

if TYPE_CHECKING:
    from retrieval.search.hits import Hit

_GAP = 2


class _Box(NamedTuple):
    """The area of one thumbnail: its size in characters, and the size of a character in pixels."""

    columns: int
    rows: int
    cell: tuple[int, int]

    @property
    def pixels(self) -> tuple[int, int]:
        return self.columns * self.cell[0], self.rows * self.cell[1]


def write_preview(hits: Sequence[Hit], terminal: Terminal, out: IO[str]) -> None:
    """Draw the hits' thumbnails, as many side by side as fit.

    Only ranks and scores are written as text, so a file's name cannot contain sequences that control the terminal; the
    pictures are encoded anew from their pixels.
    """
    box = _box(terminal)
    beside = max(1, (terminal.columns + _GAP) // (box.columns + _GAP))
    seen = thumbnails((hit.image for hit in hits), max(box.pixels))
    for start in range(0, len(hits), beside):
        part = hits[start : start + beside]
        pictures = [next(seen) for _ in part]
        _draw(_strip(pictures, box), (box.columns + _GAP) * len(part) - _GAP, box.rows, terminal, out)
        captions = (_caption(hit, is_seen=picture is not None) for hit, picture in zip(part, pictures, strict=True))
        out.write("".join(caption.ljust(box.columns + _GAP) for caption in captions).rstrip() + "\n\n")
    out.flush()


def _box(terminal: Terminal) -> _Box:
    """The area for the protocol: half-blocks show one pixel per column, so they need more columns."""
    if terminal.protocol == "blocks":
        return _Box(min(38, terminal.columns), 14, (1, 2))
    return _Box(min(24, terminal.columns), 9, terminal.cell)


def _strip(pictures: Sequence[Image.Image | None], box: _Box) -> Image.Image:
    """Thumbnails side by side, transparent between them."""
    width, height = box.pixels
    step = width + _GAP * box.cell[0]
    strip = Image.new("RGBA", (step * len(pictures) - _GAP * box.cell[0], height))
    for number, picture in enumerate(pictures):
        if picture is None:
            continue
        small = picture.resize(fitted(*picture.size, width, height), Image.Resampling.LANCZOS)
        strip.paste(small, (number * step, (height - small.height) // 2))
    return strip


def _draw(strip: Image.Image, columns: int, rows: int, terminal: Terminal, out: IO[str]) -> None:
    if terminal.protocol == "blocks":
        blocks(strip, out)
        return
    if terminal.protocol == "sixel":
        said = sixel(strip)
    else:
        said = (kitty if terminal.protocol == "kitty" else iterm)(strip, columns, rows)
    out.write(said.decode("ascii") + "\n")


def _caption(hit: Hit, *, is_seen: bool) -> str:
    return f"{hit.rank}  {score_text(hit.score, 3)}" + ("" if is_seen else "  (no picture)")
