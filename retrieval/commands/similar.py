"""``photoseek similar``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.answers import Form, open_engine, show_hits, show_page, tell_unknown
from retrieval.commands.options import (
    AllowUrlOption,
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
    from retrieval.search.pages import Listing
    from retrieval.show.showing import Showing


@filter_flags
@listing_flags
@showing_flags
def similar(
    photo: Annotated[str, typer.Argument(help="A picture file, or id:N for a picture of the gallery.")],
    where: Filter | None,
    listing: Listing | None,
    showing: Showing | None,
    allow_url: AllowUrlOption = False,
    gallery: GalleryOption = None,
    model: TowerOption = "",
    limit: LimitOption = 10,
    min_score: MinScoreOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures that look like one. The picture itself is left out."""
    from retrieval.search.query import Query, picture_term

    form = Form(as_json, paths, null, showing)
    with open_engine(gallery, model=model) as engine:
        tell_unknown(engine, where)
        term = picture_term(photo, allow_urls=allow_url)
        query = Query((term,), where=where, k=limit, min_score=min_score)
        if listing is not None:
            from retrieval.search.pages import find_page

            page = find_page(engine, query, listing, leave_out=engine.known_id(term))
            show_page(page, listing, form, query, engine)
        else:
            hits = engine.similar(term, limit, where=where, min_score=min_score)
            show_hits(hits, form, query, engine)
