"""Every route of the API has a method of the client, or a reason why not; every method against a real server."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image

from retrieval.encoders.registry import load_encoder
from retrieval.errors import QueryError, UnknownPerson
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web import Client
from retrieval.web.wire import RequestRefused
from tests.web.conftest import Running
from tests.web.people import gallery_of_people
from tests.web.test_openapi import DOCUMENT

OTHERWISE = {
    ("GET", "/search"): "the POST takes the same, and longer questions",
    ("GET", "/export"): "the POST takes the same, and longer questions",
    ("GET", "/images/{}/shown"): "opens a window on the server's screen, for its page",
    ("POST", "/images/{}/shown"): "opens a window on the server's screen, for its page",
    ("GET", "/map/towns"): "names that the page draws on its map",
    ("GET", "/index/folders"): "the page's dialogue for choosing a folder",
    ("GET", "/readyz"): "a load balancer asks it",
    ("GET", "/metrics"): "text for Prometheus",
}
"""Routes without a method, and why. Routes that answer HEAD answer GET, too."""

ROUTES = {
    (method.upper(), re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/v1")))
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method != "head"
}

asked: set[tuple[str, str]] = set()
"""The routes that the tests of this module have asked through the client."""


class Recording(Client):
    """A client that notes which routes its methods ask."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._http.event_hooks["request"].append(self._note)

    @staticmethod
    def _note(request: httpx.Request) -> None:
        at = request.url.path.removeprefix("/api/v1")
        fits = [path for _, path in ROUTES if re.fullmatch(path.replace("{}", "[^/]+"), at)]
        assert fits, f"{at} is no route"
        # "/index/folders" is itself, and not any other with a variable part.
        asked.add((request.method, max(fits, key=lambda path: (path.count("{}") == 0, len(path)))))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("people")
    gallery_of_people(place)
    shutil.copy(place / "photos" / "a0.png", place / "photos" / "again.png")
    Indexer(Gallery(place / "gallery"), load_encoder("builtin-224")).run(place / "photos")
    return place


@pytest.fixture(scope="module")
def photos(home: Path, start_server: Callable[..., Running]) -> Iterator[Client]:
    with Recording(start_server(home / "gallery").url) as client:
        yield client


def names(photos: Client, **where: object) -> set[str]:
    return {Path(hit.path).stem for hit in photos.iter_search(**where)}


def test_indexing(own_gallery: Gallery, start_server: Callable[..., Running]) -> None:
    with Recording(start_server(own_gallery.path).url) as photos:
        assert photos.is_up()
        events = photos.events()
        before = next(events)
        photos.label([photos.search(k=1).hits[0].id], favourite=True)
        assert next(events) != before
        photos.index()
        assert [state.state for state in photos.index_events()][-1] == "done"
        assert photos.index_state().report is not None and not photos.stop_index().running
        assert photos.stats()["images"] == 120


def test_searches_and_lists(photos: Client, tmp_path: Path) -> None:
    found = photos.search("a face", k=3)
    assert len(found.hits) == 3 and len(photos.similar(found.hits[0].id).hits) > 3
    every = photos.selection(sort="name")
    assert every.total == len(every.ids) == photos.search().total
    written = photos.export(tmp_path, ids=every.ids[:2])
    assert written.name == "photoseek.csv" and len(written.read_text().splitlines()) == 3
    assert len(photos.export(tmp_path / "whole.csv", q=["a face"]).read_text().splitlines()) == every.total + 1
    with pytest.raises(FileExistsError):
        photos.export(tmp_path, ids=every.ids[:2])
    assert not (tmp_path / "left").exists()
    with pytest.raises(QueryError):
        photos.export(tmp_path / "left", q=["a -"])
    assert not (tmp_path / "left").exists()
    packed = photos.download(every.ids[:3], tmp_path)
    with ZipFile(packed) as archive:
        assert packed.name == "photoseek.zip" and len(archive.namelist()) == 3


