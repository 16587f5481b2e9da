"""What a shell offers for the values of flags: what the gallery holds, and what a flag can be.

A shell asks while somebody types, so these read a catalog at most, load no model, and say nothing when they cannot.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader

Complete = Callable[[Any, str], list[str]] | None
"""None where no shell asks: typer takes every function apart that it is given."""

_COMPLETES = "_PHOTOSEEK_COMPLETE" in os.environ

_MOST = 200


def one_of(*values: str) -> Complete:
    """Offers values that are always the same."""

    def offer(ctx: Any, incomplete: str) -> list[str]:
        return _beginning(values, incomplete)

    return offer if _COMPLETES else None


def of_gallery(read: Callable[[CatalogReader], Iterable[str]], *, commas: bool = False) -> Complete:
    """Offers what ``read`` finds in the gallery that the command line names.

    Args:
        commas: several values may stand in one argument; the last one is completed.
    """

    def offer(ctx: Any, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if commas else ("", "", incomplete)
        try:
            from retrieval.gallery import Gallery

            with Gallery(ctx.params.get("gallery")).reader() as reader:
                found = _beginning(read(reader), last)
        except Exception:  # whatever is wrong with the gallery, the command itself will say it
            return []
        return [f"{before}{comma}{value}" for value in found]

    return offer if _COMPLETES else None


def tags(reader: CatalogReader) -> list[str]:
    """Tags by people and by the model in use, the most frequent first."""
    from retrieval.catalog.labels import predicted_counts, tag_counts

    active = reader.active_encoder()
    predicted = {} if active is None else predicted_counts(reader, active.id)
    names = dict.fromkeys((*tag_counts(reader), *predicted))
    return [f'"{name}"' if "," in name else name for name in names]


def people_tags(reader: CatalogReader) -> list[str]:
    """Tags by people."""
    from retrieval.catalog.labels import tag_counts

    return [f'"{name}"' if "," in name else name for name in tag_counts(reader)]


def column(name: str) -> Callable[[CatalogReader], list[str]]:
    """The values of a column of pictures, the most frequent first."""

    def read(reader: CatalogReader) -> list[str]:
        from retrieval.catalog.facets import value_counts

        return list(value_counts(reader, name, _MOST))

    return read


def formats(reader: CatalogReader) -> list[str]:
    """The formats of pictures as people type them, the most frequent first."""
    return [name.lower() for name in column("format")(reader)]


def folders(reader: CatalogReader) -> list[str]:
    """The folders that are indexed."""
    return reader.roots()


def towers(reader: CatalogReader) -> list[str]:
    """The models that the gallery has embeddings of."""
    return [row.name for row in reader.encoders()]


def models(ctx: Any, incomplete: str) -> list[str]:
    """Every model that has a name."""
    from retrieval.encoders.names.models import MODELS

    return _beginning(MODELS, incomplete)


def _beginning(values: Iterable[str], text: str) -> list[str]:
    found = [value for value in values if value.casefold().startswith(text.casefold())][:_MOST]
    # Bash takes what it is offered as it is; the other shells put it into quotes themselves.
    return [_escaped(value) for value in found] if "bash" in os.environ.get("_PHOTOSEEK_COMPLETE", "") else found


def _escaped(value: str) -> str:
    return "".join(f"\\{c}" if c.isascii() and not (c.isalnum() or c in "_-./,:+@%=") else c for c in value)
