"""``/suggest``: what the end of a question may become; and searches kept as albums."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.labels.albums import create_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.search.saved_search import SavedSearch
from tests.web.conftest import client_of

ADDRESS = "/api/v1/suggest"


def told(client: TestClient, q: str, **more: Any) -> list[tuple[str, str, int]]:
    answer = client.get(ADDRESS, params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return [(each["field"], each["value"], each["replaces"]) for each in answer.json()["suggestions"]]


@pytest.fixture
def labelled(own_gallery: Gallery) -> Gallery:
    edit_labels(own_gallery, [1, 2, 3], LabelEdit(tags=("beach", "New York")))
    edit_labels(own_gallery, [4], LabelEdit(tags=("bench", "Café au lait")))
    create_album(own_gallery, "Best of 2020", [])
    create_album(own_gallery, "Birds", recipe=SavedSearch("a bird", relevant=True).to_text())
    return own_gallery


def test_ends_of_questions_and_the_query_language(labelled: Gallery) -> None:
    with client_of(labelled) as client:
        assert told(client, "be")[:3] == [("album", "Best of 2020", 2), ("tag", "beach", 2), ("tag", "bench", 2)]
        assert told(client, "a dog in new yo") == [("tag", "new york", 6)], "the longest end is meant"
        assert told(client, "a dog at the bea")[0] == ("tag", "beach", 3)
        assert told(client, "tag:be") == [("tag", "beach", 6), ("tag", "bench", 6)]
        assert told(client, 'dog TAG:"new y') == [("tag", "new york", 10)]
        assert told(client, "dog -tag:be")[0] == ("no_tag", "beach", 7)
        assert told(client, "dog -bea")[0] == ("no_tag", "beach", 4)
        assert told(client, "CAFE")[0] == ("tag", "café au lait", 4)
        assert told(client, "bird")[0] == ("album", "Birds", 4)
        assert told(client, "person:be") == told(client, "zzz") == told(client, ":;") == []
        assert [field for field, _, _ in told(client, "")] == ["album", "album", "tag", "tag", "tag", "tag"]


def test_names_of_files_find_those_files(client: TestClient) -> None:
    for typed in ("tig", "tiger", "tiger.we", "tiger.webp", "name:tig"):
        [(field, value, replaces)] = [each for each in told(client, typed) if each[0] == "name"]
        assert replaces == len(typed)
        found = client.get("/api/v1/search", params={field: value}).json()["hits"]
        assert [hit["name"] for hit in found] == ["tiger.webp"]
    assert told(client, "t") == []


def test_every_suggestion_is_a_condition_that_finds_its_pictures(labelled: Gallery) -> None:
    with client_of(labelled) as client:
        for each in client.get(ADDRESS, params={"most": 50}).json()["suggestions"]:
            found = client.get("/api/v1/search", params={each["field"]: each["value"]}).json()
            assert each["count"] in (None, found["total"]), each


def test_it_follows_the_gallery_and_hidden_pictures_are_not_suggested(own_gallery: Gallery) -> None:
    with client_of(own_gallery) as client:
        assert told(client, "sunny") == []
        tiger = client.get("/api/v1/search", params={"name": "tiger"}).json()["hits"][0]["id"]
        edit_labels(own_gallery, [tiger], LabelEdit(tags=("sunny",)))
        assert told(client, "sunny") == [("tag", "sunny", 5)]
        edit_labels(own_gallery, [tiger], LabelEdit(hidden=True))
        assert told(client, "sunny") == told(client, "tiger") == []


def test_an_answer_is_bounded(labelled: Gallery) -> None:
    with client_of(labelled) as client:
        edit_labels(labelled, [5], LabelEdit(tags=tuple(f"many{n}" for n in range(90))))
        assert len(told(client, "many")) <= 12
        assert len(told(client, "tag:many", most=50)) == 50
        assert client.get(ADDRESS, params={"most": 51}).status_code == 422
        assert client.get(ADDRESS, params={"q": "x" * 1001}).status_code == 422


@pytest.mark.parametrize(
    ("search", "kept"),
    [
        ({"q": ["a bird"]}, '"a bird" --relevant'),
        ({"q": ["a bird - water", "2:sky"], "not": ["snow"]}, '"a bird - water + 2:sky - snow" --relevant'),
        ({"q": ['"salt + pepper"']}, '"\\"salt + pepper\\"" --relevant'),
        ({"q": ["tag:beach"], "orientation": ["landscape"]}, "--orientation landscape --tag beach"),
        ({"tag": ["Paris, France"]}, "--tag paris, france"),
        ({"after": "3 weeks ago"}, "--after '3 weeks ago'"),
        ({"like": ["3", "4"]}, '"img:id:3 + img:id:4" --limit 500'),
        ({"q": ["bird"], "like": ["3"], "min_score": 0.2}, '"bird + img:id:3" --min-score 0.2'),
    ],
)
def test_a_search_is_kept_as_an_album(labelled: Gallery, search: dict[str, Any], kept: str) -> None:
    edit_labels(labelled, [6], LabelEdit(tags=("Paris, France",)))
    with client_of(labelled) as client:
        made = client.post("/api/v1/albums", json={"name": "Kept", "search": search})
        assert made.status_code == 201, made.text
        [album] = [each for each in client.get("/api/v1/albums").json()["albums"] if each["name"] == "Kept"]
        assert (album["kind"], album["search"]) == ("search", kept)
        listed = client.get("/api/v1/search", params={"album": "Kept", "k": 500}).json()
        assert listed["total"] == made.json()["pictures"]
        assert client.post(f"/api/v1/undo/{made.json()['undo']}").status_code == 200
        assert "Kept" not in [each["name"] for each in client.get("/api/v1/albums").json()["albums"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"search": {}}, 400),
        ({"search": {"q": ["a bird -"]}}, 400),
        ({"search": {"q": ["bird"], "more": [1]}}, 400),
        ({"search": {"like": ["u1.gone"]}}, 400),
        ({"search": {"q": ["bird"], "only": "names"}}, 400),
        ({"search": {"like": ["999999"]}}, 404),
        ({"search": {"q": ["bird"]}, "ids": [1]}, 422),
    ],
)
def test_what_cannot_be_kept(labelled: Gallery, body: dict[str, Any], status: int) -> None:
    with client_of(labelled) as client:
        before = client.get("/api/v1/albums").json()
        answer = client.post("/api/v1/albums", json={"name": "Kept", **body})
        assert answer.status_code == status, answer.text
        assert client.get("/api/v1/albums").json() == before
