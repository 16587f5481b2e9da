"""Groups of duplicates as one HTML page that needs nothing else: thumbnails side by side, inside the file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

from PIL import Image

from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.pixels import sketch
from retrieval.encoders.onnx import available_cpus
from retrieval.errors import SettingsError, UnreadableImage
from retrieval.output import file_uri, human_bytes, printable
from retrieval.records import ImageRecord

GROUPS_SHOWN = 1000
_IN_A_GROUP = 24
_SIDE = 220

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Duplicates</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif }
body { margin: 2em } section { border-top: 1px solid #8888; padding: 1em 0 }
h2 { font-size: 1em; margin: 0 0 .7em } .row { display: flex; flex-wrap: wrap; gap: 1em }
figure { margin: 0; width: 220px } figure.keep img { outline: 3px solid #2a8 }
figcaption { overflow-wrap: anywhere; font-size: .85em } .none { height: 120px; background: #8883 }
</style></head><body>
<h1>Duplicates</h1>
"""


def check_page_path(path: Path) -> None:
    """Raise SettingsError unless this is a file name for a page; pictures are not to be overwritten by a slip."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"{path} is not a name for a page", "give a name that ends in .html")


def write_page(groups: Sequence[Group], path: Path) -> None:
    """Write the page, all of it or nothing.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    check_page_path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as out:
            for piece in page(groups):
                out.write(piece)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}", "name a file in a folder that exists") from error


def page(groups: Sequence[Group]) -> Iterator[str]:
    """The page in pieces, so that it never is in memory whole."""
    yield _HEAD
    shown = groups[:GROUPS_SHOWN]
    if len(shown) < len(groups):
        yield f"<p>The first {len(shown):,} of {len(groups):,} groups.</p>\n"
    if not groups:
        yield "<p>No duplicates.</p>\n"
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="photoseek-page") as pool:
        for group in shown:
            members = group.others[: _IN_A_GROUP - 1]
            images = [group.keeper, *(member.image for member in members)]
            thumbnails = list(pool.map(_thumbnail, images))
            yield f"<section><h2>{escape(group.kind)}, {len(group.others) + 1:,} pictures</h2><div class=row>\n"
            yield _figure(group.keeper, thumbnails[0], "keep", is_keeper=True)
            for member, thumbnail in zip(members, thumbnails[1:], strict=True):
                yield _figure(member.image, thumbnail, _nearness(member))
            yield "</div>\n"
            if len(members) < len(group.others):
                yield f"<p>and {len(group.others) - len(members):,} more</p>\n"
            yield "</section>\n"
    yield "</body></html>\n"


def _figure(image: ImageRecord, thumbnail: str | None, note: str, *, is_keeper: bool = False) -> str:
    name = escape(printable(image.path))
    seen = f'<img src="{thumbnail}" alt="">' if thumbnail else '<div class="none"></div>'
    facts = f"{image.width} × {image.height} {escape(image.format)}, {human_bytes(image.size)}"
    return (
        f'<figure{" class=keep" if is_keeper else ""}><a href="{escape(file_uri(image.path))}">{seen}</a>'
        f"<figcaption>{name}<br>{facts}{'<br>' + escape(note) if note else ''}</figcaption></figure>\n"
    )


def _nearness(member: Member) -> str:
    return "" if member.cosine is None else f"cosine {member.cosine:.3f}"


def _thumbnail(image: ImageRecord) -> str | None:
    """A JPEG of at most 220 pixels a side as a data URI; None if the file is not what was indexed."""
    if image.on_disk() != "same":
        return None
    try:
        pixels = sketch(Path(image.path).read_bytes())
    except (OSError, UnreadableImage):
        return None
    scale = _SIDE / max(image.width, image.height)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    small = Image.fromarray(pixels.transpose(1, 2, 0)).resize(size, Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    small.save(stored, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stored.getvalue()).decode("ascii")
