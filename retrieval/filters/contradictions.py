"""Conditions that no image can pass together are told as such, instead of finding nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.errors import QueryError
from retrieval.folding import fold
from retrieval.paths import is_below

if TYPE_CHECKING:
    from retrieval.filters.filter import Filter

_LEAVE_OUT = "leave one of the two out"


def refuse_contradictions(where: Filter) -> None:
    """Raise QueryError if the conditions exclude each other, whatever the gallery holds."""
    if where.after is not None and where.before is not None and where.after >= where.before:
        raise QueryError(
            f"no photo can be taken at or after {where.after} and before {where.before}", "swap the two dates"
        )
    for name, excludes in _EXCLUDES.items():
        wanted, refused = getattr(where, name), getattr(where, f"no_{name}")
        pairs = [next((no for no in refused if excludes(no, yes)), None) for yes in wanted]
        if wanted and None not in pairs:
            raise QueryError(f"nothing passes {name} {_listed(wanted)} without {name} {_listed(pairs)}", _LEAVE_OUT)
    if len(where.no_orientation) == 3:
        raise QueryError("every picture is portrait, landscape or square", "leave out two of them at most")
    if where.orientation and where.no_orientation and not set(where.orientation) - set(where.no_orientation):
        raise QueryError("the orientations asked for are all left out", _LEAVE_OUT)


def _listed(values: Sequence[Any]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))


def _part_of(no: str, yes: str) -> bool:
    """Names that hold ``yes`` hold every part of it too."""
    return fold(no) in fold(yes)


def _same(no: str, yes: str) -> bool:
    return fold(no) == fold(yes)


_EXCLUDES: dict[str, Callable[[Any, Any], bool]] = {
    "under": lambda no, yes: is_below(str(yes), str(no)),
    "camera": _part_of,
    "lens": _part_of,
    "near": lambda no, yes: no.holds(yes),
    "glob": _same,
    "orientation": _same,
    "format": _same,
    "tag": _same,
}
"""Condition -> whether what is refused takes away everything that the wanted value stands for."""
