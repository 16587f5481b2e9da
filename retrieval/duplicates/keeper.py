"""Which picture of a group is kept: the original, or what the user asks for; and why.

The one rule for text, JSON, the page, the trash and links. Criteria are asked one after the other; each leaves those
that are best by it, and says so if it left anybody out. By default they are what tells an original from what was made
of it: it holds real detail (an enlargement does not), the camera's date, name and place, it was not stored again, it is
whole, and it was compressed least. Reading the files for this is ``looking.py``'s and ``evidence.py``'s.
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
"""What ``--keep`` takes. ``oldest`` and ``newest`` by the files' time; ``largest`` and ``smallest`` by pixels."""

_AS_MUCH_DETAIL = 0.75
"""Of the pixels that hold detail: what has this share of the most has as much."""

_STATES = ("whole", "junk behind", "cut short")
_FACTS = ("date", "camera", "place")


@dataclass(frozen=True)
class KeeperRule:
    """Whom to keep.

    Args:
        keep: one of ``KEEP``.
        prefer: folders, the first before the second: what lies in one of them is kept, whatever ``keep`` says.

    Raises:
        SettingsError: there is no such way to choose.
    """

    keep: str = "original"
    prefer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise SettingsError(f"there is no --keep {self.keep}", f"give one of: {', '.join(KEEP)}")
        object.__setattr__(self, "prefer", tuple(os.path.realpath(os.path.expanduser(f)) for f in self.prefer))  # noqa: PTH111

    def preference(self, path: str) -> int:
        """The place of the first preferred folder that a path lies in; behind the last if it lies in none."""
        places = (at for at, folder in enumerate(self.prefer) if is_below(path, folder))
        return next(places, len(self.prefer))


ORIGINAL = KeeperRule()


@dataclass(frozen=True)
class Candidate:
    """A picture that may be kept, and what is known of it beside the catalog.

    Attributes:
        labels: how many tags and captions people gave it.
        evidence: what its file says; None: nobody looked, or it has the same bytes as the others.
        detail: the pixels that it has detail for, fewer than it has if it is an enlargement; None: all.
        is_resaved: its pixels are those of another one of the group, stored again.
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
    """Who is kept.

    Attributes:
        keeper: place in the list of candidates.
        reasons: why, the weightiest first; as short sentences.
    """

    keeper: int
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Criterion:
    """Smaller keys are kept; ``reason`` gets the winner and those it leaves behind."""

    key: Callable[[Candidate], Any]
    reason: Callable[[Candidate, Sequence[Candidate]], str]


def choose(candidates: Sequence[Candidate], rule: KeeperRule = ORIGINAL) -> Choice:
    """Choose the keeper among one or more candidates; the same whatever their order."""
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
    """What the camera wrote about a picture: some of ``date``, ``camera``, ``place``."""
    known = (image.taken_at, image.camera, image.latitude)
    return tuple(name for name, value in zip(_FACTS, known, strict=True) if value is not None)


def by_size(image: ImageRecord) -> tuple[int, int, int, int, str]:
    """Sort key without looking at any file: most pixels, most facts of the camera, largest file, oldest, path."""
    return -image.width * image.height, -len(facts(image)), -image.size, image.mtime_ns, image.path


def _criteria(candidates: Sequence[Candidate], rule: KeeperRule) -> list[_Criterion]:
    asked = [_Criterion(lambda c: rule.preference(c.image.path), lambda c, _: f"it lies in {_folder(c, rule)}")]
    if rule.keep in _ASKED:
        asked.append(_ASKED[rule.keep])
    most = max(candidate.detailed for candidate in candidates)
    detail = _Criterion(
        lambda c: c.detailed < _AS_MUCH_DETAIL * most,
        lambda _, others: "it has more detail" if any(o.detail is None for o in others) else "others are enlarged",
    )
    return [*asked, detail, *_ORIGINAL]


def _folder(candidate: Candidate, rule: KeeperRule) -> str:
    return rule.prefer[rule.preference(candidate.image.path)]


def _missing_facts(keeper: Candidate, others: Sequence[Candidate]) -> str:
    lacking = {fact for fact in facts(keeper.image) for other in others if fact not in facts(other.image)}
    return f"it has a {' and '.join(fact for fact in _FACTS if fact in lacking)} that others lack"


def _evidence(candidate: Candidate) -> Evidence:
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
