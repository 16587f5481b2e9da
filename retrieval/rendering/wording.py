"""A query and a filter as text, as a user would type them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.search.query import Term


def query_words(terms: Sequence[Term]) -> str:
    """``2:beach + sunset - people + img:photo.jpg``."""
    said = ""
    for term in terms:
        sign = "-" if term.weight < 0 else "+"
        value = {"text": "", "id": "img:id:"}.get(term.kind, "img:") + str(term.value)
        weight = f"{abs(term.weight):g}:" if abs(term.weight) != 1 else ""
        said += (f" {sign} " if said else "- " if sign == "-" else "") + weight + value
    return said


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
