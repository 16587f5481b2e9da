"""The report as one self-contained HTML page: drawings inside the file, tables below them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from retrieval.lab.explain.cells import HeatMap
from retrieval.lab.explain.lines import heat_lines, sections
from retrieval.lab.explain.pictures import Panel, check_name, data_uri
from retrieval.regular_files import replacing

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif }}
body {{ margin: 2em auto; max-width: 1500px; padding: 0 1em }}
h1 {{ font-size: 1.5em }} h2 {{ font-size: 1.05em; margin: 1.6em 0 .4em }}
.row {{ display: flex; flex-wrap: wrap; gap: 1.2em }} figure {{ margin: 0; max-width: 470px }}
img {{ max-width: 100%; display: block; background: #fff }} figcaption {{ font-size: .9em; margin-top: .3em }}
table {{ border-collapse: collapse }} td {{ padding: .15em 1em .15em 0; vertical-align: top; overflow-wrap: anywhere;
  white-space: pre-wrap; font-variant-numeric: tabular-nums }}
td:first-child {{ white-space: pre; color: #777 }} tr {{ border-top: 1px solid #8883 }}
.ends {{ display: flex; justify-content: space-between; max-width: 470px; margin: 0 }}
.scale {{ margin-top: 1em; height: 10px; max-width: 470px;
  background: linear-gradient(90deg, #0d0887, #7e03a8, #cc4778, #f89540, #f0f921) }}
</style></head><body>
"""


def write_page(
    report: Mapping[str, Any],
    path: Path,
    *,
    drawn: Sequence[Panel] = (),
    heat: HeatMap | None = None,
    picture: str = "",
) -> None:
    """Write the page, completely or not at all.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    check_name(path, ".html", ".htm")
    try:
        with replacing(path) as out:
            for piece in page(report, drawn=drawn, heat=heat, picture=picture):
                out.write(piece.encode("utf-8"))
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(path, error) from error


def page(
    report: Mapping[str, Any], *, drawn: Sequence[Panel] = (), heat: HeatMap | None = None, picture: str = ""
) -> Iterator[str]:
    """The page in pieces."""
    title = f"{report['model']}: what it does to a picture"
    yield _HEAD.format(title=escape(title))
    yield f"<h1>{escape(title)}</h1>\n"
    if drawn:
        yield f"<p>{escape(picture)}</p>\n<div class=row>\n"
        for panel in drawn:
            caption = escape(panel.caption)
            yield f'<figure><img src="{data_uri(panel.image)}" alt="{caption}"><figcaption>{caption}'
            yield "</figcaption></figure>\n"
        yield "</div>\n"
    if heat is not None:
        yield "<div class=scale></div><p class=ends><span>less</span><span>more</span></p>\n"
        yield "".join(f"<p>{escape(line)}</p>\n" for line in heat_lines(heat))
    for number, (name, rows) in enumerate(sections(report)):
        yield f"<h2>{escape(name if number else 'the model')}</h2>\n<table>\n"
        for label, text in rows:
            yield f"<tr><td>{escape(label)}</td><td>{escape(text)}</td></tr>\n"
        yield "</table>\n"
    yield "</body></html>\n"
