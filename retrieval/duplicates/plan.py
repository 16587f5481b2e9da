"""The planned action for each file: made once, printed by a dry run, carried out by ``--yes``.

Everything that can be determined without reading whole files is checked here, so that a dry run shows what will happen:
files that are missing or changed, links, read-only folders, symbolic links that would be broken. Immediately before
each step ``files.check`` reads the file itself; steps that are refused only then are reported and counted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.keeper import KeeperRule, facts
from retrieval.sources.reading import why_not_written

Action = Literal["trash", "link"]


@dataclass(frozen=True)
class Step:
    """The planned action for one picture.

    Attributes:
        image: the picture whose file will be moved or linked.
        keeper: the picture that is finally kept instead; it never has a step itself.
        refusal: why its file is left alone; None: the action will be performed.
        size: bytes that this frees.
    """

    image: ImageRecord
    keeper: ImageRecord
    refusal: str | None
    size: int


@dataclass(frozen=True)
class Plan:
    """All steps, in the order of execution."""

    action: Action
    steps: tuple[Step, ...]

    @property
    def going(self) -> tuple[Step, ...]:
        """The steps that will be performed."""
        return tuple(step for step in self.steps if step.refusal is None)

    @property
    def staying(self) -> tuple[Step, ...]:
        """The steps that are already refused."""
        return tuple(step for step in self.steps if step.refusal is not None)


def make_plan(
    groups: Iterable[Group],
    action: Action,
    rule: KeeperRule,
    targets: Mapping[str, str] | None = None,
) -> Plan:
    """The plan for the groups that were found.

    Args:
        rule: by which the keepers were chosen. If it is the default, no picture is moved that has a date, a
            camera or a place that its keeper lacks.
        targets: real path of a file -> a symbolic link that points to it; see ``run.targets_of_links``.
    """
    kinds = ("same bytes",) if action == "link" else ("same bytes", "same picture")
    chosen = [group for group in groups if group.kind in kinds]
    kept_for = {member.image.id: group.keeper for group in chosen for member in group.others}
    plan = _Planner(action, rule, targets or {}, kept_for)
    return Plan(action, tuple(plan.step(member) for group in chosen for member in group.others))


class _Planner:
    def __init__(
        self, action: Action, rule: KeeperRule, targets: Mapping[str, str], kept_for: Mapping[int, ImageRecord]
    ) -> None:
        self._action = action
        self._rule = rule
        self._targets = targets
        self._kept_for = kept_for
        self._states: dict[int, str | None] = {}

    def step(self, member: Member) -> Step:
        image, keeper = member.image, self._last_keeper(member.image)
        refusal = self._refusal(image, keeper)
        return Step(image, keeper, refusal, 0 if member.is_linked or refusal else image.size)

    def _last_keeper(self, image: ImageRecord) -> ImageRecord:
        """The keeper, or if that one will be moved too, its keeper, and so on."""
        keeper = self._kept_for[image.id]
        while keeper.id in self._kept_for and self._refusal(keeper, self._kept_for[keeper.id]) is None:
            keeper = self._kept_for[keeper.id]
        return keeper

    def _refusal(self, image: ImageRecord, keeper: ImageRecord) -> str | None:
        reason = self._state(image)
        if reason is not None:
            return reason
        reason = self._state(keeper)
        if reason is not None:
            return f"the picture to keep, {keeper.path}: {reason}"
        if not os.access(os.path.dirname(image.path), os.W_OK):
            return "its folder cannot be written"
        if self._action == "link":
            same = os.lstat(image.path).st_dev == os.lstat(keeper.path).st_dev
            return None if same else f"it is on another file system than {keeper.path}"
        link = self._targets.get(os.path.realpath(image.path))
        if link is not None:
            return f"the symbolic link {link} leads to it"
        return self._lost_facts(image, keeper)

    def _lost_facts(self, image: ImageRecord, keeper: ImageRecord) -> str | None:
        asked = self._rule.keep != "original" or self._rule.preference(keeper.path) < len(self._rule.prefer)
        lost = [fact for fact in facts(image) if fact not in facts(keeper)]
        if asked or not lost:
            return None
        return f"it has the camera's {' and '.join(lost)}, which {keeper.path} lacks"

    def _state(self, image: ImageRecord) -> str | None:
        if image.id not in self._states:
            self._states[image.id] = _state(image)
        return self._states[image.id]


def _state(image: ImageRecord) -> str | None:
    """Why a file cannot be moved, or kept instead of another, without reading it; None if it can."""
    if (why := why_not_written(image.path)) is not None:
        return why
    try:
        found = os.lstat(image.path)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a file"
    if image.on_disk() != "same":
        return "it changed since it was indexed"
    return None
