"""``/facets`` and ``/tags`` over HTTP."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.places.locating import can_name_places
from tests.web.conftest import client_of

ADDRESS = "/api/v1/facets"


def test_folders_of_the_examples(client: TestClient, web_gallery: Gallery) -> None:
    photos = web_gallery.path.parent / "photos"
    found = client.get(ADDRESS).json()
    [parent] = found["parents"]
    assert parent == {"path": str(photos), "name": "photos", "count": found["total"]}
    on_disk = {
        folder.name: sum(file.is_file() for file in folder.rglob("*")) for folder in photos.iterdir() if folder.is_dir()
    }
    assert {each["name"]: each["count"] for each in found["folders"]} == on_disk
    birds = client.get(ADDRESS, params={"under": str(photos / "birds")}).json()
    assert birds["total"] == on_disk["birds"] and birds["folders"] == []
    assert birds["parents"][0]["name"] == "birds"


def test_the_address_of_a_search_is_taken_and_only_its_conditions_count(client: TestClient) -> None:
    filtered = client.get(ADDRESS, params={"orientation": "portrait", "min_width": 100})
    asked = {"q": "a dog", "k": 3, "sort": "date", "orientation": "portrait", "min_width": 100}
    assert client.get(ADDRESS, params=asked).json() == filtered.json()
    shapes = {each["value"]: each["count"] for each in filtered.json()["orientations"]}
    assert shapes["portrait"] == filtered.json()["total"] and len(shapes) > 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"box": "1,2,3"}, 400),
        ({"box": "9,0,1,0"}, 400),
        ({"box": "nan,0,inf,0"}, 400),
        ({"box": "0,0,1,181"}, 400),
        ({"near": "here"}, 400),
        ({"orientation": "portrait", "no_orientation": "portrait"}, 400),
        ({"glob": "[a"}, 400),
        ({"most": 0}, 422),
        ({"most": 100_000}, 422),
        ({"after": "someday"}, 400),
        ({"after": "2020-13"}, 400),
        ({"colour": "red"}, 422),
    ],
)
def test_what_cannot_be_asked(client: TestClient, asked: dict[str, Any], status: int) -> None:
    answer = client.get(ADDRESS, params=asked)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_gallery_without_anything_says_how_to_begin(tmp_path: Path) -> None:
    with client_of(Gallery(tmp_path / "nothing")) as client:
        for address in (ADDRESS, "/api/v1/tags"):
            answer = client.get(address)
            assert answer.status_code == 503 and "photoseek index" in answer.json()["detail"]


def test_tags_by_people_and_by_the_model(own_gallery: Gallery) -> None:
    gallery = own_gallery
    with client_of(gallery) as client:
        assert client.get("/api/v1/tags").json() == {"total": 0, "tags": []}
        edit_labels(gallery, [1, 2], LabelEdit(tags=("Two",)))
        edit_labels(gallery, [1], LabelEdit(tags=("one",)))
        with gallery.writer() as catalog, catalog.transaction() as transaction:
            sql = "INSERT INTO predicted_tags(encoder_id, image_id, tag, probability) VALUES (1, 3, 'cat', 0.9)"
            transaction.connection.exec_driver_sql(sql)
        said = [("two", 2, "people"), ("one", 1, "people"), ("cat", 1, "predicted")]
        whole = client.get("/api/v1/tags").json()
        assert whole["total"] == 3
        assert [(each["tag"], each["count"], each["source"]) for each in whole["tags"]] == said
        assert len(client.get("/api/v1/tags", params={"most": 1}).json()["tags"]) == 2
        facets = client.get(ADDRESS, params={"tag": "two"}).json()
        assert facets["total"] == 2
        assert [(each["tag"], each["count"], each["source"]) for each in facets["tags"]] == said


def test_facets_count_the_pictures_that_the_search_lists(client: TestClient) -> None:
    """With ``relevant`` or a lowest score, words leave pictures out: every count is of what is left."""
    for narrow in ({"relevant": True}, {"min_score": 0.2}, {"relevant": True, "min_score": 0.2}):
        for where in ({}, {"orientation": "landscape"}, {"format": ["jpeg", "png"], "min_width": 10}):
            asked = {"q": "an animal", **narrow, **where}
            listed = client.get("/api/v1/search", params={**asked, "k": 500}).json()
            found = client.get("/api/v1/facets", params={**asked, "sort": "name", "group_minutes": 5}).json()
            assert 0 < found["total"] == listed["total"] < 120
            assert sum(each["count"] for each in found["folders"]) == listed["total"]
            assert sum(each["count"] for each in found["months"]) + found["undated"] == listed["total"]
            assert found["places"]["count"] == sum(1 for hit in listed["hits"] if hit["latitude"] is not None)
            for each in found["formats"] + found["orientations"]:
                field = "format" if each in found["formats"] else "orientation"
                chosen = client.get("/api/v1/search", params={**asked, field: each["value"], "k": 500}).json()
                assert chosen["total"] == each["count"], (asked, each)


def test_words_alone_and_browsing_leave_no_picture_out_and_less_does(client: TestClient) -> None:
    whole = client.get("/api/v1/facets").json()
    for asked in ({"q": "an animal"}, {"relevant": True}, {"q": "an animal", "sort": "date"}, {"min_score": 0.9}):
        assert client.get("/api/v1/facets", params=asked).json() == whole
    first = client.get("/api/v1/search", params={"q": "an animal"}).json()["hits"][0]["id"]
    less = client.get("/api/v1/facets", params={"q": "an animal", "less": first}).json()
    assert less["total"] == whole["total"] - 1
    assert sum(each["count"] for each in less["folders"]) == less["total"]
    assert client.get("/api/v1/facets", params={"q": "- water", "relevant": True}).status_code == 400
    assert client.get("/api/v1/facets", params={"q": "dog", "less": 999_999}).status_code == 404


def test_albums_are_listed_counted_and_searched_in(own_gallery: Gallery) -> None:
    from retrieval.filters import Filter
    from retrieval.labels.albums import create_album
    from retrieval.search.saved_search import SavedSearch

    with own_gallery.reader() as reader:
        first, second = reader.select(Filter()).tolist()[:2]
    with client_of(own_gallery) as client:
        assert client.get("/api/v1/albums").json() == {"total": 0, "albums": []}
        create_album(own_gallery, "Two", [second, first])
        edit_labels(own_gallery, [first], LabelEdit(rating=5, favourite=True))
        saved = SavedSearch.typed("", {"min_rating": 5}, limit=None, min_score=None, relevant=False)
        create_album(own_gallery, "Good", recipe=saved.to_text())
        good, two = client.get("/api/v1/albums").json()["albums"]
        assert (good["name"], good["kind"], good["pictures"], good["search"]) == (
            "Good", "search", None, "--min-rating 5",
        )  # fmt: skip
        assert (two["kind"], two["pictures"], two["cover_id"], two["search"]) == ("pictures", 2, second, None)
        found = client.get(ADDRESS).json()
        assert found["albums"] == [{"value": "Two", "count": 2}, {"value": "Good", "count": 1}]
        assert found["ratings"] == [{"value": "5", "count": 1}]
        for asked, ids in (
            ({"album": "two"}, {first, second}),
            ({"album": "good"}, {first}),
            ({"favourite": 1}, {first}),
        ):
            assert {hit["id"] for hit in client.get("/api/v1/search", params=asked).json()["hits"]} == ids
            assert client.get(ADDRESS, params=asked).json()["total"] == len(ids)
        edit_labels(own_gallery, [second], LabelEdit(rating=5))
        own = client.get(ADDRESS, params={"album": "two", "favourite": 1}).json()["albums"]
        assert own == [{"value": "Good", "count": 1}, {"value": "Two", "count": 1}], "under the other conditions"
        assert client.get("/api/v1/search", params={"album": "good"}).json()["total"] == 2
        assert client.get(ADDRESS, params={"album": "good", "no_album": "two"}).json()["total"] == 0
        shown = client.get(f"/api/v1/images/{first}").json()
        assert (shown["rating"], shown["favourite"], shown["albums"]) == (5, True, ["Two"])
        for address in (ADDRESS, "/api/v1/search"):
            assert client.get(address, params={"album": "nothing"}).status_code == 400


def test_folders_are_a_tree_a_level_at_a_time(client: TestClient, web_gallery: Gallery) -> None:
    photos = web_gallery.path.parent / "photos"
    [root] = client.get("/api/v1/folders").json()["folders"]
    total = client.get(ADDRESS).json()["total"]
    assert root == {"path": str(photos), "name": "photos", "count": total, "has_folders": True}
    children = client.get("/api/v1/folders", params={"within": root["path"]}).json()["folders"]
    counted = {each["path"]: each["count"] for each in client.get(ADDRESS).json()["folders"]}
    assert {each["path"]: each["count"] for each in children} == counted
    assert [each["name"] for each in children] == sorted(each["name"] for each in children)
    assert not any(each["has_folders"] for each in children)
    birds = str(photos / "birds")
    assert client.get("/api/v1/folders", params={"within": birds}).json() == {"folders": []}
    [found] = client.get("/api/v1/folders", params={"folder_name": "IRD"}).json()["folders"]
    assert found["path"] == birds


def test_counts_of_folders_are_those_of_the_question(client: TestClient, web_gallery: Gallery) -> None:
    birds = str(web_gallery.path.parent / "photos" / "birds")
    asked = {"q": "a bird", "relevant": True, "orientation": "landscape", "under": birds}
    facets = client.get(ADDRESS, params=asked).json()
    [root] = client.get("/api/v1/folders", params=asked).json()["folders"]
    assert root["count"] > facets["total"] > 0, "what is chosen among folders leaves the others countable"
    children = client.get("/api/v1/folders", params={**asked, "within": root["path"]}).json()["folders"]
    assert {each["path"]: each["count"] for each in children}[birds] == facets["total"]
    assert sum(each["count"] for each in children) == root["count"]
    assert client.get("/api/v1/folders", params={"within": "/no/such"}).json() == {"folders": []}


def test_times_in_words_over_http(client: TestClient) -> None:
    def period(text: str) -> dict[str, Any]:
        found: dict[str, Any] = client.get("/api/v1/period", params={"text": text}).json()
        return found

    assert period("summer 2018") == {"after": "2018-06", "before": "2018-09"}
    assert period("2019-06-14") == {"after": "2019-06-14", "before": "2019-06-15"}
    assert period("since 2019") == {"after": "2019-01", "before": None}
    assert client.get("/api/v1/period", params={"text": "soon"}).status_code == 400


@pytest.mark.skipif(not can_name_places(), reason="needs photoseek[places]")
def test_towns_of_a_part_of_the_map(client: TestClient) -> None:
    def towns(box: str, **more: int) -> list[str]:
        found = client.get("/api/v1/map/towns", params={"box": box, **more}).json()["towns"]
        assert [each["people"] for each in found] == sorted((each["people"] for each in found), reverse=True)
        return [each["name"] for each in found]

    assert towns("48.5,2,49.2,2.7")[0] == "Paris"
    assert len(towns("-90,-180,90,180", most=7)) == 7
    assert "Suva" in towns("-20,177,-15,-178"), "around the 180th meridian"
    assert towns("0,-140,1,-139") == []
    assert client.get("/api/v1/map/towns", params={"box": "9,0,1,0"}).status_code == 400


def test_saved_searches_are_counted_as_they_list(own_gallery: Gallery) -> None:
    from retrieval.filters import Filter
    from retrieval.labels.albums import create_album
    from retrieval.search.saved_search import SavedSearch

    with own_gallery.reader() as reader:
        first, second, third = reader.select(Filter()).tolist()[:3]
    words = SavedSearch.typed("a bird", {}, limit=5, min_score=None, relevant=False)
    create_album(own_gallery, "Birds", recipe=words.to_text())
    create_album(
        own_gallery,
        "Rated",
        recipe=SavedSearch.typed("", {"min_rating": 5}, limit=None, min_score=None, relevant=False).to_text(),
    )
    create_album(own_gallery, "Gone", recipe='{"query": "id:99999"}')
    create_album(own_gallery, "Damaged", recipe="no JSON")
    with client_of(own_gallery) as client:

        def counts(**asked: Any) -> dict[str, int]:
            return {each["value"]: each["count"] for each in client.get(ADDRESS, params=asked).json()["albums"]}

        def listed(**asked: Any) -> int:
            return int(client.get("/api/v1/search", params=asked).json()["total"])

        assert counts() == {"Birds": 5} and listed(album="Birds") == 5
        for ids, number in (([first], 1), ([second, third], 3)):
            edit_labels(own_gallery, ids, LabelEdit(rating=5))
            assert counts()["Rated"] == number, "at once after a change"
        edit_labels(own_gallery, [first], LabelEdit(hidden=True))
        assert counts()["Rated"] == 2 == listed(album="Rated")
        shown = counts(format="jpeg")
        assert shown["Birds"] == listed(album="Birds", format="jpeg")


def test_saved_searches_are_run_when_something_changes_or_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrieval.web.facets import live_albums
    from retrieval.web.facets.live_albums import KEPT_S, LiveAlbums

    now, state = [0.0], {"version": "a", "ids": (1,)}
    engine: Any = SimpleNamespace(reader=SimpleNamespace(version=lambda: state["version"]))
    monkeypatch.setattr(live_albums, "live_albums", lambda _engine: {"Birds": state["ids"]})
    found = LiveAlbums(clock=lambda: now[0])
    first = found.found(engine)
    state["ids"] = (1, 2)
    assert found.found(engine) is first
    state["version"] = "b"
    second = found.found(engine)
    assert second.albums == {"Birds": (1, 2)} and second.name != first.name
    state["ids"] = (3,)
    now[0] = KEPT_S / 2
    assert found.found(engine) is second
    now[0] = KEPT_S + 1
    third = found.found(engine)
    assert third.albums == {"Birds": (3,)}
    state["version"] = "c"
    assert found.found(engine) is third, "the same answer has the same name"
