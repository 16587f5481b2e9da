"""Several servers of one gallery whose catalog is in PostgreSQL; and what tells which of them can answer."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
pytest.importorskip("fastapi", reason="needs photoseek[web]")

from retrieval.catalog.postgres.connect import open_connection
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.gallery import Gallery
from retrieval.index_servers import name_server, server_spec
from retrieval.migrating import migrate
from retrieval.web.events import ASKED_EVERY_S
from retrieval.web.front.problems import without_servers
from retrieval.web.settings import Settings
from tests.indexes.servers import Postgres, free_port
from tests.retrieval.catalog.servers import new_address
from tests.web.conftest import Running, client_of

KEY, TOKEN = "ab" * 32, "a-token-of-some-length"
Answer = tuple[int, Any, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be ended."""
    made = Postgres()
    yield made
    made.stop()


def ask(url: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Status, headers and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "X-Requested-With": "tests", "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(url + path, data, given | headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers, json.load(refused)


@pytest.fixture(scope="module")
def shared(web_gallery: Gallery, server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A gallery whose catalog is in the server."""
    made = Gallery(shutil.copytree(web_gallery.path, tmp_path_factory.mktemp("shared") / "gallery"))
    migrate(made, new_address(server), None, lambda *_: None, lambda: False)
    return made


@pytest.fixture(scope="module")
def two(shared: Gallery) -> Iterator[Callable[[int], Running]]:
    """Two servers of one gallery, each with a folder of its own, as on two machines."""
    address, place = shared.server(), shared.path.parent
    assert address is not None
    config = place / "config.toml"
    config.write_text(f'[catalog]\nservers = ["{address.server}"]\nread-seconds = 30\n[serve]\nreaders = 1\n')
    environment = os.environ | {
        "PHOTOSEEK_CONFIG": str(config), "PHOTOSEEK_TOKEN": TOKEN, "PHOTOSEEK_PAGE_KEY": KEY,
    }  # fmt: skip
    other = place / "other"
    other.mkdir()
    shutil.copy(shared.path / "catalog.toml", other)
    with ExitStack() as stack:
        started = []
        for folder in (shared.path, other):
            running = Running(folder, env=environment)
            stack.callback(running.process.kill)
            started.append(running)
        yield lambda number: started[number]
        for running in started:
            running.stop()


def test_what_one_server_writes_the_other_one_tells(two: Callable[[int], Running]) -> None:
    one, other = two(0).url, two(1).url
    for url in (one, other):
        assert ask(url, "/readyz")[0] == 200
    status, _, found = ask(one, "/api/v1/search?q=a+red+bird&k=3")
    assert status == 200 and len(found["hits"]) == 3
    assert same(ask(other, "/api/v1/search?q=a+red+bird&k=3")[2]["hits"], found["hits"])
    # The second part of a list may come from the other server.
    rest = [ask(url, f"/api/v1/search?q=a+red+bird&k=3&cursor={found['next']}")[2]["hits"] for url in (one, other)]
    assert same(*rest) and rest[0][0]["rank"] == 4

    listening = urllib.request.Request(f"{other}/api/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(listening, timeout=120) as events:
        first = next_event(events)
        image = found["hits"][0]["image"]["id"] if "image" in found["hits"][0] else found["hits"][0]["id"]
        status, _, done = ask(one, "/api/v1/labels", {"ids": [image], "tags": ["from one"]})
        assert status == 200
        assert next_event(events)["version"] != first["version"]
    assert ASKED_EVERY_S <= 1, "within two seconds"
    status, _, tagged = ask(other, "/api/v1/search?tag=from+one")
    assert (status, tagged["total"]) == (200, 1)
    # Which changes can be taken back is known to the server that made them.
    assert ask(other, f"/api/v1/undo/{done['undo']}", {})[0] == 410
    assert ask(one, f"/api/v1/undo/{done['undo']}", {})[0] == 200
    assert ask(other, "/api/v1/search?tag=from+one")[0] in (200, 400)


def same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> bool:
    """Whether two servers found the same; which hits are relevant one of them may know a little later."""
    judged = {"relevance": None, "relevant": None}
    return [hit | judged for hit in ours] == [hit | judged for hit in theirs]


def next_event(events: Any) -> Any:
    for line in events:
        if line.startswith(b"data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream ended")


def test_a_browser_that_one_server_knows_is_known_to_the_other_one(two: Callable[[int], Running]) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(Stay)
    with pytest.raises(urllib.error.HTTPError) as told:
        opener.open(f"{two(0).url}/?token={TOKEN}", timeout=120)
    told.value.close()
    assert told.value.code == 303
    cookie = told.value.headers["Set-Cookie"].partition(";")[0]
    assert ask(two(1).url, "/api/v1/stats", Authorization="", Cookie=cookie)[0] == 200
    assert ask(two(1).url, "/api/v1/stats", Authorization="", Cookie=cookie + "0")[0] == 401


def until(url: str, status: int) -> Any:
    """The answer of ``/readyz`` when it has this status: an answer is kept for a while."""
    end = time.monotonic() + 120
    while (answer := ask(url, "/readyz", Authorization=""))[0] != status:
        assert time.monotonic() < end, answer
        time.sleep(0.2)
    return answer


def test_a_server_without_its_catalog_lives_and_is_not_ready(
    two: Callable[[int], Running], server: Postgres, shared: Gallery
) -> None:
    url, address = two(0).url, shared.server()
    assert address is not None
    assert until(url, 200)[2] == {"status": "ready"} == ask(url, "/api/v1/readyz")[2]
    assert ask(url, "/api/v1/search?q=a+dog&k=1")[0] == 200
    server.crash()
    try:
        assert ask(url, "/healthz", Authorization="")[2] == {"status": "ok"}
        refused = [until(url, 503), ask(url, "/api/v1/labels", {"ids": [1], "tags": ["x"]})]
    finally:
        server.start()
    for status, headers, body in refused:
        assert (status, headers["Retry-After"]) == (503, "1"), body
        assert "catalog" in body["title"]
        for name in ("127.0.0.1", str(server.port), "tests", "postgres", address.database):
            assert name not in json.dumps(body), body
    until(url, 200)
    with open_connection(address) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "another version" in until(url, 503)[2]["title"]
        connection.execute("UPDATE alembic_version SET version_num = %s", [CATALOG_VERSION])
        until(url, 200)
        connection.execute("DROP TABLE alembic_version")
        assert "no catalog" in until(url, 503)[2]["title"]


def test_a_server_without_its_index_is_not_ready(own_gallery: Gallery) -> None:
    address = f"pgvector://me@127.0.0.1:{free_port()}/vectors"
    with client_of(own_gallery) as client:
        assert client.get("/readyz").status_code == 200
    spec = server_spec(address)
    assert spec is not None
    name_server(spec)
    with own_gallery.writer() as catalog:
        catalog.set_index_spec(address)
    with client_of(own_gallery) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503 and "index" in answer.json()["title"]
        assert "127.0.0.1" not in answer.text and "me@" not in answer.text


def test_an_empty_gallery_is_ready_for_its_first_folder(tmp_path: Path) -> None:
    with client_of(Gallery(tmp_path / "new")) as client:
        assert client.get("/readyz").status_code == 200


def test_each_token_has_its_own_allowance(own_gallery: Gallery) -> None:
    two = f"{TOKEN}\nanother token of some length\n"
    assert Settings(token=two).tokens == (TOKEN, "another token of some length")
    with client_of(own_gallery, token=two, requests_per_minute=3) as client:
        one, other = ({"Authorization": f"Bearer {each}"} for each in two.splitlines())
        assert [client.get("/api/v1/stats", headers=one).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = client.get("/api/v1/stats", headers=one)
        assert 0 < int(refused.headers["retry-after"]) <= 20 and "3 requests a minute" in refused.json()["title"]
        assert client.get("/api/v1/stats", headers=other).status_code == 200
        for path in ("/healthz", "/readyz", "/static/app.css"):
            assert [client.get(path).status_code for _ in range(5)] == [200] * 5
        assert client.get("/api/v1/stats", headers={"Authorization": "Bearer wrong"}).status_code == 401
        # The second one's cookie is another one, and counts for the same token.
        entered = client.get(f"/?token={two.splitlines()[1]}", follow_redirects=False)
        assert entered.status_code == 303
        assert [client.get("/api/v1/stats").status_code for _ in range(3)] == [200, 200, 429]


def test_messages_name_no_server() -> None:
    said = 'postgresql+psycopg://me@db.example:5432/x: server at "10.0.0.1", port 5432 failed: user "me", role "r"'
    told = without_servers(said)
    assert not {"me@", "10.0.0.1", "5432", '"me"', '"r"', "db.example"} & set(told.split())
    assert "example" not in told and "10.0" not in told and '"' not in told
    assert without_servers("https://example.org/x is no picture") == "https://example.org/x is no picture"
