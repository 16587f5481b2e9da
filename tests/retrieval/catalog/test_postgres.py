"""The catalog in PostgreSQL: its address, its statements where they differ, its schema, its locks."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog import reader as reader_module
from retrieval.catalog import schema as schema_module
from retrieval.catalog.batch import Batch
from retrieval.catalog.labels import add_said
from retrieval.catalog.lexicon import documents_with
from retrieval.catalog.postgres import address as address_module
from retrieval.catalog.postgres import schema as server_schema
from retrieval.catalog.postgres.address import CatalogAddress, check_named, parse_address, read_address, write_address
from retrieval.catalog.postgres.connect import open_connection
from retrieval.catalog.postgres.reader import ServerReader
from retrieval.catalog.postgres.statements import regular_expression, text_query
from retrieval.catalog.postgres.writer import ServerCatalog
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.texts import PictureText, TextLine, images_with_text, images_with_word, write_texts
from retrieval.catalog.writer import Catalog
from retrieval.errors import GalleryError, GalleryLocked, GalleryNotFound, GalleryOutdated, GalleryTooNew, SettingsError
from retrieval.filters import parse_filter
from retrieval.filters.globs import parse_glob
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.lexemes import match
from retrieval.making import make_in_server
from retrieval.paths import encode_path
from tests.fakes import ColourEncoder
from tests.indexes.servers import postgres
from tests.retrieval.catalog.servers import administer, new_address, new_catalog
from tests.retrieval.rows import encoder_spec, image

# Addresses


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("postgresql://host/photos", "postgresql+psycopg://host/photos"),
        ("postgresql+psycopg://me@host:5433/photos?schema=two", "postgresql+psycopg://me@host:5433/photos?schema=two"),
        ("postgres://[::1]:5432/p?sslmode=require", "postgresql+psycopg://[::1]:5432/p?sslmode=require"),
        ("postgresql+psycopg:///photos?schema=photoseek", "postgresql+psycopg:///photos"),
    ],
)
def test_an_address_is_stored_in_one_spelling(text: str, stored: str, tmp_path: Path) -> None:
    address = parse_address(text)
    assert str(address) == stored
    write_address(tmp_path, address)
    assert read_address(tmp_path) == address == parse_address(stored)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://host/photos", "photos", "postgresql://host:port/photos", "postgresql://host/a/b",
        "postgresql://host/p?schema=A;B", "postgresql://host/p?schema=pg_x", "postgresql://host/p?sslmode=no",
        "postgresql://host/p?timeout=3", "postgresql://ho st/p",
    ],
)  # fmt: skip
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_address(text)


def test_a_password_is_neither_stored_nor_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_address("postgresql://me:s3cret@host/photos")
    assert "s3cret" not in f"{refused.value.message} {refused.value.hint}"
    assert "PGPASSWORD" in refused.value.hint


def test_only_servers_that_were_named_are_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "_named", set())
    address = CatalogAddress("stranger.example", database="photos")
    write_address(tmp_path, address)
    with pytest.raises(GalleryError, match="not among your servers") as refused, Gallery(tmp_path).reader():
        pass
    assert f"photoseek config set catalog.servers {address.server}" in refused.value.hint
    monkeypatch.setenv("PHOTOSEEK_CATALOG_SERVERS", address.server)
    check_named(address)


def test_a_damaged_file_says_what_belongs_into_it(tmp_path: Path) -> None:
    (tmp_path / "catalog.toml").write_text("address = 3")
    with pytest.raises(GalleryError, match="does not say where") as refused:
        Gallery(tmp_path).open_reader()
    assert "address = " in refused.value.hint


# Statements


@pytest.mark.parametrize(
    "pattern",
    ["*.jpg", "a?c*", "[a-c]*", "[!a-c]*", "*[[]*", "*[]]*", "a.c", "a+(b)|c$", "*\\*", "*é*", "*[é-ü]*", "*"],
)
def test_a_pattern_means_the_same_as_in_sqlite(pattern: str) -> None:
    names = [
        "abc.jpg", "b.jpg", "x[1].png", "x]y", "a.c", "abc", "a+(b)|c$", "back\\slash", "café", "ünder", "two\n2", "A",
    ]  # fmt: skip
    glob = parse_glob(pattern).name
    with closing(sqlite3.connect(":memory:")) as files, open_connection(new_catalog()) as server:
        for name in map(fold, names):
            (want,) = files.execute("SELECT ? GLOB ?", [name, glob]).fetchone()
            row = server.execute("SELECT CAST(%s AS text) ~ %s", [name, regular_expression(glob)]).fetchone()
            assert row is not None and row[0] == bool(want), name


def test_words_become_a_query_for_phrases_and_beginnings() -> None:
    assert text_query('"new york"') == "('new' <-> 'york')"
    assert text_query('"a"* OR "it\'s \\ x"') == "('a':*) | ('it''s' <-> '\\\\' <-> 'x')"


TEXTS = {
    "one.jpg": "Invoice no 7\ninvoice of the bakery",
    "two.jpg": "an invoice that is much longer than the others, and says little else of interest to anybody",
    "three.jpg": "bakery bakery bakery",
    "four.jpg": "牛肉面 menu",
}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[CatalogReader]]:
    """The same in a file and in a server."""
    address = new_catalog()
    file = tmp_path / "catalog.sqlite"
    for catalog in (Catalog(file), ServerCatalog(address, tmp_path, [])):
        with closing(catalog):
            encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos/bakery trip")
            rows = [image(folder, name) for name in ("bakery.jpg", "the bakery of bakeries.jpg", "x.jpg", *TEXTS)]
            catalog.commit(Batch(indexed=rows), encoder)
            with catalog.transaction() as transaction:
                add_said(transaction, "captions", [(1, "at the bakery", "user"), (2, "new york new york", "user")])
                lines = {name: [TextLine(t, 1.0, (0.0,) * 8) for t in text.split("\n")] for name, text in TEXTS.items()}
                hashes = {row.name: row.content_hash for row in rows}
                write_texts(
                    transaction,
                    [(hashes[name], PictureText("m", "2024", tuple(found))) for name, found in lines.items()],
                )
    with closing(CatalogReader(file)) as one, closing(ServerReader(address, tmp_path)) as two:
        yield [one, two]


@pytest.mark.parametrize("word", [("bakery",), ("new", "york"), ("york",), ("photo",), ("nothing",)])
def test_documents_have_the_scores_of_fts5(pair: list[CatalogReader], word: tuple[str, ...]) -> None:
    one, two = (sorted(documents_with(reader, match(word))) for reader in pair)
    assert [each[:2] for each in one] == [each[:2] for each in two]
    assert [each.score for each in two] == pytest.approx([each.score for each in one])


@pytest.mark.parametrize("words", ["invoice", "bakery invoice", "牛肉面", "no", "of invoice", "100%", '"no 7"', "a_b"])
@pytest.mark.parametrize("every", [True, False])
def test_texts_have_the_scores_of_fts5(pair: list[CatalogReader], words: str, every: bool) -> None:
    one, two = (images_with_text(reader, words, every=every) for reader in pair)
    assert [id_ for id_, _ in one] == [id_ for id_, _ in two]
    assert [score for _, score in two] == pytest.approx([score for _, score in one])
    if " " not in words and len(words) > 2:
        one, two = (images_with_word(reader, words) for reader in pair)
        assert sorted(id_ for id_, _ in one) == sorted(id_ for id_, _ in two)


def test_names_that_are_not_text_are_found_by_patterns(tmp_path: Path) -> None:
    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    address, file = new_catalog(), tmp_path / "catalog.sqlite"
    found = []
    for catalog in (Catalog(file), ServerCatalog(address, tmp_path, [])):
        with closing(catalog):
            encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/p\udcff")
            names = [odd, "plain.jpg", "\U0010ffffff.jpg", "zero.png"]
            rows = [image(folder, name, str(number)) for number, name in enumerate(names)]
            catalog.commit(Batch(indexed=rows), encoder)
    for reader in (CatalogReader(file), ServerReader(address, tmp_path)):
        with closing(reader):
            asked = [
                {"glob": "*.jpg"},
                {"glob": "caf*"},
                {"under": "/p\udcff"},
                {"under": "/P\udcff"},
                {"glob": "p*/*"},
            ]
            found.append([reader.select(parse_filter(**each)).tolist() for each in asked])
            found[-1].append([record.path for record in reader.records([1, 2, 3, 4])])
    assert found[0] == found[1]
    assert found[0][0] == [1, 2, 3] and found[0][-1][2].endswith("\U0010ffffff.jpg")
    assert isinstance(encode_path("\U0010ffff"), bytes)


# The schema


def shape(address: CatalogAddress) -> list[tuple[object, ...]]:
    """Everything that belongs to a catalog beside its rows, as the server describes it."""
    here = f"= '{address.schema}'"
    space = f"= to_regnamespace('{address.schema}')"
    statements = (
        f"""SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default,
            generation_expression FROM information_schema.columns WHERE table_schema {here} ORDER BY 1, 2""",
        f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname {here} ORDER BY 1",
        f"SELECT proname, prosrc, prokind FROM pg_proc WHERE pronamespace {space} ORDER BY 1, 2",
        f"SELECT viewname, definition FROM pg_views WHERE schemaname {here} ORDER BY 1",
        f"""SELECT tgname, pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
            WHERE relnamespace {space} AND NOT tgisinternal ORDER BY 1""",
        f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace {space} ORDER BY 1, 2",
    )
    return [tuple(row) for sql in statements for row in administer(postgres(), sql, address.database)]


LATER = '''"""A later step."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{last}"


