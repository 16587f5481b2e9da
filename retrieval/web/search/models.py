"""Request and response models of searches; the API's documentation is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from retrieval.search.pages import MAX_MINUTES
from retrieval.search.ranking import MOST_LISTED
from retrieval.web.pictures.models import ListedPicture
from retrieval.web.search.filter_fields import FilterFields, OneOrMore

MOST_HITS = 500
"""Of one answer."""

MOST_ID = 10**18 - 1
"""A little less than SQLite can hold, and all that fits into 18 digits."""

_UPLOAD = r"^([0-9]{1,18}|u1\.[A-Za-z0-9_-]{1,64})$"


def _as_text(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if not 0 <= value <= MOST_ID:
        raise ValueError(f"an id is a number from 0 to {MOST_ID}")
    return str(value)


Id = Annotated[int, Field(ge=0, le=MOST_ID)]
Words = Annotated[str, Field(max_length=1000)]
_NUMBER = {"type": "integer", "minimum": 0, "maximum": MOST_ID}
Picture = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(pattern=_UPLOAD),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "string", "pattern": _UPLOAD}]}),
]
"""The id of a picture of the gallery, or of one that was uploaded."""


def _none() -> list[Any]:
    return []


class ListFields(FilterFields):
    """Which pictures are listed, and in which order."""

    sort: Literal["score", "date", "name"] | None = Field(
        None, description="score (the best first), date (newest first) or name. Without a query: date."
    )
    reverse: bool = Field(False, description="The other way round; what has no date still comes last.")
    relevant: bool = Field(False, description="Only hits that answer a search by words.")
    weaker: Literal["fold", "after"] | None = Field(
        None,
        description="Where hits of a search by words can be judged: fold leaves out those that do not answer it, "
        "unless none does; after lists them after those that do. Default: by score alone.",
    )
    min_score: float | None = Field(None, ge=-1, le=1, allow_inf_nan=False, description="Leave out hits below it.")
    group_minutes: float | None = Field(
        None, gt=0, le=MAX_MINUTES, allow_inf_nan=False, description="Of a scene within so many minutes only the best."
    )
    only: Literal["visual", "text", "names"] | None = Field(
        None,
        description="Search only what pictures show (visual), what can be read in them (text), or what they are "
        "called: names, folders, tags, captions, places (names). Default: all, fused.",
    )
    raw_pairs: Literal["jpeg", "raw"] | None = Field(
        None, description="Which file stands for a shot in RAW and JPEG, which is one hit: its JPEG, if not said."
    )


class PageFields(ListFields):
    """Which part of the list is answered."""

    k: int = Field(100, ge=1, le=MOST_HITS, description="How many ranks.")
    offset: int = Field(0, ge=0, le=MOST_LISTED, description="How many ranks come before: any place of the list.")
    cursor: str | None = Field(
        None,
        max_length=512,
        description="`next` of the answer before, for `offset`; 409 when the gallery changed.",
    )
    days: bool = Field(False, description="Also how many pictures of the whole list were taken on each day.")


def _several(description: str, most: int) -> Any:
    return Field(default_factory=_none, max_length=most, description=description)


class QuestionFields(BaseModel):
    """What is looked for; nothing at all: every picture that passes the filter, newest first."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    q: Annotated[list[Words], OneOrMore()] = _several(
        "Words, in the query language: `2:beach + sunset - people + img:id:7`.", 16
    )
    without: Annotated[list[Words], OneOrMore()] = Field(
        default_factory=_none, alias="not", max_length=16, description="Words to keep away from."
    )
    more: Annotated[list[Id], OneOrMore()] = _several("Pictures that are liked: towards them.", 200)
    less: Annotated[list[Id], OneOrMore()] = _several(
        "Pictures that are not: away from them, and they are not listed.", 200
    )
    like: Annotated[list[Picture], OneOrMore()] = _several(
        "Pictures to look for, by id, or by the `upload` of an answer.", 32
    )


class SearchParams(QuestionFields, PageFields):
    """A search as a URL."""


class SimilarParams(PageFields):
    """A search for what looks like one picture, as a URL."""


class ListParams(QuestionFields, ListFields):
    """A whole list as a URL."""

    ids: list[Id] = _several("These pictures, in this order, instead.", 500)


