"""A backup gives the gallery back as it was; what is there is never lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import GalleryError, GalleryLocked, GalleryNotFound, SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.maintenance import backup as module
from retrieval.maintenance.backup import back_up, backups_in, restore
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.test_cli import Run, run  # noqa: F401 - a fixture


def tag(gallery: Gallery, name: str) -> None:
    edit_labels(gallery, [1], LabelEdit((name,)))


def tags(gallery: Gallery) -> set[str]:
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        return {row[0] for row in connection.execute("SELECT tag FROM tags")}


def rows(gallery: Gallery) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        return connection.execute(
            """SELECT i.name, i.content_hash, e.vector FROM images AS i
               JOIN embeddings AS e ON e.image_id = i.id ORDER BY 1"""
        ).fetchall()


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def test_a_restored_gallery_is_the_one_that_was(indexed: Gallery, backups: Path, encoder: ColourEncoder) -> None:
    tag(indexed, "holiday")
    before = rows(indexed)
    made = back_up(indexed, backups)
    shutil.rmtree(indexed.path)
    assert restore(indexed, backups, backups_in(backups)[0]) == []
    assert (rows(indexed), tags(indexed)) == (before, {"holiday"})
    assert made.new_bytes > 0 and made.files[0].name == "catalog.sqlite"
    with QueryEngine(indexed, encoder) as engine:
        assert engine.search(Query.text("red", k=1))[0].image.path.rpartition("/")[2].startswith("red")
    assert not list(indexed.path.glob(".restoring-*")) and not list(backups.glob(".unfinished-*"))


def test_only_what_is_new_is_stored_again(indexed: Gallery, backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 8192)
    first = back_up(indexed, backups)
    assert first.new_bytes > 100_000
    assert back_up(indexed, backups).new_bytes == 0
    tag(indexed, "holiday")
    third = back_up(indexed, backups)
    assert 0 < third.new_bytes < first.new_bytes / 2  # a small catalog is mostly indexes, which change with it
    names = [each.name for each in backups_in(backups)]
    assert len(set(names)) == 3 and names == sorted(names, reverse=True)
    restore(indexed, backups, backups_in(backups)[-1], replace=True)
    assert tags(indexed) == set(), "the first one, too, is whole"


def test_a_gallery_that_is_there_is_kept(indexed: Gallery, backups: Path) -> None:
    back_up(indexed, backups)
    tag(indexed, "holiday")
    (backup,) = backups_in(backups)
    with pytest.raises(GalleryError, match="there is a gallery"):
        restore(indexed, backups, backup)
    assert tags(indexed) == {"holiday"}
    kept = restore(indexed, backups, backup, replace=True)
    assert tags(indexed) == set()
    with closing(sqlite3.connect(kept[0])) as connection:
        assert connection.execute("SELECT tag FROM tags").fetchall() == [("holiday",)], "with its log"


def test_while_another_process_writes(indexed: Gallery, photos: Path, backups: Path) -> None:
    """A backup sees one moment: every picture that it names has its embedding."""
    ready, stop = threading.Event(), threading.Event()

    def write() -> None:
        for number in range(200):
            save_picture(photos / f"more-{number}.png", "red", seed=1000 + number)
            Indexer(indexed, ColourEncoder()).run(photos)
            ready.set()
            if stop.is_set():
                break

    writer = threading.Thread(target=write)
    writer.start()
    ready.wait()
    for _ in range(3):
        back_up(indexed, backups)
    stop.set()
    writer.join()
    for number, backup in enumerate(backups_in(backups)):
        target = Gallery(indexed.path.parent / f"restored-{number}")
        restore(target, backups, backup)
        with closing(sqlite3.connect(target.catalog_path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            images, embedded = (
                connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("images", "embeddings")
            )
            assert images == embedded >= 6


def test_a_gallery_that_is_written_is_not_replaced(indexed: Gallery, backups: Path) -> None:
    back_up(indexed, backups)
    with indexed.locked(), pytest.raises(GalleryLocked):
        restore(indexed, backups, backups_in(backups)[0], replace=True)


def test_a_damaged_catalog_does_not_become_a_backup(indexed: Gallery, backups: Path) -> None:
    back_up(indexed, backups)
    content = bytearray(indexed.catalog_path.read_bytes())
    content[8192 * 3 : 8192 * 4] = np.random.default_rng(0).bytes(8192)
    indexed.catalog_path.write_bytes(content)
    with pytest.raises(GalleryError):
        back_up(indexed, backups)
    assert len(backups_in(backups)) == 1


@pytest.mark.parametrize("kind", ["bit", "short", "gone"])
def test_a_damaged_block_stops_before_anything_changes(indexed: Gallery, backups: Path, kind: str) -> None:
    back_up(indexed, backups)
    tag(indexed, "holiday")
    block = next(path for path in sorted((backups / "blocks").rglob("*")) if path.is_file())
    content = bytearray(block.read_bytes())
    content[100] ^= 4
    if kind == "gone":
        block.unlink()
    else:
        block.write_bytes(content[:500] if kind == "short" else content)
    with pytest.raises(GalleryError, match="damaged or missing"):
        restore(indexed, backups, backups_in(backups)[0], replace=True)
    assert tags(indexed) == {"holiday"}
    assert not list(indexed.path.glob("before-restore*"))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../evil"},
        {"name": "trash/../../evil/manifest.jsonl"},
        {"name": "trash/../manifest.jsonl"},
        {"name": "trash/a\\b/manifest.jsonl"},
        {"blocks": ["../../../etc/passwd"]},
        {"blocks": 3},
        {"bytes": "many"},
        {"hash": "0"},
    ],
    ids=str,
)
def test_lists_of_strangers_name_nothing_else(indexed: Gallery, backups: Path, change: dict[str, object]) -> None:
    made = back_up(indexed, backups)
    path = backups / f"{made.name}.json"
    body = json.loads(path.read_text())
    body["files"][0] |= change
    for text in (json.dumps(body), "[" * 200_000):
        path.write_text(text)
        with pytest.raises(GalleryError, match="no list of a backup"):
            backups_in(backups)


def test_what_cannot_be_backed_up(indexed: Gallery, tmp_path: Path, backups: Path) -> None:
    with pytest.raises(GalleryNotFound):
        back_up(Gallery(tmp_path / "none"), backups)
    assert not backups.exists()
    with pytest.raises(SettingsError, match="lies in the gallery"):
        back_up(indexed, indexed.path / "backups")
    with pytest.raises(GalleryError, match="there is no backup"):
        backups_in(tmp_path)


def test_settings_and_manifests_come_along(indexed: Gallery, backups: Path, tmp_path: Path) -> None:
    (indexed.path / "config.toml").write_text("# mine\n")
    manifest = indexed.path / "trash" / "2026-11-30 04.12.09 2" / "manifest.jsonl"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}\n")
    back_up(indexed, backups)
    target = Gallery(tmp_path / "other")
    target.path.mkdir()
    (target.path / "config.toml").write_text("# newer\n")
    restore(target, backups, backups_in(backups)[0])
    assert (target.path / "config.toml").read_text() == "# newer\n"
    assert (target.path / "trash" / "2026-11-30 04.12.09 2" / "manifest.jsonl").read_text() == "{}\n"


def test_the_commands(run: Run, indexed: Gallery, backups: Path, tmp_path: Path) -> None:  # noqa: F811
    code, out, err = run("backup", backups, gallery=indexed.path)
    assert code == 0 and len(out.splitlines()) == 1 and "are new" in err
    code, out, _ = run("backup", backups, "--list")
    name, size, of = out.rstrip("\n").split("\t")
    assert code == 0 and size.endswith("B") and of == str(indexed.path)
    assert run("restore", backups, gallery=indexed.path)[0] == 3
    assert run("restore", backups, "--at", "yesterday", gallery=tmp_path / "new")[0] == 2
    code, _, err = run("restore", backups, "--at", name, gallery=tmp_path / "new")
    assert code == 0 and "restored" in err
    code, out, _ = run("verify", gallery=tmp_path / "new")
    assert code == 0 and "damaged" not in out and out.splitlines()[0].split()[:2] == ["sound", "catalog"]
    code, out, _ = run("backup", backups, "--json", gallery=indexed.path)
    assert code == 0 and json.loads(out)["new_bytes"] == 0
