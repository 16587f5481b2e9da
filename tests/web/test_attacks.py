"""Every route, asked as an attacker would: from another site's page, by another name, without the token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.web.app import create_app
from retrieval.web.front.security import _NO_TOKEN_NEEDED, _OF_THE_PROGRAM
from retrieval.web.settings import Settings
from tests.web.conftest import LOCAL, client_of

TOKEN = "a-token-of-some-length"
ONLY_READ = {("POST", f"/api/v1/{name}") for name in ("search", "export", "download", "selection")}
"""They take a body, and change nothing."""

PROGRAM = [("GET", "/"), ("HEAD", "/"), ("POST", "/"), ("GET", "/static/app.css"), ("GET", "/worker.js"),
           ("GET", "/manifest.webmanifest"), ("GET", "/metrics"), ("GET", "/healthz"),
           ("GET", "/api/v1/openapi.json"), ("GET", "/nothing")]  # fmt: skip


def _documented() -> list[tuple[str, str]]:
    """Method and address of every operation, with a number for each part of the address that varies."""
    document = create_app(Gallery("/nonexistent"), Settings()).openapi()
    found = []
    for path, operations in document["paths"].items():
        address = "/".join("1" if part.startswith("{") else part for part in path.split("/"))
        found += [(method.upper(), address) for method in operations]
    return found


API = _documented()
ALL = sorted({*API, *PROGRAM})
STREAMS = ("/api/v1/events", "/api/v1/index/events")
WRITING = [each for each in API if each[0] not in ("GET", "HEAD") and each not in ONLY_READ]


@pytest.fixture(scope="module")
def plain(web_gallery: Gallery) -> Iterator[TestClient]:
    """A client without the header that our own page sends."""
    with client_of(web_gallery) as client:
        del client.headers["X-Requested-With"]
        yield client


@pytest.fixture(scope="module")
def guarded(web_gallery: Gallery) -> Iterator[TestClient]:
    with client_of(web_gallery, token=TOKEN) as client:
        yield client


def test_the_routes_are_found() -> None:
    assert len(API) > 45 and len(WRITING) > 15
    assert {path for _, path in API} >= {"/api/v1/duplicates", "/api/v1/labels", "/api/v1/images/1/file"}


# Another site's page in the same browser


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_what_writes_needs_what_no_form_can_send(plain: TestClient, method: str, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
        answer = plain.request(method, path, content=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 403, answer.text
    answer = plain.request(method, path, json={})  # a program that knows nothing of it, and a fetch without a preflight
    assert answer.status_code == 403 and "X-Requested-With" in answer.json()["title"]


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_a_server_that_is_read_only_writes_nothing(web_gallery: Gallery, method: str, path: str) -> None:
    app = create_app(web_gallery, Settings(read_only=True))
    with TestClient(app, base_url=LOCAL, headers={"X-Requested-With": "tests"}) as client:
        answer = client.request(method, path, json={})
    assert answer.status_code == 403 and "read-only" in answer.json()["title"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("method", "path"), ALL)
def test_nothing_is_answered_inside_another_sites_page(client: TestClient, method: str, path: str, site: str) -> None:
    """As a picture, a script, a style, a frame, a video, a fetch, a form in a frame."""
    for mode, dest in (
        ("no-cors", "image"), ("no-cors", "script"), ("no-cors", "style"), ("no-cors", "video"), ("no-cors", "empty"),
        ("cors", "empty"), ("navigate", "iframe"), ("navigate", "object"), ("websocket", "websocket"),
    ):  # fmt: skip
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403, (mode, dest)
        assert answer.content == b"" or "another site" in answer.json()["title"]


@pytest.mark.parametrize(("method", "path"), [each for each in ALL if each[0] not in ("GET", "HEAD")])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9", "http://localhost:8765.evil.example"]
)
def test_an_old_browser_says_its_origin_at_least(client: TestClient, method: str, path: str, origin: str) -> None:
    assert client.request(method, path, json={}, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("path", sorted({path for _, path in ALL}))
def test_a_preflight_allows_nothing(client: TestClient, path: str) -> None:
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-requested-with,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = client.options(path, headers=asked)
    assert answer.status_code in (404, 405)
    assert not [name for name in answer.headers if name.startswith("access-control")]


# A name that was rebound, and strangers in the network


@pytest.mark.parametrize(("method", "path"), ALL)
def test_nothing_is_answered_to_another_name(client: TestClient, method: str, path: str) -> None:
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
        assert client.request(method, path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(("method", "path"), ALL)
def test_nothing_is_answered_without_the_token(guarded: TestClient, method: str, path: str) -> None:
    for extra in (
        {},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Original-URL": "/healthz"},
        {"X-HTTP-Method-Override": "GET"},
    ):
        answer = guarded.request(method, path, headers=extra)
        is_open = path in _NO_TOKEN_NEEDED or path.startswith(_OF_THE_PROGRAM)
        assert (answer.status_code == 401) is not is_open, answer.status_code


@pytest.mark.parametrize(("method", "path"), [each for each in ALL if each[1] not in STREAMS])
def test_the_token_is_in_no_answer(
    guarded: TestClient, method: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither that which was given in the address, nor that of the header, in no error and in no line of a log."""
    known = {"Authorization": f"Bearer {TOKEN}", "X-Requested-With": "tests"}
    for address in (path, f"{path}?token={TOKEN}", f"{path}?token={TOKEN}&k=x&unknown=1"):
        for headers in (known, {}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": f"photoseek={TOKEN}"}):
            answer = guarded.request(method, address, headers=headers, follow_redirects=False)
            assert TOKEN not in answer.text and TOKEN not in str(answer.headers), address
    assert TOKEN not in caplog.text


# What a browser may do with an answer


@pytest.mark.parametrize(("method", "path"), [each for each in ALL if each[1] not in STREAMS])
def test_every_answer_says_what_a_browser_may_do_with_it(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert (
        policy.startswith("default-src 'none';") and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    )
    assert "unsafe-eval" not in policy and "*" not in policy and "http" not in policy
    kind = headers.get("content-type", "")
    if kind.startswith("text/html"):
        assert "'unsafe-inline'" not in policy and kind.endswith("charset=utf-8")
    else:
        assert "script-src" not in policy
    assert not [name for name in headers if name.startswith("access-control")]
