"""What the commands that search share: the engine that they ask, and how they show its hits."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from retrieval.commands.say import needed, say

if TYPE_CHECKING:
    from retrieval.engine import Hit, QueryEngine
    from retrieval.filters import Filter
    from retrieval.pages import Listing, Page

PROGRAM = [sys.executable, str(Path(__file__).resolve().parents[2] / "cli.py")]
"""How this command line is called, without arguments."""


def open_engine(
    gallery: Path | None, warm: QueryEngine | None = None, *, model: str = ""
) -> AbstractContextManager[QueryEngine]:
    """A new engine (on the encoder called ``model``), or ``warm``: the one of the daemon that this command runs in."""
    if warm is not None and not model:
        from retrieval.daemon import check_served

        check_served(gallery, warm)
        return nullcontext(warm)
    from retrieval.engine import QueryEngine
    from retrieval.gallery import Gallery

    return QueryEngine(Gallery(gallery), model=model or None)


def tell_unknown(engine: QueryEngine, where: Filter | None) -> None:
    """Say how many pictures a filter leaves out only because the gallery does not know what it asks about."""
    if where is not None and (line := engine.selection(where).told()):
        say(line)


def show_hits(hits: list[Hit], *, as_json: bool, paths: bool, null: bool) -> None:
    """Print hits in the form that was asked for; leave with exit code 1 if there are none."""
    from retrieval.output import choose_format, reader_may_leave, write_hits

    needed(hits)
    form = choose_format(sys.stdout, as_json=as_json, paths=paths, null=null)
    with reader_may_leave(sys.stdout):
        write_hits(hits, form, sys.stdout)
        sys.stdout.flush()


def show_page(page: Page, listing: Listing, *, as_json: bool, paths: bool, null: bool) -> None:
    """Print a page's hits; with ``--json``, where a page was asked for, also a last line that says what is next."""
    if page.nearest is not None:
        say("nothing in this gallery matches well")
        say(f"(the nearest picture scores {page.nearest:.3f}; leave out --relevant to see it)")
        raise typer.Exit(1)
    show_hits(list(page.hits), as_json=as_json, paths=paths, null=null)
    if listing.page is None and listing.cursor is None:
        return
    if as_json:
        from retrieval.output import reader_may_leave, write_next

        with reader_may_leave(sys.stdout):
            write_next(page, sys.stdout)
            sys.stdout.flush()
    elif page.next is not None and listing.page is not None:
        say(f"more: --page {listing.page + 1}")
