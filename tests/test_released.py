"""Galleries of released versions: a newer photoseek opens them, nothing is lost; an older one refuses newer ones."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.gallery import Gallery
from retrieval.maintenance.verify import verify
from tests.earlier import RELEASED, Earlier
from tests.retrieval.states import rows
from tests.test_cli import Run, run  # noqa: F401

NAMED = "FROM images AS i JOIN folders AS f ON f.id = i.folder_id"
SAID = {
    "tags": f"SELECT i.name, x.tag, x.source {NAMED} JOIN tags AS x ON x.image_id = i.id",
    "captions": f"SELECT i.name, x.text, x.source {NAMED} JOIN captions AS x ON x.image_id = i.id",
    "ratings": f"SELECT i.name, x.rating, x.source {NAMED} JOIN ratings AS x ON x.image_id = i.id",
    "embeddings": f"SELECT i.name, i.content_hash, e.vector {NAMED} JOIN embeddings AS e ON e.image_id = i.id",
    "left out": "SELECT count(*) FROM exclusions",
}
"""What a user would miss, in columns that no migration has renamed."""


@pytest.fixture(params=RELEASED, ids=lambda release: release.packed)
def released(request: pytest.FixtureRequest) -> Earlier:
    release: Earlier = request.param
    return release


def said(gallery: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as connection:
        return {name: sorted(connection.execute(sql).fetchall(), key=repr) for name, sql in SAID.items()}


def test_a_gallery_of_a_release_loses_nothing_in_a_newer_version(
    run: Run,  # noqa: F811
    released: Earlier,
    tmp_path: Path,
) -> None:
    gallery, photos = released.unpack(tmp_path)
    before = said(gallery)
    assert [row[:2] for row in before["tags"]] == [("cow.jpg", "animal"), ("cow.jpg", "farm"), ("dog.jpg", "animal")]
    assert [row[:2] for row in before["captions"]] == [("cow.jpg", "a cow")]
    assert [row[:2] for row in before["ratings"]] == [("cow.jpg", 4)]
    assert len(before["embeddings"]) == 5 and before["left out"] == [(1,)]
    code, _, err = run("index", gallery=gallery)
    assert code == 0, err
    after = said(gallery)
    assert set(before["embeddings"]) <= set(after["embeddings"])
    assert {name: after[name] for name in SAID if name != "embeddings"} == {
        name: before[name] for name in SAID if name != "embeddings"
    }
    opened = Gallery(gallery)
    assert rows(opened, "SELECT version_num FROM alembic_version") == [(CATALOG_VERSION,)]
    assert {finding.state for finding in verify(opened)} <= {"sound", "note"}
    assert run("search", "--tag", "farm", "--paths", gallery=gallery)[1] == f"{photos / 'cow.jpg'}\n"
    listed = run("album", "show", "Farm", "--paths", gallery=gallery)[1].splitlines()
    assert {Path(line).name for line in listed} == {"cow.jpg", "dog.jpg"}
    found = run("search", "a dog", "--paths", gallery=gallery)[1].splitlines()
    assert Path(found[0]).name == "dog.jpg" and len(found) == 4, "the forgotten picture stays away"


@pytest.mark.parametrize(
    "asked",
    [
        ["search", "a dog"], ["info"], ["index"], ["label", "{photos}", "--tag", "x"], ["verify"],
        ["verify", "--repair"],
        ["forget", "{photos}"], ["album", "list"], ["duplicates"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_older_version_refuses_a_newer_gallery_and_leaves_it_alone(
    run: Run,  # noqa: F811
    asked: list[str],
    tmp_path: Path,
) -> None:
    gallery, photos = RELEASED[-1].unpack(tmp_path)
    Gallery(gallery).bring_up_to_date()
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("PRAGMA journal_mode = DELETE")
    before = (gallery / "catalog.sqlite").read_bytes()
    code, _, err = run(*(word.format(photos=photos) for word in asked), gallery=gallery)
    assert code == 3 and len(err.splitlines()) == 2, err
    assert "newer photoseek" in err and "upgrade photoseek" in err
    assert (gallery / "catalog.sqlite").read_bytes() == before
