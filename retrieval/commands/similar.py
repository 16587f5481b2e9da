"""``photoseek similar``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.answers import Form, Request, limit_in, open_engine, show_hits, show_page, tell_unknown
from retrieval.commands.options import (
    AllowUrlOption,
    CsvOption,
    GalleryOption,
    JsonOption,
    LimitOption,
    MinScoreOption,
    NullOption,
    PathsOption,
    TowerOption,
    filter_flags,
    listing_flags,
    showing_flags,
)

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.rendering.showing import Showing
    from retrieval.search.pages import Listing


@filter_flags
@listing_flags
@showing_flags
def similar(
    photo: Annotated[str, typer.Argument(help="A picture file, or id:N for a picture in the gallery.")],
    where: Filter | None,
    listing: Listing | None,
    showing: Showing | None,
    allow_url: AllowUrlOption = False,
    gallery: GalleryOption = None,
    model: TowerOption = "",
    limit: LimitOption = 10,
    min_score: MinScoreOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures that look like a given one. The picture itself is not listed."""
    from retrieval.search.query import Query, picture_term

    form = Form(as_json, as_csv, paths, null, showing)
    with open_engine(gallery, model=model) as engine:
        tell_unknown(engine, where)
        term = picture_term(photo, allow_urls=allow_url)
        k = limit_in(engine, limit)
        query, asked = Query((term,), where=where, k=k, min_score=min_score), Request((term,), where)
        if listing is not None:
            from retrieval.search.pages import find_page
            from retrieval.search.ranking import MAX_DEPTH

            query = replace(query, k=min(k, MAX_DEPTH))
            page = find_page(engine, query, listing, leave_out=engine.known_id(term))
            show_page(page, listing, form, asked, engine)
        else:
            hits = engine.similar(term, k, where=where, min_score=min_score)
            show_hits(hits, form, asked, engine)
