"""``/facets``, ``/tags``, ``/albums``, ``/folders``, ``/suggest``: what the gallery's pictures have, with counts."""

from __future__ import annotations

import asyncio
from datetime import datetime
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from retrieval.catalog.albums import all_albums
from retrieval.catalog.labels import predicted_counts, tag_counts
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.filters.periods import parse_period
from retrieval.places.naming import largest_towns
from retrieval.search.album_lists import album_values
from retrieval.search.saved_search import resolved
from retrieval.web.app_state import engine_thread, facets, lists, live_albums, readers, suggestions
from retrieval.web.facets.counting import Only
from retrieval.web.facets.live_albums import Live, has_live
from retrieval.web.facets.map_cells import Box
from retrieval.web.facets.models import (
    Album,
    Albums,
    FacetCounts,
    Folders,
    Period,
    Suggestions,
    TagCount,
    Tags,
    TownName,
    TownNames,
)
from retrieval.web.search.models import SearchParams
from retrieval.web.search.question import question_of

router = APIRouter(tags=["facets"])

_NEEDED: dict[int | str, dict[str, Any]] = {
    503: {"description": "Nothing is indexed yet, or more is asked than can be answered."}
}


class CountedParams(SearchParams):
    """The address of a search. Words alone leave no picture out; with `relevant`, `min_score` or `less` they do."""

    most: int = Field(200, ge=1, le=2000, description="Values of one facet, the most frequent ones.")


class FolderParams(CountedParams):
    """A part of the tree of folders, under a search."""

    within: str | None = Field(None, max_length=4096, description="Folders directly in this one; else the outermost.")
    folder_name: str = Field("", max_length=200, description="Instead: folders anywhere with this in their name.")


class FacetParams(CountedParams):
    """The same, with the map."""

    box: str | None = Field(
        None,
        max_length=100,
        description="South,west,north,east in degrees: the part of the map that cells are for. Default: all places.",
        examples=["36,-10,60,30"],
    )


_SAID: dict[int | str, dict[str, Any]] = {
    400: {"description": "Conditions that no picture can pass, a value or a query that is none."},
    404: {"description": "A picture of the query that the gallery does not hold."},
    410: {"description": "An uploaded picture was forgotten."},
    422: {"description": "Not what is accepted here; or words for a model without words."},
    **_NEEDED,
}


@router.get("/facets", summary="Counts of cameras, dates, folders, tags, ... under a filter", responses=_SAID)
async def get_facets(request: Request, asked: Annotated[FacetParams, Query()]) -> FacetCounts:
    """What the pictures that pass the filter are like.

    Each field is counted under the conditions on all others, so that one can choose a second camera. Takes the same
    parameters as a search, and counts the pictures that it lists: order, place and bursts change nothing.
    """
    box, counting = _box(asked.box), facets(request)
    where, only = await _counted(request, asked)
    live = Live()
    if await readers(request).run(has_live):
        live = await engine_thread(request).run(live_albums(request).found)
    return await readers(request).run(
        lambda reader: counting.count(reader, where, only=only, box=box, most=asked.most, live=live)
    )


@router.get("/folders", summary="Folders one level below another one, with counts under a filter", responses=_SAID)
async def get_folders(request: Request, asked: Annotated[FolderParams, Query()]) -> Folders:
    """The tree of folders, a level at a time. Counts are those of `/facets`: without the conditions on folders."""
    where, only = await _counted(request, asked)
    counting = facets(request)
    found = await readers(request).run(
        lambda reader: counting.folders(
            reader, where, only=only, within=asked.within, name=asked.folder_name, most=asked.most
        )
    )
    return Folders(folders=found)


@router.get("/map/towns", summary="Names of towns for a part of the map", responses={400: _SAID[400]})
async def get_towns(
    box: Annotated[str, Query(max_length=100, examples=["36,-10,60,30"], description="As for `/facets`.")],
    most: Annotated[int, Query(ge=1, le=100)] = 40,
) -> TownNames:
    """The towns with the most people there, from this machine; none where the package of places is not installed."""
    found = await asyncio.to_thread(largest_towns, _box(box) or (-90.0, -180.0, 90.0, 180.0), most)
    towns = [TownName(name=name, lat=lat, lon=lon, people=people) for name, lat, lon, people in found]
    return TownNames(towns=towns)


@router.get("/period", summary="A time in words as the conditions after and before", responses={400: _SAID[400]})
async def get_period(
    text: Annotated[
        str,
        Query(min_length=1, max_length=100, examples=["last summer", "June 2019", "2018 - 2020", "since 3 weeks ago"]),
    ],
) -> Period:
    """What people write for a time: a year, a month, a day, a season, a week; from one to another; since; until."""
    after, before = parse_period(text)
    return Period(after=_written(after), before=_written(before))


def _written(moment: datetime | None) -> str | None:
    """As short as it can be: whole months and days keep no time."""
    if moment is None:
        return None
    if moment.hour or moment.minute:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment:%Y-%m}" if moment.day == 1 else f"{moment:%Y-%m-%d}"


async def _counted(request: Request, asked: CountedParams) -> tuple[Filter, Only | None]:
    """The conditions of a search, and the pictures that it lists where that is not all that pass them."""
    question = question_of(asked, asked)
    where = question.fields.where()
    if where.album or where.no_album:
        where = await engine_thread(request).run(lambda engine: resolved(engine, where))
    return where, await lists(request).narrowed(engine_thread(request), question)


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
