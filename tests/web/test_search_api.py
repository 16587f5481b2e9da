"""Search over HTTP: the answers of the command line's engine, in parts, with its errors as problems."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")

from starlette.testclient import TestClient

from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.search import ranked_list
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term
from retrieval.web.search import lists
from retrieval.web.search.models import SearchAnswer
from tests.web.asking import SEARCH, ask, ids, problem
from tests.web.conftest import client_of


@pytest.fixture(scope="module")
def engine(web_gallery: Gallery) -> Any:
    with QueryEngine(web_gallery) as opened:
        yield opened


def test_words_find_what_the_engine_finds(client: TestClient, engine: QueryEngine) -> None:
    answer = ask(client, q="a dog", k=20)
    expected = engine.search(Query.text("a dog", k=20))
    assert ids(answer) == [hit.image.id for hit in expected]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    assert [hit["rank"] for hit in answer["hits"]] == list(range(1, 21))
    first, record = answer["hits"][0], expected[0].image
    assert first["path"] == record.path and first["name"] == Path(record.path).name
    assert first["hash"] == record.content_hash.hex()[:16] and first["bytes"] == os.stat(record.path).st_size
    assert first["colour"] == f"#{record.colour:06x}" and first["on_disk"] == "same"
    assert answer["total"] == engine.reader.count() and not answer["total_is_capped"]
    assert answer["query"]["words"] == ["a dog"] and answer["change"] == engine.reader.change()
    SearchAnswer.model_validate({**answer, "digest": answer["list"]})


def test_the_query_language_weights_and_filters(client: TestClient, engine: QueryEngine) -> None:
    answer = ask(client, q="2:animal + grass - water", orientation="landscape", k=9)
    terms = (Term("text", "animal", 2.0), Term("text", "grass"), Term("text", "water", -1.0))
    expected = engine.search(Query(terms, where=Filter(orientation="landscape"), k=9))
    assert ids(answer) == [hit.image.id for hit in expected]
    assert answer["query"]["filter"] == {"orientation": ["landscape"]}
    assert answer["query"]["words"] == ["animal", "grass"]
    assert ids(ask(client, q=["2:animal + grass"], **{"not": "water"}, orientation="landscape", k=9)) == ids(answer)
    body = {
        "terms": [{"kind": "text", "value": "animal", "weight": 2}, {"kind": "text", "value": "grass"},
                  {"kind": "text", "value": "water", "weight": -1}],
        "orientation": "landscape", "k": 9,
    }  # fmt: skip
    assert ids(client.post(SEARCH, json=body).json()) == ids(answer)


def test_similar_leaves_the_picture_itself_out(client: TestClient, engine: QueryEngine) -> None:
    first = ask(client, q="a dog", k=1)["hits"][0]["id"]
    expected = [hit.image.id for hit in engine.similar(first, k=7)]
    answer = client.get(f"/api/v1/similar/{first}", params={"k": 7})
    assert ids(answer.json()) == expected and answer.json()["total"] == engine.reader.count() - 1
    assert ids(ask(client, like=first, k=7)) == expected
    assert ids(ask(client, q=f"img:id:{first}", k=1)) == [first]
    for image_id, status in ((999_999, 404), (10**18 - 1, 404), (10**18, 422), (2**63, 422), (-1, 422), ("x", 422)):
        assert client.get(f"/api/v1/similar/{image_id}").status_code == status


def test_any_part_of_a_list_can_be_read(client: TestClient) -> None:
    whole = ids(ask(client, q="a red thing", k=500))
    assert len(whole) == ask(client, q="a red thing")["total"] > 50
    for offset in (0, 7, len(whole) - 3, len(whole), 200_000):
        part = ask(client, q="a red thing", k=10, offset=offset)
        assert ids(part) == whole[offset : offset + 10] and part["total"] == len(whole)
        assert [hit["rank"] for hit in part["hits"]] == [offset + n + 1 for n in range(len(part["hits"]))]
    found, cursor = [], None
    while True:
        part = ask(client, q="a red thing", k=17, **({"cursor": cursor} if cursor else {}))
        found += ids(part)
        cursor = part["next"]
        if cursor is None:
            break
    assert found == whole


def test_a_cursor_belongs_to_its_question(client: TestClient) -> None:
    cursor = ask(client, q="a dog", k=5)["next"]
    assert "another search" in problem(client, 400, q="a cat", k=5, cursor=cursor)["title"]
    assert "not a valid cursor" in problem(client, 400, q="a dog", cursor="p1.nonsense")["title"]
    assert "both given" in problem(client, 400, q="a dog", k=5, cursor=cursor, offset=5)["title"]


def test_one_search_answers_every_part(web_gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = ranked_list.make

    def counted(*args: Any) -> Any:
        made.append(1)
        return real(*args)

    monkeypatch.setattr(ranked_list, "make", counted)
    with client_of(web_gallery) as client:
        for offset in (0, 10, 50):
            ask(client, q="a dog", k=10, offset=offset)
        ask(client, q="a dog", k=3, under=[])
        assert len(made) == 1
        ask(client, q="a dog", sort="date")
        assert len(made) == 2


def test_lists_are_forgotten_beyond_a_size(web_gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_BYTES", 30_000)
    with client_of(web_gallery) as client:
        for n in range(12):
            ask(client, q=f"dog {n}")
        kept = client.app.state.lists._lists  # type: ignore[attr-defined]
        assert 1 < len(kept) < 12
        for n in range(12):
            ask(client, q=f"dog {n}", sort="date")  # a list of the same words takes another place
        assert sum(each.nbytes() for each in kept.values()) <= 30_000
        assert [each.question.texts for each in kept.values()][-1] == ["dog 11"]
        assert len(client.app.state.lists._sizes) == len(kept)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sort", ["date", "name"])
@pytest.mark.parametrize("reverse", [False, True])
def test_order(client: TestClient, engine: QueryEngine, sort: str, reverse: bool) -> None:
    count = engine.reader.count()
    query = Query.text("a dog", k=count)
    expected = find_page(engine, query, Listing(sort=sort, reverse=reverse)).hits
    browsed = ask(client, sort=sort, reverse=reverse, k=500)
    assert ids(browsed) == [hit.image.id for hit in expected]
    good = ask(client, q="a dog", sort=sort, reverse=reverse, k=500, relevant=True)
    answer = ask(client, q="a dog", sort=sort, reverse=reverse, k=500)
    count = answer["relevant_total"]
    assert 0 < count == good["total"] == good["relevant_total"] < answer["total"]
    assert ids(answer)[:count] == ids(good), "what answers comes first, in that order"
    assert [hit["relevant"] for hit in answer["hits"]] == [True] * count + [False] * (answer["total"] - count)
    assert ids(answer)[count:] == [image_id for image_id in ids(browsed) if image_id not in ids(good)]
    scores = {hit.image.id: hit.score for hit in expected}
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([scores[i] for i in ids(answer)], abs=1e-6)
    assert ask(client, q="a dog")["relevant_total"] == count, "one number, whatever the order"
    assert all(hit["score"] is None and hit["relevance"] is None for hit in browsed["hits"])


@pytest.mark.parametrize("more", [{}, {"sort": "date"}, {"sort": "name", "reverse": True}, {"glob": "animals/"}])
def test_weaker_matches_are_left_out_or_come_after(client: TestClient, more: dict[str, Any]) -> None:
    everything = ask(client, q="a dog", k=500, **more)
    good = ask(client, q="a dog", k=500, relevant=True, **more)
    folded = ask(client, q="a dog", k=500, weaker="fold", **more)
    after = ask(client, q="a dog", k=500, weaker="after", **more)
    count = good["total"]
    assert 0 < count < everything["total"] == after["total"]
    assert ids(folded) == ids(good) == ids(after)[:count], "the same pictures in the same order"
    assert folded["total"] == folded["relevant_total"] == after["relevant_total"] == count
    assert count + folded["weaker"] == after["total"] and after["weaker"] is None
    assert sorted(ids(after)) == sorted(ids(everything))
    assert [hit["relevant"] for hit in after["hits"]] == [True] * count + [False] * (after["total"] - count)
    parts = [ask(client, q="a dog", k=7, offset=offset, weaker="after", **more) for offset in range(0, 28, 7)]
    assert [i for part in parts for i in ids(part)] == ids(after)[:28]


def test_weaker_matches_are_listed_where_nothing_better_is(client: TestClient) -> None:
    assert ask(client, q="a dog", k=500, relevant=True, glob="flowers/")["total"] == 0
    folded = ask(client, q="a dog", k=500, weaker="fold", glob="flowers/")
    assert ids(folded) == ids(ask(client, q="a dog", k=500, glob="flowers/"))
    assert folded["total"] > 0 and folded["relevant_total"] == 0 and folded["weaker"] is None
    facets = client.get("/api/v1/facets", params={"q": "a dog", "weaker": "fold", "glob": "flowers/"}).json()
    assert facets["total"] == folded["total"], "facets count what is listed"
    facets = client.get("/api/v1/facets", params={"q": "a dog", "weaker": "fold"}).json()
    assert facets["total"] == ask(client, q="a dog", weaker="fold")["total"]


def test_weaker_matches_means_nothing_where_nobody_judges(client: TestClient) -> None:
    for asked in ({}, {"like": 1}, {"q": "a dog", "more": 1}):
        plain = ask(client, k=500, **asked)
        for weaker in ("fold", "after"):
            answer = ask(client, k=500, weaker=weaker, **asked)
            assert ids(answer) == ids(plain) and answer["weaker"] is None


@pytest.mark.parametrize("reverse", [False, True])
def test_days_count_the_list_in_its_order(client: TestClient, reverse: bool) -> None:
    for asked in ({}, {"q": "a dog", "sort": "date"}, {"q": "a dog", "sort": "date", "weaker": "after"}):
        answer = ask(client, k=500, days=True, reverse=reverse, **asked)
        days = [hit["taken_at"] and hit["taken_at"][:10] for hit in answer["hits"]]
        told = [day for day, count in answer["days"] for _ in range(count)]
        assert told == days
        good = answer["relevant_total"] or 0
        for part in (days[:good], days[good:]):
            runs = [day for day, _ in groupby(part)]
            assert len(set(runs)) == len(runs), "the pictures of a day are together"
        assert ask(client, k=3, offset=5, days=True, reverse=reverse, **asked)["days"] == answer["days"]
    for asked in ({"q": "a dog"}, {"sort": "name"}, {"q": "a dog", "sort": "name"}):
        assert ask(client, days=True, **asked)["days"] is None
    assert ask(client)["days"] is None


def test_without_a_query_the_newest_come_first(client: TestClient) -> None:
    answer = ask(client, k=500, min_score=0.9, relevant=True)
    taken = [hit["taken_at"] for hit in answer["hits"]]
    dated = [moment[:19] for moment in taken if moment]
    assert dated == sorted(dated, reverse=True) and taken[: len(dated)] == [moment for moment in taken if moment]
    assert answer["total"] == len(answer["hits"]) and answer["query"]["words"] == []
    assert ids(ask(client, q=" ", k=500)) == ids(answer)


def test_more_and_less(client: TestClient) -> None:
    plain = ids(ask(client, q="an animal", k=30))
    towards = ids(ask(client, q="an animal", more=plain[20], k=30))
    assert towards.index(plain[20]) < 20
    away = ask(client, q="an animal", less=[plain[0], plain[1]], k=500)
    assert not set(ids(away)) & set(plain[:2]) and away["total"] == ask(client)["total"] - 2
    assert ids(ask(client, more=plain[3], k=1)) == [plain[3]]


@pytest.mark.parametrize(
    ("status", "params", "said"),
    [
        (400, {"less": 1}, "only excludes things"),
        (400, {"not": "people"}, "only excludes things"),
        (400, {"q": "- people"}, "only excludes things"),
        (400, {"q": "dog", "more": 1, "less": 1}, "both in more and in less"),
        (400, {"q": "dog +"}, "nothing follows the sign"),
        (400, {"q": "img:/etc/hostname"}, "cannot contain files or addresses"),
        (400, {"q": "img:https://example.org/x.jpg"}, "cannot contain files or addresses"),
        (400, {"q": "img:~nobody-of-that-name/x.jpg"}, "cannot contain files or addresses"),
        (400, {"camera": "Cannon"}, "camera"),
        (400, {"after": "2023", "before": "2022"}, "no photo can be taken"),
        (400, {"after": "2023-13"}, "is not a date"),
        (400, {"near": "here"}, "has no comma"),
        (400, {"glob": "[a"}, "bracket is not closed"),
        (404, {"like": 10**17}, "there is no image"),
        (404, {"more": 10**17}, "there is no image"),
        (404, {"q": "dog", "less": 10**17}, "there is no image"),
        (404, {"q": "img:id:99999999"}, "there is no image"),
        (422, {"like": "u2.x"}, "does not say what"),
        (422, {"camra": "Canon"}, "does not say what"),
        (422, {"k": 0}, "does not say what"),
        (422, {"k": 501}, "does not say what"),
        (422, {"offset": -1}, "does not say what"),
        (422, {"more": 2**63}, "does not say what"),
        (422, {"min_score": "nan"}, "does not say what"),
        (422, {"under": "a\0b"}, "does not say what"),
        (422, {"sort": "size"}, "does not say what"),
        (422, {"group_minutes": 0}, "does not say what"),
    ],
    ids=str,
)
def test_what_cannot_be_answered(client: TestClient, status: int, params: dict[str, Any], said: str) -> None:
    assert said in problem(client, status, **params)["title"]


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (415, "text/plain", b"dog"),
        (415, "", b"dog"),
        (422, "application/json", b"dog"),
        (422, "application/json", b"[]"),
        (422, "application/json", b'{"q": ["\\ud800"]}'),
        (422, "application/json", b'{"terms": [{"kind": "text", "value": "x", "weight": 1e999}]}'),
        (422, "application/json", b"[" * 100_000),
        (400, "application/json", b'{"terms": [{"kind": "id", "value": "x"}]}'),
        (400, "application/json", b'{"terms": [{"kind": "text", "value": "x", "weight": 0}]}'),
        (400, "multipart/form-data", b"x"),
    ],
)
def test_bodies_that_cannot_be_answered(client: TestClient, status: int, content_type: str, body: bytes) -> None:
    answer = client.post(SEARCH, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_not_known_is_told(client: TestClient) -> None:
    answer = ask(client, after="1990", q="dog")
    assert "because their date is unknown" in answer["query"]["unknown"]
    assert ask(client, q="dog")["query"]["unknown"] is None


def test_many_at_once_get_their_own_answers(client: TestClient, engine: QueryEngine) -> None:
    words = [f"{colour} {thing}" for colour in ("red", "green", "small") for thing in ("car", "bird", "flower", "tool")]
    expected = {word: [hit.image.id for hit in engine.search(Query.text(word, k=5))] for word in words}
    begin = threading.Barrier(len(words))

    def answer(word: str) -> list[int]:
        begin.wait(600)
        return ids(ask(client, q=word, k=5))

    with ThreadPoolExecutor(len(words)) as pool:
        assert list(pool.map(answer, words)) == [expected[word] for word in words]


def test_the_document_describes_what_is_asked_and_answered(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    paths = document["paths"]
    asked = {each["name"] for each in paths[SEARCH]["get"]["parameters"]}
    assert {"q", "not", "more", "less", "like", "sort", "camera", "no_camera", "near", "offset", "cursor"} <= asked
    body = paths[SEARCH]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert "terms" in body["application/json"]["schema"]["properties"]
    assert "$ref" not in str(body)
    for method in ("get", "post"):
        answers = paths[SEARCH][method]["responses"]
        assert answers["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SearchAnswer"}
        assert {"400", "404", "409", "410", "422", "503"} <= set(answers)
        assert set(answers["422"]["content"]) == {"application/problem+json"}
    properties = document["components"]["schemas"]["SearchAnswer"]["properties"]
    assert set(properties) == set(ask(client, q="dog"))


def test_a_damaged_index_is_noticed_and_asked_again_the_catalog_answers(
    own_gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bits that turn in memory, or on a disk after it was checked: no checksum on opening can find them."""
    with client_of(own_gallery) as client:
        wanted = ask(client, q="a dog", k=20)
    real = Gallery.open_index

    def damaged(*args: Any, **options: Any) -> Any:
        index = real(*args, **options)
        index._parts = [-np.array(part) for part in index._parts]
        return index

    monkeypatch.setattr(Gallery, "open_index", damaged)
    with client_of(own_gallery) as client:
        assert problem(client, 503, q="a dog", k=20)
        assert "is damaged; the catalog is used instead" in caplog.text
        answer = ask(client, q="a dog", k=20)
    assert [(hit["id"], hit["score"]) for hit in answer["hits"]] == [(h["id"], h["score"]) for h in wanted["hits"]]
