"""Statements of the catalog mean the same on SQLite and on PostgreSQL: what they write, and what they answer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import CodeType

import numpy as np
import pytest

from retrieval import catalog
from retrieval.catalog import (
    albums,
    changes,
    embedded_xmp,
    embeddings,
    encoders,
    faces,
    facets,
    images,
    labels,
    lexicon,
    person_changes,
    persons,
    selection,
    stored,
)
from retrieval.catalog.forgetting import forget
from retrieval.catalog.known_words import is_any_known
from retrieval.catalog.label_copies import contents_of, put_back
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.errors import QueryError
from retrieval.filters import Filter, parse_filter
from retrieval.filters.albums import FoundAlbum
from tests.retrieval.catalog.both import OWN_WORDS, Both
from tests.retrieval.catalog.statements import CONDITIONS, OWN_CONDITIONS, ask, asked, fill, say
from tests.retrieval.rows import hash_of, row_of, vector_of


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    with closing(Both(monkeypatch)) as made:
        yield made


STATEMENTS = {"Rows", "FilteredRows", "Transaction", "CatalogReader"}
"""What a function takes that runs statements."""


def functions_with_statements() -> dict[str, CodeType]:
    """Every public function of the catalog's modules that runs statements, by ``module.name``."""
    found = {}
    for module in (import_module(f"retrieval.catalog.{each.name}") for each in iter_modules(catalog.__path__)):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_":
                first = next(iter(inspect.signature(function).parameters.values()), None)
                if first is not None and first.annotation in STATEMENTS:
                    found[f"{module.__name__.rpartition('.')[2]}.{name}"] = function.__code__
    return found


@contextmanager
def called() -> Iterator[set[CodeType]]:
    """The functions that run meanwhile."""
    seen: set[CodeType] = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code) if event == "call" else None)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def test_what_the_catalog_writes_and_answers_is_the_same_on_both(tmp_path: Path, both: Both) -> None:
    path = tmp_path / "catalog.sqlite"
    with called() as seen, closing(Catalog(path)) as written, closing(CatalogReader(path)) as reader:
        one, two = fill(written)
        row = row_of(reader, one)
        with written.transaction() as transaction:
            before = changes.Snapshot(transaction, labels.KINDS, [1, 2, 3, 4])
            say(transaction, one)
            change = before.change()
            ask(transaction, row)
        ask(reader, row)
        for text in (*CONDITIONS, *OWN_CONDITIONS):
            for listed in (False, True):
                selection.select(reader, asked(text), one, for_list=listed)
        selection.select(reader, Filter(album=(FoundAlbum("found", (1, 2)),)), one)
        for wrong in ({"camera": "canno"}, {"tag": "dgo"}, {"person": "Ana"}, {"place": "Lyon"}, {"album": "Bst"}):
            with pytest.raises(QueryError):
                selection.check_names(reader, parse_filter(**wrong), one)
        facets.failing(reader, asked("after=2020"), [asked(text) for text in CONDITIONS[5:30]])
        is_any_known(reader, ["a dog"])
        lexicon.pictures_of(
            reader, "caption", [1]
        )  # later, ids are others: SQLite gives those of deleted captions again
        list(stored.hashed_images(reader))
        list(stored.stored_vectors(reader, row))
        stored.sampled_vectors(reader, row, 3)
        stored.damaged_images(reader, row)
        stored.chosen_ids(reader, row, asked("after=2022"))
        with written.transaction() as transaction:
            found = contents_of(transaction)
            changes.take_back(transaction, change)
            assert person_changes.undo_step(transaction) == "merge"
            persons.dissolve_unnamed(transaction)
            put_back(transaction, found)
            labels.remove_said(transaction, "tags", [1], ["user"], value="dog")
            albums.take_out(transaction, 1, [1])
            record = images.records_of(transaction, [1])[0]
            images.set_colours(transaction, [(record, 7)])
            images.set_hashes(transaction, [(record, bytes(8))])
            images.set_mtime(transaction, record, 1 << 60)
            labels.clear_said(transaction, 3)
            labels.take_kept(transaction, hash_of("gone"))
            persons.set_name(transaction, 1, "Anna B")
            persons.set_name(transaction, 1, "Anna")
            lexicon.make_anew(transaction)
            assert lexicon.is_sound(transaction)
            images.set_dates_and_places(transaction, images.dates_and_places(transaction, [1, 2]).items())
            embedded_xmp.set_bytes(transaction, record, hash_of("new"), 9, 1 << 60, None)
            embeddings.add_embeddings(transaction, two, [1, 2], np.stack([vector_of("a"), vector_of("b")]))
            ask(transaction, row)
            embeddings.drop_embeddings(transaction, one, [2])
            labels.remove_predicted(transaction, one)
            encoders.delete_encoder(transaction, two, row)
            faces.move_faces(transaction, hash_of("a.jpg"), hash_of("new"))
            forget(transaction, ["/photos/trip"], purge=False)
            forget(transaction, ["/photos/b.jpg"], purge=True)
            ask(transaction, row)
        ask(reader, row)
        with written.transaction() as transaction:
            faces.delete_all_faces(transaction)
        assert faces.face_counts(reader).faces == 0
    asked_nowhere = {name for name, code in functions_with_statements().items() if code not in seen}
    assert asked_nowhere == set(), "call them in statements.py, so that what they say is compared"
    assert both.words == set(OWN_WORDS), "a word that no statement has any more"
    assert len(both.asked) > 250 and len(both.written) > 100