def upgrade() -> None:
    op.add_column("images", sa.Column("mood", sa.String()))
    op.execute("UPDATE images SET mood = 'calm'")
    op.create_table("moods", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("said", sa.Text()))
'''


def test_a_later_migration_runs_on_both_and_ends_in_the_same_as_a_new_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, address = tmp_path / "catalog.sqlite", new_catalog()
    for catalog in (Catalog(file), ServerCatalog(address, tmp_path, [])):
        with closing(catalog):
            encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos")
            catalog.commit(Batch(indexed=[image(folder, "a.jpg")]), encoder)
    before = shape(address)
    steps = tmp_path / "migrations"
    shutil.copytree(schema_module.MIGRATIONS, steps)
    (steps / "versions" / "9999_later.py").write_text(LATER.format(last=reader_module.CATALOG_VERSION))
    monkeypatch.setattr(schema_module, "MIGRATIONS", steps)
    for module in (reader_module, schema_module, server_schema):
        monkeypatch.setattr(module, "CATALOG_VERSION", "9999")
    with pytest.raises(GalleryOutdated):
        ServerReader(address, tmp_path)
    assert not server_schema.make(address, "a test")
    with closing(Catalog(file)), closing(CatalogReader(file)) as one, closing(ServerReader(address, tmp_path)) as two:
        for reader in (one, two):
            assert reader.rows("SELECT name, mood FROM images") == [("a.jpg", "calm")]
            assert reader.rows("SELECT said FROM moods") == []
    after = shape(address)
    new = [row for row in after if row not in before]
    assert {row[0] for row in new} == {"images", "moods", "moods_pkey", "moods_id_not_null"}
    assert [row[3] for row in new if row[1] in ("mood", "said")] == ["C", "C"], "compared by their bytes"
    assert [row for row in before if row not in after] == []
    with open_connection(address) as connection:
        server_schema.settle(connection)
    assert shape(address) == after


def test_a_new_catalog_has_the_tables_of_the_other_and_triggers_for_each(tmp_path: Path) -> None:
    file, address = tmp_path / "catalog.sqlite", new_address()
    assert server_schema.make(address, "a test") and not server_schema.make(address, "a test")
    Catalog(file).close()
    with closing(sqlite3.connect(file)) as connection:
        listed = connection.execute(
            "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'trigger')"
        ).fetchall()
    found = shape(address)
    tables = {str(row[0]) for row in found if len(row) == 7}
    wanted = {name for kind, name in listed if kind == "table" and not name.startswith(("sqlite_", "text_index_"))}
    assert tables == {name for name in wanted if not name.startswith("lexical_index_")}
    triggers = {row[0] for row in found if "CREATE TRIGGER" in str(row[1])}
    assert triggers == {name for kind, name in listed if kind == "trigger"} - {"lexical_added", "lexical_deleted"}


def test_another_version_is_refused_or_brought_up(tmp_path: Path) -> None:
    address = new_catalog()
    administer(postgres(), "UPDATE photoseek.alembic_version SET version_num = '9999'", address.database)
    for refused in (lambda: ServerReader(address, tmp_path), lambda: server_schema.make(address, "a test")):
        with pytest.raises(GalleryTooNew):
            refused()
    with pytest.raises(GalleryNotFound, match="no catalog in"):
        ServerReader(new_address(), tmp_path)


def test_an_older_catalog_is_brought_up_by_the_first_command(tmp_path: Path) -> None:
    address, gallery = new_catalog(), Gallery(tmp_path)
    make_in_server(gallery, address)
    older = """SET search_path TO photoseek; DROP TABLE leases, indexers;
               UPDATE alembic_version SET version_num = '0024'"""
    administer(postgres(), older, address.database)
    with gallery.reader() as reader:
        assert reader.rows("SELECT count(*) FROM leases") == [(0,)]


def test_a_database_without_unicode_is_refused(tmp_path: Path) -> None:
    administer(postgres(), "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(GalleryError, match="LATIN1") as refused:
        server_schema.make(CatalogAddress("127.0.0.1", postgres().port, "tests", "latin"), "a test")
    assert "createdb" in refused.value.hint


# Galleries


def test_a_second_machine_joins_the_catalog_and_only_one_writes(tmp_path: Path) -> None:
    address = new_address()
    one, two = Gallery(tmp_path / "one"), Gallery(tmp_path / "two")
    assert make_in_server(one, address) and not make_in_server(two, address)
    assert one.exists() and not one.is_being_written()
    with one.writer(admits_labels=True):
        for act in (two.writer, two.refuse_if_written):
            with pytest.raises(GalleryLocked, match=r"is being written by process \d+ on ") as refused:
                entered = act()
                if entered is not None:
                    entered.__enter__()
            assert refused.value.hint.startswith("wait until it has finished")
        assert two.is_being_written()
        with two.labeller() as catalog, catalog.transaction():
            pass
    with two.writer():
        pass


def test_a_gallery_has_one_catalog(tmp_path: Path) -> None:
    with Gallery(tmp_path / "file").writer():
        pass
    with pytest.raises(SettingsError, match="in a file"):
        make_in_server(Gallery(tmp_path / "file"), new_catalog())
    address = new_catalog()
    make_in_server(Gallery(tmp_path / "server"), address)
    make_in_server(Gallery(tmp_path / "server"), address)
    with pytest.raises(SettingsError, match="with its catalog in postgresql"):
        make_in_server(Gallery(tmp_path / "server"), new_catalog())


def test_machines_with_other_mounts_do_not_move_each_others_pictures(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, encoder = new_catalog(), ColourEncoder()
    one, two = Gallery(tmp_path / "gallery-one"), Gallery(tmp_path / "gallery-two")
    make_in_server(one, address)
    make_in_server(two, address)
    (tmp_path / "one").mkdir()
    here, there = photos.rename(tmp_path / "one" / "photos"), tmp_path / "two" / "photos"

    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    assert Indexer(one, encoder).run(here).counts.added == 6
    here.parent.rename(there.parent)  # as it is mounted on the other machine
    monkeypatch.setattr(socket, "gethostname", lambda: "two")
    report = Indexer(two, encoder).run(there)
    assert (report.counts.added, report.counts.moved, report.reused, report.images) == (6, 0, 6, 12)
    again = Indexer(two, encoder).run([], prune=True)
    assert (again.counts.retired, again.unchanged, again.images) == (0, 6, 12), "not this machine's to remove"

    there.parent.rename(here.parent)
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    report = Indexer(one, encoder).run([])
    assert (report.unchanged, report.counts.moved, report.counts.retired) == (6, 0, 0)
    renamed = here.rename(here.parent / "pictures")
    report = Indexer(one, encoder).run(renamed)
    assert (report.counts.moved, report.counts.added) == (6, 0), "on one machine, a renamed folder is one"
