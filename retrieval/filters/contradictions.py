"""Conditions that no image can pass together are reported as an error, instead of finding nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.errors import QueryError
from retrieval.filters.conditions import CONDITIONS, Condition
from retrieval.filters.kinds import EXCLUDES

if TYPE_CHECKING:
    from retrieval.filters.filter import Filter

_NUMBERS = ("none", "one", "two", "three", "four", "five", "six")


def refuse_contradictions(where: Filter) -> None:
    """Raise QueryError if the conditions exclude each other, whatever the gallery holds."""
    for condition in CONDITIONS:
        if condition.order is not None:
            _refuse_empty_range(where, condition)
    for condition in CONDITIONS:
        if condition.is_several:
            _refuse_left_out(where, condition)


def _refuse_empty_range(where: Filter, condition: Condition) -> None:
    order = condition.order
    assert order is not None
    low, high = getattr(where, order.low), getattr(where, condition.name)
    if low is not None and high is not None and (low > high if order.may_be_equal else low >= high):
        raise QueryError(order.message.format(low=low, high=high), order.hint)


def _refuse_left_out(where: Filter, condition: Condition) -> None:
    """Raise QueryError if the exclusions remove all wanted values, or everything."""
    name, choices, excludes = condition.name, condition.choices, EXCLUDES[condition.kind]
    wanted, refused = getattr(where, name), getattr(where, condition.twin)
    pairs = [next((no for no in refused if excludes(no, yes)), None) for yes in wanted]
    if wanted and None not in pairs:
        raise QueryError(
            f"nothing passes {name} {_listed(wanted)} without {name} {_listed(pairs)}", "leave one of the two out"
        )
    if choices and len(refused) == len(choices):
        every = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise QueryError(f"every picture is {every}", f"leave out {_NUMBERS[len(choices) - 1]} of them at most")


def _listed(values: Sequence[Any]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))
