"""The MCP tools on an open engine: search, similar, describe. They are read-only."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from retrieval.catalog.albums import all_albums
from retrieval.catalog.facets import value_counts, year_counts
from retrieval.catalog.labels import predicted_counts, tag_counts
from retrieval.encoders.names.known_models import is_builtin, is_known_image_only
from retrieval.errors import QueryError
from retrieval.labels.reading import labels_of
from retrieval.paths import as_text
from retrieval.rendering.thumbnails import thumbnails
from retrieval.search.english import english_hint
from retrieval.search.language import parse_question
from retrieval.search.pages import Listing, Page, browse, find_page
from retrieval.search.query import Query, picture_term
from retrieval.streams import plural
from retrieval.web.assistant.models import (
    Counted,
    Description,
    Found,
    FoundPicture,
    SearchArguments,
    SimilarArguments,
)

if TYPE_CHECKING:
    from retrieval.catalog.records import ImageRecord
    from retrieval.filters import Filter
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit

SHOWN = 6
"""Hits with a thumbnail: a picture of 256 pixels is some 90 tokens to a model that reads it, and 15 kB on the way."""

_SIDE = 256
_LISTED = 30  # values of each kind in a description


class Shown(NamedTuple):
    """A thumbnail: the hit's rank and id, and the bytes of a JPEG."""

    rank: int
    id: int
    jpeg: bytes


class Answer(NamedTuple):
    """The result of a tool, and thumbnails of the first hits if requested."""

    found: Found | Description
    shown: Sequence[Shown] = ()


def search(engine: QueryEngine, asked: SearchArguments) -> Answer:
    """Hits of a query in photoseek's language.

    Raises:
        RetrievalError: an invalid query, filter or page, as on the command line.
    """
    question = parse_question(asked.query)
    where = question.where(asked.where())
    listing = Listing(relevant=asked.relevant, sort=asked.sort, page=asked.page)
    if question.terms:
        page = find_page(engine, Query(question.terms, where, asked.k, asked.min_score, asked.only), listing)
    elif asked.only is not None:
        raise QueryError(f"there is no query that {asked.only} could be searched for", "give words, or omit only")
    else:
        page = browse(engine, where, listing, asked.k)
    texts = [str(term.value) for term in question.terms if term.kind == "text" and term.weight > 0]
    hint = english_hint(texts, engine.encoder_row.name, nothing_matches=page.nearest is not None)
    return _answer(engine, page, where, show=asked.thumbnails, hint=hint)


def similar(engine: QueryEngine, asked: SimilarArguments) -> Answer:
    """Pictures that look like one; an image of the gallery is itself left out.

    Raises:
        RetrievalError: no such picture, one that cannot be read, or an address (nothing is fetched).
    """
    term = picture_term(asked.picture)
    query = Query((term,), asked.where(), asked.k, asked.min_score)
    page = find_page(engine, query, Listing(), leave_out=engine.known_id(term))
    return _answer(engine, page, query.where, show=asked.thumbnails)


def describe(engine: QueryEngine) -> Answer:
    """What the gallery holds, and what can and cannot be found in it."""
    reader, encoder = engine.reader, engine.encoder_row
    summary = reader.summary()
    run = reader.last_run()
    pictures = reader.count()
    tags, predicted = tag_counts(reader), predicted_counts(reader, encoder.id)
    return Answer(
        Description(
            gallery=as_text(str(engine.gallery.path)),
            pictures=pictures,
            folders=[as_text(folder) for folder in reader.roots()],
            model=encoder.name,
            formats=_counted(summary["formats"]),
            cameras=_counted(value_counts(reader, "camera", _LISTED)),
            years=_counted(year_counts(reader, _LISTED)),
            tags=_counted(tags),
            predicted_tags=_counted(predicted),
            albums=[album.name for album in all_albums(reader)[:_LISTED]],
            with_date=summary["with_date"],
            with_place=summary["with_place"],
            last_indexed=None if run is None else run["started_at"],
            can=_can(engine, has_tags=bool(tags or predicted), places=summary["with_place"]),
            cannot=_cannot(engine, pictures - summary["with_date"], reader.failure_count()),
        )
    )


def _answer(engine: QueryEngine, page: Page, where: Filter | None, *, show: bool, hint: str = "") -> Answer:
    notes = []
    if where is not None and not where.is_empty() and (line := engine.selection(where).message()):
        notes.append(line)
    if page.nearest is not None:
        notes.append(f"nothing in this gallery matches well (the nearest picture scores {page.nearest:.3f})")
    elif not page.hits:
        notes.append("nothing found")
    if hint:
        notes.append(hint)
    said = {labels.image.id: labels.tags for labels in labels_of(engine.reader, [hit.image.id for hit in page.hits])}
    hits = [_picture(hit, [tag.text for tag in said.get(hit.image.id, ())]) for hit in page.hits]
    found = Found(hits=hits, total=page.total, more=page.next is not None, notes=notes)
    return Answer(found, _shown(page.hits) if show else ())


def _picture(hit: Hit, tags: list[str]) -> FoundPicture:
    image = hit.image
    return FoundPicture(
        rank=hit.rank,
        id=image.id,
        path=as_text(image.path),
        score=None if math.isnan(hit.score) else round(hit.score, 6),
        relevance=None if hit.relevance is None else round(hit.relevance, 4),
        taken_at=image.taken_text(),
        width=image.width,
        height=image.height,
        format=image.format,
        camera=image.camera,
        latitude=image.latitude,
        longitude=image.longitude,
        place=image.place,
        tags=list(dict.fromkeys(tags)),
    )


def _shown(hits: Sequence[Hit]) -> list[Shown]:
    first = hits[:SHOWN]
    images: list[ImageRecord] = [hit.image for hit in first]
    shown = []
    for hit, picture in zip(first, thumbnails(images, _SIDE), strict=True):
        if picture is not None:
            stored = io.BytesIO()
            picture.save(stored, "JPEG", quality=80)  # the one format that every assistant reads
            shown.append(Shown(hit.rank, hit.image.id, stored.getvalue()))
    return shown


def _counted(counts: Mapping[str, int]) -> list[Counted]:
    return [Counted(value=value, count=count) for value, count in list(counts.items())[:_LISTED]]


def _can(engine: QueryEngine, *, has_tags: bool, places: int) -> list[str]:
    model = engine.encoder_row.name
    can = ["pictures that look like another one (similar)", "file names, folders, formats and sizes (filters)"]
    if not is_known_image_only(model):
        can.insert(0, f"what a picture shows, in words, as {model} understands them (search)")
        can.insert(1, "whether anything fits at all: a search lists the nearest, with relevant those that answer")
    if has_tags:
        can.append("tags (filter)")
    if places:
        can.append(f"places by coordinates and radius (filter), of {plural(places, 'picture')}")
    return can


def _cannot(engine: QueryEngine, undated: int, failures: int) -> list[str]:
    cannot = [
        "people by name (unless a tag says so), and text that stands in a picture",
        "videos, and pictures outside the indexed folders or newer than the last run of photoseek index",
    ]
    if is_known_image_only(engine.encoder_row.name):
        cannot.insert(0, f"anything by words: {engine.encoder_row.name} knows pictures only")
    if is_builtin(engine.encoder_row.name):
        cannot.insert(0, "people, actions and places by words: the built-in model knows everyday things only")
    if undated:
        cannot.append(f"the date of {plural(undated, 'picture')}: filters by date leave them out")
    if failures:
        cannot.append(f"{plural(failures, 'file')} that could not be read")
    return cannot
