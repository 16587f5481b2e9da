"""Request and response models of changes to labels and albums."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from retrieval.web.search.models import MOST_ID, SearchBody

MOST_PICTURES = 100_000
"""Of one change: their ids fit into the largest body of JSON, and what is kept to take it back into 20 MB."""

Id = Annotated[int, Field(ge=1, le=MOST_ID)]
AlbumName = Annotated[str, Field(min_length=1, max_length=500)]
Text = Annotated[str, Field(max_length=10_000)]


class Pictures(BaseModel):
    """The pictures to change: by their ids, or everything that a search lists."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Id] = Field(default_factory=list, max_length=MOST_PICTURES)
    results_of: SearchBody | None = Field(
        None, description="Everything that this search lists, whatever part of it was read; k, offset, cursor: unused."
    )
    but: list[Id] = Field(default_factory=list, max_length=MOST_PICTURES, description="Without these.")


class LabelBody(Pictures):
    """A change of labels, as the user; what other programs wrote into XMP is not touched."""

    tags: list[Text] = Field(default_factory=list, max_length=100, description="To add.")
    without_tags: list[Text] = Field(default_factory=list, max_length=100, description="To remove.")
    caption: Text | None = Field(None, description="Replaces the user's caption.")
    without_caption: bool = False
    rating: int | None = Field(None, ge=-1, le=5, description="0 to 5 stars, -1: rejected.")
    without_rating: bool = False
    favourite: bool | None = None
    hidden: bool | None = Field(None, description="Whether lists that do not ask for hidden pictures leave it out.")


class Edited(BaseModel):
    """What a change did."""

    pictures: int = Field(description="How many it was for.")
    changed: int = Field(description="How many are different now.")
    unknown: int = Field(0, description="How many ids are not in the gallery.")
    undo: str | None = Field(description="For POST /undo/{token}, for a while; null if nothing changed.")


class AlbumChanged(Edited):
    """What a change of an album did."""

    id: int = Field(description="Of the album.")
    name: str = Field(description="As it is stored.")


class AlbumBody(Pictures):
    """A new album: of pictures, or a saved search."""

    name: AlbumName
    search: SearchBody | None = Field(
        None,
        description="Makes a saved search: the album holds what this finds, at any time. Words find the pictures that "
        "answer them, pictures the best 500; order, k and offset are not kept.",
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> AlbumBody:
        if self.search is not None and (self.ids or self.results_of is not None):
            raise ValueError("an album holds either pictures or what a search finds: leave one of the two out")
        return self


class AlbumPatch(BaseModel):
    """Changes of an album; at least one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: AlbumName | None = None
    cover: Id | None = Field(None, description="A picture of the album.")
    first: list[Id] | None = Field(
        None, min_length=1, max_length=MOST_PICTURES, description="These come first, in this order; the others follow."
    )

    @model_validator(mode="after")
    def _asks(self) -> AlbumPatch:
        if self.name is None and self.cover is None and self.first is None:
            raise ValueError("nothing to change: give name, cover or first")
        return self


class Undone(BaseModel):
    """What taking a change back did."""

    what: str = Field(description="What was taken back: labels, album, people, trash.")
    pictures: int = Field(description="How many pictures are as they were before; of an album, how many went or came.")
    conflicts: list[int] = Field(description="Pictures that were changed since and stay as they are; 100 at most.")
    conflicts_total: int
    albums: list[str] = Field(description="Albums that were changed since and stay as they are.")
    people: list[str] = Field(description="Persons who were changed since: an edit of them stays as a whole.")
    left: list[str] = Field(description="Files that could not be put back, with the reasons.")
    undo: str | None = Field(description="Makes the change again; null where nothing was taken back.")


class Selected(BaseModel):
    """Everything that a search lists."""

    ids: list[int] = Field(description="In the list's order.")
    total: int
    total_is_capped: bool = Field(description="More pictures qualify than the list holds.")
