"""Commands killed at counted steps: nothing that was committed is lost, and the next one works.

``PHOTOSEEK_CRASH_KILLS`` (kills of each command, 8 by default) and ``PHOTOSEEK_CRASH_SEED`` make it longer.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.faces import PictureFaces, SeenFace, write_faces
from retrieval.catalog.records import unpack_vectors
from retrieval.faces.grouping import group_faces
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.people import name_person
from retrieval.maintenance.label_backups import keep_labels
from tests.crashes import Commands, Scene, killed
from tests.earlier import FOURTH
from tests.pictures import replace_picture, save_picture
from tests.retrieval.faces.test_grouping import faces_of
from tests.retrieval.states import move, rows
from tests.retrieval.xmp_files import packet

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

KILLS = int(os.environ.get("PHOTOSEEK_CRASH_KILLS", "8"))
SEED = int(os.environ.get("PHOTOSEEK_CRASH_SEED", "1"))
ONE_WORKER = ("--workers", "1")


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    """Pictures of which some have sidecars, and two that are none."""
    folder = place / "photos"
    for number in range(20):
        colour = ("red", "green", "blue", "yellow")[number % 4]
        save_picture(folder / f"album {number // 7}" / f"picture-{number:02}.jpg", colour, seed=number, size=(24, 24))
    for number in (1, 2, 9):
        sidecar = folder / f"album {number // 7}" / f"picture-{number:02}.jpg.xmp"
        sidecar.write_bytes(packet([f"keyword {number}"], description=f"from a sidecar, {number}"))
    for number in range(2):
        (folder / f"album {number}" / f"bad-{number}.jpg").write_bytes(b"\xff\xd8\xff no")
    return folder


@pytest.fixture(scope="module")
def labelled(commands: Commands, photos: Path, place: Path) -> Path:
    """A gallery of the photos with tags and captions of its user's and a model's."""
    gallery, album = place / "labelled", photos / "album 1"
    for arguments in (
        ("index", str(photos), *ONE_WORKER),
        ("label", str(album), "--tag", "beach,sea", "--caption", "by the sea"),
        ("label", str(photos / "album 0" / "picture-03.jpg"), "--tag", "mountains"),
        ("tag", "--labels", "cat,dog,car"),
    ):
        ended = commands.run(gallery, *arguments)
        assert ended.code == 0, ended.printed
    return gallery


@pytest.fixture(scope="module")
def peopled(labelled: Path, photos: Path, place: Path) -> Path:
    """The same with a face in each of six pictures: three of Anna, three of somebody without a name."""
    folder = place / "peopled"
    shutil.copytree(labelled, folder)
    gallery = Gallery(folder)
    hashes = rows(gallery, "SELECT DISTINCT content_hash FROM images WHERE NOT is_retired ORDER BY id LIMIT 6")
    found = [
        (content_hash, PictureFaces("test/1", "2024-01-01", (SeenFace((0.25, 0.25, 0.5, 0.5), 1.0, embedding),)))
        for (content_hash,), embedding in zip(hashes, faces_of(2, 3), strict=True)
    ]
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        write_faces(transaction, found)
    group_faces(gallery)
    name_person(gallery, "face:1", "Anna Xylander")
    edit_labels(gallery, [7], LabelEdit(("kept",)))
    keep_labels(gallery)
    return folder


def _of_people(name: str, gallery: Path) -> Scene:
    """What people say of persons; ``forget`` leaves no name and no embedding, in a copy of labels neither."""
    verb = name.removeprefix("people ")
    other = str(rows(Gallery(gallery), "SELECT person_id FROM faces WHERE id = 4")[0][0])
    arguments = {
        "name": ("name", other, "Ben"),
        "name face": ("name", "face:1", "Eve"),
        "merge": ("merge", "Anna Xylander", other),
        "split": ("split", "Anna Xylander", "face:1", "face:2"),
        "confirm": ("confirm", "Anna Xylander", "face:4", "face:5"),
        "reject": ("reject", "Anna Xylander", "face:1"),
        "hide": ("hide", "Anna Xylander"),
        "undo": ("undo",),
        "forget": ("forget", "--all", "--yes"),
    }[verb]
    embedding = rows(Gallery(gallery), "SELECT embedding FROM faces ORDER BY id LIMIT 1")[0][0]
    gone = (embedding, b"Xylander", b"xylander") if verb == "forget" else ()
    again = {"name", "name face", "confirm", "hide", "forget"}
    return Scene(gallery, ("people", *arguments), verb in again, gone)


def _changed(photos: Path, copy: Path) -> Path:
    """The photos after what may happen to a folder between two runs."""
    shutil.copytree(photos, copy)
    move(copy / "album 1" / "picture-08.jpg", copy / "album 2" / "moved.jpg")
    move(copy / "album 0", copy / "z album 0")
    replace_picture(copy / "album 1" / "picture-09.jpg", "white", seed=9, size=(24, 24))
    (copy / "album 1" / "picture-10.jpg").unlink()
    save_picture(copy / "album 3" / "new.png", "yellow", seed=99, size=(24, 24))
    (copy / "album 2" / "picture-15.jpg").write_bytes(b"turned bad")
    return copy


def _traces(gallery: Path) -> list[bytes]:
    """Of what is purged: names, a caption, and embeddings as the index holds them."""
    stored = rows(
        Gallery(gallery),
        """SELECT e.vector FROM embeddings AS e JOIN images AS i ON i.id = e.image_id JOIN folders AS f
           ON f.id = i.folder_id WHERE f.path LIKE '%album 1' OR i.name = 'picture-16.jpg'""",
    )
    blobs = [row[0] for row in stored]
    vectors = [vector.tobytes() for vector in unpack_vectors(blobs, len(blobs[0]) // 2)]
    texts = [b"picture-07", b"picture-16", b"by the sea"]
    held = b"".join(file.read_bytes() for file in gallery.rglob("*") if file.is_file())
    assert len(vectors) > 5 and all(trace in held for trace in vectors + texts)
    return vectors + texts


def _made(name: str, place: Path, photos: Path, request: pytest.FixtureRequest) -> Scene:
    if name == "index, a first time":
        return Scene(None, ("index", str(photos), *ONE_WORKER))
    if name.startswith("the form of an older version"):
        older = place / ("older " + name[-6:].strip())
        older.mkdir()
        old, pictures = FOURTH.unpack(older)
        forget = ("forget", str(pictures / "cow.jpg"))
        is_forget = name.endswith("forget")
        return Scene(old, forget if is_forget else ("index", *ONE_WORKER), is_repeatable=not is_forget, is_renewed=True)
    if name.startswith("people "):
        return _of_people(name, request.getfixturevalue("peopled"))
    gallery: Path = request.getfixturevalue("labelled")
    album, one = str(photos / "album 1"), str(photos / "album 2" / "picture-16.jpg")
    if name == "index after changes":
        before = place / "before changes"
        shutil.copytree(photos, place / "photos as they were")
        shutil.rmtree(photos)
        _changed(place / "photos as they were", photos)
        shutil.copytree(gallery, before, dirs_exist_ok=True)
        return Scene(before, ("index", *ONE_WORKER))
    arguments = {
        "label": ("label", album, one, "--tag", "sea,sand", "--remove-tag", "beach", "--caption", "another one"),
        "label --import-xmp": ("label", "--import-xmp"),
        "forget": ("forget", album, one),
        "forget --purge": ("forget", "--purge", album, one),
        "tag": ("tag", "--labels", "red,green,blue"),
    }[name]
    gone = _traces(gallery) if name == "forget --purge" else ()
    return Scene(gallery, arguments, "forget" not in name, gone)


@pytest.mark.parametrize(
    "name",
    [
        "index, a first time", "label", "label --import-xmp", "tag", "forget", "forget --purge",
        "people name", "people name face", "people merge", "people split", "people confirm", "people reject",
        "people hide", "people undo", "people forget",
        "the form of an older version, index", "the form of an older version, forget", "index after changes",
    ],
)  # fmt: skip
def test_a_command_killed_at_any_moment_loses_nothing_and_the_next_one_works(
    name: str, commands: Commands, photos: Path, place: Path, request: pytest.FixtureRequest
) -> None:
    scene, rng = _made(name, place, photos, request), np.random.default_rng([SEED, len(name)])
    scene.prepare(commands, place / "whole")
    ends: Counter[str] = Counter()
    for at, point in enumerate(scene.points(rng, KILLS)):
        try:
            was_killed = killed(commands, scene, place / "gallery", point, fresh=at == 1)
        except AssertionError as error:
            raise AssertionError(f"{name}, killed at {point} of {scene.counts}, seed {SEED}") from error
        ends[point[0] if was_killed else "ended before"] += 1
    print(f"{name}: {dict(ends)} of {scene.counts}")
    assert ends["call"] and ends["step"] and sum(ends.values()) - ends["ended before"] >= KILLS // 2
