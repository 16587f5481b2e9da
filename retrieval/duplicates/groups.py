"""Groups of duplicates: who is in one, who is to be kept, and how nearness becomes groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval.catalog.records import ImageRecord

Kind = Literal["same bytes", "same picture", "look-alike"]


@dataclass(frozen=True)
class Member:
    """A picture of a group beside its keeper.

    Attributes:
        image: what the catalog says about it.
        cosine: of its embedding with the keeper's; None for same bytes.
        bits: of the perceptual hash in which it differs from the keeper; None for same bytes and look-alikes.
    """

    image: ImageRecord
    cosine: float | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Group:
    """Pictures of which one would do; every member was compared with the keeper itself."""

    kind: Kind
    keeper: ImageRecord
    others: tuple[Member, ...]

    @property
    def bytes_of_others(self) -> int:
        """How many bytes the pictures beside the keeper take."""
        return sum(member.image.size for member in self.others)


def keeper_rank(image: ImageRecord) -> tuple[int, int, str, int, str]:
    """Sort key: most pixels first, then the larger file, the older date (taken, then of the file), the path."""
    taken = "~" if image.taken_at is None else image.taken_at.isoformat()  # behind every digit
    return -image.width * image.height, -image.size, taken, image.mtime_ns, image.path


def stars(
    ranked: Iterable[int],
    neighbours: Mapping[int, Sequence[int]],
    agree: Callable[[int, Sequence[int]], Sequence[int]],
) -> list[tuple[int, list[int]]]:
    """Put each picture under the best keeper that it is near to: (keeper, others), in the order of the keepers.

    A group is a star and not a chain: A near B and B near C does not put A and C into one group, of which all but one
    might be thrown away.

    Args:
        ranked: the pictures, the best keeper first.
        neighbours: which others each is near to.
        agree: (keeper, candidates) -> those of them that belong to it; asked once for each keeper.
    """
    taken: set[int] = set()
    groups = []
    for keeper in ranked:
        if keeper in taken:
            continue
        taken.add(keeper)
        free = [other for other in neighbours.get(keeper, ()) if other not in taken]
        own = list(agree(keeper, free)) if free else []
        if own:
            taken.update(own)
            groups.append((keeper, own))
    return groups
