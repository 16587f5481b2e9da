"""Groups of duplicates as one self-contained HTML page: thumbnails side by side, inside the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain
from pathlib import Path

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.groups import Group, Member
from retrieval.output import human_bytes
from retrieval.rendering.html_page import END, check_page_path, figure, head, write_html
from retrieval.rendering.thumbnails import data_uri, thumbnails

__all__ = ["GROUPS_SHOWN", "check_page_path", "page", "write_page"]

GROUPS_SHOWN = 1000
_IN_A_GROUP = 24
_SIDE = 220


def write_page(groups: Sequence[Group], path: Path) -> None:
    """Write the page, completely or not at all.

    Raises:
        SettingsError: the name does not end in ``.html``, or the file cannot be written.
    """
    write_html(page(groups), path)


def page(groups: Sequence[Group]) -> Iterator[str]:
    """The page in pieces."""
    yield head("Duplicates") + "<h1>Duplicates</h1>\n"
    shown = groups[:GROUPS_SHOWN]
    if len(shown) < len(groups):
        yield f"<p>The first {len(shown):,} of {len(groups):,} groups.</p>\n"
    if not groups:
        yield "<p>No duplicates.</p>\n"
    pictures = map(data_uri, thumbnails(chain.from_iterable(map(_images, shown)), _SIDE))
    for group in shown:
        members = _members(group)
        yield f"<section><h2>{escape(group.kind)}, {len(group.others) + 1:,} pictures</h2><div class=row>\n"
        why = f"kept: {'; '.join(group.reasons)}" if group.reasons else ""
        yield figure(group.keeper, next(pictures), [*_lines(group.keeper), why], mark="keep")
        for member in members:
            yield figure(member.image, next(pictures), [*_lines(member.image), _nearness(member)])
        yield "</div>\n"
        if len(members) < len(group.others):
            yield f"<p>and {len(group.others) - len(members):,} more</p>\n"
        yield "</section>\n"
    yield END


def _members(group: Group) -> Sequence[Member]:
    return group.others[: _IN_A_GROUP - 1]


def _images(group: Group) -> list[ImageRecord]:
    return [group.keeper, *(member.image for member in _members(group))]


def _lines(image: ImageRecord) -> list[str]:
    return [image.path, f"{image.width} × {image.height} {image.format}, {human_bytes(image.size)}"]


def _nearness(member: Member) -> str:
    return "" if member.cosine is None else f"cosine {member.cosine:.3f}"
