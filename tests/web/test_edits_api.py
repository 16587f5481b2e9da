"""Changes over HTTP: labels, albums, taking them back; who may write; the gallery's events."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from retrieval.catalog.label_copies import read_copy
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.maintenance.label_backups import copies_of_labels
from retrieval.web.app import create_app
from retrieval.web.edits import undo as undo_module
from retrieval.web.edits.models import MOST_PICTURES
from retrieval.web.edits.undo import Undos
from retrieval.web.events import GalleryEvents
from retrieval.web.readers import Readers
from retrieval.web.settings import Settings
from tests.web.conftest import client_of

API = "/api/v1"
READS = {"/search", "/export", "/download", "/selection"}
"""Addresses that answer a question that is too long for an address, and change nothing."""


@pytest.fixture
def own(own_gallery: Gallery) -> Iterator[TestClient]:
    with client_of(own_gallery) as client:
        yield client


@pytest.fixture
def ids(own_gallery: Gallery) -> list[int]:
    with own_gallery.reader() as reader:
        return list(reader.select(Filter()).tolist())


def ok(client: TestClient, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = client.request(method, API + path, json=body or None)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def found(client: TestClient, **params: Any) -> set[int]:
    return {hit["id"] for hit in ok(client, "POST", "/search", k=500, **params)["hits"]}


def details(client: TestClient, id_: int) -> dict[str, Any]:
    return ok(client, "GET", f"/images/{id_}")


def test_labels_of_one_and_of_many_and_back(own: TestClient, ids: list[int]) -> None:
    one = ok(own, "POST", "/labels", ids=[ids[0]], tags=["Beach"], caption="At the sea.", rating=4, favourite=True)
    assert (one["pictures"], one["changed"], one["unknown"]) == (1, 1, 0)
    shown = details(own, ids[0])
    assert ([tag["tag"] for tag in shown["tags"]], shown["rating"], shown["favourite"]) == (["beach"], 4, True)
    many = ok(own, "POST", "/labels", ids=[*ids, 10**9], tags=["beach"], rating=2)
    assert (many["pictures"], many["changed"], many["unknown"]) == (len(ids), len(ids), 1)
    assert found(own, tag=["beach"]) == set(ids)
    undone = ok(own, "POST", f"/undo/{many['undo']}")
    assert (undone["pictures"], undone["conflicts"]) == (len(ids), [])
    assert found(own, tag=["beach"]) == {ids[0]} and details(own, ids[0])["rating"] == 4
    assert own.post(f"{API}/undo/{many['undo']}").status_code == 410, "each once"
    ok(own, "POST", f"/undo/{undone['undo']}")
    assert found(own, tag=["beach"]) == set(ids), "made again"


def test_what_is_said_on_the_page_is_copied_by_itself(own_gallery: Gallery, ids: list[int]) -> None:
    with client_of(own_gallery) as client:
        ok(client, "POST", "/labels", ids=[ids[0]], tags=["beach"])
    (copy,) = copies_of_labels(own_gallery)
    assert any("beach" in str(row) for row in read_copy(copy)["said"])


def test_an_edit_that_changes_nothing_cannot_be_taken_back(own: TestClient, ids: list[int]) -> None:
    ok(own, "POST", "/labels", ids=ids[:2], favourite=True)
    again = ok(own, "POST", "/labels", ids=ids[:2], favourite=True)
    assert (again["changed"], again["undo"]) == (0, None)


def test_what_another_process_said_since_is_told_and_kept(
    own: TestClient, own_gallery: Gallery, ids: list[int]
) -> None:
    made = ok(own, "POST", "/labels", ids=ids[:3], rating=5)
    edit_labels(own_gallery, [ids[1]], LabelEdit(rating=1))
    undone = ok(own, "POST", f"/undo/{made['undo']}")
    assert (undone["pictures"], undone["conflicts"], undone["conflicts_total"]) == (2, [ids[1]], 1)
    assert [details(own, id_)["rating"] for id_ in ids[:3]] == [None, 1, None]


def test_everything_that_a_search_lists(own: TestClient, ids: list[int]) -> None:
    first = ids[0]
    whole = ok(own, "POST", "/selection", under=[details(own, first)["folder"]])
    assert first in whole["ids"] and 1 < whole["total"] < len(ids)
    done = ok(own, "POST", "/labels", results_of={"under": [details(own, first)["folder"]]}, but=[first], tags=["mine"])
    assert done["changed"] == whole["total"] - 1
    assert found(own, tag=["mine"]) == set(whole["ids"]) - {first}
    ranked = ok(own, "POST", "/selection", q=["a bird"])
    assert ranked["ids"][0] == ok(own, "POST", "/search", q=["a bird"], k=1)["hits"][0]["id"]


def test_hidden_pictures_leave_every_list_that_does_not_ask_for_them(own: TestClient, ids: list[int]) -> None:
    hidden = found(own, q=["a bird"], relevant=True)
    folders = ok(own, "GET", "/facets")["folders"]
    done = ok(own, "POST", "/labels", ids=sorted(hidden), hidden=True)
    assert done["changed"] == len(hidden) > 0
    shown = set(ids) - hidden
    assert found(own) == found(own, q=["a bird"]) == shown
    assert found(own, hidden=True) == found(own, hidden=True, q=["a bird"]) == hidden
    assert not found(own, like=[str(ids[0])]) & hidden
    counts = ok(own, "GET", "/facets")
    assert counts["total"] == len(shown) and counts["folders"] != folders
    assert own.get(f"{API}/facets", params={"hidden": "true"}).json()["total"] == len(hidden)
    assert all(details(own, id_)["hidden"] for id_ in hidden), "by its id it is still there"
    ok(own, "POST", f"/undo/{done['undo']}")
    assert found(own) == set(ids)


def test_albums_are_made_filled_ordered_renamed_deleted_and_back(own: TestClient, ids: list[int]) -> None:
    made = ok(own, "POST", "/albums", name=" Trip ", ids=ids[:3])
    assert (made["name"], made["changed"]) == ("Trip", 3)
    at = f"/albums/{made['id']}"
    added = ok(own, "POST", f"{at}/add", ids=ids[2:5])
    assert (added["pictures"], added["changed"]) == (3, 2)
    taken = ok(own, "POST", f"{at}/remove", ids=[ids[0], ids[9]])
    assert taken["changed"] == 1 and found(own, album=["trip"]) == set(ids[1:5])
    patched = ok(own, "PATCH", at, name="Journey", cover=ids[4], first=[ids[4], ids[3]])
    (album,) = ok(own, "GET", "/albums")["albums"]
    assert (album["name"], album["cover_id"], album["pictures"]) == ("Journey", ids[4], 4)
    deleted = ok(own, "DELETE", at)
    assert not ok(own, "GET", "/albums")["albums"]
    assert own.post(f"{API}{at}/add", json={"ids": ids}).status_code == 404
    for step in (deleted, patched, taken, added):
        undone = ok(own, "POST", f"/undo/{step['undo']}")
        assert not undone["albums"] and not undone["conflicts"]
    (album,) = ok(own, "GET", "/albums")["albums"]
    assert (album["name"], album["cover_id"], album["pictures"]) == ("Trip", ids[0], 3)
    ok(own, "POST", f"/undo/{made['undo']}")
    assert not ok(own, "GET", "/albums")["albums"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": [10**9], "favourite": True}, 404),
        ({"favourite": True}, 422),
        ({"ids": [1]}, 400),
        ({"ids": [1], "tags": [""]}, 400),
        ({"ids": [1], "tags": ["a"], "without_tags": ["A"]}, 400),
        ({"ids": [1], "rating": 6}, 422),
        ({"ids": [1], "nonsense": 1}, 422),
        ({"ids": ["1"], "favourite": True}, 422),
        ({"results_of": {"camera": ["none such"]}, "favourite": True}, 400),
        ({"ids": list(range(1, MOST_PICTURES + 2)), "favourite": True}, 422),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_done_is_explained(own: TestClient, body: dict[str, Any], status: int) -> None:
    answer = own.post(f"{API}/labels", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["title"] and answer.json()["detail"]


APP = create_app(Gallery("/nowhere/gallery"), Settings())
ROUTES = [
    (method.upper(), path)
    for path, operations in APP.openapi()["paths"].items()
    for method in operations
    if method not in ("get", "head")
]


def walked(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """(method, path without the prefix of its router) of every route, those of included routers, too."""
    for route in routes:
        if (inner := getattr(route, "original_router", None)) is not None:
            yield from walked(inner.routes)
        else:
            yield from ((method, route.path) for method in route.methods)


def test_the_document_names_every_route_that_may_change_something() -> None:
    others = {each for each in walked(APP.routes) if each[0] not in ("GET", "HEAD")}
    assert others and others == {(method, path.removeprefix(API)) for method, path in ROUTES}


def asked(path: str) -> str:
    return re.sub(r"\{\w*id\}", "1", path).replace("{token}", "x")


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_site_can_change_nothing_by_any_route(client: TestClient, method: str, path: str) -> None:
    for headers in CROSS_SITE:
        answer = client.request(method, asked(path), headers=headers, json={})
        assert answer.status_code == 403 and "another site" in answer.json()["title"], headers
    if path.removeprefix(API) in READS:
        return
    # A browser that does not say where a request comes from: a form cannot send the header.
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Content-Type": kind, "X-Requested-With": ""}
        answer = client.request(method, asked(path), headers=headers, content=b'{"ids": [1], "favourite": true}')
        assert answer.status_code == 403 and "X-Requested-With" in answer.json()["title"], kind


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_read_only_server_refuses_every_change(read_only: TestClient, method: str, path: str) -> None:
    answer = read_only.request(method, asked(path), json={"ids": [1], "favourite": True})
    is_refused = answer.status_code == 403 and answer.json()["title"] == "this server is read-only"
    assert is_refused != (path.removeprefix(API) in READS)


@pytest.fixture(scope="module")
def read_only(web_gallery: Gallery) -> Iterator[TestClient]:
    with client_of(web_gallery, read_only=True) as client:
        yield client


def test_the_page_of_a_read_only_server_knows_it(read_only: TestClient, client: TestClient) -> None:
    assert '<body data-read-only="true">' in read_only.get("/").text and "data-read-only" not in client.get("/").text


def test_changes_kept_to_be_taken_back_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrieval.catalog.changes import Change, LabelRow

    def change(rows: int) -> Change:
        return Change(added=tuple(LabelRow("favourites", n, 1, "user") for n in range(rows)))

    monkeypatch.setattr(undo_module, "MOST_ROWS", 10)
    monkeypatch.setattr(undo_module, "MOST_CHANGES", 4)
    undos = Undos()
    large = undos.keep("labels", change(30))
    assert large and undos.take(large)[0] == "labels", "the newest is kept whatever its size"
    tokens = [undos.keep("labels", change(1)) for _ in range(6)]
    assert [_is_kept(undos, token) for token in tokens] == [False, False, True, True, True, True]
    tokens = [undos.keep("labels", change(4)) for _ in range(3)]
    assert [_is_kept(undos, token) for token in tokens] == [False, True, True]
    assert undos.keep("labels", Change()) is None


def _is_kept(undos: Undos, token: str | None) -> bool:
    try:
        undos.take(str(token))
    except Exception:
        return False
    return True


def test_the_gallery_tells_of_changes_made_anywhere(own_gallery: Gallery, ids: list[int]) -> None:
    async def watched() -> list[dict[str, Any]]:
        readers = Readers(own_gallery, Settings())
        stopping, events = asyncio.Event(), GalleryEvents(readers)
        told: list[dict[str, Any]] = []
        async for piece in events.events(stopping):
            if "event: gallery" not in piece:
                continue
            told.append(json.loads(piece.partition("data: ")[2]))
            if len(told) == 1:
                await asyncio.to_thread(edit_labels, own_gallery, [ids[0]], LabelEdit(tags=("elsewhere",)))
            else:
                stopping.set()
        events.close()
        assert events.listeners == 0
        seen = [piece async for piece in events.events(stopping, told[-1]["version"])]
        await asyncio.to_thread(readers.close)
        assert not any("gallery" in piece for piece in seen), "what was seen is not told again"
        return told

    first, second = asyncio.run(watched())
    assert first["version"] != second["version"] and first["change"] == second["change"], "no picture changed"
