"""What people say about persons: it counts more than grouping, stays, and can be undone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from retrieval.catalog.embedded_xmp import set_bytes
from retrieval.catalog.faces import (
    PictureFaces,
    SeenFace,
    face_counts,
    face_look,
    faces_in,
    faces_of,
    move_faces,
    write_faces,
)
from retrieval.catalog.persons import all_persons, person_named
from retrieval.errors import QueryError
from retrieval.faces import grouping
from retrieval.faces.grouping import group_faces, regroup_faces
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_faces, forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.people import (
    confirm_faces,
    hide_person,
    merge_persons,
    name_person,
    reject_faces,
    split_person,
    undo_people,
)  # fmt: skip
from tests.fakes import ColourEncoder
from tests.retrieval.faces.test_grouping import faces_of as vectors_of

PEOPLE = {"a0": (0,), "a1": (0,), "a2": (0,), "b0": (1,), "b1": (1,), "ab": (0, 1), "none": ()}
"""Picture -> the persons in it, from left to right."""


def seen(persons: tuple[int, ...], number: int, *, model: str = "test/1", shift: float = 0.0) -> PictureFaces:
    around = vectors_of(2, len(PEOPLE))
    return PictureFaces(
        model,
        "2024-01-01",
        tuple(
            SeenFace((0.1 + 0.4 * at + shift, 0.2, 0.2, 0.3), 1.0, around[person * len(PEOPLE) + number])
            for at, person in enumerate(persons)
        ),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("people")
    (home / "p").mkdir()
    for number, name in enumerate(PEOPLE):
        Image.new("RGB", (60, 40), (number * 30, 90, 120)).save(home / "p" / f"{name}.png")
    gallery = Gallery(home / "g")
    Indexer(gallery, ColourEncoder(), workers=1).run(home / "p")
    look(gallery)
    group_faces(gallery)
    return home


def look(gallery: Gallery, *, model: str = "test/1", shift: float = 0.0, without: str = "") -> None:
    """Write the faces of the pictures, as a run would."""
    with gallery.reader() as reader:
        records = {Path(record.path).stem: record for record in reader.records(list(range(1, 100)))}
    found = [
        (records[name].content_hash, seen(() if name == without else persons, number, model=model, shift=shift))
        for number, (name, persons) in enumerate(PEOPLE.items())
        if name in records
    ]
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        write_faces(transaction, found)


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Gallery:
    shutil.copytree(made / "g", tmp_path / "g")
    return Gallery(tmp_path / "g")


def pictures(gallery: Gallery, **conditions: object) -> set[str]:
    with gallery.reader() as reader:
        found = reader.select(Filter(**conditions))  # type: ignore[arg-type]
        return {Path(record.path).stem for record in reader.records([int(id_) for id_ in found])}


def persons(gallery: Gallery) -> list[tuple[str | None, int]]:
    with gallery.reader() as reader:
        return [(person.name, person.pictures) for person in all_persons(reader)]


def number(gallery: Gallery, picture: str, at: int = 0) -> str:
    """The person of a face in a picture, as text."""
    with gallery.reader() as reader:
        ids = [record.id for record in reader.records(list(range(1, 100))) if Path(record.path).stem == picture]
        return str(faces_in(reader, ids)[at].person_id)


def place(made: Path, name: str) -> str:
    return str(made / "p" / f"{name}.png")


def test_groups_are_persons_and_conditions(gallery: Gallery) -> None:
    assert persons(gallery) == [(None, 4), (None, 3)]
    group = number(gallery, "a0")
    assert pictures(gallery, person=[group]) == {"a0", "a1", "a2", "ab"}
    name_person(gallery, group, " Anna  Öst ")
    assert pictures(gallery, person=["anna öst"]) == {"a0", "a1", "a2", "ab"}
    assert pictures(gallery, no_person=["Anna Öst"]) == {"b0", "b1", "none"}
    assert pictures(gallery, people=["2"]) == {"ab"} and len(pictures(gallery, people=["1+"])) == 6
    assert pictures(gallery, no_people=["1+"]) == {"none"}


def test_persons_are_named_once(gallery: Gallery) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna")
    with pytest.raises(QueryError, match="already") as told:
        name_person(gallery, number(gallery, "b0"), "ANNA")
    assert "people merge" in told.value.hint
    with pytest.raises(QueryError, match="is a number"):
        name_person(gallery, number(gallery, "b0"), "12")
    with pytest.raises(QueryError, match="no person") as told:
        name_person(gallery, "Ana", "Berta")
    assert "did you mean Anna" in told.value.hint


def test_a_face_is_named_by_its_number(gallery: Gallery) -> None:
    def face(picture: str) -> str:
        with gallery.reader() as reader:
            ids = [record.id for record in reader.records(list(range(1, 100))) if Path(record.path).stem == picture]
            return f"face:{faces_in(reader, ids)[0].id}"

    before = everything(gallery)
    name_person(gallery, face("a0"), "Anna")
    assert persons(gallery) == [("Anna", 4), (None, 3)], "its group has the name"
    name_person(gallery, face("a1"), "Eve")
    name_person(gallery, face("b0"), "anna")
    assert persons(gallery) == [("Anna", 4), ("Eve", 1), (None, 2)], "only the face"
    with pytest.raises(QueryError, match="no face:77"):
        name_person(gallery, "face:77", "Eve")
    for _ in range(3):
        undo_people(gallery)
    assert everything(gallery) == before


def test_grouping_does_not_contradict_what_is_said_while_it_computes(
    gallery: Gallery, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        transaction.run("UPDATE faces SET person_id = NULL, is_grouped = 0 WHERE id IN (1, 2, 3)")
    computed = grouping.grouped
    a, b = number(gallery, "ab"), number(gallery, "b0")
    with gallery.reader() as reader:
        assert {face.person_id for face in faces_of(reader, int(a))} == {int(a)}

    def meanwhile(*given: object) -> object:
        found = computed(*given)  # type: ignore[arg-type]
        confirm_faces(gallery, b, ["face:1"])
        confirm_faces(gallery, a, ["face:2"])
        reject_faces(gallery, a, ["face:2"])
        return found

    monkeypatch.setattr(grouping, "grouped", meanwhile)
    found = group_faces(gallery)
    assert {(1, int(a)), (2, int(a)), (3, int(a))} <= set(found.joined)
    with gallery.reader() as reader:
        now = dict(reader.rows("SELECT id, person_id FROM faces WHERE id < 4"))
    assert now == {1: int(b), 2: None, 3: int(a)}


def test_every_edit_can_be_undone(gallery: Gallery, made: Path) -> None:
    a, b = number(gallery, "a0"), number(gallery, "b0")
    before = [everything(gallery)]
    for edit in (
        lambda: name_person(gallery, a, "Anna"),
        lambda: split_person(gallery, "Anna", [place(made, "a1"), place(made, "a2")]),
        lambda: confirm_faces(gallery, "Anna", [place(made, "a0")]),
        lambda: reject_faces(gallery, b, [place(made, "b1")]),
        lambda: merge_persons(gallery, b, ["Anna"]),
        lambda: hide_person(gallery, "Anna"),
        lambda: name_person(gallery, "Anna", "Annette"),
    ):
        edit()
        before.append(everything(gallery))
        assert before[-1] != before[-2]
    for was in reversed(before[:-1]):
        undo_people(gallery)
        assert everything(gallery) == was
    with pytest.raises(QueryError, match="nothing to undo"):
        undo_people(gallery)


def everything(gallery: Gallery) -> list[object]:
    with gallery.reader() as reader:
        return [
            reader.rows("SELECT id, name, is_hidden FROM persons ORDER BY id"),
            reader.rows("SELECT id, person_id FROM faces ORDER BY id"),
            reader.rows("SELECT face_id, person_id, is_person FROM face_verdicts ORDER BY 1, 2"),
        ]


def test_merged_persons_are_one_and_split_ones_are_two(gallery: Gallery, made: Path) -> None:
    name_person(gallery, number(gallery, "b0"), "Ben")
    merge_persons(gallery, number(gallery, "a0"), ["ben"])
    assert persons(gallery) == [("Ben", 6)]
    new = split_person(gallery, "Ben", [place(made, "b0"), place(made, "b1")]).person
    assert pictures(gallery, person=[new]) == {"b0", "b1"}
    regroup_faces(gallery)
    assert pictures(gallery, person=[new]) == {"b0", "b1"}, "grouping does not contradict"
    with pytest.raises(QueryError, match="named twice"):
        merge_persons(gallery, "Ben", ["BEN"])


def test_rejected_faces_do_not_come_back_and_confirmed_ones_stay(gallery: Gallery, made: Path) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna")
    reject_faces(gallery, "Anna", [place(made, "a1")])
    confirm_faces(gallery, "Anna", [place(made, "b1")])
    regroup_faces(gallery)
    assert pictures(gallery, person=["Anna"]) == {"a0", "a2", "ab", "b1"}
    with gallery.reader() as reader:
        shown = faces_of(reader, person_named(reader, "Anna").id)
    assert [face.is_confirmed for face in shown] == [True, False, False, False]


def test_which_face_is_meant(gallery: Gallery, made: Path) -> None:
    a = number(gallery, "a0")
    new = split_person(gallery, a, [place(made, "a1"), place(made, "a2")]).person
    with pytest.raises(QueryError, match="not clear which face") as told:
        confirm_faces(gallery, new, [place(made, "ab")])
    face = told.value.hint.split("face:")[1].split()[0]
    confirm_faces(gallery, new, [f"face:{face}"])
    assert pictures(gallery, person=[new]) == {"a1", "a2", "ab"}
    with pytest.raises(QueryError, match="no face of"):
        reject_faces(gallery, new, [place(made, "b0")])
    with pytest.raises(QueryError, match="not clear which") as told:
        confirm_faces(gallery, new, [place(made, "none")])
    assert told.value.hint == "no face was found there"
    with pytest.raises(QueryError, match="there is no face:999"):
        confirm_faces(gallery, new, ["face:999"])


def test_names_and_verdicts_survive_other_networks(gallery: Gallery, made: Path) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna")
    confirm_faces(gallery, "Anna", [place(made, "a0")])
    look(gallery, model="test/2", shift=0.02)
    group_faces(gallery)
    assert pictures(gallery, person=["Anna"]) == {"a0", "a1", "a2", "ab"}
    look(gallery, model="test/3", without="a0")
    assert pictures(gallery, person=["Anna"]) == {"a0", "a1", "a2", "ab"}, "a person has said that Anna is there"
    look(gallery, model="test/4", without="a1")
    assert pictures(gallery, person=["Anna"]) == {"a0", "a2", "ab"}


def test_faces_stay_with_contents_that_are_forgotten_and_purged_ones_go(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "p", tmp_path / "p")
    gallery = Gallery(tmp_path / "g")
    Indexer(gallery, ColourEncoder(), workers=1).run(tmp_path / "p")
    look(gallery)
    group_faces(gallery)
    name_person(gallery, number(gallery, "b0"), "Ben")
    (tmp_path / "p").rename(tmp_path / "q")
    Indexer(gallery, ColourEncoder(), workers=1).run(tmp_path / "q")
    assert pictures(gallery, person=["Ben"]) == {"b0", "b1", "ab"}
    forget_paths(gallery, [tmp_path / "q"])
    Indexer(gallery, ColourEncoder(), workers=1).run(tmp_path / "q")
    assert pictures(gallery, person=["Ben"]) == {"b0", "b1", "ab"}
    forget_paths(gallery, [tmp_path / "q" / f"{name}.png" for name in ("b0", "b1", "ab")], purge=True)
    with pytest.raises(QueryError):
        name_person(gallery, "Ben", "Bert")
    with gallery.reader() as reader:
        assert face_counts(reader).faces == 3


def test_faces_follow_a_picture_whose_file_got_other_metadata(gallery: Gallery) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna")
    with gallery.reader() as reader:
        record = next(each for each in reader.records(list(range(1, 100))) if Path(each.path).stem == "a0")
        before = faces_in(reader, [record.id])
    other = bytes(32)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        set_bytes(transaction, record, other, record.size, record.mtime_ns, record.ctime_ns)
    with gallery.reader() as reader:
        assert faces_in(reader, [record.id]) == before and face_look(reader, other) == (True, None)
        assert face_look(reader, record.content_hash) == (False, None)


def test_faces_stay_where_a_copy_of_the_old_file_is(gallery: Gallery) -> None:
    def one_has(content_hash: bytes) -> int:
        with gallery.reader() as reader:
            return len(reader.rows("SELECT 1 FROM faces WHERE content_hash = :hash", {"hash": content_hash}))

    with gallery.reader() as reader:
        shown = {Path(each.path).stem: each.content_hash for each in reader.records(list(range(1, 100)))}
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        move_faces(transaction, shown["a0"], bytes(32))
    assert (one_has(shown["a0"]), one_has(bytes(32))) == (1, 0), "an image still has the old content"
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        transaction.run(
            "UPDATE images SET content_hash = :new WHERE content_hash = :old", {"new": bytes(32), "old": shown["a0"]}
        )
        move_faces(transaction, shown["a0"], shown["ab"])
    assert (one_has(shown["a0"]), one_has(shown["ab"])) == (1, 2), "faces were looked for in the new one"


def test_one_command_deletes_everything(gallery: Gallery) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna Xylander")
    with gallery.reader() as reader:
        (embedding,) = reader.rows("SELECT embedding FROM faces LIMIT 1")[0]
    with gallery.writer() as catalog:
        catalog.set_finds_faces(True)
    assert forget_faces(gallery) == (7, True)
    with gallery.reader() as reader:
        assert not any(face_counts(reader)[:1]) and face_counts(reader).groups == 0 and not reader.finds_faces()
    for file in gallery.path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert b"Xylander" not in data and embedding not in data and b"xylander" not in data, file


def test_a_damaged_embedding_is_left_out(gallery: Gallery) -> None:
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        connection.execute("UPDATE faces SET embedding = x'00', person_id = NULL, is_grouped = 0 WHERE id = 1")
        connection.commit()
    group_faces(gallery)
    with gallery.reader() as reader:
        assert face_counts(reader).faces == 7
        assert reader.rows("SELECT person_id FROM faces WHERE id = 1")[0][0] is None


def test_hidden_persons_are_found_by_name_only(gallery: Gallery) -> None:
    name_person(gallery, number(gallery, "a0"), "Anna")
    hide_person(gallery, "Anna")
    assert persons(gallery) == [(None, 3)]
    assert len(pictures(gallery, person=["Anna"])) == 4
    hide_person(gallery, "Anna", hidden=False)
    assert persons(gallery) == [("Anna", 4), (None, 3)]
