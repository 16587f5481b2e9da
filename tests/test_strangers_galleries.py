"""Galleries made by strangers: what is in them is looked at before it is used, and nothing of it is run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexes.manifest import MANIFEST_NAME, StoredFile, read_manifest
from retrieval.catalog import schema
from retrieval.catalog.triggers import TRIGGERS, VIRTUAL
from retrieval.errors import GalleryError
from retrieval.foreign_databases import MOST_BYTES, digest_of, foreign_part
from retrieval.gallery import Gallery
from tests.crashes import Commands, meaning
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's here")

MEMORY = {"RLIMIT_AS": 2300 << 20}
"""Enough for every command here; not for a value that asks for gigabytes."""

BOMB = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
"""Never ends."""


@pytest.fixture(scope="module")
def whole(commands: Commands, place: Path) -> Path:
    for number in range(6):
        save_picture(place / "photos" / f"{number}.jpg", ("red", "green", "blue")[number % 3], seed=number)
    for arguments in (
        ["index", str(place / "photos"), "--workers", "1", "--index", "HNSW32", "--thumbnails"],
        ["label", str(place / "photos"), "--tag", "sea"],
        ["search", "red"],
    ):
        assert commands.plain(place / "whole", *arguments).returncode == 0
    return place / "whole"


@pytest.fixture
def gallery(whole: Path, place: Path) -> Path:
    copy = place / "strange"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    return copy


def _refused(commands: Commands, gallery: Path, *arguments: str) -> str:
    ended = commands.plain(gallery, *arguments, limits=MEMORY)
    assert ended.returncode == 3, (arguments, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr and "a fault in the program" not in ended.stderr, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(" " * len("photoseek: "))
    return ended.stderr


CHANGES: dict[str, list[str]] = {
    "a view in the place of a table": [
        "ALTER TABLE images RENAME TO hidden_images",
        f"CREATE VIEW images AS SELECT *, ({BOMB}) AS n FROM hidden_images",
    ],
    "a view beside the tables": [f"CREATE VIEW more AS {BOMB}"],
    "a trigger": [f"CREATE TRIGGER t AFTER INSERT ON tags BEGIN INSERT INTO tags {BOMB}; END"],
    "a trigger by the name of one of ours": [
        "DROP TRIGGER images_added",
        f"CREATE TRIGGER images_added AFTER INSERT ON images BEGIN SELECT ({BOMB}); END",
    ],
    "a computed column": ["ALTER TABLE state ADD COLUMN x GENERATED ALWAYS AS (zeroblob(2000000000)) VIRTUAL"],
    "a computed column, in short": ["ALTER TABLE state ADD COLUMN x AS (zeroblob(2000000000))"],
    "a virtual table": ["CREATE VIRTUAL TABLE v USING fts5 (x)"],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_catalog_with_programs_is_refused_and_its_rows_can_be_taken_over(
    what: str, commands: Commands, gallery: Path, whole: Path
) -> None:
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as catalog:
        for statement in CHANGES[what]:
            catalog.execute(statement)
        catalog.commit()
    for arguments in (["search", "red"], ["index"], ["label", "--tag", "x", "id:1"], ["info"]):
        assert "changed by another program" in _refused(commands, gallery, *arguments)
    told = commands.plain(gallery, "verify", limits=MEMORY)
    assert (told.returncode == 3 and "it has a" in told.stdout) or "computed" in told.stdout, told.stdout
    repaired = commands.plain(gallery, "verify", "--repair", limits=MEMORY)
    if what.endswith("in the place of a table"):
        assert repaired.returncode == 3 and "Traceback" not in repaired.stderr
        return
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert commands.plain(gallery, "index", "--workers", "1").returncode == 0
    assert meaning(gallery) == meaning(whole)


def test_the_digests_of_our_triggers_are_known(tmp_path: Path) -> None:
    """Of the newest schema; a changed trigger needs a line in TRIGGERS, and keeps the old one for older galleries."""
    engine = schema.open_engine(tmp_path / "catalog.sqlite")
    schema.upgrade(engine)
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as catalog:
        triggers = catalog.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        assert {(name, digest_of(sql)) for name, sql in triggers} <= TRIGGERS
        assert foreign_part(catalog, TRIGGERS, VIRTUAL) is None and foreign_part(catalog) is not None


VALUES: dict[str, Callable[[sqlite3.Connection], object]] = {
    "a vector that is not a number": lambda catalog: _set_vector(catalog, np.nan),
    "an infinite vector": lambda catalog: _set_vector(catalog, np.inf),
    "a long vector": lambda catalog: _set_vector(catalog, 1000.0),
    "an oversized vector": lambda catalog: catalog.execute(
        "UPDATE embeddings SET vector = zeroblob(80000000) WHERE image_id = 1"
    ),
    "an oversized name": lambda catalog: catalog.execute(
        "UPDATE images SET name = CAST(zeroblob(80000000) AS TEXT) WHERE id = 1"
    ),
    "an oversized tag": lambda catalog: catalog.execute(
        "UPDATE tags SET tag = CAST(zeroblob(80000000) AS TEXT) WHERE image_id = 1"
    ),
    "an oversized report": lambda catalog: catalog.execute("UPDATE runs SET report = printf('%.*c', 80000000, '[')"),
    "a deep report": lambda catalog: catalog.execute("UPDATE runs SET report = printf('%.*c', 1000000, '[')"),
    "a name of a folder elsewhere": lambda catalog: catalog.execute(
        "UPDATE images SET name = '../../../etc/passwd' WHERE id = 1"
    ),
    "an encoder of another size": lambda catalog: catalog.execute("UPDATE encoders SET dim = 2000000000"),
    "a negative size": lambda catalog: catalog.execute("UPDATE encoders SET dim = -1"),
    "texts for numbers": lambda catalog: catalog.execute("UPDATE images SET width = 'x', size = 'y', mtime_ns = 'z'"),
}


def _set_vector(catalog: sqlite3.Connection, value: float) -> None:
    (size,) = catalog.execute("SELECT length(vector) FROM embeddings WHERE image_id = 1").fetchone()
    blob = np.full(size // 2, value, "<f2").tobytes()
    catalog.execute("UPDATE embeddings SET vector = ?, crc = ? WHERE image_id = 1", (blob, zlib.crc32(blob)))


@pytest.mark.parametrize("what", VALUES)
def test_values_that_photoseek_never_writes(what: str, commands: Commands, gallery: Path, place: Path) -> None:
    """Within bounded memory: a right answer, or two lines."""
    shutil.rmtree(gallery / "index")
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as catalog:
        catalog.execute("PRAGMA ignore_check_constraints = ON")
        for name, _ in TRIGGERS:
            catalog.execute(f"DROP TRIGGER IF EXISTS {name}")
        VALUES[what](catalog)
        catalog.commit()
    picture = str(place / "photos" / "2.jpg")
    for arguments in (
        ["search", "red", "--json"], ["similar", picture, "--json"], ["info"], ["label", picture], ["verify"],
    ):  # fmt: skip
        ended = commands.plain(gallery, *arguments, limits=MEMORY)
        assert ended.returncode in (0, 1, 2, 3), (what, arguments, ended.returncode, ended.stderr)
        assert "Traceback" not in ended.stderr and "a fault in the program" not in ended.stderr, (
            arguments,
            ended.stderr,
        )
        for line in ended.stdout.splitlines() if "--json" in arguments else ():
            hit = json.loads(line)
            assert -1.001 <= hit["score"] <= 1.001 and hit["path"].startswith(str(place / "photos")), hit


@pytest.mark.parametrize("name", ["thumbnails.sqlite", "text-cache.sqlite"])
@pytest.mark.parametrize("statement", ["CREATE VIEW v AS SELECT 1", "CREATE TABLE t (x, y AS (zeroblob(2000000000)))"])
def test_caches_with_programs_are_made_anew(name: str, statement: str, commands: Commands, gallery: Path) -> None:
    with closing(sqlite3.connect(gallery / name)) as cache:
        cache.execute(statement)
        cache.commit()
    told = commands.plain(gallery, "verify")
    assert told.returncode == 3 and name in told.stdout, told.stdout
    for arguments in (["search", "blue"], ["index", "--thumbnails"]):
        assert commands.plain(gallery, *arguments, limits=MEMORY).returncode == 0
    assert commands.plain(gallery, "verify", "--repair").returncode == 0
    with closing(sqlite3.connect(gallery / name)) as cache:
        assert foreign_part(cache) is None


def _with_right_checksums(gallery: Path, change: Callable[[bytes], bytes], ending: str) -> None:
    """As a stranger would: the manifest fits the changed file."""
    (folder,) = (gallery / "index").iterdir()
    manifest = read_manifest(folder)
    assert manifest is not None
    for part, file in manifest.files.items():
        path = folder / file.name
        if path.suffix == ending:
            path.write_bytes(change(path.read_bytes()))
            manifest.files[part] = StoredFile.of(path)
    (folder / MANIFEST_NAME).write_bytes(manifest.to_json())


CRAFTED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "cut short": (".faiss", lambda data: data[: len(data) // 2]),
    "of another kind": (".faiss", lambda data: b"IxPT" + data[4:]),
    "with a huge dimension": (".faiss", lambda data: data[:4] + struct.pack("<i", 2**30) + data[8:]),
    "with a huge count": (".faiss", lambda data: data[:8] + struct.pack("<q", 2**60) + data[16:]),
    "empty": (".faiss", lambda data: b""),
    "links to rows elsewhere": (".faiss", lambda data: data.replace(b"\xff" * 4, struct.pack("<i", 2**30), 1)),
    "links to rows before the first": (".faiss", lambda data: data.replace(b"\xff" * 4, struct.pack("<i", -9), 1)),
    "objects for numbers": (".npy", lambda data: data.replace(b"'<i8'", b"'|O' ")),
    "a huge shape": (".npy", lambda data: data.replace(b"(6,), ", b"(6000000000,)"[:6])),
}


@pytest.mark.parametrize("what", CRAFTED)
def test_crafted_files_of_an_index_are_not_used(what: str, commands: Commands, gallery: Path, whole: Path) -> None:
    right = commands.plain(whole, "search", "red", "--paths").stdout
    ending, change = CRAFTED[what]
    _with_right_checksums(gallery, change, ending)
    ended = commands.plain(gallery, "search", "red", "--paths", limits=MEMORY)
    assert (ended.returncode, ended.stdout) == (0, right), ended.stderr
    assert commands.plain(gallery, "verify", "--repair", limits=MEMORY).returncode == 0


LINKS = [
    "catalog.sqlite",
    "thumbnails.sqlite",
    "text-cache.sqlite",
    "writer.lock",
    "labels.lock",
    "label-copies",
    "index",
]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_out_of_the_gallery_is_not_followed(
    name: str, commands: Commands, gallery: Path, place: Path
) -> None:
    outside = place / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    path = gallery / name
    if path.exists():
        shutil.move(path, outside / name)
    else:
        (outside / name).write_bytes(b"precious")
    path.symlink_to(outside / name)
    before = {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()}
    for arguments in (["index"], ["label", "id:1", "--tag", "x"], ["verify", "--repair"], ["search", "red"]):
        assert "symbolic link" in _refused(commands, gallery, *arguments)
    assert {file: file.read_bytes() for file in outside.rglob("*") if file.is_file()} == before


def test_a_gallery_that_is_a_link_itself_is_used(commands: Commands, gallery: Path, place: Path) -> None:
    link = place / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(gallery)
    for arguments in (["search", "red"], ["index"], ["label", "id:1", "--tag", "x"]):
        assert commands.plain(link, *arguments).returncode == 0


def test_a_value_that_is_too_large_is_damage(gallery: Path) -> None:
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE state SET index_spec = zeroblob(?)", [MOST_BYTES + 1])
        catalog.commit()
    with Gallery(gallery).reader() as reader, pytest.raises(GalleryError, match="too big"):
        reader.index_spec()
