"""The index of words: in step with every table that it is made from, whatever writes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog import forgetting, labels, lexicon
from retrieval.catalog.access import Rows
from retrieval.catalog.batch import Batch
from retrieval.catalog.places import Place, drop_unused, write_located
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.selection import select
from retrieval.catalog.transaction import Transaction
from retrieval.catalog.writer import Catalog
from retrieval.filters import parse_filter
from retrieval.lexemes import match, question_words
from tests.retrieval.rows import filled, image

pytestmark = pytest.mark.usefixtures("database")


def found(rows: Rows, word: str) -> set[tuple[str, int]]:
    """(kind, id of a present image) of every document with a word."""
    (asked,) = question_words(word)
    return {
        (document.kind, image_id)
        for document in lexicon.documents_with(rows, match(asked))
        for _, image_id in lexicon.pictures_of(rows, document.kind, [document.ref])
    }


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made, _, _ = filled(tmp_path / "catalog.sqlite", ["bakery.jpg", "IMG_2.jpg"], folder="/home/anna/Italy")
    yield made
    made.close()


@pytest.fixture
def ask(tmp_path: Path, catalog: Catalog) -> Iterator[Callable[[str], set[tuple[str, int]]]]:
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        yield lambda word: found(reader, word)


Ask = Callable[[str], set[tuple[str, int]]]


def test_names_and_the_folders_that_tell_something_are_found(catalog: Catalog, ask: Ask) -> None:
    assert ask("bakeries") == {("name", 1)}
    assert ask("italy") == {("folder", 1), ("folder", 2)}
    assert ask("anna") == {("folder", 1), ("folder", 2)}, "no folder was given to index: the last two names tell"
    assert ask("home") == set()


def test_below_an_indexed_folder_all_names_tell(catalog: Catalog, ask: Ask) -> None:
    catalog.folder_id("/data/Travel", is_root=True)
    folder = catalog.folder_id("/data/Travel/one/two/three")
    catalog.commit(Batch(indexed=[image(folder, "new.jpg")]), 1)
    assert ask("three") == {("folder", 3)}
    assert ask("travel") == {("folder", 3)}
    assert ask("data") == set()


def test_what_people_say_is_found_until_they_take_it_back(catalog: Catalog, ask: Ask) -> None:
    with catalog.transaction() as transaction:
        labels.add_said(transaction, "captions", [(1, "Receipt of Marie", "user")])
        labels.add_said(transaction, "tags", [(2, "Straße", "user")])
        labels.add_said(transaction, "tags", [(1, "strasse", "user")])
    assert ask("receipts") == {("caption", 1)}
    assert ask("STRASSE") == {("tag", 1), ("tag", 2)}
    with catalog.transaction() as transaction:
        labels.remove_said(transaction, "captions", [1], ["user"])
        labels.remove_said(transaction, "tags", [2], ["user"])
    assert ask("receipt") == set()
    assert ask("strasse") == {("tag", 1)}


def test_places_are_found_by_every_name_of_theirs_and_of_what_lies_around(catalog: Catalog, ask: Ask) -> None:
    catalog.commit(Batch(indexed=[image(1, "here.jpg", latitude=48.8, longitude=2.3)]), 1)
    with catalog.transaction() as transaction:
        write_located(
            transaction,
            [
                Place("1", "town", "Paris", "Paris, France", "\nparis\nパリ\n", None, "FR", 48.8, 2.3),
                Place("FR", "country", "France", "France", "\nfrance\nfrankreich\n"),
            ],
            {(48.8, 2.3): "1"},
        )
    assert ask("パリ") == ask("paris") == ask("Frankreich") == {("place", 3)}
    with catalog.transaction() as transaction:
        transaction.run("UPDATE images SET latitude = NULL")
        drop_unused(transaction)
    assert ask("paris") == ask("france") == set()


def test_pictures_that_are_gone_are_not_found(catalog: Catalog, ask: Ask) -> None:
    catalog.commit(Batch(retired=[1]), 1)
    assert ask("bakery") == set()


@pytest.mark.of_a_file
def test_a_statement_of_another_program_is_followed_by_the_next_transaction(
    tmp_path: Path, catalog: Catalog, ask: Ask
) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as other:
        other.execute("UPDATE images SET name = 'harbour.jpg' WHERE id = 1")
        other.commit()
    catalog.set_index_spec(None)
    assert ask("harbour") == {("name", 1)}
    assert ask("bakery") == set()


def test_what_is_rolled_back_was_never_indexed(catalog: Catalog, ask: Ask) -> None:
    def fail(transaction: Transaction) -> None:
        labels.add_said(transaction, "captions", [(1, "never", "user")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), catalog.transaction() as transaction:
        fail(transaction)
    assert ask("never") == set()


@pytest.mark.of_a_file
def test_a_purge_leaves_no_word_in_the_file(tmp_path: Path, catalog: Catalog) -> None:
    folder = catalog.folder_id("/home/anna/secretplace")
    catalog.commit(Batch(indexed=[image(folder, "hiddenthing.jpg")]), 1)
    with catalog.transaction() as transaction:
        labels.add_said(transaction, "captions", [(3, "unspokenword", "user")])
        labels.add_said(transaction, "tags", [(3, "quietlabel", "user")])
    with catalog.transaction() as transaction:
        forgetting.forget(transaction, ["/home/anna/secretplace"], purge=True)
    catalog.compact()
    catalog.close()
    for path in tmp_path.glob("catalog.sqlite*"):
        held = path.read_bytes()
        assert not [word for word in (b"secretplace", b"hiddenthing", b"unspokenword", b"quietlabel") if word in held]


@pytest.mark.of_a_file
def test_a_damaged_index_is_noticed_and_made_anew(tmp_path: Path, catalog: Catalog, ask: Ask) -> None:
    with catalog.transaction() as transaction:
        assert lexicon.is_sound(transaction)
        transaction.run("DELETE FROM lexical WHERE kind = 'name' AND ref = 1")
    assert ask("bakery") == set()
    with catalog.transaction() as transaction:
        assert not lexicon.is_sound(transaction)
        lexicon.make_anew(transaction)
        assert lexicon.is_sound(transaction)
    assert ask("bakery") == {("name", 1)}
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as other:
        other.execute("DELETE FROM lexical_index_data")
        other.commit()
    assert catalog.mend_words()
    assert not catalog.mend_words()
    assert ask("bakery") == {("name", 1)}


@pytest.mark.of_a_file
def test_who_writes_mends_a_damaged_index(tmp_path: Path, catalog: Catalog, ask: Ask) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as other:
        other.execute("DELETE FROM lexical_index_data")
        other.commit()
    catalog.commit(Batch(indexed=[image(1, "harbour.jpg")]), 1)
    assert (ask("harbour"), ask("bakery")) == ({("name", 3)}, {("name", 1)})


def test_a_word_that_stands_everywhere_tells_nothing(
    catalog: Catalog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexicon, "MOST_FOUND", 1)
    assert ask("italy") == set(), "a folder with two pictures"
    assert ask("bakery") == {("name", 1)}


class _Plans:
    """Answers with the plan of a statement instead of its rows."""

    def __init__(self, reader: CatalogReader) -> None:
        self._reader = reader
        self.steps: list[str] = []

    def rows(self, sql: str, values: Mapping[str, Any] | None = None, **more: Any) -> list[Any]:
        self.steps += [row[3] for row in self._reader.rows(f"EXPLAIN QUERY PLAN {sql}", values, **more)]
        return []


@pytest.mark.of_a_file
def test_the_index_of_words_is_asked_once_and_not_for_each_name(tmp_path: Path, catalog: Catalog) -> None:
    """A plan that begins with the documents of a kind took 13 s of 100,000 pictures."""
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        for ask in (
            lambda plans: lexicon.names_beginning(plans, "bak", 5),
            lambda plans: select(plans, parse_filter(name=["bakery"]), None),
            lambda plans: select(plans, parse_filter(caption=["bakery"]), None),
        ):
            plans = _Plans(reader)
            ask(plans)
            words = next(at for at, step in enumerate(plans.steps) if step.startswith("SCAN x"))
            documents = next(at for at, step in enumerate(plans.steps) if step.startswith("SEARCH d"))
            assert words < documents, plans.steps


def test_names_that_begin_so_are_found(tmp_path: Path, catalog: Catalog) -> None:
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        assert lexicon.names_beginning(reader, "bak", 5) == ["bakery.jpg"]
        assert lexicon.names_beginning(reader, "img", 5) == ["IMG_2.jpg"]
        assert lexicon.names_beginning(reader, "img 2", 5) == ["IMG_2.jpg"]
        assert lexicon.names_beginning(reader, "akery", 5) == lexicon.names_beginning(reader, "..", 5) == []


@pytest.mark.of_a_file
@pytest.mark.parametrize("statement", ["UPDATE images SET name = name || 'x'", "DELETE FROM images"])
def test_a_large_transaction_takes_no_longer_for_each_row(tmp_path: Path, statement: str) -> None:
    """Counted in steps of SQLite's machine: twice the rows, twice the steps."""
    catalog, _, _ = filled(tmp_path / "catalog.sqlite", [f"{number}.jpg" for number in range(600)])
    catalog.close()
    steps = []
    for most in (300, 600):
        with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as raw:
            counted: list[None] = []
            raw.set_progress_handler(lambda counted=counted: counted.append(None), 100)  # type: ignore[misc]
            raw.execute(f"{statement} WHERE id <= {most}")
            raw.rollback()
            steps.append(len(counted))
    assert steps[1] < 2.5 * steps[0]
