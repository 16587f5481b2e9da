"""``/duplicates``: groups of duplicates, and moving all but their keepers to the gallery's trash."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from retrieval.catalog.reader import CatalogReader
from retrieval.duplicates.finding import DEFAULT_LOOK_ALIKE
from retrieval.duplicates.groups import Group
from retrieval.errors import Busy, QueryError
from retrieval.web.app_state import duplicates, readers, undos, writing
from retrieval.web.duplicates.job import Result
from retrieval.web.duplicates.models import Duplicates, Finding, Kind, KindTotal, TrashBody, Trashed, group_out
from retrieval.web.duplicates.moving import move, planned
from retrieval.web.edits.writing import REFUSED, may_write

router = APIRouter(tags=["duplicates"])

KINDS: tuple[Kind, ...] = ("same bytes", "same picture", "look-alike")


class DuplicatesParams(BaseModel):
    """Which duplicates, and which part of them."""

    model_config = ConfigDict(extra="forbid")

    look_alikes: bool = Field(False, description="Also pictures of which only the embeddings agree.")
    min_score: float | None = Field(
        None,
        ge=0.8,
        le=1,
        allow_inf_nan=False,
        description=f"Least cosine of look-alikes, in hundredths; default {DEFAULT_LOOK_ALIKE}. Below 0.8 a gallery's "
        "scenes become one group.",
    )
    kind: Kind | None = Field(None, description="Only groups of this kind.")
    offset: int = Field(0, ge=0, le=10_000_000, description="Groups that come before.")
    k: int = Field(40, ge=1, le=200, description="How many groups.")

    def least(self) -> float | None:
        """The least cosine, as :func:`find_duplicates` takes it."""
        if not self.look_alikes:
            if self.min_score is not None:
                raise QueryError("min_score only applies to look-alikes", "add look_alikes=true")
            return None
        # Each cosine is a separate search; rounding limits their number.
        return round(DEFAULT_LOOK_ALIKE if self.min_score is None else self.min_score, 2)


@router.get(
    "/duplicates",
    summary="Pictures that are there more than once",
    responses={
        202: {"description": "They are still being found; ask again.", "model": Finding},
        400: {"description": "min_score without look_alikes."},
        503: {"description": "Nothing is indexed yet, or more is asked than can be answered."},
    },
)
async def get_duplicates(
    request: Request, response: Response, asked: Annotated[DuplicatesParams, Query()]
) -> Duplicates | Finding:
    """Groups with the picture to keep in front: same bytes first, then same pictures, then look-alikes.

    They are found in the background and remembered until the gallery changes; while that lasts, 202 says how far it
    is.
    """
    search, least = duplicates(request), asked.least()

    def answer(reader: CatalogReader) -> Duplicates | Finding:
        found = search.ask(least, reader.change())
        return found if isinstance(found, Finding) else _page(found, asked)

    answered = await readers(request).run(answer)
    if isinstance(answered, Finding):
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    return answered


@router.post(
    "/duplicates/trash",
    summary="Move duplicates to the gallery's trash",
    dependencies=[Depends(may_write)],
    responses={
        400: {"description": "Pictures that are not duplicates of each other."},
        503: {"description": "Duplicates are being found, or nothing is indexed yet."},
        **REFUSED,
    },
)
async def trash_duplicates(request: Request, asked: TrashBody) -> Trashed:
    """Keep one picture of each group, and move the others to the trash in the gallery's folder.

    The rules are those of ``photoseek duplicates --trash``: same bytes and same pictures only, keeper and copy are read
    and compared with the catalog immediately before, and what people said about a copy is added to its keeper. Another
    keeper than the proposed one may be chosen. Nothing is deleted, and `undo` of the answer puts everything back.
    """
    search = duplicates(request)

    def found(reader: CatalogReader) -> Result:
        result = search.ask(None, reader.change())
        if isinstance(result, Finding):
            raise Busy
        return result

    groups = (await readers(request).run(found)).found.groups
    wanted = planned(groups, asked.groups)
    done, trashed = await writing(request).with_gallery(partial(move, wanted))
    search.forget()
    undo = undos(request).keep("trash", trashed)
    return done.model_copy(update={"undo": undo})


def _page(result: Result, asked: DuplicatesParams) -> Duplicates:
    found = result.found
    groups = [group for group in found.groups if asked.look_alikes or group.kind != "look-alike"]
    chosen = [group for group in groups if asked.kind in (None, group.kind)]
    return Duplicates(
        groups=[group_out(group) for group in chosen[asked.offset : asked.offset + asked.k]],
        total=len(chosen),
        offset=asked.offset,
        kinds={kind: _total([group for group in groups if group.kind == kind]) for kind in KINDS},
        images=found.images,
        plain=found.plain,
        crowded=found.crowded,
        unseen=found.unseen,
        found_at=result.found_at,
        change=result.change,
    )


def _total(groups: list[Group]) -> KindTotal:
    return KindTotal(
        groups=len(groups),
        others=sum(len(group.others) for group in groups),
        bytes=sum(group.bytes_of_others for group in groups),
    )
