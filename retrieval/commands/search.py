"""``photoseek search``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from retrieval.commands.answers import Form, Request, limit_in, open_engine, tell_unknown
from retrieval.commands.options import (
    AllowUrlOption,
    CsvOption,
    ExplainOption,
    GalleryOption,
    JsonOption,
    LimitOption,
    MinScoreOption,
    NullOption,
    OnlyOption,
    PathsOption,
    RelevantOption,
    TowerOption,
    filter_flags,
    listing_flags,
    showing_flags,
)
from retrieval.commands.say import needed, others_go_on
from retrieval.commands.searching import find_and_show
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.rendering.showing import Showing
    from retrieval.search.pages import Listing
    from retrieval.search.query import Only


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
    only: OnlyOption = "",
    explain: ExplainOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures by text, by example pictures, or by both."""
    from retrieval.search.language import parse_arguments
    from retrieval.search.query import Query, parse_term

    form = Form(as_json, as_csv, paths, null, showing, explain)
    question = parse_arguments(texts or (), allow_urls=allow_url)
    where = question.where(where)
    terms = [
        *question.terms,
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
            x = (parse_term("text", "x"),)
            like = Query(x, where, limit_in(engine, limit), min_score, cast("Only | None", only or None))
            tell_unknown(engine, where)
            with others_go_on("line") as refused:
                needed(answer_lines(engine, queries_from, like, sys.stdout, allow_urls=allow_url, refused=refused))
        return
    asked = Request(tuple(terms), where)
    find_and_show(
        asked,
        texts or (),
        form,
        gallery,
        warm=context.obj,
        model=model,
        limit=limit,
        min_score=min_score,
        relevant=relevant,
        only=only or None,
        listing=listing,
    )
