"""Indexing over HTTP: which folders, one run at a time, watched, stopped, and what is told of it."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.indexing import job as index_job
from retrieval.web.indexing.job import IndexJob
from retrieval.web.indexing.models import IndexState
from retrieval.web.settings import Settings
from tests.pictures import save_picture
from tests.web.conftest import Running, client_of

INDEX = "/api/v1/index"
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def model() -> Any:
    return load_encoder("builtin-224")


@pytest.fixture
def small(tmp_path: Path, model: Any) -> Gallery:
    """Three pictures in ``photos``, indexed."""
    for seed, colour in enumerate(COLOURS):
        save_picture(tmp_path / "photos" / f"{colour}.jpg", colour, seed=seed)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, model).run(tmp_path / "photos")
    return gallery


@pytest.fixture
def web(small: Gallery) -> Iterator[TestClient]:
    with client_of(small) as client:
        yield client


def ended(client: TestClient) -> dict[str, Any]:
    """The state when the run is over."""
    until = time.monotonic() + 600
    while (state := client.get(INDEX).json())["running"]:
        assert time.monotonic() < until, state
        time.sleep(0.05)
    return dict(state)


def events(client: TestClient, seen: str = "") -> Iterator[tuple[str, str, IndexState]]:
    """(id, event, state) of the stream until it ends."""
    with client.stream("GET", f"{INDEX}/events", headers={"Last-Event-ID": seen} if seen else {}) as stream:
        assert stream.status_code == 200 and stream.headers["content-type"].startswith("text/event-stream")
        lines: dict[str, str] = {}
        for line in stream.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                lines[name] = value
            elif "data" in lines:
                yield lines["id"], lines["event"], IndexState.model_validate_json(lines["data"])
                lines = {}


# Which folders


def test_only_folders_that_the_gallery_knows(web: TestClient, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "photos" / "link").symlink_to(outside)
    for folder in (outside, tmp_path / "none", tmp_path / "photos" / ".." / "outside", tmp_path / "photos" / "link"):
        answer = web.post(INDEX, json={"folders": [str(folder)]})
        assert answer.status_code == 400, folder
        assert answer.json()["title"] == f"{folder} is not in the gallery"
        assert answer.json()["type"].endswith("/folder-refused")
    assert web.get(INDEX).json()["state"] == "idle"


@pytest.mark.parametrize("name", ["photos", "", "../photos", "~", "a\0b", "/\0"])
def test_what_is_no_whole_path(web: TestClient, name: str) -> None:
    answer = web.post(INDEX, json={"folders": [name]})
    assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"
    assert web.get(INDEX).json()["state"] == "idle"


def test_a_folder_below_a_known_one_has_to_be_there(web: TestClient, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for path, said in ((photos / "red.jpg", "is not a folder"), (photos / "no", "there is no folder")):
        answer = web.post(INDEX, json={"folders": [str(path)]})
        assert answer.status_code == 400 and said in answer.json()["title"]


def test_new_folders_where_the_server_was_told_so(small: Gallery, tmp_path: Path) -> None:
    save_picture(tmp_path / "more" / "yellow.jpg", "yellow", seed=9)
    with client_of(small, allow_new_folders=True) as client:
        assert client.get(INDEX).json()["may_add"] is True
        assert client.post(INDEX, json={"folders": [str(tmp_path / "more")]}).status_code == 202
        state = ended(client)
        assert state["state"] == "done" and state["report"]["added"] == 1
        assert state["folders"] == [str(tmp_path / "more")]
    with small.reader() as reader:
        assert str(tmp_path / "more") in reader.roots()


def test_without_a_gallery_there_is_nothing_to_index(tmp_path: Path) -> None:
    with client_of(Gallery(tmp_path / "nothing")) as client:
        assert client.get(INDEX).json() | {"state": "idle", "failures": []} == client.get(INDEX).json()
        answer = client.post(INDEX, json={})
        assert answer.status_code == 400 and "no folder was given" in answer.json()["title"]
        assert client.delete(INDEX).status_code == 200
    assert not (tmp_path / "nothing").exists()


# A run


def test_a_run_is_watched_to_its_report(web: TestClient, small: Gallery, tmp_path: Path) -> None:
    save_picture(tmp_path / "photos" / "new" / "yellow.jpg", "yellow", seed=7)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    answer = web.post(INDEX, json={"folders": []})
    assert answer.status_code == 202 and answer.json()["state"] == "starting" and answer.json()["running"]
    busy = web.post(INDEX, json={})
    assert busy.status_code == 409 and busy.json()["title"] == "this server is already indexing"
    told = list(events(web))
    ids, names, states = zip(*told, strict=True)
    assert names[0] == "state" and names[-1] == "report" and set(names[1:-1]) <= {"progress"}
    assert len(set(ids)) == len(ids)
    assert [state.running for state in states] == [True] * (len(states) - 1) + [False]
    last = states[-1]
    assert last.state == "done" and last.encoder == "builtin-224" and last.error is None and last.finished_at
    assert last.report is not None and (last.report["added"], last.report["failed"]) == (1, 1)
    state = web.get(INDEX).json()
    assert [Path(each["path"]).name for each in state["failures"]] == ["broken.jpg"]
    assert IndexState.model_validate(state).model_dump() == last.model_dump()
    assert web.get(f"{INDEX}/events", headers={"Last-Event-ID": ids[-1]}).status_code == 204
    assert [event for _, event, _ in events(web)] == ["report"], "who comes late gets the present state"
    with small.reader() as reader:
        assert reader.count() == 4


def test_a_gallery_that_someone_else_writes_to(web: TestClient, small: Gallery) -> None:
    with small.writer():
        answer = web.post(INDEX, json={})
    assert answer.status_code == 409 and answer.json()["type"].endswith("/gallery-locked")
    assert "is being written by process" in answer.json()["title"] and "wait until" in answer.json()["detail"]
    assert web.get(INDEX).json()["state"] == "idle"


def test_what_the_command_line_says_of_its_error_is_told(web: TestClient, small: Gallery) -> None:
    with closing(sqlite3.connect(small.catalog_path)) as connection, connection:
        connection.execute("UPDATE encoders SET fingerprint = ?, name = 'lost', source = 'nowhere'", ("f" * 64,))
    assert web.post(INDEX, json={}).status_code == 202
    state = ended(web)
    assert state["state"] == "failed" and state["report"] is None
    assert "lost" in state["error"]["title"] and state["error"]["detail"]
    assert not state["error"]["title"].startswith("photoseek")


# Stopping


def many(folder: Path) -> None:
    for seed in range(400):
        save_picture(folder / f"{seed}.jpg", COLOURS[seed % 3], seed=seed + 100)


def test_a_run_that_is_stopped_loses_nothing(web: TestClient, small: Gallery, tmp_path: Path) -> None:
    many(tmp_path / "photos" / "many")
    web.post(INDEX, json={})
    stream = events(web)
    for _, _, state in stream:
        if state.encoded:
            break
    answer = web.delete(INDEX)
    assert answer.status_code == 202 and answer.json()["state"] == "stopping"
    assert web.delete(INDEX).json()["state"] in ("stopping", "stopped")
    state = ended(web)
    assert state["state"] == "stopped" and state["report"]["interrupted"]
    with small.reader() as reader:
        committed = reader.count()
    assert 3 < committed < 403 and committed == 3 + state["report"]["added"]
    assert web.post(INDEX, json={}).status_code == 202
    state = ended(web)
    assert state["state"] == "done" and state["report"]["added"] == 403 - committed
    assert web.delete(INDEX).status_code == 200


def test_a_run_may_be_stopped_before_it_begins(web: TestClient) -> None:
    web.post(INDEX, json={})
    assert web.delete(INDEX).json()["state"] == "stopping"
    assert ended(web)["state"] == "stopped"


def test_a_server_that_leaves_takes_its_run_with_it(small: Gallery, tmp_path: Path) -> None:
    many(tmp_path / "photos" / "many")
    with client_of(small) as client:
        client.post(INDEX, json={})
        listener = events(client)
        next(listener)
        job: IndexJob = client.app.state.index_job  # type: ignore[attr-defined]
    assert job.state.state == "stopped" and job._process is not None and job._process.returncode is not None
    small.refuse_if_written()


def test_ctrl_c_ends_server_streams_and_run(
    small: Gallery, tmp_path: Path, start_server: Callable[..., Running]
) -> None:
    many(tmp_path / "photos" / "many")
    server = start_server(small.path)
    httpx.post(f"{server.url}{INDEX}", json={}, headers={"X-Requested-With": "tests"}).raise_for_status()
    with httpx.stream("GET", f"{server.url}{INDEX}/events", timeout=600) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 3000"
        assert any('"stage":"encode"' in line for line in lines)
        server.process.send_signal(signal.SIGINT)
        assert "done" not in [json.loads(line[6:])["state"] for line in lines if line.startswith("data: ")]
    assert server.ended()[0] == 0
    small.refuse_if_written()


def test_who_insists_leaves_no_run_behind(small: Gallery, tmp_path: Path, start_server: Callable[..., Running]) -> None:
    many(tmp_path / "photos" / "many")
    server = start_server(small.path)
    httpx.post(f"{server.url}{INDEX}", json={}, headers={"X-Requested-With": "tests"}).raise_for_status()
    with httpx.stream("GET", f"{server.url}{INDEX}/events", timeout=600) as stream:
        assert any('"stage":"encode"' in line for line in stream.iter_lines())
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.05)  # two signals of a kind that come together are one
    server.stop()
    small.refuse_if_written()
    with small.reader() as reader:
        assert reader.count() >= 3


# Listeners


def job_of(tmp_path: Path) -> IndexJob:
    return IndexJob(Gallery(tmp_path / "gallery"), Settings())


def test_a_slow_listener_misses_states_and_not_the_last_one(tmp_path: Path) -> None:
    async def listen() -> list[str]:
        job, stopping = job_of(tmp_path), asyncio.Event()
        job._say(IndexState(state="running", running=True))
        stream = job.events(stopping)
        told = [await anext(stream), await anext(stream)]
        for done in range(1000):
            job._say(IndexState(state="running", running=True, done=done))
        told.append(await anext(stream))
        job._say(IndexState(state="done", done=1000))
        return told + [each async for each in stream]

    retry, first, middle, last = asyncio.run(listen())
    assert retry == "retry: 3000\n\n" and "event: state\n" in first
    data = [json.loads(each.partition("data: ")[2]) for each in (first, middle, last)]
    assert [each["done"] for each in data] == [0, 999, 1000] and "event: report\n" in last


def test_a_quiet_stream_beats_and_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_job, "HEARTBEAT_S", 0.01)

    async def listen() -> tuple[list[str], int]:
        job, stopping = job_of(tmp_path), asyncio.Event()
        job._say(IndexState(state="running", running=True))
        told = []
        async for each in job.events(stopping):
            told.append(each)
            assert job.listeners == 1
            if len(told) == 4:
                stopping.set()
        return told, job.listeners

    told, left = asyncio.run(listen())
    assert told[2:4] == [": still here\n\n"] * 2 and len(told) == 4 and left == 0


def test_only_so_many_may_listen(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.web.indexing.api.MOST_LISTENERS", 0)
    answer = web.get(f"{INDEX}/events")
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"


def test_two_listeners_get_the_same_report(web: TestClient) -> None:
    web.post(INDEX, json={})
    found: list[list[tuple[str, str, IndexState]]] = [[], []]
    threads = [threading.Thread(target=lambda each=each: each.extend(events(web))) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert found[0][-1] == found[1][-1] and found[0][-1][1] == "report"


# Folders to choose from


@pytest.fixture
def chooser(small: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client that may choose in ``home`` (the home folder) and in ``allowed``, not in ``secret``."""
    for name in ("home/Pictures/2019", "home/.ssh", "allowed/holidays", "secret/diary"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("home/Pictures/a.JPG", "home/Pictures/b.png", "home/Pictures/.c.jpg", "home/Pictures/notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "home" / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setattr("retrieval.web.indexing.browsing._DRIVES", ())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with client_of(small, allowed_folders=(str(tmp_path / "allowed"),)) as client:
        yield client


FOLDERS = f"{INDEX}/folders"


def test_folders_are_offered_a_level_at_a_time(chooser: TestClient, tmp_path: Path) -> None:
    top = chooser.get(FOLDERS).json()
    assert (top["path"], top["parent"]) == (None, None)
    assert {each["path"] for each in top["folders"]} == {str(tmp_path / "allowed"), str(tmp_path / "home")}
    home = chooser.get(FOLDERS, params={"path": str(tmp_path / "home")}).json()
    assert [each["name"] for each in home["folders"]] == ["Pictures"], "neither hidden folders nor links"
    assert home["parent"] is None, "above it nothing is told"
    pictures = chooser.get(FOLDERS, params={"path": home["folders"][0]["path"]}).json()
    assert (pictures["pictures"], pictures["parent"]) == (2, str(tmp_path / "home"))
    assert [each["name"] for each in pictures["folders"]] == ["2019"]
    assert chooser.get(INDEX).json()["may_browse"] is True


@pytest.mark.parametrize(
    "folder", ["secret", "secret/diary", "home/link", "home/link/diary", "home/../secret", "home/.ssh", "none", ""]
)
def test_nothing_outside_is_told_or_taken(chooser: TestClient, tmp_path: Path, folder: str) -> None:
    path = f"{tmp_path}/{folder}"
    answer = chooser.get(FOLDERS, params={"path": path})
    assert answer.status_code == 400 and answer.json()["type"].endswith("/folder-refused"), answer.text
    assert chooser.post(INDEX, json={"folders": [path]}).status_code == 400
    assert chooser.get(INDEX).json()["state"] == "idle"


@pytest.mark.parametrize("path", ["home", "/\0", "/" + "x" * 4000, "../home"])
def test_what_is_no_path_is_refused(chooser: TestClient, path: str) -> None:
    assert chooser.get(FOLDERS, params={"path": path}).status_code == 400


def test_a_file_and_a_folder_that_is_locked(chooser: TestClient, tmp_path: Path) -> None:
    answer = chooser.get(FOLDERS, params={"path": str(tmp_path / "home" / "Pictures" / "a.JPG")})
    assert answer.status_code == 400 and "is not a folder" in answer.json()["title"]


def test_an_offered_folder_is_indexed(chooser: TestClient, tmp_path: Path) -> None:
    save_picture(tmp_path / "allowed" / "holidays" / "yellow.jpg", "yellow", seed=9)
    assert chooser.post(INDEX, json={"folders": [str(tmp_path / "allowed" / "holidays")]}).status_code == 202
    assert ended(chooser)["report"]["added"] == 1


def test_choosing_needs_the_header_and_a_server_that_writes(small: Gallery, tmp_path: Path) -> None:
    with client_of(small, allowed_folders=(str(tmp_path),)) as client:
        assert client.get(FOLDERS, headers={"X-Requested-With": ""}).status_code == 403
    with client_of(small, allowed_folders=(str(tmp_path),), read_only=True) as client:
        assert client.get(FOLDERS).status_code == 403
        assert client.get(INDEX).json()["may_browse"] is False


def test_where_others_reach_the_server_only_named_folders_are_offered(small: Gallery, tmp_path: Path) -> None:
    from retrieval.web.indexing.browsing import browsable
    from retrieval.web.settings import Settings

    (tmp_path / "a" / "b").mkdir(parents=True)
    named = (str(tmp_path / "a"), str(tmp_path / "a" / "b"), str(tmp_path / "none"))
    assert browsable(Settings(host="0.0.0.0", token="t" * 20, allowed_folders=named)) == [str(tmp_path / "a")]
    assert browsable(Settings(host="192.168.1.2", token="t" * 20)) == []
    assert browsable(Settings()) != []
