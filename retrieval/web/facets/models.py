"""Response models of facets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, create_model

from retrieval.filters.conditions import COUNTED

Count = Annotated[int, Field(ge=0)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


class ValueCount(BaseModel):
    """A value that pictures have, and how many have it."""

    value: str
    count: Count


class YearCount(BaseModel):
    """A year, and how many pictures were taken in it."""

    year: int
    count: Count


class MonthCount(BaseModel):
    """A month, and how many pictures were taken in it."""

    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    count: Count


class FolderCount(BaseModel):
    """A folder, and how many pictures lie in it at any depth."""

    path: str
    name: str
    count: Count


class TagCount(BaseModel):
    """A tag, how many pictures have it, and who says so."""

    tag: str
    count: Count
    source: Literal["people", "predicted"]


class Cell(BaseModel):
    """Pictures that were taken near each other, in their middle; degrees, WGS 84."""

    lat: Latitude
    lon: Longitude
    count: Count


class Places(BaseModel):
    """Where pictures were taken."""

    count: Count = Field(description="Pictures of known place.")
    box: tuple[Latitude, Longitude, Latitude, Longitude] | None = Field(
        description="South, west, north, east of them; west is larger than east where they lie around the 180th "
        "meridian. Null: none has a known place."
    )
    cells: list[Cell] = Field(max_length=400)


if TYPE_CHECKING:

    class _Values(BaseModel):
        def __getattr__(self, name: str) -> list[ValueCount]: ...

else:
    _Values = create_model("_Values", **{facet.field: list[ValueCount] for facet in COUNTED})


class FacetCounts(_Values):
    """What the pictures that pass a filter are like.

    Each facet is counted under the filter's conditions on everything else, so that a second value can be chosen.
    """

    total: Count = Field(description="Pictures that pass the whole filter.")
    years: list[YearCount] = Field(description="Ascending; without regard to after and before, like months.")
    months: list[MonthCount]
    undated: Count = Field(description="Pictures without a date, beside years and months.")
    parents: list[FolderCount] = Field(description="The folders asked for (under), or else those that were indexed.")
    folders: list[FolderCount] = Field(description="One level below parents, by path.")
    tags: list[TagCount]
    places: Places


class Tags(BaseModel):
    """Every tag of the gallery, the most frequent first."""

    total: Count = Field(description="How many tags there are; the list may be shorter.")
    tags: list[TagCount]
