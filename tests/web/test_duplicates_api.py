"""Duplicates over HTTP: found in the background, remembered, told in pages; nothing but hashes is ever written."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from retrieval.duplicates.finding import find_duplicates
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.duplicates import job as duplicates_job
from tests.conftest import EXAMPLES
from tests.web.conftest import client_of

ADDRESS = "/api/v1/duplicates"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some animals; of one another copy, of another one a smaller one, of a third a part that looks like it."""
    photos = tmp_path_factory.mktemp("duplicates") / "photos"
    photos.mkdir()
    for name in ("dog", "horse", "gnu", "cow"):
        shutil.copy(EXAMPLES / "animals" / f"{name}.jpg", photos)
    shutil.copy(photos / "dog.jpg", photos / "dog again.jpg")
    with Image.open(photos / "horse.jpg") as horse:
        horse.resize((horse.width * 3 // 4, horse.height * 3 // 4)).save(photos / "horse small.jpg", quality=85)
    with Image.open(photos / "cow.jpg") as cow:
        cow.crop((cow.width // 7, cow.height // 7, cow.width, cow.height)).save(photos / "cow nearer.jpg")
    Indexer(Gallery(photos.parent / "gallery"), load_encoder("builtin-224")).run(photos)
    return photos.parent


@pytest.fixture
def twice(folder: Path, tmp_path: Path) -> Gallery:
    """The gallery of ``folder``, to write to; the pictures are shared."""
    shutil.copytree(folder / "gallery", tmp_path / "gallery")
    return Gallery(tmp_path / "gallery")


@pytest.fixture
def web(twice: Gallery) -> Iterator[TestClient]:
    with client_of(twice) as client:
        yield client


def found(client: TestClient, **asked: Any) -> dict[str, Any]:
    """The answer, when it is there."""
    until = time.monotonic() + 600
    while (answer := client.get(ADDRESS, params=asked)).status_code == 202:
        told = answer.json()
        assert told["state"] == "finding" and told["done"] >= 0 and answer.headers["Retry-After"] == "1"
        assert time.monotonic() < until, told
        time.sleep(0.02)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_what_the_command_line_finds_is_answered(web: TestClient, twice: Gallery) -> None:
    assert web.get(ADDRESS, params={"look_alikes": True, "min_score": 0.8}).status_code == 202
    answer = found(web, look_alikes=True, min_score=0.8)
    own = find_duplicates(twice, look_alikes=0.8).groups
    assert [(g["kind"], g["keeper"]["id"], [o["id"] for o in g["others"]]) for g in answer["groups"]] == [
        (group.kind, group.keeper.id, [member.image.id for member in group.others]) for group in own
    ]
    assert [group.kind for group in own][:2] == ["same bytes", "same picture"] and len(own) > 2
    same = answer["groups"][1]
    assert same["keeper"]["name"] == "horse.jpg" and same["keeper"]["path"].endswith("/photos/horse.jpg")
    assert same["others"][0]["cosine"] > 0.9 and 0 <= same["others"][0]["bits"] <= 5
    assert same["bytes_of_others"] == same["others"][0]["bytes"] and same["others_total"] == 1
    assert same["keeper"]["on_disk"] == "same" and len(same["keeper"]["hash"]) == 16
    assert answer["kinds"]["same bytes"] == {"groups": 1, "others": 1, "bytes": answer["groups"][0]["bytes_of_others"]}
    assert answer["images"] == 7 and answer["total"] == len(own)


def test_pages_and_kinds(web: TestClient) -> None:
    whole = found(web, look_alikes=True, min_score=0.8)
    pages = [found(web, look_alikes=True, min_score=0.8, offset=at, k=1) for at in range(whole["total"] + 1)]
    assert [group for page in pages for group in page["groups"]] == whole["groups"]
    for kind in ("same bytes", "same picture", "look-alike"):
        one = found(web, look_alikes=True, min_score=0.8, kind=kind)
        assert one["groups"] == [group for group in whole["groups"] if group["kind"] == kind]
        assert one["total"] == len(one["groups"]) == whole["kinds"][kind]["groups"]
        assert one["kinds"] == whole["kinds"]
    plain = web.get(ADDRESS)
    assert plain.status_code == 200, "what was found with look-alikes answers for those without"
    assert plain.json()["total"] == 2 and plain.json()["kinds"]["look-alike"]["groups"] == 0


def test_a_result_is_remembered_until_the_gallery_changes(
    web: TestClient, twice: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates_job, "KEPT_S", 0.0)
    first = found(web)
    assert web.get(ADDRESS).json() == first
    with twice.reader() as reader:
        [again] = [image for image in reader.records(range(1, 10)) if image.path.endswith("dog again.jpg")]
    with twice.writer() as catalog, catalog.transaction() as transaction:
        transaction.change()
        transaction.connection.exec_driver_sql("UPDATE images SET is_retired = 1 WHERE id = ?", (again.id,))
    assert web.get(ADDRESS).status_code == 202
    after = found(web)
    assert after["change"] == first["change"] + 1 and after["kinds"]["same bytes"]["groups"] == 0


def test_while_an_indexer_commits_a_result_stays_for_a_while(
    web: TestClient, twice: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates_job, "KEPT_TIMES", 1e9)
    first = found(web)
    with twice.writer() as catalog, catalog.transaction() as transaction:
        transaction.change()
    assert web.get(ADDRESS).json() == first


def test_another_question_waits_for_the_first(web: TestClient) -> None:
    asked = ({"look_alikes": True, "min_score": 0.9}, {"look_alikes": True, "min_score": 0.8})
    answers = [found(web, **each) for each in (*asked, *asked)]
    assert answers[0] == answers[2] and answers[1] == answers[3]
    assert answers[0]["total"] <= answers[1]["total"]


def without_hashes(gallery: Gallery) -> None:
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        connection.execute("UPDATE images SET phash = NULL")


def hashes(gallery: Gallery) -> int:
    with gallery.reader() as reader:
        return int(reader.rows("SELECT count(phash) FROM images")[0][0])


def test_missing_hashes_are_kept_only_while_nobody_else_writes(
    web: TestClient, twice: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    without_hashes(twice)
    with twice.writer(), caplog.at_level(logging.WARNING, logger="photoseek"):
        assert found(web)["total"] == 2
    assert hashes(twice) == 0 and "not kept" in caplog.text
    with twice.reader() as reader:
        change = reader.change()
    other = duplicates_job.DuplicatesJob(twice)
    while isinstance(other.ask(None, change), duplicates_job.Finding):
        time.sleep(0.02)
    assert hashes(twice) == 6, "of the two with the same bytes one is enough"


def test_a_picture_that_is_gone_is_said_to_be(twice: Gallery, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "photos"
    shutil.copytree(folder / "photos", own)
    Indexer(twice, load_encoder("builtin-224")).run(own)
    with client_of(twice) as client:
        found(client)
        (own / "dog again.jpg").unlink()
        (own / "dog.jpg").write_bytes(b"something else")
        pictures = [p for group in found(client)["groups"] for p in (group["keeper"], *group["others"])]
    told = {p["name"]: p["on_disk"] for p in pictures if p["path"].startswith(str(own))}
    assert told["dog again.jpg"] == "missing" and told["dog.jpg"] == "changed" and told["horse.jpg"] == "same"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"min_score": 0.9}, 400),
        ({"look_alikes": True, "min_score": 0.1}, 422),
        ({"look_alikes": True, "min_score": "nan"}, 422),
        ({"kind": "triplets"}, 422),
        ({"k": 0}, 422),
        ({"offset": -1}, 422),
        ({"trash": True}, 422),
    ],
)
def test_what_cannot_be_asked(web: TestClient, asked: dict[str, Any], status: int) -> None:
    answer = web.get(ADDRESS, params=asked)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"


def test_nothing_is_moved_over_http(web: TestClient) -> None:
    for method in ("POST", "DELETE", "PUT"):
        assert web.request(method, ADDRESS).status_code == 405


def test_a_gallery_without_anything_says_how_to_begin(tmp_path: Path) -> None:
    with client_of(Gallery(tmp_path / "nothing")) as client:
        answer = client.get(ADDRESS)
    assert answer.status_code == 503 and "photoseek index" in answer.json()["detail"]


def test_what_goes_wrong_in_the_background_is_told_once(twice: Gallery) -> None:
    with closing(sqlite3.connect(twice.catalog_path)) as connection, connection:
        connection.execute("UPDATE state SET active_encoder_id = NULL")
    with client_of(twice) as client:
        answers = [client.get(ADDRESS)]
        while answers[-1].status_code == 202:
            time.sleep(0.02)
            answers.append(client.get(ADDRESS))
        assert answers[-1].status_code == 503 and "nothing is indexed" in answers[-1].json()["title"]
        assert client.get(ADDRESS).status_code == 202, "it is tried again"


def test_a_search_that_is_closed_begins_nothing(twice: Gallery) -> None:
    search = duplicates_job.DuplicatesJob(twice)
    search.close()
    assert isinstance(search.ask(None, 1), duplicates_job.Finding) and search._thread is None
