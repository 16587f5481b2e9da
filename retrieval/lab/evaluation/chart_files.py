"""A chart as a file: self-contained SVG, an HTML page with the table below it, or a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.chart import HEIGHT, WIDTH, Dot, Line, Shape, Text
from retrieval.lab.evaluation.tables import Table, cell_text

if TYPE_CHECKING:
    from PIL import Image

_INK = "#222222"
_SCALE = 2  # pixels of the PNG per pixel of the chart, so that lines and letters are sharp on any screen
FORMATS = (".svg", ".html", ".png")


def check_chart_path(path: Path) -> None:
    """Raise SettingsError unless the name is that of an SVG, HTML or PNG file; called before the work is done."""
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"{path} is no kind of picture that can be drawn", "end the name in .svg, .html or .png")


def write_chart(shapes: Sequence[Shape], path: Path, *, title: str, table: Table) -> None:
    """Write a chart in the format given by the file's name.

    Raises:
        SettingsError: another format, or the file cannot be written.
    """
    check_chart_path(path)
    try:
        if path.suffix.lower() == ".png":
            to_image(shapes).save(path)
        else:
            svg = to_svg(shapes)
            text = svg if path.suffix.lower() == ".svg" else _page(svg, title, table)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(path, error, "name another file") from error


def to_svg(shapes: Sequence[Shape]) -> str:
    """The chart as self-contained SVG."""
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {size} font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *(_element(shape) for shape in shapes),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _element(shape: Shape) -> str:
    if isinstance(shape, Line):
        ends = f'x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}" y2="{shape.y2:.1f}"'
        return f'<line {ends} stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
    if isinstance(shape, Dot):
        return f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}" fill="{shape.colour}"/>'
    place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" text-anchor="{shape.anchor}"'
    turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.upright else ""
    return f'<text {place} dominant-baseline="central" fill="{_INK}"{turn}>{escape(shape.text)}</text>'


def to_image(shapes: Sequence[Shape]) -> Image.Image:
    """The chart as a picture of 1600 x 1000 pixels."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "white")
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        if isinstance(shape, Line):
            ends = [part * _SCALE for part in shape[:4]]
            pen.line(ends, fill=shape.colour, width=round(shape.width * _SCALE))
        elif isinstance(shape, Dot):
            box = [shape.x - shape.radius, shape.y - shape.radius, shape.x + shape.radius, shape.y + shape.radius]
            pen.ellipse([part * _SCALE for part in box], fill=shape.colour)
        else:
            _write(image, shape)
    return image


def _write(image: Image.Image, shape: Text) -> None:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(shape.size * _SCALE)
    anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
    x, y = shape.x * _SCALE, shape.y * _SCALE
    if not shape.upright:
        ImageDraw.Draw(image).text((x, y), shape.text, fill=_INK, font=font, anchor=anchor)
        return
    length = round(font.getlength(shape.text)) + 4
    strip = Image.new("RGB", (length, 2 * shape.size * _SCALE), "white")
    ImageDraw.Draw(strip).text((length / 2, strip.height / 2), shape.text, fill=_INK, font=font, anchor="mm")
    turned = strip.rotate(90, expand=True)
    image.paste(turned, (round(x - turned.width / 2), round(y - turned.height / 2)))


def _page(svg: str, title: str, table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell_text(cell))}</td>" for cell in row) + "</tr>\n" for row in table.rows
    )
    style = "body{font:14px sans-serif;margin:2em}td,th{padding:.2em 1em .2em 0;text-align:left}svg{max-width:100%}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head>\n<body>\n{svg}<table>\n<tr>{head}</tr>\n{rows}</table>\n</body></html>\n"
    )
