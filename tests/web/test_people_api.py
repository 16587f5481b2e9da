"""People over HTTP: lists, faces of a picture, portraits, edits, and taking them back."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_faces
from retrieval.labels.people import confirm_faces, name_person, undo_people
from tests.web.conftest import client_of
from tests.web.people import BOXES, PEOPLE, SKINS, gallery_of_people

API = "/api/v1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("people")
    gallery_of_people(home)
    return home


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Gallery:
    shutil.copytree(made / "gallery", tmp_path / "gallery")
    return Gallery(tmp_path / "gallery")


@pytest.fixture
def client(gallery: Gallery) -> Iterator[TestClient]:
    with client_of(gallery) as client:
        yield client


@pytest.fixture
def ids(gallery: Gallery) -> dict[str, int]:
    with gallery.reader() as reader:
        return {Path(record.path).stem: record.id for record in reader.records(list(range(1, 100)))}


def ok(client: TestClient, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = client.request(method, API + path, json=body or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def people(client: TestClient, *, hidden: bool = False) -> list[tuple[str | None, int]]:
    found = ok(client, "GET", f"/people?hidden={str(hidden).lower()}")["people"]
    return [(person["name"], person["pictures"]) for person in found]


def faces(client: TestClient, picture: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client, "GET", f"/images/{picture}/faces")["faces"]
    return found


def shown(client: TestClient, ids: dict[str, int], person: str) -> set[str]:
    hits = ok(client, "POST", "/search", person=[person], k=100)["hits"]
    return {name for name, id_ in ids.items() if id_ in {hit["id"] for hit in hits}}


def test_persons_are_listed_with_portraits(client: TestClient) -> None:
    answer = ok(client, "GET", "/people")
    assert (answer["total"], answer["looks_for_faces"]) == (2, True)
    first, second = answer["people"]
    assert (first["name"], first["pictures"], first["faces"], first["confirmed"]) == (None, 4, 4, 0)
    for person, skin in ((first, SKINS[0]), (second, SKINS[1])):
        portrait = client.get(person["portrait"])
        assert portrait.headers["cache-control"].endswith("immutable")
        picture = Image.open(io.BytesIO(portrait.content)).convert("RGB")
        assert max(picture.size) <= 192
        middle = picture.getpixel((picture.width // 2, picture.height // 2))
        assert isinstance(middle, tuple) and max(abs(a - b) for a, b in zip(middle, skin, strict=True)) < 12
    assert ok(client, "GET", "/people?most=1")["total"] == 2


def test_faces_of_a_picture(client: TestClient, ids: dict[str, int]) -> None:
    left, right = faces(client, ids["ab"])
    assert left["box"] == pytest.approx(BOXES[0]) and right["box"] == pytest.approx(BOXES[1])
    assert left["person"] != right["person"] and not left["confirmed"]
    nobody = ok(client, "GET", f"/images/{ids['none']}/faces")
    assert nobody == {"looked": True, "failed": None, "faces": []}
    assert client.get(f"{API}/images/999/faces").status_code == 404


def test_where_nobody_looked_for_faces(web_gallery: Gallery) -> None:
    with client_of(web_gallery) as client:
        assert ok(client, "GET", "/people") == {"total": 0, "looks_for_faces": False, "people": []}
        assert ok(client, "GET", "/images/1/faces") == {"looked": False, "failed": None, "faces": []}
        assert client.get(f"{API}/faces/1").status_code == 404


def test_portraits_are_kept_and_asked_for_again(client: TestClient, ids: dict[str, int]) -> None:
    (face,) = faces(client, ids["b0"])
    first = client.get(f"{API}/faces/{face['id']}")
    assert first.headers["cache-control"] == "private, no-cache" and first.headers["content-type"] == "image/webp"
    again = client.get(f"{API}/faces/{face['id']}", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    head = client.head(face["portrait"])
    assert head.headers["content-length"] == str(len(first.content)) and not head.content


def test_a_portrait_is_never_of_another_picture(tmp_path: Path) -> None:
    gallery = gallery_of_people(tmp_path)
    with client_of(gallery) as client:
        listed = ok(client, "GET", "/people")["people"]
        with gallery.reader() as reader:
            records = {Path(record.path).stem: record for record in reader.records(list(range(1, 100)))}
        (face,) = faces(client, records["a1"].id)
        other = Path(records["a1"].path)
        other.write_bytes(Path(records["b1"].path).read_bytes())
        assert client.get(face["portrait"]).status_code == 410
        other.unlink()
        assert client.get(face["portrait"]).status_code == 404
        assert client.get(listed[1]["portrait"]).status_code == 200


def test_portraits_are_deleted_with_the_faces(client: TestClient, gallery: Gallery) -> None:
    (portrait, _) = (person["portrait"] for person in ok(client, "GET", "/people")["people"])
    data = client.get(portrait).content
    assert any(data[:200] in file.read_bytes() for file in gallery.path.glob("thumbnails.sqlite*"))
    forget_faces(gallery)
    assert not any(data[:200] in file.read_bytes() for file in gallery.path.glob("thumbnails.sqlite*"))
    assert client.get(portrait).status_code == 404 and people(client) == []


def test_every_edit_and_back_and_again(client: TestClient, ids: dict[str, int]) -> None:
    a, b = (person["id"] for person in ok(client, "GET", "/people")["people"])
    face = {name: [each["id"] for each in faces(client, ids[name])] for name in PEOPLE}
    edits = (
        ("PATCH", f"/people/{a}", {"name": " Anna  Öst "}),
        ("POST", f"/people/{a}/confirm", {"faces": [face["a0"][0], face["b0"][0]]}),
        ("POST", f"/people/{a}/reject", {"faces": face["a1"]}),
        ("POST", f"/people/{a}/split", {"faces": face["a2"]}),
        ("POST", f"/people/{b}/merge", {"others": [a]}),
        ("PATCH", f"/people/{b}", {"hidden": True}),
        ("POST", f"/faces/{face['a1'][0]}/name", {"name": "Eve"}),
    )
    states, undos = [everything(client, ids)], []
    for method, path, body in edits:
        undos.append(ok(client, method, path, **body)["undo"])
        states.append(everything(client, ids))
        assert states[-1] != states[-2], path
    assert states[1][0] == [("Anna Öst", 4), (None, 3)]
    assert states[2][0] == [("Anna Öst", 5), (None, 2)]
    again = []
    for was, token in zip(reversed(states[:-1]), reversed(undos), strict=True):
        undone = ok(client, "POST", f"/undo/{token}")
        assert (undone["what"], undone["people"]) == ("people", [])
        again.append(undone["undo"])
        assert everything(client, ids) == was
    for then, token in zip(states[1:], reversed(again), strict=True):
        assert ok(client, "POST", f"/undo/{token}")["undo"]
        assert everything(client, ids) == then


def everything(client: TestClient, ids: dict[str, int]) -> list[Any]:
    of_pictures = {name: faces(client, id_) for name, id_ in ids.items()}
    return [people(client), people(client, hidden=True), of_pictures]


def test_what_somebody_else_did_since_is_kept(client: TestClient, gallery: Gallery) -> None:
    a, b = (person["id"] for person in ok(client, "GET", "/people")["people"])
    named = ok(client, "PATCH", f"/people/{a}", name="Anna")
    name_person(gallery, "Anna", "Annette")
    undone = ok(client, "POST", f"/undo/{named['undo']}")
    assert (undone["people"], undone["undo"]) == (["Anna"], None)
    assert people(client) == [("Annette", 4), (None, 3)]
    merged = ok(client, "POST", f"/people/{b}/merge", others=[a])
    hidden = ok(client, "PATCH", f"/people/{b}", hidden=True)
    assert ok(client, "POST", f"/undo/{merged['undo']}")["people"], "it was hidden since"
    ok(client, "POST", f"/undo/{hidden['undo']}")
    assert people(client) == [("Annette", 6)]


def test_a_name_that_is_taken_by_now_is_not_given_twice(client: TestClient, gallery: Gallery) -> None:
    a, b = (person["id"] for person in ok(client, "GET", "/people")["people"])
    ok(client, "PATCH", f"/people/{a}", name="Anna")
    renamed = ok(client, "PATCH", f"/people/{a}", name="Berta")
    name_person(gallery, str(b), "anna")
    assert ok(client, "POST", f"/undo/{renamed['undo']}")["people"] == ["Berta"]
    assert people(client) == [("Berta", 4), ("anna", 3)]


def test_the_command_line_undoes_what_the_page_did_and_not_what_it_took_back(
    client: TestClient, gallery: Gallery
) -> None:
    a, b = (person["id"] for person in ok(client, "GET", "/people")["people"])
    ok(client, "PATCH", f"/people/{a}", name="Anna")
    second = ok(client, "PATCH", f"/people/{b}", name="Ben")
    ok(client, "POST", f"/undo/{second['undo']}")
    assert undo_people(gallery) == f"named {a} Anna"
    assert people(client) == [(None, 4), (None, 3)]


def test_naming_a_face(client: TestClient, ids: dict[str, int]) -> None:
    group = faces(client, ids["a0"])[0]
    ok(client, "POST", f"/faces/{group['id']}/name", name="Anna")
    assert shown(client, ids, "Anna") == {"a0", "a1", "a2", "ab"}, "the group got the name"
    ok(client, "POST", f"/faces/{faces(client, ids['a1'])[0]['id']}/name", name="Eve")
    assert shown(client, ids, "Eve") == {"a1"} and shown(client, ids, "Anna") == {"a0", "a2", "ab"}
    ok(client, "POST", f"/faces/{faces(client, ids['b0'])[0]['id']}/name", name="ANNA")
    assert shown(client, ids, "Anna") == {"a0", "a2", "ab", "b0"}, "a face alone, not its group"
    assert faces(client, ids["b0"])[0]["confirmed"]


def test_hidden_persons_are_not_told(client: TestClient, ids: dict[str, int]) -> None:
    first, second = ok(client, "GET", "/people")["people"]
    ok(client, "PATCH", f"/people/{first['id']}", hidden=True)
    assert people(client) == [(None, 3)] and people(client, hidden=True) == [(None, 4), (None, 3)]
    assert [face["person"] for face in faces(client, ids["ab"])] == [second["id"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "/people/999", {"name": "Anna"}, 404),
        ("PATCH", "/people/1", {"name": "12"}, 400),
        ("PATCH", "/people/1", {"name": " "}, 400),
        ("PATCH", "/people/1", {"name": "Anna", "hidden": True}, 422),
        ("PATCH", "/people/1", {}, 422),
        ("POST", "/people/1/merge", {"others": [1]}, 400),
        ("POST", "/people/1/merge", {"others": [999]}, 404),
        ("POST", "/people/1/merge", {"others": []}, 422),
        ("POST", "/people/1/reject", {"faces": [999]}, 404),
        ("POST", "/people/1/confirm", {"faces": ["1"]}, 422),
        ("POST", "/faces/999/name", {"name": "Anna"}, 404),
    ],
)
def test_what_cannot_be_done_is_explained(
    client: TestClient, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    before = people(client)
    answer = client.request(method, API + path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["title"] and answer.json()["detail"] and people(client) == before


def test_faces_of_somebody_else_are_not_rejected(client: TestClient, ids: dict[str, int]) -> None:
    left, right = faces(client, ids["ab"])
    for verb in ("reject", "split"):
        answer = client.post(f"{API}/people/{left['person']}/{verb}", json={"faces": [left["id"], right["id"]]})
        assert answer.status_code == 400 and "is not taken for" in answer.json()["title"]
    assert faces(client, ids["ab"]) == [left, right]


def test_people_are_named_during_a_run(client: TestClient, gallery: Gallery, ids: dict[str, int]) -> None:
    person = ok(client, "GET", "/people")["people"][0]["id"]
    with gallery.locked(admits_labels=True):
        ok(client, "PATCH", f"/people/{person}", name="Anna")
        confirm_faces(gallery, "Anna", [f"face:{faces(client, ids['a0'])[0]['id']}"])
    assert faces(client, ids["a0"])[0]["confirmed"]
