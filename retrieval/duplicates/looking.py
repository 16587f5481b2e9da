"""Compare candidates: which of them are copies of one picture, and which of these is the original.

First as sketches (``pixels.py``), which avoids most of the decoding, then in full detail (``compare.py``).
Groups are stars around the largest picture, which has the most detail. If another picture of the group is to be kept
(``keeper.py``), all are also compared with that one, and those that are not copies of it leave the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

from PIL import Image

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.candidates import Edges
from retrieval.duplicates.compare import Comparison, compare
from retrieval.duplicates.evidence import Evidence, evidence_of, is_enlarged, is_resaved
from retrieval.duplicates.groups import Group, Member, stars
from retrieval.duplicates.keeper import KeeperCandidate, KeeperRule, by_size, choose
from retrieval.duplicates.pixels import Viewer
from retrieval.duplicates.turns import UPRIGHT, composed, inverse, turned
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import UnreadableImage
from retrieval.pictures.images import read_whole

MOST_PIXELS = 40_000_000
"""Maximal size of a compared picture; larger ones are reduced. Comparing takes about 20 bytes of memory per pixel."""

_AT_ONCE_PIXELS = 100_000_000
_LARGER = 1.15  # by side: less may be rounding


@dataclass(frozen=True)
class ComparedPair:
    """A pair that was compared.

    Attributes:
        turn: the orientation in which the second looks like the first.
    """

    comparison: Comparison
    turn: int


@dataclass(frozen=True)
class _Opened:
    image: ImageRecord
    picture: Image.Image
    evidence: Evidence


class Looker:
    """Use as a context manager.

    Attributes:
        unseen: ids of the pictures that could not be examined: missing, changed since indexing, unreadable.
        no_copies: pairs (smaller id, larger id) that agree in hash and sketch, but are not copies of each other.
    """

    def __init__(self, records: Mapping[int, ImageRecord], edges: Edges, labels: Mapping[int, int], rule: KeeperRule):
        self.unseen: set[int] = set()
        self.no_copies: dict[tuple[int, int], ComparedPair] = {}
        self._rule = rule
        self._edges = edges
        self._viewer = Viewer()
        self._pool = ThreadPoolExecutor(available_cpus(), thread_name_prefix="photoseek-compare")
        self._candidates = {id_: KeeperCandidate(image, labels.get(id_, 0)) for id_, image in records.items()}

    def __enter__(self) -> Looker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._viewer.close()
        self._pool.shutdown(cancel_futures=True)

    def groups(self, neighbours: Mapping[int, Sequence[int]]) -> Iterator[Group | None]:
        """The groups, and a None for each other picture that was examined."""
        ranked = sorted((candidate.image for candidate in self._candidates.values()), key=by_size)
        return stars([image.id for image in ranked], neighbours, self._star)

    def _star(self, center: int, free: Callable[[int], list[int]]) -> tuple[Group, list[int]] | None:
        """The group around a picture, and the ids in it."""
        found = self._copies(center, self._alike(center, free(center)))
        if not found:
            return None
        compared = {center: found}
        upright = {center: UPRIGHT} | {id_: each.turn for id_, each in found.items()}  # orientation relative to center
        members = [center, *found]
        keeper = center
        while True:
            choice = choose([self._candidates[id_] for id_ in members], self._rule)
            keeper = members[choice.keeper]
            if keeper in compared:
                break
            back = inverse(upright[keeper])
            turns = {id_: composed(upright[id_], back) for id_ in members if id_ != keeper}
            # Pictures slightly too different from the largest one may be similar enough to the keeper.
            more = [id_ for id_ in free(keeper) if id_ not in turns and not self._are_different(center, id_)]
            turns |= self._alike(keeper, more)
            compared[keeper] = self._copies(keeper, turns)
            upright |= {id_: composed(turns[id_], upright[keeper]) for id_ in more if id_ in compared[keeper]}
            members = [keeper, *compared[keeper]]
            if center not in members:  # only possible for borderline cases; the first keeper remains
                members = [center, *compared[center]]
                choice = replace(choice, keeper=0)
                keeper = center
                break
        own = compared[keeper]
        beside = sorted((self._candidates[id_].image for id_ in own if id_ != keeper), key=by_size)
        others_of = tuple(self._member(keeper, image, own[image.id]) for image in beside)
        if not others_of:
            return None
        group = Group("same picture", self._candidates[keeper].image, others_of, choice.reasons)
        return group, [keeper, *own]

    def _are_different(self, first: int, second: int) -> bool:
        """True if a comparison has found that some content differs."""
        seen = self.no_copies.get((min(first, second), max(first, second)))
        return seen is not None and seen.comparison.verdict == "different"

    def _member(self, keeper: int, image: ImageRecord, found: ComparedPair) -> Member:
        near = self._edges.get((min(keeper, image.id), max(keeper, image.id)))
        bits = None if near is None or not near.bits else min(near.bits.values())
        return Member(image, None if near is None else near.cosine, bits, found.comparison, found.turn)

    # One against others

    def _alike(self, center: int, others: Sequence[int]) -> dict[int, int]:
        """Id -> turn of those whose sketches agree."""
        wanted = []
        for other in others:
            if other not in self._candidates:
                continue
            turns = self._edges[min(center, other), max(center, other)].bits
            wanted.append((self._candidates[other].image, [t if center < other else inverse(t) for t in turns]))
        found = self._viewer.alike(self._candidates[center].image, wanted)
        self.unseen |= self._viewer.unseen
        return found

    def _copies(self, center: int, turns: Mapping[int, int]) -> dict[int, ComparedPair]:
        """Those that are copies, by id; also records which was made of which, and which are not copies."""
        first = self._open(self._candidates[center].image) if turns else None
        if first is None:
            return {}

        def look(item: tuple[int, int]) -> tuple[ComparedPair, _Opened] | None:
            second = self._open(self._candidates[item[0]].image)
            if second is None:
                return None
            second = replace(second, picture=turned(second.picture, item[1]))
            step = max(first.evidence.step, second.evidence.step)
            found = ComparedPair(compare(first.picture, second.picture, step), item[1])
            if found.comparison.verdict == "copy":
                self._note(first, second, found.turn)
            return found, second

        copies: dict[int, ComparedPair] = {}
        largest = max(c.pixels for c in (self._candidates[id_] for id_ in (center, *turns)))
        at_once = max(_AT_ONCE_PIXELS // max(largest, 1), 1)
        items = list(turns.items())
        for start in range(0, len(items), at_once):
            part = items[start : start + at_once]
            for (id_, _), seen in zip(part, self._pool.map(look, part), strict=True):
                if seen is None:
                    continue
                if seen[0].comparison.verdict == "copy":
                    copies[id_] = seen[0]
                else:
                    self.no_copies[min(center, id_), max(center, id_)] = seen[0]
        return copies

    def _note(self, first: _Opened, second: _Opened, turn: int) -> None:
        """Record which of two copies was made from the other."""
        if first.picture.size == second.picture.size:
            if turn == UPRIGHT:
                made = [_is_made_of(*pair) for pair in ((first, second), (second, first))]
                for opened, is_made, other_is in ((first, made[0], made[1]), (second, made[1], made[0])):
                    if is_made and not other_is:
                        self._update(opened, is_resaved=True)
            return
        larger, smaller = sorted((first, second), key=lambda o: -o.picture.width * o.picture.height)
        if larger.picture.width < _LARGER * smaller.picture.width:
            return
        pixels = self._candidates[smaller.image.id].pixels
        if self._candidates[larger.image.id].detailed <= pixels:
            return  # already known to be the enlargement of a smaller one
        if is_enlarged(larger.picture, smaller.picture, larger.evidence.steps):
            self._update(larger, detail=pixels)

    def _update(self, opened: _Opened, **known: object) -> None:
        id_ = opened.image.id
        self._candidates[id_] = replace(self._candidates[id_], **known)  # type: ignore[arg-type]

    def _open(self, image: ImageRecord) -> _Opened | None:
        side = max(image.width, image.height)
        if image.width * image.height > MOST_PIXELS:
            side = round(side * math.sqrt(MOST_PIXELS / (image.width * image.height)))
        try:
            with image.open() as file:
                data = file.read()
            opened = _Opened(image, read_whole(data, side), evidence_of(data))
        except (OSError, UnreadableImage):
            self.unseen.add(image.id)
            return None
        self._candidates[image.id] = replace(self._candidates[image.id], evidence=opened.evidence)
        return opened


def _is_made_of(made: _Opened, source: _Opened) -> bool:
    return source.evidence.steps is not None and is_resaved(made.picture, source.evidence.steps)