_Value = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(min_length=1, max_length=1000),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "string", "minLength": 1, "maxLength": 1000}]}),
]


class TermBody(BaseModel):
    """One part of a query."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["text", "id"]
    value: _Value = Field(description="The words; or the picture: its id, or that of an upload.")
    weight: float = Field(
        1.0, ge=-1000, le=1000, allow_inf_nan=False, description="How much it counts; below zero: away from it."
    )


class SearchBody(SearchParams):
    """A search as JSON."""

    model_config = ConfigDict(strict=True)

    terms: list[TermBody] = Field(default_factory=_none, max_length=64, description="Parts with weights.")


class ExportBody(QuestionFields, ListFields):
    """A whole list as JSON."""

    model_config = ConfigDict(strict=True)

    terms: list[TermBody] = Field(default_factory=_none, max_length=64, description="Parts with weights.")
    ids: list[Id] | None = Field(None, max_length=MOST_LISTED, description="These pictures, in this order, instead.")


class DownloadBody(BaseModel):
    """Pictures to be packed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Id] = Field(min_length=1, max_length=MOST_HITS)


class HitOut(ListedPicture):
    """A picture in a list of hits."""

    rank: int = Field(description="From 1, in the whole list.")
    score: float | None = Field(description="Cosine similarity to the query; null where there was none.")
    relevance: float | None = Field(description="How well it answers a search by words, from 0 to 1, if known.")
    relevant: bool | None = Field(description="Whether that reaches `cut`.")
    burst: int = Field(description="How many more pictures of the same scene it stands for.")
    found_by: list[str] = Field(
        description="What found it, where its cosine alone does not decide: visual, name, tag, caption, place, text."
    )
    matched: dict[str, list[str]] = Field(description="Of each of these, the words of the query that it has.")
    visual_rank: int | None = Field(description="Its rank by cosine alone in such a list, where that counted.")
    on_disk: Literal["same"] = Field(description="Pictures whose files are missing or changed are skipped.")


class TermOut(BaseModel):
    """One part of the query as it was understood."""

    kind: Literal["text", "id", "upload"]
    value: str
    weight: float


class QueryOut(BaseModel):
    """The query as it was understood."""

    words: list[str] = Field(description="What is looked for in words.")
    terms: list[TermOut]
    filter: dict[str, Any]
    hint: str | None = Field(description="What may be wrong with the words, for instance their language.")
    unknown: str | None = Field(description="Pictures left out only because their date, place, ... is not known.")


class SkippedOut(BaseModel):
    """Pictures that were left out of a list, as far as it was read, because of their files."""

    missing: int = Field(description="The file is not there (an unplugged drive).")
    changed: int = Field(description="The file changed since it was indexed.")


class SearchAnswer(BaseModel):
    """A part of a list of pictures."""

    hits: list[HitOut] = Field(description="Of the ranks asked for.")
    total: int = Field(description="Length of the whole list, without what was skipped so far.")
    total_is_capped: bool = Field(description="More pictures qualify than the list holds.")
    offset: int
    next: str | None = Field(description="The cursor of the part that follows.")
    query: QueryOut
    cut: float | None = Field(description="The relevance from which a hit answers the query.")
    relevant_total: int | None = Field(
        description="How many do, where that is known; in any other order than by score, they come first."
    )
    weaker: int | None = Field(
        description="How many more would be listed without `weaker=fold`; null where nothing was left out by it, or "
        "that is not known."
    )
    days: list[tuple[str | None, int]] | None = Field(
        description="Days in the order of the list, by the camera's clock, each with its number of pictures: "
        "2023-12-24, 2023-12 or 2023 as far as the date is known, or null. A day is repeated where pictures that do "
        "not answer follow those that do. Null: not asked for, or the list is not in the order of dates."
    )
    nearest: float | None = Field(description="Score of the nearest picture, where none was relevant.")
    skipped: SkippedOut
    upload: str | None = Field(description="For `like`, in place of the picture that was uploaded.")
    took_ms: float
    digest: str = Field(
        validation_alias=AliasChoices("list", "digest"),
        serialization_alias="list",
        description="Changes with the question.",
    )
    change: int = Field(description="Changes with the gallery.")
