"""Groups of duplicates: who is in one, and how nearness becomes groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from retrieval.catalog.records import ImageRecord

if TYPE_CHECKING:
    from retrieval.duplicates.compare import Comparison  # brings Pillow, which a client of the server does without

T = TypeVar("T")

Kind = Literal["same bytes", "same picture", "look-alike"]


@dataclass(frozen=True)
class Member:
    """A picture of a group beside its keeper.

    Attributes:
        image: what the catalog says about it.
        cosine: of its embedding with the keeper's; None for same bytes.
        bits: of the perceptual hash in which it differs from the keeper; None for same bytes and look-alikes.
        comparison: with the keeper, tile by tile; None where that was not made.
        turn: the EXIF orientation in which it shows what the keeper does; 1: it is not turned.
        is_linked: its file has another name among the others (a hard link), so that it takes no bytes of its own.
    """

    image: ImageRecord
    cosine: float | None = None
    bits: int | None = None
    comparison: Comparison | None = None
    turn: int = 1
    is_linked: bool = False


@dataclass(frozen=True)
class Group:
    """Pictures of which one would do; every member was compared with the keeper itself.

    Attributes:
        reasons: why the keeper is kept, the weightiest first.
    """

    kind: Kind
    keeper: ImageRecord
    others: tuple[Member, ...]
    reasons: tuple[str, ...] = ()

    @property
    def bytes_of_others(self) -> int:
        """How many bytes the pictures beside the keeper take."""
        return sum(member.image.size for member in self.others if not member.is_linked)


def stars(
    ranked: Iterable[int],
    neighbours: Mapping[int, Sequence[int]],
    star: Callable[[int, Callable[[int], list[int]]], tuple[T, Iterable[int]] | None],
) -> Iterator[T | None]:
    """Make a group around each picture that is in none yet, in this order; None where there is none.

    A group is a star and not a chain: A near B and B near C does not put A and C into one group, of which all but one
    might be thrown away.

    Args:
        ranked: the pictures.
        neighbours: which others each is near to.
        star: (picture, free) -> the group around it and the ids in it; asked once for each picture. ``free`` says which
            neighbours of a picture are in no group yet.
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
