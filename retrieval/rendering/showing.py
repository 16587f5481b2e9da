"""Options for hits other than printing, and carrying them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from retrieval.errors import SettingsError
from retrieval.rendering.html_page import check_page_path
from retrieval.rendering.terminal import PROTOCOLS, find_terminal
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.search.hits import Hit
    from retrieval.search.query import Term

Say = Callable[[str], None]
Open = Callable[[str], bool]
"""Opens a file with the desktop's program for it; False if there is none."""


@dataclass(frozen=True)
class Showing:
    """The flags.

    Args:
        preview: draw thumbnails, if the output is a terminal.
        preview_as: a protocol that is used even if the output does not seem to be a terminal.
        html: file of a contact sheet.
        open_first: open the first hit.
        copy_to, link_to: a folder for the hits.
        numbered: prefix the names there with the ranks.

    Raises:
        SettingsError: invalid or mutually exclusive values.
    """

    preview: bool = False
    preview_as: str = ""
    html: Path | None = None
    open_first: bool = False
    copy_to: Path | None = None
    link_to: Path | None = None
    numbered: bool = False

    def __post_init__(self) -> None:
        if self.preview_as and self.preview_as not in ("auto", *PROTOCOLS):
            raise SettingsError(f"there is no drawing method {self.preview_as!r}", f"use auto, {', '.join(PROTOCOLS)}")
        if self.html is not None:
            check_page_path(self.html)
        if self.copy_to is not None and self.link_to is not None:
            raise SettingsError("--copy-to and --link-to exclude each other", "give one of them")
        if self.numbered and self.copy_to is None and self.link_to is None:
            raise SettingsError("--numbered names files in a folder", "add --copy-to DIR or --link-to DIR")

    def draws(self) -> bool:
        """True if pictures may go to stdout."""
        return self.preview or bool(self.preview_as)


@dataclass(frozen=True)
class ShowRequest:
    """The query of the hits, for the title of a page."""

    terms: tuple[Term, ...]
    where: Filter | None = None
    model: str = ""


def draw(hits: Sequence[Hit], showing: Showing, source: IO[str], out: IO[str]) -> None:
    """Draw thumbnails on ``out`` if it is a terminal or a protocol is forced."""
    if not showing.draws():
        return
    terminal = find_terminal(out, source, showing.preview_as or "auto")
    if terminal is not None:
        from retrieval.rendering.preview import write_preview

        write_preview(hits, terminal, out)


def act(hits: Sequence[Hit], showing: Showing, asked: ShowRequest, say: Say, open_file: Open) -> bool:
    """Write the page, fill the folder, open the first hit; False if something failed."""
    complete = True
    if showing.html is not None:
        from retrieval.filters.filter import filter_words
        from retrieval.rendering.sheet import write_sheet
        from retrieval.search.language import query_words

        about = [("filters", filter_words(asked.where)), ("model", asked.model)]
        title = query_words(asked.terms)
        write_sheet(hits, showing.html, title=title, about=[(name, value) for name, value in about if value])
        say(f"{plural(len(hits), 'picture')} in {printable(str(showing.html))}")
    folder = showing.copy_to or showing.link_to
    if folder is not None:
        complete = _place(hits, folder, showing, say)
    if showing.open_first:
        complete = open_hit(hits[0], say, open_file) and complete
    return complete


def open_hit(hit: Hit, say: Say, open_file: Open) -> bool:
    """Open a hit's file; if it is missing or no program opens it, report that and return False."""
    path = hit.image.path
    if hit.image.on_disk() == "missing":
        say(f"missing, so not opened: {printable(path)}")
        return False
    if not open_file(path):
        say(f"no program was found to open {printable(path)}")
        return False
    return True


def _place(hits: Sequence[Hit], folder: Path, showing: Showing, say: Say) -> bool:
    from retrieval.rendering.copies import place_hits

    link = showing.link_to is not None
    counts = {"new": 0, "there": 0, "missing": 0, "failed": 0}
    for placed in place_hits(hits, folder, link=link, numbered=showing.numbered):
        counts[placed.result] += 1
        if placed.result == "missing":
            say(f"missing, so left out: {printable(placed.path)}")
        elif placed.result == "failed":
            say(f"{printable(placed.path)} not {'linked' if link else 'copied'}: {printable(placed.reason)}")
    there = f", {plural(counts['there'], 'was', 'were')} there" if counts["there"] else ""
    say(f"{plural(counts['new'], 'picture')} {'linked' if link else 'copied'} to {printable(str(folder))}{there}")
    return not counts["failed"]
