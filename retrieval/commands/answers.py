"""What the commands that search share: the engine that they ask, and how they show its hits."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from retrieval.commands.options import ALL
from retrieval.commands.say import needed, say
from retrieval.errors import SettingsError
from retrieval.paths import CLI

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.rendering.showing import Showing
    from retrieval.search.engine import Hit, QueryEngine
    from retrieval.search.pages import Listing, Page
    from retrieval.search.query import Term

PROGRAM = [sys.executable, CLI]
"""How this command line is called, without arguments."""


def open_engine(
    gallery: Path | None, warm: QueryEngine | None = None, *, model: str = ""
) -> AbstractContextManager[QueryEngine]:
    """A new engine (on the encoder called ``model``), or ``warm``: the one of the daemon that this command runs in."""
    if warm is not None and not model:
        from retrieval.daemon.server import check_served

        check_served(gallery, warm)
        return nullcontext(warm)
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

    return QueryEngine(Gallery(gallery), model=model or None)


def tell_unknown(engine: QueryEngine, where: Filter | None) -> None:
    """Say how many pictures a filter leaves out only because the gallery does not know what it asks about."""
    if where is not None and (line := engine.selection(where).message()):
        say(line)


@dataclass(frozen=True)
class Form:
    """How hits are printed, and what else is done with them.

    Raises:
        SettingsError: flags that exclude each other.
    """

    as_json: bool = False
    as_csv: bool = False
    paths: bool = False
    null: bool = False
    showing: Showing | None = None

    def __post_init__(self) -> None:
        for_programs = self.as_json or self.as_csv or self.paths or self.null
        if self.showing is not None and self.showing.draws() and for_programs:
            raise SettingsError("thumbnails cannot be mixed with output for programs", "omit --preview")


class Request(NamedTuple):
    """The query of the hits, for messages; no terms: the pictures that pass a filter were listed."""

    terms: tuple[Term, ...] = ()
    where: Filter | None = None


def limit_in(engine: QueryEngine, limit: int) -> int:
    """How many hits are wanted at most; of ``all``, as many as there are pictures."""
    return max(1, engine.reader.count()) if limit == ALL else limit


def show_hits(hits: list[Hit], form: Form, asked: Request, engine: QueryEngine) -> None:
    """Print hits in the form that was asked for; leave with exit code 1 if there are none."""
    from retrieval.output import choose_format, write_hits
    from retrieval.streams import work_goes_on

    needed(hits)
    wanted = {"as_json": form.as_json, "as_csv": form.as_csv, "paths": form.paths, "null": form.null}
    lines = choose_format(sys.stdout, **wanted)
    said = None
    if lines in ("json", "csv"):
        from retrieval.labels.reading import labels_of

        ids = [hit.image.id for hit in hits]
        said = {labels.image.id: labels for labels in labels_of(engine.reader, ids, engine.encoder_row)}
    with work_goes_on(sys.stdout):
        if form.showing is not None:
            from retrieval.rendering.showing import draw

            draw(hits, form.showing, sys.stdin, sys.stdout)
        write_hits(hits, lines, sys.stdout, said)
    if form.showing is not None:
        from retrieval.rendering import showing

        told = showing.Request(asked.terms, asked.where, engine.encoder_row.name)
        if not showing.act(hits, form.showing, told, say, open_file):
            raise typer.Exit(3)


def open_file(path: str) -> bool:
    """Open a file with the program that the desktop has for it; False if there is none."""
    return typer.launch(path) == 0


def show_page(page: Page, listing: Listing, form: Form, asked: Request, engine: QueryEngine) -> None:
    """Print a page's hits; with ``--json``, where a page was asked for, also a last line that says what is next."""
    if page.nearest is not None:
        say("nothing in this gallery matches well")
        say(f"(the nearest picture scores {page.nearest:.3f}; omit --relevant to see it)")
        raise typer.Exit(1)
    show_hits(list(page.hits), form, asked, engine)
    if listing.page is None and listing.cursor is None:
        return
    if form.as_json:
        from retrieval.output import write_next

        write_next(page, sys.stdout)
    elif page.next is not None and listing.page is not None:
        say(f"more: --page {listing.page + 1}")
