"""Copies of labels keep names of persons and what was said of faces, and lose them when they are to be forgotten."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog.faces import face_counts
from retrieval.catalog.label_copies import read_copy
from retrieval.faces.grouping import group_faces, regroup_faces
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_faces, forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.people import confirm_faces, hide_person, name_person, reject_faces, split_person
from retrieval.maintenance.backup import back_up, restore
from retrieval.maintenance.label_backups import copies_of_labels, keep_labels, restore_labels
from tests.fakes import ColourEncoder
from tests.retrieval.labels.test_people import (
    everything,
    gallery,  # noqa: F401 - a fixture
    look,
    made,  # noqa: F401 - a fixture
    number,
    persons,
    pictures,
    place,
)


@pytest.fixture
def said(gallery: Gallery, made: Path) -> Gallery:  # noqa: F811
    """Anna's face in a1 was rejected, b1 is said to be Anna, and b0 somebody else without a name."""
    name_person(gallery, number(gallery, "a0"), "Anna")
    confirm_faces(gallery, "Anna", [place(made, "a0"), place(made, "b1")])
    reject_faces(gallery, "Anna", [place(made, "a1")])
    split_person(gallery, number(gallery, "b0"), [place(made, "b0")])
    return gallery


def anew(gallery: Gallery, photos: Path) -> None:  # noqa: F811
    """The gallery lost its catalog, and was indexed again."""
    for file in gallery.path.glob("catalog.sqlite*"):
        file.unlink()
    Indexer(gallery, ColourEncoder(), workers=1).run(photos)


def verdicts(gallery: Gallery) -> set[tuple[str, str | None, bool]]:  # noqa: F811
    with gallery.reader() as reader:
        rows = reader.rows(
            """SELECT i.name, p.name, v.is_person FROM face_verdicts AS v JOIN faces AS c ON c.id = v.face_id
               JOIN persons AS p ON p.id = v.person_id JOIN images AS i ON i.content_hash = c.content_hash"""
        )
        return {(name, person, bool(is_person)) for name, person, is_person in rows}


@pytest.mark.parametrize("looked", ["before", "after"])
def test_names_and_verdicts_come_back_into_a_gallery_made_anew(said: Gallery, made: Path, looked: str) -> None:  # noqa: F811
    before, anna = verdicts(said), pictures(said, person=["Anna"])
    assert anna == {"a0", "a2", "ab", "b1"} and len(before) == 5
    keep_labels(said)
    anew(said, made / "p")
    if looked == "before":
        look(said)
        group_faces(said)
        assert persons(said) == [(None, 4), (None, 3)]
    assert restore_labels(said)[1] > 0
    if looked == "after":
        look(said)
        group_faces(said)
    assert pictures(said, person=["Anna"]) == anna
    assert {each for each in before if each[1] == "Anna"} <= verdicts(said)
    assert ("b0.png", None, True) in verdicts(said)
    with said.reader() as reader:
        assert face_counts(reader).faces == 7, "no face is there twice"
    now = everything(said)
    assert restore_labels(said)[1] == 0 and everything(said) == now, "a second time nothing is missing"
    regroup_faces(said)
    assert pictures(said, person=["Anna"]) == anna


def test_what_is_said_in_the_gallery_is_never_changed(said: Gallery, made: Path) -> None:  # noqa: F811
    keep_labels(said)
    anew(said, made / "p")
    look(said)
    group_faces(said)
    name_person(said, number(said, "b0"), "Ben")
    confirm_faces(said, "Ben", [place(made, "b1"), place(made, "b0")])
    restore_labels(said)
    assert pictures(said, person=["Ben"]) == {"b0", "b1", "ab"}
    assert pictures(said, person=["Anna"]) == {"a0", "a2", "ab"}


def test_hidden_persons_stay_hidden(gallery: Gallery, made: Path) -> None:  # noqa: F811
    hide_person(gallery, number(gallery, "a0"))
    keep_labels(gallery)
    anew(gallery, made / "p")
    look(gallery)
    group_faces(gallery)
    restore_labels(gallery)
    assert persons(gallery) == [(None, 3)]


def test_forgetting_all_faces_takes_them_out_of_every_copy(said: Gallery) -> None:
    edit_labels(said, [1], LabelEdit(("sea",)))
    first = keep_labels(said)
    assert first is not None
    other = first.with_name("2020-01-01T00-00-00Z.sqlite")
    shutil.copy2(first, other)
    broken = first.with_name("2020-01-02T00-00-00Z.sqlite")
    broken.write_bytes(b"Anna " * 100)
    os.utime(first, (1_700_000_000, 1_700_000_000))
    forget_faces(said)
    assert copies_of_labels(said) == [first, other], "what cannot be read may hold names"
    for copy in (first, other):
        assert b"Anna" not in copy.read_bytes()
        contents = read_copy(copy)
        assert contents["people"] == contents["people_faces"] == []
        assert [row[2] for row in contents["said"]] == ["sea"]
    assert first.stat().st_mtime == 1_700_000_000
    restore_labels(said)
    assert persons(said) == []


def test_a_purge_takes_them_out_of_every_copy(said: Gallery, made: Path) -> None:  # noqa: F811
    keep_labels(said)
    forget_paths(said, [place(made, "a0")], purge=True)
    assert not any(b"Anna" in copy.read_bytes() for copy in copies_of_labels(said))


def test_copies_without_persons_are_read(said: Gallery) -> None:
    edit_labels(said, [1], LabelEdit(("sea",)))
    copy = keep_labels(said)
    assert copy is not None
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DROP TABLE people")
        connection.execute("DROP TABLE people_faces")
        connection.execute("UPDATE about SET format = 1")
    before = everything(said)
    edit_labels(said, [1], LabelEdit(without_tags=("sea",)))
    assert restore_labels(said) == (copy, 1) and everything(said) == before


def test_backups_keep_persons(said: Gallery, tmp_path: Path) -> None:
    before = everything(said)
    stored = back_up(said, tmp_path / "backups")
    other = Gallery(tmp_path / "other")
    restore(other, tmp_path / "backups", stored)
    assert everything(other) == before
