"""Groups of duplicates: their members, and how pairs become groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from retrieval.catalog.records import ImageRecord

if TYPE_CHECKING:
    from retrieval.duplicates.compare import Comparison  # imports Pillow, which a client of the server does not need

T = TypeVar("T")

Kind = Literal["same bytes", "same picture", "look-alike"]


@dataclass(frozen=True)
class Member:
    """A picture of a group other than its keeper.

    Attributes:
        image: its record in the catalog.
        cosine: of its embedding with the keeper's; None for same bytes.
        bits: different bits of the perceptual hash; None for same bytes and look-alikes.
        comparison: with the keeper, tile by tile; None if they were not compared.
        turn: the EXIF orientation in which it looks like the keeper; 1: it is not rotated.
        is_linked: its file has another name among the others (a hard link), so it takes no additional space.
    """

    image: ImageRecord
    cosine: float | None = None
    bits: int | None = None
    comparison: Comparison | None = None
    turn: int = 1
    is_linked: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures of which one is enough; every member was compared with the keeper itself.

    Attributes:
        reasons: why the keeper is kept, the most important first.
    """

    kind: Kind
    keeper: ImageRecord
    others: tuple[Member, ...]
    reasons: tuple[str, ...] = ()

    @property
    def bytes_of_others(self) -> int:
        """Size in bytes of the pictures other than the keeper."""
        return sum(member.image.size for member in self.others if not member.is_linked)


def stars(
    ranked: Iterable[int],
    neighbours: Mapping[int, Sequence[int]],
    star: Callable[[int, Callable[[int], list[int]]], tuple[T, Iterable[int]] | None],
) -> Iterator[T | None]:
    """Form a group around each picture that is not in one yet, in this order; None if there is none.

    A group is a star and not a chain: A similar to B and B similar to C does not put A and C into one group, of which
    all but one might be deleted.

    Args:
        ranked: the pictures.
        neighbours: the similar pictures of each.
        star: (picture, free) -> the group around it and the ids in it; called once for each picture. ``free`` returns
            the neighbours of a picture that are not in a group yet.
    """
    taken: set[int] = set()

    def free(id_: int) -> list[int]:
        return [other for other in neighbours.get(id_, ()) if other not in taken]

    for center in ranked:
        if center in taken:
            continue
        taken.add(center)
        found = star(center, free) if free(center) else None
        if found is not None:
            taken.update(found[1])
        yield None if found is None else found[0]
