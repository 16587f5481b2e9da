"""Which picture of a group is kept: the original, or according to the user's rule; and why.

Used for text, JSON, the page, the trash and links. Criteria are applied one after the other; each keeps those that are
best by it, and adds a reason if it excludes any. The default criteria distinguish an original from its derivatives: it
contains real detail (an enlargement does not), the camera's date, name and place, it was not stored again, it is
complete, and it was compressed least. ``looking.py`` and ``evidence.py`` read the files for this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.evidence import Evidence
from retrieval.errors import SettingsError
from retrieval.paths import is_below

KEEP = ("original", "oldest", "newest", "largest", "smallest", "shortest-path")
"""The values of ``--keep``. ``oldest`` and ``newest`` by the files' time; ``largest`` and ``smallest`` by pixels."""

_AS_MUCH_DETAIL = 0.75
"""Of the pixels with real detail: at least this fraction of the maximum counts as equal."""

_STATES = ("whole", "junk behind", "cut short")
_FACTS = ("date", "camera", "place")


@dataclass(frozen=True)
class KeeperRule:
    """Which picture to keep.

    Args:
        keep: one of ``KEEP``.
        prefer: folders in order of preference: a picture in one of them is kept, regardless of ``keep``.

    Raises:
        SettingsError: an invalid value of ``keep``.
    """

    keep: str = "original"
    prefer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise SettingsError(f"there is no --keep {self.keep}", f"give one of: {', '.join(KEEP)}")
        object.__setattr__(self, "prefer", tuple(os.path.realpath(os.path.expanduser(f)) for f in self.prefer))  # noqa: PTH111

    def preference(self, path: str) -> int:
        """The position of the first preferred folder that contains a path; one after the last if there is none."""
        places = (at for at, folder in enumerate(self.prefer) if is_below(path, folder))
        return next(places, len(self.prefer))


ORIGINAL = KeeperRule()


@dataclass(frozen=True)
class KeeperCandidate:
    """A picture that may be kept, and what is known of it in addition to the catalog.

    Attributes:
        labels: number of tags and captions given by people.
        evidence: from its file; None: not examined, or it has the same bytes as the others.
        detail: the number of pixels for which it has real detail, less than its size if it is enlarged; None: all.
        is_resaved: its pixels are those of another picture of the group, stored again.
    """

    image: ImageRecord
    labels: int = 0
    evidence: Evidence | None = None
    detail: int | None = None
    is_resaved: bool = False

    @property
    def pixels(self) -> int:
        return self.image.width * self.image.height

    @property
    def detailed(self) -> int:
        return self.pixels if self.detail is None else min(self.detail, self.pixels)


@dataclass(frozen=True)
class Choice:
    """The chosen keeper.

    Attributes:
        keeper: position in the list of candidates.
        reasons: as short sentences, the most important first.
    """

    keeper: int
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Criterion:
    """Smaller keys are kept; ``reason`` is called with the winner and those it excludes."""

    key: Callable[[KeeperCandidate], Any]
    reason: Callable[[KeeperCandidate, Sequence[KeeperCandidate]], str]


def choose(candidates: Sequence[KeeperCandidate], rule: KeeperRule = ORIGINAL) -> Choice:
    """Choose the keeper among one or more candidates; their order does not matter."""
    left = sorted(range(len(candidates)), key=lambda at: candidates[at].image.path)
    reasons = []
    for criterion in _criteria(candidates, rule):
        keys = {at: criterion.key(candidates[at]) for at in left}
        best = min(keys.values())
        behind = [candidates[at] for at in left if keys[at] != best]
        left = [at for at in left if keys[at] == best]
        if behind:
            reasons.append(criterion.reason(candidates[left[0]], behind))
        if len(left) == 1:
            break
    return Choice(left[0], tuple(reasons))


def facts(image: ImageRecord) -> tuple[str, ...]:
    """The facts about a picture written by the camera: some of ``date``, ``camera``, ``place``."""
    known = (image.taken_at, image.camera, image.latitude)
    return tuple(name for name, value in zip(_FACTS, known, strict=True) if value is not None)


def by_size(image: ImageRecord) -> tuple[int, int, int, int, str]:
    """Sort key that needs no file: most pixels, most facts from the camera, largest file, oldest, path."""
    return -image.width * image.height, -len(facts(image)), -image.size, image.mtime_ns, image.path


def _criteria(candidates: Sequence[KeeperCandidate], rule: KeeperRule) -> list[_Criterion]:
    asked = [_Criterion(lambda c: rule.preference(c.image.path), lambda c, _: f"it lies in {_folder(c, rule)}")]
    if rule.keep in _ASKED:
        asked.append(_ASKED[rule.keep])
    most = max(candidate.detailed for candidate in candidates)
    detail = _Criterion(
        lambda c: c.detailed < _AS_MUCH_DETAIL * most,
        lambda _, others: "it has more detail" if any(o.detail is None for o in others) else "others are enlarged",
    )
    return [*asked, detail, *_ORIGINAL]


def _folder(candidate: KeeperCandidate, rule: KeeperRule) -> str:
    return rule.prefer[rule.preference(candidate.image.path)]


def _missing_facts(keeper: KeeperCandidate, others: Sequence[KeeperCandidate]) -> str:
    lacking = {fact for fact in facts(keeper.image) for other in others if fact not in facts(other.image)}
    return f"it has a {' and '.join(fact for fact in _FACTS if fact in lacking)} that others lack"


def _evidence(candidate: KeeperCandidate) -> Evidence:
    return candidate.evidence or Evidence()


_ORIGINAL = (
    _Criterion(lambda c: -len(facts(c.image)), _missing_facts),
    _Criterion(lambda c: c.is_resaved, lambda *_: "others were stored again from it"),
    _Criterion(lambda c: c.detailed < c.pixels, lambda *_: "others are enlarged"),
    _Criterion(
        lambda c: _STATES.index(_evidence(c).state),
        lambda _, others: (
            "others have junk behind their end"
            if all(_evidence(o).state == "junk behind" for o in others)
            else "others are cut short"
        ),
    ),
    _Criterion(lambda c: -c.detailed, lambda *_: "it has more pixels"),
    _Criterion(lambda c: _evidence(c).coarseness, lambda *_: "it is compressed less"),
    _Criterion(lambda c: -c.labels, lambda *_: "it has more tags and captions"),
    _Criterion(lambda c: c.image.mtime_ns, lambda *_: "it is the older file"),
    _Criterion(lambda c: len(os.path.basename(c.image.path)), lambda *_: "it has the shorter name"),
    _Criterion(lambda c: (len(c.image.path), c.image.path), lambda *_: "it has the shorter path"),
)

_ASKED = {
    "oldest": _Criterion(lambda c: c.image.mtime_ns, lambda *_: "it is the oldest file"),
    "newest": _Criterion(lambda c: -c.image.mtime_ns, lambda *_: "it is the newest file"),
    "largest": _Criterion(lambda c: -c.pixels, lambda *_: "it has the most pixels"),
    "smallest": _Criterion(lambda c: c.pixels, lambda *_: "it has the fewest pixels"),
    "shortest-path": _Criterion(lambda c: len(c.image.path), lambda *_: "it has the shortest path"),
}
