"""Response models of ``/duplicates``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.groups import Group, Member
from retrieval.paths import as_text

Kind = Literal["same bytes", "same picture", "look-alike"]
Count = Annotated[int, Field(ge=0)]

MOST_OTHERS = 500
"""Pictures that are told of one group."""


class WorstTile(BaseModel):
    """The tile of 8 x 8 pixels in which two pictures differ most."""

    levels: float = Field(description="The difference, grey levels 0 to 255.")
    box: tuple[float, float, float, float] = Field(description="Left, top, right, bottom: shares of the sides.")


class DuplicatePicture(BaseModel):
    """A picture of a group; fields as in a hit of a search."""

    id: int
    name: str
    path: str
    width: int = Field(description="Pixels, as shown.")
    height: int
    taken_at: str | None
    camera: str | None
    latitude: float | None
    longitude: float | None
    format: str
    bytes: int
    colour: str | None = Field(description="#rrggbb, the average.")
    on_disk: Literal["same", "changed", "missing"]
    hash: str = Field(description="Changes with the picture: the beginning of its content's hash.")
    cosine: float | None = Field(default=None, description="Of its embedding with the keeper's; null for same bytes.")
    turn: int = Field(default=1, description="EXIF orientation in which it shows what the keeper does; 1: not turned.")
    verdict: str | None = Field(
        default=None, description="Compared tile by tile: copy, different, edited, other frame, too small."
    )
    worst_tile: WorstTile | None = Field(default=None, description="Where it differs most from the keeper.")
    bits: int | None = Field(
        default=None, description="Of the perceptual hash (64) in which it differs from the keeper."
    )


class DuplicateGroup(BaseModel):
    """Pictures of which one would do."""

    kind: Kind
    keeper: DuplicatePicture = Field(description="The one to keep: the original, as far as that can be told.")
    kept_because: list[str] = Field(description="Why, the weightiest reason first.")
    others: list[DuplicatePicture] = Field(max_length=MOST_OTHERS)
    others_total: Count = Field(description="How many there are; the list may be shorter.")
    bytes_of_others: Count


class KindTotal(BaseModel):
    """Everything that was found of one kind."""

    groups: Count
    others: Count = Field(description="Pictures beside the keepers.")
    bytes: Count = Field(description="That these take.")


class Duplicates(BaseModel):
    """A part of what was found."""

    state: Literal["found"] = "found"
    groups: list[DuplicateGroup]
    total: Count = Field(description="Groups of the kind asked for.")
    offset: Count
    kinds: dict[Kind, KindTotal]
    images: Count = Field(description="Pictures that were looked through.")
    plain: Count = Field(description="Of these, without structure to tell copies by: same bytes only.")
    crowded: Count = Field(description="Too many alike to be compared each with each.")
    unseen: Count = Field(description="Could not be looked at: missing, or changed since they were indexed.")
    found_at: str = Field(description="UTC, ISO 8601.")
    change: Count = Field(description="The gallery's number of changes at that time.")


class Finding(BaseModel):
    """They are still being found: ask again."""

    state: Literal["finding"] = "finding"
    stage: str = Field(description="What is done now; empty at the beginning.")
    done: Count
    total: Count = Field(description="0 where the end is not known.")


def group_out(group: Group) -> DuplicateGroup:
    """A group as it is answered; looks at each file."""
    return DuplicateGroup(
        kind=group.kind,
        keeper=_picture(group.keeper),
        kept_because=list(group.reasons),
        others=[_member(member) for member in group.others[:MOST_OTHERS]],
        others_total=len(group.others),
        bytes_of_others=group.bytes_of_others,
    )


def _member(member: Member) -> DuplicatePicture:
    found = member.comparison
    return _picture(member.image).model_copy(
        update={
            "cosine": _rounded(member.cosine),
            "bits": member.bits,
            "turn": member.turn,
            "verdict": None if found is None else found.verdict,
            "worst_tile": None if found is None else WorstTile(levels=found.levels, box=found.box),
        }
    )


def _picture(image: ImageRecord) -> DuplicatePicture:
    path = as_text(image.path)
    return DuplicatePicture(
        id=image.id,
        name=path.rpartition("/")[2],
        path=path,
        width=image.width,
        height=image.height,
        taken_at=image.taken_text(),
        camera=image.camera,
        latitude=image.latitude,
        longitude=image.longitude,
        format=image.format,
        bytes=image.size,
        colour=None if image.colour is None else f"#{image.colour:06x}",
        on_disk=image.on_disk(),
        hash=image.content_hash.hex()[:16],
    )


def _rounded(cosine: float | None) -> float | None:
    return None if cosine is None else round(cosine, 4)
