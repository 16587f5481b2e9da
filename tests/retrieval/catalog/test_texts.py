"""What can be read in pictures: stored by content, found by words, parts and scripts without spaces, and forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.forgetting import forget
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.texts import PictureText, TextLine, text_counts, texts_of, unread, write_texts
from retrieval.catalog.writer import Catalog
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.filters.words import fold_text, parse_words
from tests.retrieval.rows import filled, hash_of, image

pytestmark = pytest.mark.usefixtures("database")

TEXTS = {
    "invoice.jpg": ("INVOICE No. 2024-17", "Total due: 12.50 €"),
    "letter.jpg": ("Dear Sir, the invoice of 2024", "is paid. Straße 5"),
    "menu.jpg": ("红烧牛肉面", "¥ 28　发 票"),
    "sign.jpg": ("EXIT",),
    "blank.jpg": (),
}


def read(*lines: str, model: str = "m1") -> PictureText:
    corners = (0.1, 0.2, 0.9, 0.2, 0.9, 0.3, 0.1, 0.3)
    made = tuple(TextLine(line, 0.875, corners, tuple((n + 1) / len(line) for n in range(len(line)))) for line in lines)
    return PictureText(model, "2024-05-01T10:00:00+00:00", made)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.sqlite"
    catalog, *_ = filled(path, [*TEXTS, "failed.jpg", "new.jpg"])
    with catalog.transaction() as transaction:
        write_texts(transaction, [(hash_of(name), read(*lines)) for name, lines in TEXTS.items()])
        failed = PictureText("m1", "2024-05-01T10:00:00+00:00", reason="it took more than 20 s to read")
        write_texts(transaction, [(hash_of("failed.jpg"), failed)])
    catalog.close()
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[CatalogReader]:
    with closing(CatalogReader(path)) as opened:
        yield opened


def names(reader: CatalogReader, ids: list[int]) -> list[str]:
    return [Path(record.path).name for record in reader.records(ids)]


def found(reader: CatalogReader, words: str, *, every: bool = True) -> list[str]:
    ranked = reader.images_with_text(words, every=every)
    assert all(score > 0 for _, score in ranked) and [s for _, s in ranked] == sorted(
        (s for _, s in ranked), reverse=True
    )
    return names(reader, [image_id for image_id, _ in ranked])


def selected(reader: CatalogReader, words: str) -> set[str]:
    return set(names(reader, reader.select(Filter(text=words)).tolist()))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("invoice", {"invoice.jpg", "letter.jpg"}),
        ("invoice 2024", {"invoice.jpg", "letter.jpg"}),
        ('"invoice no"', {"invoice.jpg"}),
        ("“no 2024”", {"invoice.jpg"}),
        ('"2024 is paid"', {"letter.jpg"}),  # over the end of a line
        ("voic", {"invoice.jpg", "letter.jpg"}),
        ("STRASSE 5", {"letter.jpg"}),
        ("12.50 €", {"invoice.jpg"}),
        ("牛肉", {"menu.jpg"}),
        ("牛肉面", {"menu.jpg"}),
        ("发票", {"menu.jpg"}),  # written with a space between
        ("面", {"menu.jpg"}),
        ("¥", {"menu.jpg"}),
        ("of is", {"letter.jpg"}),
        ("it", {"sign.jpg"}),
        ("exit invoice", set()),
        ("nothing like it", set()),
    ],
)
def test_text_is_found(reader: CatalogReader, words: str, expected: set[str]) -> None:
    assert set(found(reader, words)) == expected
    assert selected(reader, words) == expected


def test_the_best_comes_first(reader: CatalogReader) -> None:
    assert found(reader, "the total of invoice 2024 is due", every=False)[0] in ("invoice.jpg", "letter.jpg")
    assert found(reader, "exit or invoice", every=False)[0] == "sign.jpg"
    assert found(reader, "of", every=False) == ["letter.jpg"]
    assert reader.images_with_text("invoice", limit=1) == reader.images_with_text("invoice")[:1]


@pytest.mark.parametrize("words", ['"', "", "  ", ".,!", "a b " * 40])
def test_what_is_no_question_is_refused(reader: CatalogReader, words: str) -> None:
    unlike = " ".join(f"{n}x" for n in range(40)) if words.startswith("a") else words
    with pytest.raises(QueryError):
        reader.images_with_text(unlike)
    with pytest.raises(QueryError):
        Filter(text=unlike or " ")


@pytest.mark.parametrize(
    "words", ['" OR "', "NEAR(a b)", "folded:exit", "exi*", "-exit", "^exit", "a' OR 1=1 --", "x\\"]
)
def test_text_is_never_a_statement(reader: CatalogReader, words: str) -> None:
    for every in (True, False):
        reader.images_with_text(words, every=every) if parse(words) else None
    if parse(words):
        assert len(selected(reader, words)) <= 1


def parse(words: str) -> tuple[str, ...]:
    try:
        return parse_words(words)
    except QueryError:
        return ()


def test_what_is_not_known_is_counted_and_kept_by_the_twin(reader: CatalogReader) -> None:
    from retrieval.catalog.selection import select

    chosen = select(reader, Filter(text="invoice"))
    assert (chosen.unknown, chosen.lacking) == (2, ("text",))
    assert chosen.message() == "2 pictures are left out because their text is unknown"
    one = replace(chosen, unknown=1, lacking=("text", "faces"))
    assert one.message() == "1 picture is left out because its text or faces are unknown"
    rest = set(names(reader, select(reader, Filter(no_text="invoice")).ids.tolist()))
    assert rest == {"menu.jpg", "sign.jpg", "blank.jpg", "failed.jpg", "new.jpg"}
    with pytest.raises(QueryError, match="nothing passes"):
        Filter(text="invoice", no_text="voice")


def test_lines_come_back_as_they_were_read(reader: CatalogReader) -> None:
    by_name = {Path(record.path).name: record.id for record in reader.records(list(range(1, 8)))}
    texts = texts_of(reader, list(by_name.values()))
    assert texts[by_name["failed.jpg"]].reason == "it took more than 20 s to read"
    assert by_name["new.jpg"] not in texts
    assert texts[by_name["blank.jpg"]] == read()
    (line, _) = texts[by_name["invoice.jpg"]].lines
    assert (line.text, line.confidence, line.corners) == (
        "INVOICE No. 2024-17",
        0.875,
        (0.1, 0.2, 0.9, 0.2, 0.9, 0.3, 0.1, 0.3),
    )
    assert line.ends == pytest.approx([(n + 1) / 19 for n in range(19)], abs=0.003)
    assert text_counts(reader) == (5, 4, 1, 1)


@pytest.mark.of_a_file
def test_a_damaged_row_costs_one_picture(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE picture_texts SET lines = '[[1]]' WHERE content_hash = ?", (hash_of("sign.jpg"),))
    with closing(CatalogReader(path)) as opened:
        by_name = {Path(record.path).name: record.id for record in opened.records(list(range(1, 8)))}
        texts = texts_of(opened, list(by_name.values()))
    assert by_name["sign.jpg"] not in texts and texts[by_name["invoice.jpg"]].lines


def test_what_is_left_to_read(path: Path, reader: CatalogReader) -> None:
    def left(model: str, **how: bool) -> set[str]:
        return {Path(each.path).name for each in unread(reader, model, **how)}

    assert left("m1") == {"new.jpg"}
    assert left("m1", retry_failures=True) == {"new.jpg", "failed.jpg"}
    assert left("m2") == {*TEXTS, "failed.jpg", "new.jpg"}


def test_text_belongs_to_the_content(path: Path) -> None:
    with closing(Catalog(path)) as catalog:
        folder, encoder = catalog.folder_id("/other"), 1
        catalog.commit(Batch(indexed=[image(folder, "copy.jpg", "sign.jpg")]), encoder)
        with catalog.transaction() as transaction:
            forget(transaction, ["/photos"], purge=False)
    with closing(CatalogReader(path)) as reader:
        assert found(reader, "exit") == ["copy.jpg"]
        assert not found(reader, "invoice")
        assert unread(reader, "m1") == []
    with closing(Catalog(path)) as catalog:
        catalog.commit(Batch(indexed=[image(1, "again.jpg", "invoice.jpg")]), encoder)
    with closing(CatalogReader(path)) as reader:
        assert found(reader, "invoice") == ["again.jpg"]


def test_a_text_that_is_read_again_replaces_the_first(path: Path) -> None:
    with closing(Catalog(path)) as catalog, catalog.transaction() as transaction:
        write_texts(transaction, [(hash_of("sign.jpg"), read("AUSGANG", model="m2"))])
    with closing(CatalogReader(path)) as reader:
        assert found(reader, "exit") == [] and found(reader, "ausgang") == ["sign.jpg"]
        assert reader.rows("SELECT count(*) FROM picture_texts")[0][0] == len(TEXTS) + 1


@pytest.mark.of_a_file
def test_a_purge_leaves_no_text_on_the_disk(path: Path) -> None:
    with closing(Catalog(path)) as catalog:
        catalog.commit(Batch(indexed=[image(catalog.folder_id("/other"), "copy.jpg", "sign.jpg")]), 1)
        with catalog.transaction() as transaction:
            forget(transaction, ["/photos"], purge=True)
        assert catalog.compact()
        content = path.read_bytes().lower()
        # Not even a trigram of the words that are gone: an index keeps what was deleted until it is written anew.
        assert b"invoice" not in content and b"oic" not in content.split(b"sqlite_autoindex")[-1]
        assert b"EXIT" in path.read_bytes()
    with closing(CatalogReader(path)) as reader:
        assert found(reader, "exit") == ["copy.jpg"]
        assert reader.rows("SELECT count(*) FROM picture_texts")[0][0] == 1


def test_texts_are_compared_folded() -> None:
    assert fold_text("  The  “Total”:\n12.50 €, ＡＢＣ ") == "the total 12 50 € abc"
    assert fold_text("発 票\n番号 No. 5") == "発票番号 no 5"
    assert fold_text("مرحبا بالعالم") == "مرحبا بالعالم"
    assert parse_words('Total "Amount Due" total') == ("total", "amount due")
