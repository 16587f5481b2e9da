"""``/facets``, ``/tags``, ``/albums``, ``/suggest``: what the gallery's pictures have, with counts."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from retrieval.catalog.albums import all_albums
from retrieval.catalog.labels import predicted_counts, tag_counts
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import QueryError
from retrieval.search.album_lists import album_values
from retrieval.search.saved_search import resolved
from retrieval.web.app_state import engine_thread, facets, lists, readers, suggestions
from retrieval.web.facets.map_cells import Box
from retrieval.web.facets.models import Album, Albums, FacetCounts, Suggestions, TagCount, Tags
from retrieval.web.search.models import SearchParams
from retrieval.web.search.question import question_of

router = APIRouter(tags=["facets"])

_NEEDED: dict[int | str, dict[str, Any]] = {
    503: {"description": "Nothing is indexed yet, or more is asked than can be answered."}
}


class FacetParams(SearchParams):
    """The address of a search. Words alone leave no picture out; with `relevant`, `min_score` or `less` they do."""

    box: str | None = Field(
        None,
        max_length=100,
        description="South,west,north,east in degrees: the part of the map that cells are for. Default: all places.",
        examples=["36,-10,60,30"],
    )
    most: int = Field(200, ge=1, le=2000, description="Values of one facet, the most frequent ones.")


@router.get(
    "/facets",
    summary="Counts of cameras, dates, folders, tags, ... under a filter",
    responses={
        400: {"description": "Conditions that no picture can pass, a value or a query that is none."},
        404: {"description": "A picture of the query that the gallery does not hold."},
        410: {"description": "An uploaded picture was forgotten."},
        422: {"description": "Not what is accepted here; or words for a model without words."},
        **_NEEDED,
    },
)
async def get_facets(request: Request, asked: Annotated[FacetParams, Query()]) -> FacetCounts:
    """What the pictures that pass the filter are like.

    Each field is counted under the conditions on all others, so that one can choose a second camera. Takes the same
    parameters as a search, and counts the pictures that it lists: order, place and bursts change nothing.
    """
    box, counting = _box(asked.box), facets(request)
    question = question_of(asked, asked)
    where = question.fields.where()
    if where.album or where.no_album:
        where = await engine_thread(request).run(lambda engine: resolved(engine, where))
    only = await lists(request).narrowed(engine_thread(request), question)
    return await readers(request).run(lambda reader: counting.count(reader, where, only=only, box=box, most=asked.most))


@router.get("/tags", summary="Every tag of the gallery", responses=_NEEDED)
async def get_tags(
    request: Request,
    most: Annotated[int, Query(ge=1, le=10_000, description="How many of each source, the most frequent.")] = 1000,
) -> Tags:
    """Tags that people gave, then those that the model predicts, each with the number of pictures that have it."""
    return await readers(request).run(lambda reader: _tags(reader, most))


@router.get("/suggest", summary="What a question may go on with", responses=_NEEDED)
async def suggest(
    request: Request,
    q: Annotated[
        str, Query(max_length=1000, description="The question up to the cursor. Empty: what pictures have most often.")
    ] = "",
    most: Annotated[int, Query(ge=1, le=50)] = 12,
) -> Suggestions:
    """Tags, places, persons, cameras, albums and file names of this gallery that begin like the end of the question.

    `tag:`, `place:` and the other words of the query language ask for one kind, and `-` before it for what is left out.
    """
    known = suggestions(request)
    return Suggestions(suggestions=await readers(request).run(lambda reader: known.find(reader, q, most)))


@router.get("/albums", summary="Every album of the gallery", responses=_NEEDED)
async def get_albums(request: Request) -> Albums:
    """Albums of pictures, and saved searches. The condition `album` of a search lists the pictures of either kind."""

    def read(reader: CatalogReader) -> Albums:
        found = album_values(reader, all_albums(reader))
        shown = [Album(**{name: each[name] for name in Album.model_fields}) for each in found]
        return Albums(total=len(shown), albums=shown)

    return await readers(request).run(read)


def _tags(reader: CatalogReader, most: int) -> Tags:
    said = tag_counts(reader)
    active = reader.active_encoder()
    predicted = {} if active is None else predicted_counts(reader, active.id)
    tags = [TagCount(tag=tag, count=n, source="people") for tag, n in list(said.items())[:most]]
    tags += [TagCount(tag=tag, count=n, source="predicted") for tag, n in list(predicted.items())[:most]]
    return Tags(total=len(said) + len(predicted), tags=tags)


def _box(text: str | None) -> Box | None:
    if not text:
        return None
    try:
        south, west, north, east = (float(part) for part in text.split(","))
    except ValueError:
        raise QueryError(f"{text!r} is not a map box", "write south,west,north,east in degrees") from None
    is_whole = isfinite(south + west + north + east)
    if not (is_whole and -90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise QueryError(
            f"the box {text!r} is outside the globe", "south must be below north; west may be greater than east"
        )
    return south, west, north, east
