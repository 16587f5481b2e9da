"""Completions that a shell offers for the values of flags: values in the gallery, and fixed ones.

A shell asks while somebody types, so these read at most a catalog, load no model, and stay silent on errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader

Complete = Callable[[Any, str], list[str]] | None
"""None if no shell asks: typer inspects every function that it is given, which takes time."""

_COMPLETES = "_PHOTOSEEK_COMPLETE" in os.environ

_MOST = 200

EXECUTORS = ("local", "ray")
"""What may encode the files of a run."""


def one_of(*values: str) -> Complete:
    """Offers a fixed list of values."""

    def offer(ctx: Any, incomplete: str) -> list[str]:
        return _beginning(values, incomplete)

    return offer if _COMPLETES else None


def of_gallery(read: Callable[[CatalogReader], Iterable[str]], *, commas: bool = False) -> Complete:
    """Offers the result of ``read`` for the gallery that the command line names.

    Args:
        commas: one argument may hold several values; the last one is completed.
    """

    def offer(ctx: Any, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",") if commas else ("", "", incomplete)
        try:
            from retrieval.gallery import Gallery

            with Gallery(ctx.params.get("gallery")).reader(upgrades=False) as reader:
                found = _beginning(read(reader), last)
        except Exception:  # the command itself will report what is wrong with the gallery
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


def albums(reader: CatalogReader) -> list[str]:
    """The albums."""
    from retrieval.catalog.albums import all_albums

    return [album.name for album in all_albums(reader)]


def persons(reader: CatalogReader) -> list[str]:
    """Persons with a name, those in the most pictures first."""
    from retrieval.catalog.persons import person_names

    return person_names(reader)


def places(reader: CatalogReader) -> list[str]:
    """Towns, regions and countries with the places they lie in, those with the most pictures first."""
    from retrieval.catalog.places import place_names

    return place_names(reader)[:_MOST]


def countries(reader: CatalogReader) -> list[str]:
    """Countries, those with the most pictures first."""
    from retrieval.catalog.places import place_names

    return place_names(reader, "country")


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
    """The indexed folders."""
    return reader.roots()


def towers(reader: CatalogReader) -> list[str]:
    """The models whose embeddings the gallery has."""
    return [row.name for row in reader.encoders()]


def models(ctx: Any, incomplete: str) -> list[str]:
    """Every model with a name."""
    from retrieval.encoders.names.known_models import MODELS

    return _beginning(MODELS, incomplete)


def _settings(ctx: Any, incomplete: str) -> list[str]:
    """The names of settings."""
    from retrieval.config.table import BY_NAME

    return _beginning(BY_NAME, incomplete)


def _of_setting(ctx: Any, incomplete: str) -> list[str]:
    """The possible values of the named setting, if it has a few fixed ones."""
    from retrieval.config.table import BY_NAME

    row = BY_NAME.get(ctx.params.get("name") or "")
    return [] if row is None else _beginning(row.kind.choices, incomplete)


names_of_settings: Complete = _settings if _COMPLETES else None
values_of_setting: Complete = _of_setting if _COMPLETES else None


def _beginning(values: Iterable[str], text: str) -> list[str]:
    found = [value for value in values if value.casefold().startswith(text.casefold())][:_MOST]
    # Bash inserts completions unchanged; the other shells quote them themselves.
    return [_escaped(value) for value in found] if "bash" in os.environ.get("_PHOTOSEEK_COMPLETE", "") else found


def _escaped(value: str) -> str:
    return "".join(f"\\{c}" if c.isascii() and not (c.isalnum() or c in "_-./,:+@%=") else c for c in value)
