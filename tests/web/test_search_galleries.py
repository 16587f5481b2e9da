"""Search over HTTP in galleries that change, hold nothing, or have a model of another kind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")


from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query
from retrieval.web.search import kept_list
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder
from tests.retrieval.lists.made import Row, made_gallery
from tests.web.asking import ask, ids, problem
from tests.web.conftest import client_of


@pytest.fixture
def own(tmp_path: Path) -> Gallery:
    """Some example photos and a gallery of them, to be changed."""
    shutil.copytree(EXAMPLES / "animals", tmp_path / "photos")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery


def test_relevance_is_measured_after_the_first_answer(own: Gallery) -> None:
    with client_of(own) as client:
        first = ask(client, q="a dog", k=5)
        assert first["cut"] is None and first["hits"][0]["relevance"] is None and first["relevant_total"] is None
        until = time.monotonic() + 600
        while (answer := ask(client, q="a dog", k=500))["cut"] is None and time.monotonic() < until:
            time.sleep(0.05)
    with QueryEngine(own) as engine:
        expected = find_page(engine, Query.text("a dog", k=500), Listing(relevant=True))
    relevant = [hit["id"] for hit in answer["hits"] if hit["relevant"]]
    assert answer["cut"] == 0.99
    assert relevant[: len(expected.hits)] == [hit.image.id for hit in expected.hits]
    assert answer["relevant_total"] == len(expected.hits)
    assert all(hit["relevant"] == (hit["relevance"] >= 0.99) for hit in answer["hits"])


def test_only_what_is_relevant(own: Gallery) -> None:
    with client_of(own) as client:
        answer = ask(client, q="a zebra", relevant=True)  # nothing was measured before: this has to wait for it
        nothing = ask(client, q="a zebra", relevant=True, min_score=0.99)
        assert problem(client, 400, like=1, relevant=True)["detail"] == "with pictures, use --min-score"
        problem(client, 400, q="a zebra", more=1, relevant=True)
    with QueryEngine(own) as engine:
        expected = find_page(engine, Query.text("a zebra", k=100), Listing(relevant=True))
    assert ids(answer) == [hit.image.id for hit in expected.hits]
    assert answer["total"] == answer["relevant_total"] == expected.total == len(expected.hits)
    assert answer["cut"] == 0.99
    assert nothing["hits"] == [] and nothing["nearest"] > 0


def test_nothing_indexed_yet(tmp_path: Path) -> None:
    with client_of(Gallery(tmp_path / "nothing")) as client:
        said = problem(client, 503, q="dog")
        assert "photoseek index" in said["detail"]
        problem(client, 503)


def test_a_gallery_whose_pictures_are_all_gone(own: Gallery, tmp_path: Path) -> None:
    for path in (tmp_path / "photos").iterdir():
        path.rename(path.with_suffix(".gone"))
    (tmp_path / "photos" / "keep.txt").write_text("not empty")
    Indexer(own, load_encoder("builtin-224")).run(tmp_path / "photos")
    with QueryEngine(own) as engine:
        assert len(engine.index) == 0
    with client_of(own) as client:
        for params in ({}, {"q": "dog"}, {"q": "dog", "relevant": True}, {"q": "dog", "sort": "date"}):
            answer = ask(client, **params)
            assert answer["hits"] == [] and answer["total"] == 0 and answer["next"] is None


def test_words_for_a_model_without_words(tmp_path: Path) -> None:
    spec = ColourEncoder(name="dinov2-b14", has_text=False).spec
    vectors = load_encoder("builtin-224").encode_texts(["a", "b", "c"])[:, :16]
    rows = [Row("/photos", f"{n}.jpg", vector / (vector @ vector) ** 0.5) for n, vector in enumerate(vectors)]
    with client_of(made_gallery(tmp_path / "gallery", spec, rows)) as client:
        said = problem(client, 422, q="dog")
        assert said["type"].endswith("/text-not-supported")
        assert len(ask(client, like=1)["hits"]) == 2  # pictures need no text tower
        assert ask(client)["hits"][0]["on_disk"] == "same"


def test_missing_and_changed_files_are_skipped(own: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(own) as client:
        before = ask(client, q="an animal", k=500)
        changed, missing = before["hits"][2], before["hits"][5]
        Path(changed["path"]).write_bytes(b"something else")
        aside = Path(missing["path"]).rename(Path(missing["path"]).with_suffix(".aside"))
        left = [hit["id"] for hit in before["hits"] if hit["id"] not in (changed["id"], missing["id"])]
        after = ask(client, q="an animal", k=8)
        assert ids(after) == left[:8] and [hit["rank"] for hit in after["hits"]] == list(range(1, 9))
        assert after["skipped"] == {"missing": 1, "changed": 1} and after["total"] == before["total"] - 2
        assert {hit["on_disk"] for hit in after["hits"]} == {"same"}
        rest = ask(client, q="an animal", k=500, cursor=after["next"])
        assert ids(rest) == left[8:] and rest["offset"] == 8
        likes = ask(client, like=before["hits"][0]["id"], k=500)
        browsed = [ask(client, k=500), ask(client, k=500, sort="name"), ask(client, k=500, group_minutes=5)]
        for answer in (likes, *browsed):
            assert not {changed["id"], missing["id"]} & set(ids(answer))
            assert answer["total"] == len(answer["hits"])
        rows = client.get("/api/v1/export", params={"q": "an animal"}).text.splitlines()[1:]
        assert [int(row.split(",")[1]) for row in rows] == left
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, len(left) + 1))
        gone = Path(before["hits"][9]["path"])
        gone.unlink()  # behind the first page, and before the next one
        assert ids(ask(client, q="an animal", k=8, cursor=after["next"]))[0] == left[8]
        monkeypatch.setattr(kept_list, "LOOK_AGAIN_S", 0.0)
        aside.rename(missing["path"])  # the drive is back
        assert missing["id"] in ids(ask(client, q="an animal", k=8))


def test_when_every_file_is_gone_nothing_is_listed_and_all_are_counted(own: Gallery, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    with client_of(own) as client:
        for params in ({"q": "an animal", "k": 2}, {"k": 2}, {"q": "an animal", "sort": "date", "k": 2}):
            answer = ask(client, **params)
            count = len(list((tmp_path / "unplugged").iterdir()))
            assert answer["hits"] == [] and answer["total"] == 0 and answer["next"] is None
            assert answer["skipped"] == {"missing": count, "changed": 0}


def test_the_gallery_may_change_meanwhile(own: Gallery, tmp_path: Path) -> None:
    with client_of(own) as client:
        first = ask(client, q="a ship", k=5, min_width=10)
        browsed = ask(client, k=5)
        shutil.copy(min((EXAMPLES / "vehicles").iterdir()), tmp_path / "photos" / "new.jpg")
        Indexer(own, load_encoder("builtin-224")).run(tmp_path / "photos")
        again = ask(client, q="a ship", k=5, min_width=10)
        assert again["total"] == first["total"] + 1 and again["change"] > first["change"]
        assert again["list"] == first["list"]
        for params in ({"q": "a ship", "min_width": 10, "cursor": first["next"]}, {"cursor": browsed["next"]}):
            said = problem(client, 409, k=5, **params)
            assert said["type"].endswith("/page-expired")
        new = next(hit for hit in ask(client, k=500)["hits"] if hit["name"] == "new.jpg")
        assert new["id"] in ids(ask(client, like=ids(first)[0], k=500))


def test_tags_count_at_once(own: Gallery) -> None:
    with client_of(own) as client:
        some = ids(ask(client, q="a zebra", k=2))
        edit_labels(own, [some[0]], LabelEdit(tags=("mine",)))
        assert ids(ask(client, tag="mine")) == some[:1]
        cursor = ask(client, no_tag="mine", k=1)["next"]
        edit_labels(own, [some[1]], LabelEdit(tags=("mine",)))
        assert sorted(ids(ask(client, tag="mine"))) == sorted(some)
        assert problem(client, 409, no_tag="mine", k=1, cursor=cursor)["type"].endswith("/page-expired")


def test_names_that_are_no_text_are_shown_as_text(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    name = os.fsencode(photos) + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(name)).write_bytes((EXAMPLES / "animals" / "dog.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes text only")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(photos)
    with client_of(gallery) as client:
        [hit] = ask(client, q="dog")["hits"]
    assert hit["name"] == "caf\ufffd.jpg" and hit["path"].endswith("/caf\ufffd.jpg") and hit["on_disk"] == "same"


def test_bursts(own: Gallery) -> None:
    """Copies of one picture within a minute stand behind the best of them."""
    with closing(sqlite3.connect(own.catalog_path)) as connection, connection:
        connection.execute("UPDATE images SET taken_at = '2024-05-01T12:00:0' || (id % 10), camera = 'One'")
        row = connection.execute("SELECT vector, crc FROM embeddings ORDER BY image_id LIMIT 1").fetchone()
        connection.execute("UPDATE embeddings SET vector = ?, crc = ? WHERE image_id <= 4", row)
        connection.execute("UPDATE state SET change = change + 1")
        connection.execute("UPDATE images SET change = (SELECT change FROM state)")
        connection.execute("UPDATE embeddings SET change = (SELECT change FROM state)")
    with client_of(own) as client:
        answer = ask(client, like=9, group_minutes=1, k=500)
        alone = ask(client, like=9, k=500)
    bursts = {hit["id"]: hit["burst"] for hit in answer["hits"]}
    assert answer["total"] < alone["total"] and sum(bursts.values()) + len(bursts) == alone["total"]
    assert sum(image_id in bursts for image_id in (1, 2, 3, 4)) == 1
