"""Code shared by the commands that search: the engine they use, and the output of hits."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from retrieval.asker import LeftToAsker, asker
from retrieval.commands.say import needed, say
from retrieval.errors import SettingsError
from retrieval.paths import CLI

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import typer

    from retrieval.filters import Filter
    from retrieval.rendering.showing import Showing
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit
    from retrieval.search.pages import Listing, Page
    from retrieval.search.query import Term

ALL = 1_000_000_000
"""The number for ``-n all``: more pictures than there are."""

_MOST_FOR_OTHERS = 1000
"""Hits: a resident process prints this many in 0.1 s."""

PROGRAM = [sys.executable, CLI]
"""The command with which this program was started, without arguments."""


def open_engine(
    gallery: Path | None, warm: QueryEngine | None = None, *, model: str = ""
) -> AbstractContextManager[QueryEngine]:
    """A new engine (on the encoder called ``model``), or ``warm``: that of the resident process in which this command
    runs in.

    Raises:
        LeftToAsker: this is not the gallery that the client expected when it chose a resident process.
    """
    if warm is not None and (found := asker()) is not None:
        if model or gallery != (None if found.gallery is None else Path(found.gallery)):
            raise LeftToAsker("another gallery or model")
        return nullcontext(warm)
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

    return QueryEngine(Gallery(gallery), model=model or None)


def tell_unknown(engine: QueryEngine, where: Filter | None) -> None:
    """Report how many pictures a filter leaves out only because the gallery lacks the data it needs."""
    if where is not None and (line := engine.selection(where).message()):
        say(line)


@dataclass(frozen=True)
class Form:
    """How hits are printed, and other actions on them.

    Attributes:
        explain: print a line that says why each is there; JSON always says it for lists not decided by cosine only.

    Raises:
        SettingsError: mutually exclusive flags.
    """

    as_json: bool = False
    as_csv: bool = False
    paths: bool = False
    null: bool = False
    showing: Showing | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        for_programs = self.as_json or self.as_csv or self.paths or self.null
        if self.showing is not None and self.showing.draws() and for_programs:
            raise SettingsError("thumbnails cannot be mixed with output for programs", "omit --preview")
        if self.explain and (self.paths or self.null):
            raise SettingsError("bare paths cannot be explained", "omit --explain, or use --json")


class Request(NamedTuple):
    """The query of the hits, for messages; without terms, the pictures that pass a filter were listed."""

    terms: tuple[Term, ...] = ()
    where: Filter | None = None


def limit_in(engine: QueryEngine, limit: int) -> int:
    """The maximum number of hits; for ``all``, the number of pictures.

    Raises:
        LeftToAsker: so many that a resident process would keep other clients waiting.
    """
    wanted = max(1, engine.reader.count()) if limit == ALL else limit
    if wanted > _MOST_FOR_OTHERS and asker() is not None:
        raise LeftToAsker("too many hits")
    return wanted


def others_wait_for_no_calibration(engine: QueryEngine) -> None:
    """Raise LeftToAsker if relevance would have to be measured first: that takes seconds, and is stored afterwards."""
    from retrieval.search.calibration import kept_calibration

    if kept_calibration(engine) is None:
        raise LeftToAsker("relevance is not measured yet")


def results() -> IO[str]:
    """The stream that hits are printed to: standard output, or that of the client of a resident process."""
    found = asker()
    return sys.stdout if found is None else found.out


def show_hits(hits: list[Hit], form: Form, asked: Request, engine: QueryEngine, listing: Listing | None = None) -> None:
    """Print hits in the requested form; exit with code 1 if there are none.

    Args:
        listing: decides which other files of a hit's shot are named beside it; default: all.
    """
    from retrieval.output import choose_format, write_hits
    from retrieval.streams import work_goes_on

    needed(hits)
    wanted = {"as_json": form.as_json, "as_csv": form.as_csv, "paths": form.paths, "null": form.null}
    out = results()
    lines = choose_format(out, **wanted)
    said = None
    hits = named_mates(hits, asked, engine, listing)
    if lines in ("json", "csv"):
        from retrieval.labels.reading import labels_of

        ids = [hit.image.id for hit in hits]
        said = {labels.image.id: labels for labels in labels_of(engine.reader, ids, engine.encoder_row)}
    with work_goes_on(out):
        if form.showing is not None:
            from retrieval.rendering.showing import draw

            draw(hits, form.showing, sys.stdin, out)
        write_hits(hits, lines, out, said, explain=form.explain)
    if form.showing is not None:
        from retrieval.rendering import showing

        told = showing.ShowRequest(asked.terms, asked.where, engine.encoder_row.name)
        if not showing.act(hits, form.showing, told, say, open_file):
            raise SystemExit(3)


def named_mates(hits: list[Hit], asked: Request, engine: QueryEngine, listing: Listing | None) -> list[Hit]:
    """Hits with the other files of their shots named beside them, as the listing (None: the default) asks for."""
    if not engine.reader.has_shots():
        return hits
    from retrieval.search.pages import Listing
    from retrieval.search.shots import with_mates_named

    how = listing or Listing()
    selected = None if asked.where is None else engine.selection(asked.where)
    return with_mates_named(engine.reader, hits, selected, raw_pairs=how.raw_pairs, live_pairs=how.live_pairs)


def for_askers(context: typer.Context) -> Callable[[Sequence[str], QueryEngine], int]:
    """Runs command lines on a resident process's engine; the parsers are made only once, which takes 6 ms."""
    root = context.find_root()
    main = partial(root.command.main, prog_name="photoseek", standalone_mode=False, default_map=root.default_map)

    def run(arguments: Sequence[str], engine: QueryEngine) -> int:
        try:
            return int(main(list(arguments), obj=engine) or 0)
        except SystemExit as ended:
            return int(ended.code or 0)

    return run


def open_file(path: str) -> bool:
    """Open a file with the desktop's program for it; False if there is none."""
    import typer

    return typer.launch(path) == 0


def show_page(page: Page, listing: Listing, form: Form, asked: Request, engine: QueryEngine) -> None:
    """Print a page's hits; with ``--json``, if a page was requested, also a last line with the next cursor."""
    if page.nearest is not None:
        say("nothing in this gallery matches well")
        say(f"(the nearest picture scores {page.nearest:.3f}; omit --relevant to see it)")
        raise SystemExit(1)
    show_hits(list(page.hits), form, asked, engine, listing)
    if listing.page is None and listing.cursor is None:
        return
    if form.as_json:
        from retrieval.output import write_next

        write_next(page, results())
    elif page.next is not None and listing.page is not None:
        say(f"more: --page {listing.page + 1}")
