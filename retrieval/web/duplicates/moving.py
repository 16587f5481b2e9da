"""Moving duplicates that were chosen on the page: the groups that were found, with the keepers that were chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieval.catalog.folders import all_folders
from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.keeper import ORIGINAL, KeeperRule
from retrieval.duplicates.plan import Plan, Step, make_plan
from retrieval.duplicates.run import targets_of_links
from retrieval.duplicates.trash import trash_duplicates
from retrieval.errors import QueryError
from retrieval.gallery import Gallery
from retrieval.paths import as_text
from retrieval.web.duplicates.models import Staying, Trashed, TrashGroup
from retrieval.web.edits.undo import Trashed as TrashedFolders

_NOT_COMPARED = (
    "it was compared with the picture that was proposed to keep, not with this one; look for duplicates again"
)


@dataclass(frozen=True)
class Wanted:
    """A group with its chosen keeper, and the members that stay because nobody compared them with it."""

    group: Group
    staying: tuple[Member, ...]
    is_chosen: bool


def planned(found: Sequence[Group], asked: Sequence[TrashGroup]) -> list[Wanted]:
    """The requested groups, as parts of those that were found.

    Every picture that goes was compared with the one that stays. If another keeper than the proposed one is chosen,
    that holds for the proposed one, and for all if their bytes are the same.

    Raises:
        QueryError: pictures that are in no group together, or in several requests.
    """
    of = {id_: group for group in found if group.kind != "look-alike" for id_ in _ids(group)}
    seen: set[int] = set()
    wanted = []
    for each in asked:
        named = [each.keeper, *each.others]
        group = of.get(each.keeper)
        if group is None or not set(named) <= set(_ids(group)) or len(set(named)) < len(named) or seen & set(named):
            raise QueryError(
                f"picture {each.keeper} and the others named with it are no duplicates of each other",
                "look for duplicates again: the gallery may have changed",
            )
        seen.update(named)
        wanted.append(_with_keeper(group, each))
    return wanted


def move(wanted: Sequence[Wanted], gallery: Gallery) -> tuple[Trashed, TrashedFolders]:
    """Move them, with the rules of the command line; raises as ``trash_duplicates``."""
    with gallery.reader() as reader:
        links = targets_of_links(list(all_folders(reader).values()))
    steps: list[Step] = []
    for each in wanted:
        # A person who chose the keeper also decided about a date or a place that only a copy has.
        folder = os.path.dirname(each.group.keeper.path)
        rule = KeeperRule(prefer=(folder,)) if each.is_chosen else ORIGINAL
        steps += make_plan([each.group], "trash", rule, links).steps
    outcomes = trash_duplicates(gallery, Plan("trash", tuple(steps)))
    done = [(step.image, outcome) for step, outcome in zip(steps, outcomes, strict=True)]
    left = [Staying(id=image.id, name=_name(image.path), reason=as_text(o.detail)) for image, o in done if not o.done]
    left += [
        Staying(id=member.image.id, name=_name(member.image.path), reason=_NOT_COMPARED)
        for each in wanted
        for member in each.staying
    ]
    moved = [(image, outcome) for image, outcome in done if outcome.done]
    folders = frozenset(Path(outcome.detail).parent for _, outcome in moved)
    answer = Trashed(
        ids=[image.id for image, _ in moved], bytes=sum(image.size for image, _ in moved), left=left, undo=None
    )
    return answer, TrashedFolders(folders)


def _with_keeper(group: Group, asked: TrashGroup) -> Wanted:
    going = [member for member in group.others if member.image.id in asked.others]
    if asked.keeper == group.keeper.id:
        return Wanted(replace(group, others=tuple(going)), (), False)
    keeper = next(member for member in group.others if member.image.id == asked.keeper)
    if group.keeper.id in asked.others:
        going.append(replace(keeper, image=group.keeper, is_linked=False))
    is_known = group.kind == "same bytes"
    compared = tuple(member for member in going if is_known or member.image.id == group.keeper.id)
    staying = tuple(member for member in going if member not in compared)
    return Wanted(replace(group, keeper=keeper.image, others=compared), staying, True)


def _ids(group: Group) -> list[int]:
    return [group.keeper.id, *(member.image.id for member in group.others)]


def _name(path: str) -> str:
    return os.path.basename(as_text(path))
