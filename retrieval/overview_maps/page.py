"""A map as one HTML page: dots, thumbnails where there is room and at the pointer, zoom; with its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.filters.filter import filter_words
from retrieval.output import file_uri
from retrieval.rendering.html_page import END, head, write_html
from retrieval.rendering.thumbnails import data_uri, thumbnails
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.overview_maps.atlas import Atlas

_SIDE = 112
_SCRIPT = Path(__file__).with_name("atlas.js")
_STYLE = """
body { margin: 0; overflow: hidden } canvas { display: block; width: 100vw; height: 100vh; touch-action: none }
header { position: fixed; margin: .7em 1em; pointer-events: none; opacity: .8 } h1 { margin: 0 }
#seen { position: fixed; display: none; padding: .5em; border-radius: .4em; background: Canvas; color: CanvasText;
  box-shadow: 0 1px 8px #0008; max-width: 240px; overflow-wrap: anywhere; font-size: .85em; pointer-events: none }
#seen img { display: block; width: 224px; height: 224px; object-fit: contain; image-rendering: auto }
"""


def write_atlas_page(atlas: Atlas, path: Path, where: Filter | None = None) -> None:
    """Write the page, completely or not at all.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    write_html(atlas_page(atlas, where), path)


def atlas_page(atlas: Atlas, where: Filter | None = None) -> Iterator[str]:
    """The page in pieces. Its policy permits only the script with the given hash; names are data."""
    script = _SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    yield head("Map", style=_STYLE, policy=f"; script-src 'sha256-{digest}'")
    shown = f"{len(atlas.places):,} of " if atlas.pictures > len(atlas.places) else ""
    shown += plural(atlas.pictures, "picture")
    about = " · ".join(filter(None, (shown, atlas.method.upper(), atlas.encoder, filter_words(where))))
    yield f"<header><h1>Map</h1>{escape(printable(about))}</header><canvas></canvas><div id=seen></div>\n"
    yield '<script type="application/json" id="places">[\n'
    pictures = thumbnails((place.image for place in atlas.places), _SIDE)
    for number, (place, picture) in enumerate(zip(atlas.places, pictures, strict=True)):
        values = [
            round(place.x, 4), round(place.y, 4), place.group,
            data_uri(picture), printable(place.image.path), file_uri(place.image.path),
        ]  # fmt: skip
        # Only "<" could end the element, or open a comment in it.
        yield ("," if number else "") + json.dumps(values).replace("<", "\\u003c") + "\n"
    yield f"]</script>\n<script>{script}</script>\n{END}"
