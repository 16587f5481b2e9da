"""Labels are copied by themselves, and come back into a gallery that lost them, whatever else happened to it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.label_copies import digest_of_copy
from retrieval.errors import GalleryError, SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.albums import add_to_album, create_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.maintenance.label_backups import (
    EVERY,
    copies_of_labels,
    keep_labels,
    restore_labels,
    superfluous,
)
from tests.fakes import ColourEncoder
from tests.page_damage import damaged, spoil_the_schema
from tests.retrieval.states import rows
from tests.test_cli import Run, run  # noqa: F401 - a fixture

SAID = {
    "tags": "SELECT i.name, x.tag, x.source FROM tags AS x JOIN images AS i ON i.id = x.image_id",
    "captions": "SELECT i.name, x.text FROM captions AS x JOIN images AS i ON i.id = x.image_id",
    "ratings": "SELECT i.name, x.rating FROM ratings AS x JOIN images AS i ON i.id = x.image_id",
    "favourites": "SELECT i.name FROM favourites AS x JOIN images AS i ON i.id = x.image_id",
    "albums": """SELECT a.name, a.recipe, e.position, i.name FROM memberships AS x JOIN images AS i ON i.id = x.image_id
                 JOIN album_entries AS e ON e.id = x.entry_id JOIN albums AS a ON a.id = e.album_id""",
}


def said(gallery: Gallery) -> dict[str, list[tuple[object, ...]]]:
    return {name: sorted(rows(gallery, sql), key=repr) for name, sql in SAID.items()}


@pytest.fixture
def labelled(indexed: Gallery, photos: Path) -> Gallery:
    edit_labels(indexed, [1], LabelEdit(("sea", "straße"), caption="by the sea", rating=4, favourite=True))
    edit_labels(indexed, [2], LabelEdit(("forest",)))
    create_album(indexed, "Summer", [])
    add_to_album(indexed, "Summer", [2, 1])
    edit_labels(indexed, [3], LabelEdit(("gone",)))
    with indexed.reader() as reader:
        forgotten = reader.records([3])[0].path
    forget_paths(indexed, [forgotten])
    return indexed


def test_labels_come_back_into_a_gallery_made_anew(labelled: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = said(labelled)
    made = keep_labels(labelled)
    assert made is not None and all(before.values())
    labelled.catalog_path.unlink()
    for log in labelled.path.glob("catalog.sqlite-*"):
        log.unlink()
    Indexer(labelled, encoder).run(photos)
    assert restore_labels(labelled)[0] == made
    after = said(labelled)
    for name, wanted in before.items():
        assert set(wanted) <= set(after[name]), name
    assert restore_labels(labelled)[1] == 0, "a second time nothing is missing"


def test_labels_wait_for_pictures_that_are_indexed_later(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = said(labelled)
    keep_labels(labelled)
    labelled.catalog_path.unlink()
    for log in labelled.path.glob("catalog.sqlite-*"):
        log.unlink()
    empty = photos.parent / "nothing yet"
    empty.mkdir()
    Indexer(labelled, encoder).run(empty)
    restore_labels(labelled)
    Indexer(labelled, encoder).run(photos)
    after = said(labelled)
    for name, wanted in before.items():
        assert set(wanted) <= set(after[name]), name


def test_what_is_in_the_gallery_is_never_changed(labelled: Gallery) -> None:
    keep_labels(labelled)
    edit_labels(labelled, [1], LabelEdit(("lake",), ("sea",), caption="by the lake"))
    now = said(labelled)
    restore_labels(labelled)
    after = said(labelled)
    assert set(now["tags"]) < set(after["tags"]) and set(now["captions"]) <= set(after["captions"])


def test_a_copy_is_written_when_it_is_due_and_something_changed(labelled: Gallery) -> None:
    start = datetime.now(UTC)
    first = keep_labels(labelled, start)
    assert first is not None
    edit_labels(labelled, [2], LabelEdit(("moor",)))
    assert keep_labels(labelled, start + EVERY / 2) is None, "not yet"
    second = keep_labels(labelled, start + 2 * EVERY)
    assert second is not None and copies_of_labels(labelled, start + 2 * EVERY) == [second, first]
    assert keep_labels(labelled, start + 10 * EVERY) is None, "nothing changed"
    assert keep_labels(labelled, start - 10 * EVERY) is None, "nothing changed, by a clock that was set back"


def test_old_copies_are_thinned_out() -> None:
    start = datetime(2026, 5, 31, 12, tzinfo=UTC)
    copies = [Path((start - timedelta(hours=6 * n)).strftime("%Y-%m-%dT%H-%M-%SZ.sqlite")) for n in range(400)]
    kept = [path for path in copies if path not in superfluous(copies)]
    days = [path.name[:10] for path in kept]
    assert kept[:3] == copies[:3]
    assert len(set(days)) == 7 + 4 and len(kept) == 7 + 4 + 2
    assert superfluous(kept) == []


def test_copies_that_are_damaged_are_refused(labelled: Gallery) -> None:
    with pytest.raises(GalleryError, match="no copy of labels"):
        restore_labels(labelled)
    made = keep_labels(labelled)
    assert made is not None
    before, content = said(labelled), made.read_bytes()
    damaged(made, "noise", np.random.default_rng(1))
    with pytest.raises(GalleryError, match="damaged"):
        restore_labels(labelled)
    made.write_bytes(b"no database")
    with pytest.raises(GalleryError, match="damaged"):
        restore_labels(labelled)
    made.write_bytes(content)
    spoil_the_schema(made)
    with pytest.raises(GalleryError, match="damaged"):
        restore_labels(labelled)
    assert digest_of_copy(made) is None
    made.write_bytes(content)
    with pytest.raises(SettingsError, match="no copy 2020"):
        restore_labels(labelled, "2020")
    assert said(labelled) == before


def test_a_purge_leaves_no_copy(labelled: Gallery) -> None:
    keep_labels(labelled)
    with labelled.reader() as reader:
        path = reader.records([1])[0].path
    forget_paths(labelled, [path], purge=True)
    assert copies_of_labels(labelled) == []
    keep_labels(labelled)
    assert b"by the sea" not in b"".join(path.read_bytes() for path in copies_of_labels(labelled))


def test_commands_make_copies_and_bring_them_back(run: Run, labelled: Gallery) -> None:  # noqa: F811
    with labelled.reader() as reader:
        path = reader.records([2])[0].path
    assert run("label", path, "--tag", "x", gallery=labelled.path)[0] == 0
    assert len(copies_of_labels(labelled)) == 1
    assert run("label", path, "--remove-tag", "x", gallery=labelled.path)[0] == 0
    code, _, err = run("restore", "--labels", gallery=labelled.path)
    assert code == 0 and "1 label added" in err
    assert run("restore", "--labels", "--yes", gallery=labelled.path)[0] == 2
    assert run("restore", gallery=labelled.path)[0] == 2
    shutil.rmtree(labelled.label_copies_path)
    assert run("restore", "--labels", gallery=labelled.path)[0] == 3
