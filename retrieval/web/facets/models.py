"""Response models of facets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, create_model

from retrieval.filters.conditions import COUNTED, PAIRED

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


class FolderNode(FolderCount):
    """A folder as a part of the tree."""

    has_folders: bool = Field(description="Whether there are folders with such pictures in it.")


class Folders(BaseModel):
    """Folders with pictures of the present search."""

    folders: list[FolderNode]


class Period(BaseModel):
    """A time from one moment to another, by the camera's clock; null: without that end."""

    after: str | None = Field(description="For the condition `after`: the first moment.")
    before: str | None = Field(description="For the condition `before`: the first moment that is later.")


class TagCount(BaseModel):
    """A tag, how many pictures have it, and who says so."""

    tag: str
    count: Count
    source: Literal["people", "predicted"]


class PlaceCount(BaseModel):
    """A town, a region or a country, and how many pictures were taken in it."""

    place: str = Field(description="With what it lies in, as the condition `place` takes it.")
    name: str
    kind: Literal["town", "region", "country"]
    parent: str | None = Field(description="The `place` around it; null for a country.")
    count: Count


class Cell(BaseModel):
    """Pictures that were taken near each other, in their middle; degrees, WGS 84."""

    lat: Latitude
    lon: Longitude
    count: Count
    image_id: int | None = Field(None, description="One of these pictures.")


class TownName(BaseModel):
    """A town as a map names it."""

    name: str
    lat: Latitude
    lon: Longitude
    people: Count


class TownNames(BaseModel):
    """The largest towns of a part of the map."""

    towns: list[TownName] = Field(max_length=100)


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
    _Values = create_model("_Values", **{facet.field: list[ValueCount] for facet in (*COUNTED, *PAIRED)})


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
    named_places: list[PlaceCount] = Field(description="Countries, regions and towns, the most frequent first.")


class Album(BaseModel):
    """An album."""

    id: int = Field(description="For /albums/{album_id}; it stays when the album is renamed.")
    name: str
    kind: Literal["pictures", "search"] = Field(description="People put pictures in, or it is a saved search.")
    pictures: Count | None = Field(description="How many are in it; null for a saved search, which stays live.")
    cover_id: int | None = Field(description="The picture that stands for it.")
    search: str | None = Field(description="What a saved search looks for, as a command line says it.")
    created_at: str


class Albums(BaseModel):
    """Every album of the gallery, by name."""

    total: Count
    albums: list[Album]


SuggestionKind = Literal["person", "place", "album", "search", "tag", "camera", "name"]


class Suggestion(BaseModel):
    """Something that this gallery has, and that the end of a question may mean."""

    kind: SuggestionKind = Field(description="search: an album that is a saved search; name: of a file.")
    field: str = Field(description="The condition of a search that finds it; `no_...` where it is to be left out.")
    value: str = Field(description="Of that condition.")
    text: str = Field(description="As people are told.")
    around: str | None = Field(description="Of a place: what it lies in.")
    count: Count | None = Field(description="Pictures that have it; null where that is not known without a search.")
    replaces: Count = Field(description="How many characters at the end of the question it stands for.")


class Suggestions(BaseModel):
    """What a question may go on with; persons first, then places, albums, tags, cameras, files."""

    suggestions: list[Suggestion] = Field(max_length=50)


class Tags(BaseModel):
    """Every tag of the gallery, the most frequent first."""

    total: Count = Field(description="How many tags there are; the list may be shorter.")
    tags: list[TagCount]
