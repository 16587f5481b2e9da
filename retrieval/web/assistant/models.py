"""Arguments and results of the MCP tools, with schemas."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from retrieval.web.search.filter_fields import FilterFields

MOST_HITS = 50
MOST_LETTERS = 2_000
"""Of a query: the longest text towers read 77 tokens, and a program may be at the other end."""


class SimilarArguments(FilterFields):
    """Arguments of ``similar``."""

    picture: str = Field(
        min_length=1,
        max_length=MOST_LETTERS,
        description="What to be similar to: an id from an earlier answer as id:12, or the path of a picture file.",
    )
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many pictures at most.")
    min_score: float | None = Field(None, ge=-1, le=1, description="Leave out pictures below this cosine similarity.")
    thumbnails: bool = Field(False, description="Also show small pictures of the first few hits.")


class SearchArguments(FilterFields):
    """Arguments of ``search``."""

    query: str = Field(
        min_length=1,
        max_length=MOST_LETTERS,
        description=(
            "What the pictures show, in plain words ('a red bird on a branch'). Parts may be added and subtracted with "
            "weights: '2:beach + sunset - people'. img:id:12 stands for a picture of the gallery."
        ),
    )
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many pictures at most.")
    page: int = Field(1, ge=1, le=200, description="Which k of the list: 2 for those after the first k.")
    relevant: bool = Field(
        False, description="Only pictures that answer the query by the gallery's own measure; there may be none."
    )
    min_score: float | None = Field(None, ge=-1, le=1, description="Leave out pictures below this cosine similarity.")
    only: Literal["visual", "text", "names"] | None = Field(
        None,
        description="Search only what pictures show (visual), what can be read in them (text), or what they are "
        "called: names, folders, tags, captions, places (names). Default: all, fused.",
    )
    sort: Literal["score", "date", "name"] = Field(
        "score", description="Order of the pictures that are listed; date is newest first."
    )
    thumbnails: bool = Field(False, description="Also show small pictures of the first few hits.")


class DescribeArguments(BaseModel):
    """``describe_gallery`` takes none."""

    model_config = ConfigDict(extra="forbid")


class FoundPicture(BaseModel):
    """A hit."""

    rank: int = Field(description="From 1.")
    id: int = Field(description="Stays the same when the file is renamed or moved.")
    path: str
    score: float | None = Field(
        description="Cosine similarity to the query, -1 to 1; comparable within one model; null where there was none."
    )
    relevance: float | None = Field(description="How well it answers the words, 0 to 1; with relevant only.")
    taken_at: str | None = Field(description="ISO 8601, by the camera's clock; null if not known.")
    width: int
    height: int
    format: str
    camera: str | None
    latitude: float | None
    longitude: float | None
    place: str | None = Field(description="The town and what it lies in, or the country.")
    tags: list[str] = Field(description="Given by people.")


class Found(BaseModel):
    """Answer of ``search`` and ``similar``."""

    hits: list[FoundPicture]
    total: int | None = Field(description="Length of the whole list where that is known.")
    more: bool = Field(description="True if there is a further page.")
    notes: list[str] = Field(description="What a person would be told beside the answer.")


class Counted(BaseModel):
    """A value and how many pictures have it."""

    value: str
    count: int


class Description(BaseModel):
    """Answer of ``describe_gallery``."""

    gallery: str
    pictures: int
    folders: list[str] = Field(description="The folders that are indexed.")
    model: str
    formats: list[Counted]
    cameras: list[Counted] = Field(description="The most frequent first.")
    years: list[Counted] = Field(description="Year of the camera's date.")
    tags: list[Counted] = Field(description="Given by people; the most frequent first.")
    predicted_tags: list[Counted] = Field(description="Believed by the model; the most frequent first.")
    albums: list[str] = Field(description="Of people and of saved searches, for the filter `album`.")
    with_date: int
    with_place: int
    last_indexed: str | None
    can: list[str] = Field(description="What can be found here.")
    cannot: list[str] = Field(description="What cannot.")
