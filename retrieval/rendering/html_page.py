"""Self-contained HTML pages: one style, embedded pictures, no script, names escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from retrieval.catalog.records import ImageRecord
from retrieval.errors import SettingsError
from retrieval.output import file_uri
from retrieval.regular_files import replacing
from retrieval.streams import printable

END = "</body></html>\n"

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{more}">
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif }}
body {{ margin: 2em }} section {{ border-top: 1px solid #8888; padding: 1em 0 }}
h1 {{ font-size: 1.5em }} h2 {{ font-size: 1em; margin: 0 0 .7em }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: 0 0 1.5em }} dd {{ margin: 0 }}
dt {{ opacity: .6 }} .row {{ display: flex; flex-wrap: wrap; gap: 1.2em 1em }}
figure {{ margin: 0; width: 220px }} figure img {{ max-width: 220px; max-height: 220px }}
figure.keep img {{ outline: 3px solid #2a8 }}
figcaption {{ overflow-wrap: anywhere; font-size: .85em }} .none {{ height: 120px; background: #8883 }}
{style}</style></head><body>
"""


def head(title: str, *, style: str = "", policy: str = "") -> str:
    """The page up to its body. ``style`` and ``policy`` (added to the content security policy) are trusted HTML."""
    return _HEAD.format(title=escape(printable(title)), style=style, more=policy)


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """The facts shown at the top of a page, as pairs."""
    pairs = "".join(f"<dt>{escape(name)}<dd>{escape(printable(value))}\n" for name, value in rows)
    return f"<dl>\n{pairs}</dl>\n" if pairs else ""


def figure(image: ImageRecord, picture: str | None, lines: Sequence[str], *, mark: str = "") -> str:
    """A thumbnail that links to the file, with lines of text below.

    Args:
        picture: from ``thumbnails.data_uri``; None for a grey area.
        mark: a class of the style.
    """
    seen = f'<img src="{picture}" alt="">' if picture else '<div class="none"></div>'
    below = "<br>".join(escape(printable(line)) for line in lines if line)
    marked = f" class={mark}" if mark else ""
    return (
        f'<figure{marked}><a href="{escape(file_uri(image.path))}">{seen}</a>'
        f"<figcaption>{below}</figcaption></figure>\n"
    )


def check_page_path(path: Path) -> None:
    """Raise SettingsError unless this is a file name for a page, so that a typing error cannot overwrite pictures."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"{path} is not a valid name for a page", "give a name that ends in .html")


def write_html(pieces: Iterable[str], path: Path) -> None:
    """Write a page piece by piece, so that it is never completely in memory; all of it or nothing.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    check_page_path(path)
    try:
        with replacing(path) as out:
            for piece in pieces:
                out.write(piece.encode("utf-8"))
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(path, error) from error
