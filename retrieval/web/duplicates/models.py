"""Response models of ``/duplicates``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.groups import Group, Member
from retrieval.web.pictures.models import ListedPicture, listed
from retrieval.web.search.models import MOST_ID

Kind = Literal["same bytes", "same picture", "look-alike"]
Count = Annotated[int, Field(ge=0)]

MOST_OTHERS = 500
"""Pictures that are told of one group."""

MOST_GROUPS = 200
"""Groups of one request to move duplicates: each file is read in full before it is moved."""


class WorstTile(BaseModel):
    """The tile of 8 x 8 pixels in which two pictures differ most."""

    levels: float = Field(description="The difference, grey levels 0 to 255.")
    box: tuple[float, float, float, float] = Field(description="Left, top, right, bottom: shares of the sides.")


class DuplicatePicture(ListedPicture):
    """A picture of a group."""

    on_disk: Literal["same", "changed", "missing"]
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


class TrashGroup(BaseModel):
    """Which pictures of a group are to go, and which one stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keeper: Annotated[int, Field(ge=1, le=MOST_ID)]
    others: list[Annotated[int, Field(ge=1, le=MOST_ID)]] = Field(min_length=1, max_length=MOST_OTHERS)


class TrashBody(BaseModel):
    """Duplicates to be moved to the gallery's trash."""

    model_config = ConfigDict(extra="forbid", strict=True)

    groups: list[TrashGroup] = Field(min_length=1, max_length=MOST_GROUPS)


class Staying(BaseModel):
    """A picture that was not moved."""

    id: int
    name: str
    reason: str


class Trashed(BaseModel):
    """What was moved to the gallery's trash."""

    ids: list[int] = Field(description="Pictures that are in the trash now.")
    bytes: Count = Field(description="That these take.")
    left: list[Staying] = Field(description="Pictures that stay where they are, each with the reason.")
    undo: str | None = Field(description="For POST /undo/{token}: puts all of them back.")


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
    return DuplicatePicture(**listed(image), on_disk=image.on_disk())


def _rounded(cosine: float | None) -> float | None:
    return None if cosine is None else round(cosine, 4)
