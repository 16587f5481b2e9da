"""Looking for faces in a gallery: by a watcher in the quiet, by the real networks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("dlib", reason="needs photoseek[faces]")
if find_spec("face_recognition_models") is None or find_spec("skimage") is None:
    pytest.skip("needs photoseek[faces,dev]", allow_module_level=True)

from retrieval.catalog.faces import FaceCounts, face_counts
from retrieval.catalog.persons import all_persons
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.people import name_person
from retrieval.watching.following import Follower
from tests.retrieval.faces.test_looking import variations


def counts(gallery: Gallery) -> FaceCounts:
    with gallery.reader() as reader:
        return face_counts(reader)


def persons(gallery: Gallery) -> list[tuple[str | None, int]]:
    with gallery.reader() as reader:
        return [(person.name, person.pictures) for person in all_persons(reader)]


def test_a_watcher_looks_for_faces_in_the_quiet_where_runs_do(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shown = variations()
    for name in ("plain", "brighter"):
        shown[name].save(photos / f"{name}.png")
    Image.new("RGB", (300, 200), "green").save(photos / "green.png")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224"), workers=1).run(photos)
    follower = Follower(gallery, None)
    follower.use_the_quiet(lambda: False)
    assert counts(gallery).looked == 0, "it is off unless a run was asked for it"
    with gallery.writer() as catalog:
        catalog.set_finds_faces(True)
    follower.use_the_quiet(lambda: True)
    assert counts(gallery).looked == 0, "it makes way at once"
    follower.find_faces(lambda: False)
    found = counts(gallery)
    assert (found.looked, found.with_faces, found.waiting) == (3, 2, 0)
    assert persons(gallery) == [(None, 2)]
    name_person(gallery, "1", "Eileen")
    shown["mirrored"].save(photos / "mirrored.png")
    Indexer(gallery, load_encoder("builtin-224"), workers=1).run(photos)
    follower.find_faces(lambda: False)
    assert persons(gallery) == [("Eileen", 3)], "a new face joins a known person"


def test_faces_that_were_not_grouped_are_grouped_later(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, picture in variations().items():
        if name in ("plain", "brighter"):
            picture.save(photos / f"{name}.png")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224"), workers=1).run(photos)
    with gallery.writer() as catalog:
        catalog.set_finds_faces(True)
    follower = Follower(gallery, None)
    # Something happens as soon as all were looked at: the end of a call is where faces are grouped.
    follower.find_faces(lambda: counts(gallery).waiting == 0)
    assert counts(gallery)[:2] == (2, 2) and persons(gallery) == []
    follower.find_faces(lambda: False)
    assert persons(gallery) == [(None, 2)]
