"""``photoseek migrate``: a gallery moves between SQLite and PostgreSQL, whatever ends it, and everything travels."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, Table

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
import retrieval.catalog.postgres.travelling as in_server
from retrieval.catalog import travelling, travelling_file
from retrieval.catalog.embedded_xmp import note_earlier
from retrieval.catalog.forgetting import forget
from retrieval.catalog.labels import add_said, tag_counts
from retrieval.catalog.lease_tables import OF_RUNS
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import CatalogUnreachable, open_connection
from retrieval.catalog.postgres.travelling import NewInServer, ServerSide
from retrieval.catalog.schema import metadata
from retrieval.catalog.travelling import Stopped, parts
from retrieval.catalog.travelling_file import FileSide
from retrieval.catalog.writer import Catalog
from retrieval.errors import GalleryError, GalleryLocked, GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.making import make_in_server
from retrieval.migrating import Moved, migrate
from tests.indexes.servers import Postgres, free_port, postgres
from tests.retrieval.catalog.servers import new_address, new_catalog
from tests.retrieval.catalog.statements import fill, say
from tests.retrieval.rows import hash_of
from tests.test_cli import Run, run

__all__ = ["run"]

ROOT = Path(__file__).parents[1]
Content = dict[str, list[Any]]


def never() -> bool:
    return False


def after(blocks: int) -> Callable[[], bool]:
    """Says to stop after so many blocks."""
    left = iter(range(blocks))
    return lambda: next(left, None) is None


def moved(gallery: Gallery, to: CatalogAddress | None, index: str | None = None) -> Moved:
    return migrate(gallery, to, index, lambda *_: None, never)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two rows."""
    for module in (travelling_file, in_server):
        monkeypatch.setattr(module, "BLOCK", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with some of everything; copied, not changed."""
    folder = tmp_path_factory.mktemp("made") / "gallery"
    folder.mkdir()
    with closing(Catalog(folder / "catalog.sqlite")) as catalog:
        one, _ = fill(catalog)
        with catalog.transaction() as transaction:
            say(transaction, one)
            add_said(transaction, "captions", [(2, "tea\0pot", "user")])
            forget(transaction, ["/photos/trip"], purge=True)
            note_earlier(transaction, hash_of("b.jpg"), hash_of("b0"), [(0, 1, b"x")])
        catalog.folder_id("/photos/\udcff\udcfe")
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:  # no transaction leaves any behind
        connection.executemany("INSERT INTO lexical_due VALUES (?, ?)", [("caption", 1), ("tag", "dog")])
        connection.commit()
    return folder


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Gallery:
    return Gallery(shutil.copytree(made, tmp_path / "gallery"))


def content(gallery: Gallery) -> Content:
    """Every row, as it travels; without the machine that walked a folder, which a server has to know."""
    address = gallery.server()
    return content_of(FileSide(gallery.catalog_path) if address is None else ServerSide(address))


def content_of(side: FileSide | ServerSide) -> Content:
    with closing(side):
        found = {part.name: [row for block in side.blocks(part) for row in block] for part in parts()}
    found["folders"] = [row[:-1] for row in found["folders"]]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def test_everything_travels_there_and_back(gallery: Gallery, few: None) -> None:
    before, address = content(gallery), new_address()
    assert not {name for name, rows in before.items() if not rows}, "put some of it into statements.py"
    last = last_images(gallery)
    there = moved(gallery, address)
    assert (gallery.server(), there.altered) == (address, 1)
    assert sum(there.rows.values()) == sum(map(len, before.values()))
    assert set(there.rows) == set(metadata.tables) - set(OF_RUNS)
    assert content(gallery) == before and last_images(gallery) == last
    kept = there.kept
    assert isinstance(kept, Path) and kept.name.startswith("before-migrate-")
    assert content_of(FileSide(kept)) == before
    assert sorted(path.name for path in gallery.path.iterdir() if path.name[:6] != "before") == [
        "catalog.toml", "labels.lock", "writer.lock"
    ]  # fmt: skip
    tag(gallery, "travelled")
    changed = content(gallery)
    assert changed != before

    back = moved(gallery, None)
    assert (gallery.server(), back.kept) == (None, address)
    assert content(gallery) == changed and last_images(gallery) == last
    assert content_of(ServerSide(address)) == changed
    tag(gallery, "back")
    assert moved(gallery, None).kept is None
    with pytest.raises(GalleryError, match=r"there is a catalog in .* already"):
        moved(gallery, address)
    other = CatalogAddress(address.host, address.port, address.user, address.database, "other")
    moved(gallery, other)
    third = moved(gallery, third_of(other))
    assert (third.kept, gallery.server()) == (other, third_of(other)) and third.note is not None
    tag(gallery, "third")
    with gallery.reader() as reader:
        assert set(tag_counts(reader)) >= {"travelled", "back", "third"}


def third_of(address: CatalogAddress) -> CatalogAddress:
    return CatalogAddress(address.host, address.port, address.user, address.database, "third")


def tag(gallery: Gallery, name: str) -> None:
    """Write a label, which needs triggers, the index of words and numbers that are free."""
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        add_said(transaction, "tags", [(1, name, "user")])
        transaction.change()


def last_images(gallery: Gallery) -> int:
    address = gallery.server()
    with closing(FileSide(gallery.catalog_path) if address is None else ServerSide(address)) as side:
        return side.last_numbers()["images"]


def test_a_table_that_is_added_later_travels_too(gallery: Gallery) -> None:
    later = Table("later", metadata, Column("id", Integer, primary_key=True), Column("what", LargeBinary))
    try:
        with gallery.writer() as catalog, catalog.transaction() as transaction:
            transaction.run("CREATE TABLE later (id INTEGER PRIMARY KEY, what BLOB)")
            transaction.run("INSERT INTO later VALUES (7, :what)", {"what": b"\0x"})
        before = content(gallery)
        assert before["later"] == [(7, b"\0x")]
        moved(gallery, new_address())
        assert content(gallery) == before
    finally:
        metadata.remove(later)


def test_other_values_in_the_copy_are_found(gallery: Gallery, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before, put = content(gallery), NewInServer.put

    def wrong(self: NewInServer, part: travelling.Part, rows: list[travelling.Row]) -> None:
        put(self, part, [(*row[:-1], "xmp") if part.name == "tags" else row for row in rows])

    monkeypatch.setattr(NewInServer, "put", wrong)
    with pytest.raises(GalleryError, match="tags holds other values"):
        moved(gallery, new_address())
    assert gallery.server() is None and content(gallery) == before


def test_a_place_that_is_taken_is_refused(gallery: Gallery, made: Path, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="there is a catalog in"):
        moved(gallery, new_catalog())
    address = new_address()
    with pytest.raises(Stopped):
        migrate(gallery, address, None, lambda *_: None, lambda: True)
    with pytest.raises(GalleryError, match="being moved to"):
        make_in_server(Gallery(tmp_path / "joins"), address)
    other = Gallery(tmp_path / "other")
    with other.writer():
        pass
    with pytest.raises(GalleryError, match="unfinished move by another gallery"):
        moved(other, address)
    with open_connection(address) as connection:
        connection.execute("""UPDATE moving SET value = '["0001", "x"]' WHERE name = 'content'""")
    with pytest.raises(GalleryError, match="unfinished move by another version"):
        moved(gallery, address)
    with pytest.raises(GalleryNotFound):
        moved(Gallery(tmp_path / "none"), address)
    with gallery.writer(), pytest.raises(GalleryLocked):
        moved(gallery, address)
    assert gallery.server() is None


@pytest.mark.parametrize("is_back", [False, True])
def test_what_was_copied_is_kept_and_what_was_changed_since_is_copied_anew(
    gallery: Gallery, few: None, is_back: bool
) -> None:
    address = new_address()
    if is_back:
        moved(gallery, address)
    to = None if is_back else address
    for stops in (20, 10):
        with pytest.raises(Stopped):
            migrate(gallery, to, None, lambda *_: None, after(stops))
    told: list[tuple[str, int, int]] = []
    migrate(gallery, to, None, lambda *said: told.append(said), never)
    assert told[0][1] == told[0][2] > 0, "the first table was copied before"
    gone = content(gallery)
    again = None if gallery.server() else third_of(address)
    with pytest.raises(Stopped):
        migrate(gallery, again, None, lambda *_: None, after(30))
    tag(gallery, "meanwhile")
    moved(gallery, again)
    assert content(gallery) != gone and gallery.server() == again


# Killed

_CHILD = """
import os, signal, sys
import retrieval.catalog.postgres.travelling as one
from retrieval.catalog import travelling_file as two
from retrieval.catalog.postgres.address import name_address, parse_address
from retrieval.gallery import Gallery
from retrieval.migrating import migrate
one.BLOCK = two.BLOCK = 2
folder, to, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
OURS = ("migrating.py", "travelling.py", "travelling_file.py", "whole_file.py", "address.py", "regular_files.py")
steps = 0
def step(frame, event, _):
    global steps
    if event in ("call", "return") and os.path.basename(frame.f_code.co_filename) in OURS:
        steps += 1
        if steps == left:
            os.kill(os.getpid(), signal.SIGKILL)
for known in sys.argv[4:]:
    name_address(parse_address(known))
sys.setprofile(step)
migrate(Gallery(folder), None if to == "sqlite" else parse_address(to), None, lambda *_: None, lambda: False)
sys.setprofile(None)
print(steps)
"""
KILLS = int(os.environ.get("PHOTOSEEK_CRASH_KILLS", "4"))


def child(gallery: Gallery, to: CatalogAddress | None, left: int, *known: CatalogAddress) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(gallery.path), str(to or "sqlite"), str(left), *map(str, known)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("is_back", [False, True])
def test_a_move_killed_at_any_moment_goes_on(made: Path, tmp_path: Path, is_back: bool) -> None:
    def begun(name: str) -> tuple[Gallery, CatalogAddress | None, list[CatalogAddress]]:
        fresh, address = Gallery(shutil.copytree(made, tmp_path / name)), new_address()
        if is_back:
            moved(fresh, address)
        return fresh, None if is_back else address, [address] if is_back else []

    whole, to, known = begun("whole")
    before = content(whole)
    code, said = child(whole, to, 0, *known)
    assert code == 0, said
    total = int(said)
    assert content(whole) == before
    # Also the last steps, in which the new catalog gets its name.
    points = [total * (2 * at + 1) // (2 * KILLS) for at in range(KILLS)] + [total - 3 * at for at in range(KILLS)]
    switched = 0
    for number, point in enumerate(points):
        gallery, to, known = begun(f"killed-{number}")
        assert child(gallery, to, point, *known)[0] == -SIGKILL
        assert content(gallery) == before, "the gallery is whole at each moment"
        switched += gallery.server() == to
        ended = moved(gallery, to)
        assert gallery.server() == to and content(gallery) == before, (point, total)
        assert not (gallery.path / "moving.sqlite").exists()
        if not is_back:
            assert not gallery.catalog_path.exists()
            assert any(gallery.path.glob("before-migrate-*.sqlite")), ended
        tag(gallery, "after")
        assert not {"moving"} & tables(gallery)
    assert 0 < switched < len(points)


def tables(gallery: Gallery) -> set[str]:
    address = gallery.server()
    if address is None:
        with closing(FileSide(gallery.catalog_path)) as side:
            return {name for (name,) in side._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    with closing(ServerSide(address)) as side:
        return {name for (name,) in side._rows("SELECT relname FROM pg_class WHERE relkind = 'r'")}


# The machine


def test_a_server_that_goes_away_is_told_and_the_move_goes_on(gallery: Gallery, few: None) -> None:
    before, server = content(gallery), Postgres()
    address = new_address(server)
    asked = 0

    def crash() -> bool:
        nonlocal asked
        asked += 1
        if asked == 25:
            server.crash()
        return False

    with pytest.raises(CatalogUnreachable, match="does not answer"):
        migrate(gallery, address, None, lambda *_: None, crash)
    assert gallery.server() is None and content(gallery) == before
    with pytest.raises(CatalogUnreachable):
        moved(gallery, address)
    server.start()
    moved(gallery, address)
    assert content(gallery) == before
    server.stop()


_LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
sys.argv = ["photoseek", *sys.argv[1:]]
cli.main()
"""


def test_a_full_disk_is_told_and_the_move_goes_on(gallery: Gallery, tmp_path: Path) -> None:
    address = new_address()
    moved(gallery, address)
    before = content(gallery)
    config = tmp_path / "config.toml"
    config.write_text(f'[catalog]\nservers = ["{address.server}"]\n')
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, "migrate", "--to", "sqlite", "--gallery", str(gallery.path)],
        cwd=ROOT, env=os.environ | {"PHOTOSEEK_CONFIG": str(config)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert "moving.sqlite" in done.stderr and len(done.stderr.splitlines()) == 2, done.stderr
    assert gallery.server() == address
    moved(gallery, None)
    assert content(gallery) == before


# The command


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    monkeypatch.setenv("PHOTOSEEK_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PHOTOSEEK_DAEMON", "never")
    yield (tmp_path / "config.toml").read_text


def test_the_command_moves_catalog_and_vectors(
    run: Run, indexed_examples: Path, tmp_path: Path, at_home: Callable[[], str]
) -> None:
    pytest.importorskip("pymilvus", reason="needs photoseek[milvus]")
    place, address = Path(shutil.copytree(indexed_examples, tmp_path / "gallery")), new_address()
    asked = ("search", "a red bird", "--json")
    _, first, _ = run(*asked, gallery=place)
    code, out, err = run("migrate", "--to", str(address), gallery=place)
    assert (code, out) == (0, ""), err
    assert f"is in {address} now" in err and "searches gave the same answers" in err
    assert f"kept: {place / 'before-migrate-'}" in err and address.server in at_home()
    assert run(*asked, gallery=place)[1] == first
    assert "auto" not in run("info", gallery=place)[2]
    vectors = f"milvus://{tmp_path / 'vectors.db'}"
    for to, spec, named in (
        (str(address), f"pgvector://tests@127.0.0.1:{postgres().port}/postgres", "pgvector"),
        ("sqlite", vectors, "milvus"),
        (f"{address}?schema=second", "auto", "Exact"),
        ("SQLite", "", ""),
    ):
        given = ("--index", spec) if spec else ()
        code, _, err = run("migrate", "--to", to, *given, gallery=place)
        assert code == 0 and named in err, err
        code, again, err = run(*asked, gallery=place)
        assert (code, again) == (0, first), err
    assert not (place / "catalog.toml").exists()
    assert run("verify", gallery=place)[0] == 0
    code, _, err = run("migrate", "--to", "sqlite", gallery=place)
    assert (code, "already" in err) == (0, True)


def test_what_the_command_cannot_do_is_two_lines(
    run: Run, gallery: Gallery, tmp_path: Path, at_home: Callable[[], str]
) -> None:
    for words, code, said in (
        (("--to", "mysql://x/y"), 2, "no address"),
        (("--to", "postgresql://me:secret@h/x"), 2, "contains a password"),
        (("--to", f"postgresql+psycopg://tests@127.0.0.1:{free_port()}/x"), 3, "does not answer"),
        (("--to", "sqlite", "--index", "nonsense"), 2, "nonsense"),
        (("--to", "sqlite", "--index", f"milvus+http://127.0.0.1:{free_port()}"), 3, "127.0.0.1"),
    ):
        got, out, err = run("migrate", *words, gallery=gallery.path)
        assert (got, out, len(err.splitlines()), "secret" in err) == (code, "", 2, False), err
        assert said in err
    assert run("migrate", "--to", "sqlite", gallery=tmp_path / "none")[0] == 3
