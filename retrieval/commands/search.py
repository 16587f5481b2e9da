"""``photoseek search``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.answers import PROGRAM, Form, Request, limit_in, open_engine, show_hits, show_page, tell_unknown
from retrieval.commands.options import (
    ALL,
    AllowUrlOption,
    CsvOption,
    GalleryOption,
    JsonOption,
    LimitOption,
    MinScoreOption,
    NullOption,
    PathsOption,
    RelevantOption,
    TowerOption,
    filter_flags,
    listing_flags,
    showing_flags,
)
from retrieval.commands.say import needed, others_go_on, say
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.filters import Filter
    from retrieval.rendering.showing import Showing
    from retrieval.search.engine import QueryEngine
    from retrieval.search.pages import Listing
    from retrieval.search.query import Term


@filter_flags
@listing_flags
@showing_flags
def search(
    context: typer.Context,
    where: Filter | None,
    listing: Listing | None,
    showing: Showing | None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...",
            help="What to look for, e.g. '2:beach + sunset - people + img:photo.jpg'. Without TEXT: all pictures, "
            "or those that pass the filter, newest first.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="Picture to search with (repeatable).")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Text that the hits should not match (repeatable).")
    ] = None,
    without_image: Annotated[
        list[str] | None,
        typer.Option("--without-image", help="Picture that the hits should not look like (repeatable)."),
    ] = None,
    queries_from: Annotated[
        str, typer.Option("--queries-from", help="File with one query per line (-: stdin); prints JSON lines.")
    ] = "",
    allow_url: AllowUrlOption = False,
    gallery: GalleryOption = None,
    model: TowerOption = "",
    limit: LimitOption = 10,
    min_score: MinScoreOption = None,
    relevant: RelevantOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures by text, by example pictures, or by both."""
    from retrieval.search.language import parse_arguments
    from retrieval.search.query import Query, parse_term

    form = Form(as_json, as_csv, paths, null, showing)
    terms = [
        *parse_arguments(texts or (), allow_urls=allow_url),
        *(parse_term("image", path, allow_urls=allow_url) for path in image or ()),
        *(parse_term("text", text, sign=-1) for text in without or ()),
        *(parse_term("image", path, sign=-1, allow_urls=allow_url) for path in without_image or ()),
    ]
    if queries_from:
        from retrieval.search.many import answer_lines

        if relevant or listing:
            raise QueryError(
                "--queries-from only supports the best hits of each query",
                "omit the options for order, pages and --relevant",
            )
        if terms or as_csv or paths or null or showing:
            raise QueryError(
                "--queries-from replaces TEXT and prints JSON lines", "omit other queries and output formats"
            )
        with open_engine(gallery, model=model) as engine:
            like = Query((parse_term("text", "x"),), where, limit_in(engine, limit), min_score)
            tell_unknown(engine, where)
            with others_go_on("line") as refused:
                needed(answer_lines(engine, queries_from, like, sys.stdout, allow_urls=allow_url, refused=refused))
        return
    is_browsing = not terms
    if is_browsing and min_score is not None:
        raise QueryError("without a query there are no scores", "give a query, or omit --min-score")
    if not is_browsing:
        Query(tuple(terms))  # nothing is opened for what cannot be asked
        _hint_at_files(texts or ())
    asked = Request(tuple(terms), where)
    with open_engine(gallery, context.obj, model=model) as engine:
        tell_unknown(engine, where)
        k = limit_in(engine, limit)
        page = None
        if is_browsing or relevant or listing:
            from retrieval.search.pages import Listing, browse, find_page
            from retrieval.search.ranking import MAX_DEPTH

            listing = replace(listing or Listing(), relevant=relevant)
            if is_browsing:
                page = browse(engine, where, listing, k)
            else:
                if limit == ALL and k > MAX_DEPTH:
                    say(f"such a list is limited to {MAX_DEPTH:,} hits")
                query = Query(asked.terms, where=where, k=min(k, MAX_DEPTH) if limit == ALL else k, min_score=min_score)
                page = find_page(engine, query, listing)
        else:
            hits = engine.search(Query(asked.terms, where=where, k=k, min_score=min_score))
        if os.environ.get("PHOTOSEEK_DAEMON") == "1" and context.obj is None and not model:
            from retrieval.daemon.control import start_on_demand

            start_on_demand(engine.gallery, PROGRAM)
        _hint_at_english(terms, engine, nothing_matches=page is not None and page.nearest is not None)
        if page is not None and listing is not None:
            show_page(page, listing, form, asked, engine)
        else:
            show_hits(hits, form, asked, engine)


def _hint_at_english(terms: Sequence[Term], engine: QueryEngine, *, nothing_matches: bool) -> None:
    texts = [str(term.value) for term in terms if term.kind == "text" and term.weight > 0]
    if nothing_matches or not all(map(str.isascii, texts)):
        from retrieval.search.english import english_hint

        if line := english_hint(texts, engine.encoder_row.name, nothing_matches=nothing_matches):
            say(line)


def _hint_at_files(texts: Sequence[str]) -> None:
    """Words that name a file were probably meant as that picture, and a folder as a place to look in."""
    from shlex import quote

    from retrieval.streams import printable

    for text in dict.fromkeys((*texts, " ".join(texts))):
        path = os.path.expanduser(text)  # noqa: PTH111 - a name may be too long for Path's questions
        if os.path.isfile(path):  # noqa: PTH113
            say(f"{printable(text)} is a file; did you mean: photoseek similar {quote(printable(text))}")
        elif os.sep in text and os.path.isdir(path):  # noqa: PTH112
            say(f"{printable(text)} is a folder; did you mean: --under {quote(printable(text))}")