def test_pictures_and_counts(photos: Client, tmp_path: Path) -> None:
    (hit,) = (hit for hit in photos.search(k=100).hits if Path(hit.path).stem == "ab")
    assert photos.image(hit.id).path == hit.path
    assert Image.open(io.BytesIO(photos.view(hit.id))).size == (600, 400)
    assert Image.open(io.BytesIO(photos.thumbnail(hit.id))).size == (240, 160)
    assert photos.save(hit.id, tmp_path).read_bytes() == photos.original(hit.id) == Path(hit.path).read_bytes()
    with pytest.raises(RequestRefused) as refused:
        photos.motion(hit.id)
    assert refused.value.status == 404
    assert photos.facets().total == photos.search().total
    folders = photos.folders().folders
    assert sum(folder.count for folder in folders) == photos.search().total
    assert photos.folders(folder_name="no such").folders == []
    assert photos.period("2018 - 2020").model_dump() == {"after": "2018-01", "before": "2021-01"}
    assert photos.tags().tags == [] and photos.suggest("a0").suggestions


def test_labels_albums_and_duplicates(photos: Client, home: Path) -> None:
    ids = {Path(hit.path).stem: hit.id for hit in photos.search(k=100).hits}
    edited = photos.label(results_of={"glob": ["a*"]}, tags=["face"])
    assert edited.undo and names(photos, tag="face") == {name for name in ids if name.startswith("a")}
    assert photos.undo(edited.undo).pictures == edited.changed
    album = photos.create_album("Faces", [ids["a0"], ids["a1"]])
    assert photos.add_to_album(album.id, [ids["b0"], ids["a0"]]).changed == 1
    photos.change_album(album.id, name="People", first=[ids["b0"]], cover=ids["a1"])
    assert photos.remove_from_album(album.id, [ids["a0"]]).changed == 1
    assert names(photos, album="people") == {"b0", "a1"}
    saved = photos.create_album("Named a", search={"glob": ["a*"]})
    assert {each.name: each.kind for each in photos.albums().albums} == {"People": "pictures", "Named a": "search"}
    for each in (album, saved):
        photos.delete_album(each.id)
    assert photos.albums().albums == []
    (group,) = photos.duplicates().groups
    one, other = ids["a0"], ids["again"]
    moved = photos.trash_duplicates({one: [other]})
    assert moved.ids == [other] and not (home / "photos" / "again.png").exists() and moved.undo
    photos.undo(moved.undo)
    assert (home / "photos" / "again.png").exists() and group.others_total == 1


def test_people(photos: Client) -> None:
    found = photos.people()
    assert (found.total, found.looks_for_faces) == (2, True)
    a, b = (person.id for person in found.people)
    ids = {Path(hit.path).stem: hit.id for hit in photos.search(k=100).hits}
    faces = {name: photos.faces(id_).faces for name, id_ in ids.items()}
    assert [face.person for face in faces["ab"]] == [a, b]
    assert max(Image.open(io.BytesIO(photos.face(faces["ab"][0].id))).size) <= 192
    made = photos.name_person(a, "Anna")
    assert (made.id, made.name) == (a, "Anna") and "b0" not in names(photos, person="Anna")
    photos.confirm_faces(a, [faces["b0"][0].id])
    assert "b0" in names(photos, person="Anna")
    photos.reject_faces(a, [faces["b0"][0].id])
    assert "b0" not in names(photos, person="Anna")
    apart = photos.split_person(a, [faces["a1"][0].id])
    assert apart.id != a and apart.name is None
    assert photos.name_face(faces["a1"][0].id, "Eve").name == "Eve"
    merged = photos.merge_persons(a, [apart.id])
    assert merged.name == "Anna" and "a1" in names(photos, person=str(a))
    hidden = photos.hide_person(b)
    assert b not in {person.id for person in photos.people().people}
    assert b in {person.id for person in photos.people(hidden=True).people}
    assert hidden.undo and photos.undo(hidden.undo).what == "people"
    photos.hide_person(b)
    assert photos.hide_person(b, hidden=False).undo
    with pytest.raises(UnknownPerson):
        photos.name_person(9999, "Nobody")
    with pytest.raises(QueryError):
        photos.split_person(b, [faces["a2"][0].id])


def test_every_route_has_a_method_or_a_reason() -> None:
    """After the tests above: alone it has nothing to tell."""
    if not asked:
        pytest.skip("needs the other tests of this module")
    assert OTHERWISE.keys() <= ROUTES
    assert ROUTES - asked == OTHERWISE.keys()
