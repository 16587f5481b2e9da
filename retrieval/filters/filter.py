"""The filter as a value: conditions that must all hold, normalised, and rejected if they contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import make_dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from retrieval.errors import QueryError
from retrieval.filters import conditions
from retrieval.filters.contradictions import refuse_contradictions
from retrieval.filters.kinds import read
from retrieval.tag_text import split_names

_FIELDS = dict(conditions.fields())
_MOST_VALUES = 100  # of all conditions together: SQLite limits the depth of expressions, and filters may come over HTTP

if TYPE_CHECKING:

    class _Conditions:
        def __init__(self, **conditions: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    _Conditions = make_dataclass(
        "_Conditions",
        [(name, Any, condition.default) for name, condition in _FIELDS.items()],
        frozen=True, repr=False, kw_only=True,
    )  # fmt: skip


class Filter(_Conditions):
    """Conditions that must all hold; of several values of one condition, any one suffices.

    The fields are the rows of :data:`retrieval.filters.conditions.CONDITIONS`, named as the flags on the command line,
    and are given by name: ``Filter(camera="canon", after="2023-06", no_tag=("receipt", "draft"))``. A value is text, or
    of the type that a field holds: a :class:`~pathlib.Path` (relative folders are resolved at once), a naive
    ``datetime`` in the local time that the camera wrote, a moment with or without a time zone, a
    :class:`~retrieval.filters.places.Near`, a number, a bool. Conditions that take several values hold a tuple.

    A picture for which the catalog lacks the data (no date, place, camera or lens) fails the condition.
    The ``no_`` conditions exclude only known matches, so they keep such pictures.

    Raises:
        QueryError: an invalid value, or conditions that no image can pass together.
    """

    def __init__(self, **conditions: Any) -> None:
        super().__init__(**conditions)
        # A filter is a key (see the engine): equal filters must compare equal, even if values are given as lists.
        for name, condition in _FIELDS.items():
            given = getattr(self, name)
            if condition.is_several:
                several = (
                    given if isinstance(given, list | tuple | set | frozenset) else () if given is None else (given,)
                )
                value: Any = tuple(dict.fromkeys(read(condition, one) for one in several))
            else:
                value = condition.default if given is None else read(condition, given)
            object.__setattr__(self, name, value)
        if sum(len(values) for _, values in self.asked() if isinstance(values, tuple)) > _MOST_VALUES:
            raise QueryError(f"a filter of more than {_MOST_VALUES} values", "leave some out")
        refuse_contradictions(self)

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self.asked())})"

    def is_empty(self) -> bool:
        """True if every image passes."""
        return not any(True for _ in self.asked())

    def asked(self) -> Iterator[tuple[str, Any]]:
        """(field, value) of every condition that is set."""
        for name in _FIELDS:
            value = getattr(self, name)
            if value not in ((), None, False):
                yield name, value

    def also(self, other: Filter) -> Filter:
        """The conditions of both; if one takes several values, those of both are alternatives.

        Raises:
            QueryError: they contradict each other.
        """
        given = dict(self.asked())
        for name, value in other.asked():
            given[name] = (*given.get(name, ()), *value) if isinstance(value, tuple) else value
        return Filter(**given)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON: text, numbers, lists of text. The inverse of :func:`parse_filter`."""
        return {
            name: [str(part) for part in value]
            if isinstance(value, tuple)
            else value.isoformat()
            if isinstance(value, datetime)
            else value
            for name, value in self.asked()
        }

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> Filter:
        """A filter from plain values under its fields' names, see :func:`parse_filter`."""
        return parse_filter(**values)


def parse_filter(**values: Any) -> Filter:
    """A filter from plain values under the names of :class:`Filter`'s fields.

    A value is a text, a number, or a list of these; ``None``, an empty text and an empty list set no condition. A
    list of one is treated as its element, as parsed URLs contain such lists.

    Raises:
        QueryError: an unknown name; a value that is not a date, number, place or pattern; conditions that exclude each
            other.
    """
    asked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _FIELDS:
            near = get_close_matches(name, _FIELDS, n=1)
            raise QueryError(
                f"a filter has no condition {name!r}",
                f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(_FIELDS))}",
            )
        if value is None or value is False or value == "" or value == [] or value == ():
            continue
        asked[name] = value if _FIELDS[name].is_several else _one(name, value)
    return Filter(**asked)


def parse_typed(given: Mapping[str, Any]) -> Filter:
    """The same from typed input: one argument may contain several tags, formats or orientations, separated by commas
    (see :func:`~retrieval.tag_text.split_names`). In all other values commas have no special meaning.
    """
    split = {name: _FIELDS[name].commas and value for name, value in given.items() if name in _FIELDS}
    return parse_filter(**{**given, **{name: split_names(value) for name, value in split.items() if value}})


def _one(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise QueryError(f"{name} was given {len(value)} times", "give it once")
        return value[0]
    return value


def filter_words(where: Filter | None) -> str:
    """``--camera canon --after 2023-01-01T00:00:00``; empty for no filter."""
    if where is None:
        return ""
    said: list[str] = []
    for name, value in where.to_mapping().items():
        flag = "--" + name.replace("_", "-")
        values = value if isinstance(value, list) else [value]
        said += [flag if each is True else f"{flag} {each}" for each in values]
    return " ".join(said)
