"""Bodies and connections made to harm, on real servers."""

from __future__ import annotations

import gzip
import json
import resource
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.server import with_descriptors
from retrieval.web.settings import Settings
from tests.fakes import ColourEncoder
from tests.web.conftest import Running, client_of, server_of
from tests.web.test_limits import connected, head, read_all

SEARCH = "/api/v1/search"
JSON = {"Content-Type": "application/json"}
DEEP = 500_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b'{"q":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"where":' * (DEEP // 10) + b"1" + b"}" * (DEEP // 10),
        b'{"k": ' + b"9" * DEEP + b"}",
        b'{"k": 1e999}',
        b'{"min_score": NaN}',
        b'{"q": ["\\ud800"]}',
        b'{"q": [' + b'"a",' * 200_000 + b'"a"]}',
        json.dumps({"q": ["+".join(["a dog"] * 100_000)]}).encode(),
        json.dumps({"q": ["(" * 300_000]}).encode(),
        json.dumps({"q": ["a dog"], "after": ["3 weeks " * 100_000]}).encode(),
        json.dumps({"q": ["a dog"], "name": ["*a" * 400_000]}).encode(),
        b"\xff\xfe" * 1000,
        b"",
    ],
    ids=["open", "deep list", "deep object", "digits", "infinite", "not a number", "surrogate", "many questions",
         "many terms", "parentheses", "a long date", "a long pattern", "not utf-8", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("path", [SEARCH, "/api/v1/selection", "/api/v1/labels", "/api/v1/export"])
def test_no_body_is_an_error_of_the_server(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 413, 422), answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json" and len(answer.content) < 20_000


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(b" " * (64 << 20))), ("deflate", zlib.compress(b" " * (64 << 20))), ("br", b"\x00" * 100)],
)
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_packed_body_is_not_unpacked(client: TestClient, coding: str, packed: bytes, kind: str) -> None:
    answer = client.post(SEARCH, content=packed, headers={"Content-Type": kind, "Content-Encoding": coding})
    assert answer.status_code in (400, 415, 422)


def test_a_form_of_thousands_of_parts_is_refused(client: TestClient) -> None:
    for part in (b'Content-Disposition: form-data; name="query"\r\n\r\n{}', b"a: b\r\n" * 10 + b"\r\n"):
        body = b"--b\r\n" + b"\r\n--b\r\n".join([part] * 20_000) + b"\r\n--b--\r\n"
        answer = client.post(SEARCH, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code in (400, 413, 415, 422), answer.text


def test_an_address_of_thousands_of_conditions_is_refused(client: TestClient) -> None:
    answer = client.get(SEARCH + "?q=a" + "&tag=b" * 8000)
    assert answer.status_code in (400, 422)


# Time


def test_the_form_for_the_token_must_come_in_time(web_gallery: Gallery) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    with server_of(web_gallery, token="a-token-of-some-length", header_wait_s=0.3, keep_alive_s=1) as port:
        with connected(port) as server:
            server.sendall(head("POST", "/", form, "Content-Length: 100", "Connection: close") + b"token=")
            assert read_all(server).startswith(b"HTTP/1.1 401 ")
        with connected(port) as server:
            server.sendall(head("POST", "/", form, "Content-Length: 28", "Connection: close"))
            server.sendall(b"token=a-token-of-some-length")
            assert read_all(server).startswith(b"HTTP/1.1 303 ")


# Descriptors


def test_there_are_never_more_connections_than_descriptors() -> None:
    """In a process of its own, whose limit can be changed."""
    script = (
        "import resource\nfrom retrieval.web.server import with_descriptors\n"
        "from retrieval.web.settings import Settings\n"
        "for limits in ((256, 4096), (256, 800), (256, 256)):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, limits)\n"
        "    most = with_descriptors(Settings()).max_connections\n"
        "    print(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.split("\n")[:3] == ["1024 1536", "288 800", "85 256"], done.stderr


def test_a_generous_limit_changes_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = Settings(max_connections=16)
    assert with_descriptors(few) == few
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == before[1]


def test_a_server_that_may_open_few_files_serves_on(web_gallery: Gallery, start_server: Callable[..., Running]) -> None:
    """With more connections than it has descriptors, on each of which somebody waits: searches and pictures come."""
    server = start_server(web_gallery.path, limits={resource.RLIMIT_NOFILE: (160, 160)})
    port = int(server.url.rpartition(":")[2])
    waiting = []
    for _ in range(300):
        waiting.append(socket.create_connection(("127.0.0.1", port), timeout=600))
        with suppress(OSError):
            waiting[-1].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    for _ in range(2):
        hits = httpx.get(f"{server.url}{SEARCH}?q=a+dog&k=3", timeout=600).raise_for_status().json()["hits"]
        for hit in hits:
            for what in ("file", "thumbnail"):
                answer = httpx.get(f"{server.url}/api/v1/images/{hit['id']}/{what}", timeout=600)
                assert answer.status_code in (200, 503), answer.text
        assert httpx.get(f"{server.url}/api/v1/images/{hits[0]['id']}/file", timeout=600).status_code == 200
    for each in waiting:
        each.close()
    assert server.stop() == (0, "")


# Requests that no browser sends


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"404"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET / HTTP/1.0\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", b"400"),
        (b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"405"),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"4"),
        (b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n folded\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX : a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n", b"400"),
        (b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", b"4"),
        (b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40, b"4"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"200"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"403"),
    ],
    ids=["absolute", "absolute elsewhere", "without a name", "no name", "two names", "trace", "connect",
         "nul in the path", "folded", "blank before the colon", "nul in a header", "unknown coding", "negative piece",
         "huge piece", "http/2", "http/2 at once"],
)  # fmt: skip
def test_requests_that_no_browser_sends(running_server: Running, request_: bytes, status: bytes) -> None:
    port = int(running_server.url.rpartition(":")[2])
    with connected(port) as server:
        server.sendall(request_)
        answer = server.recv(65536)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b"evil" not in answer.partition(b"\r\n\r\n")[0] and b"x-evil" not in answer.lower()
    assert httpx.get(f"{running_server.url}/healthz").status_code == 200


SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200" onload="alert(1)">
<script>alert(document.cookie)</script><rect width="300" height="200" fill="red"/>
<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="/api/v1/stats"/></foreignObject></svg>"""


def test_a_drawing_is_no_page(tmp_path: Path) -> None:
    """An SVG may contain scripts: the file comes as a download that may do nothing, and the page shows its pixels."""
    pytest.importorskip("resvg_py", reason="needs photoseek[svg]")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "drawing.svg").write_bytes(SVG)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, ColourEncoder()).run(tmp_path / "photos")
    with client_of(gallery) as client:
        file = client.get("/api/v1/images/1/file")
        assert file.content == SVG and file.headers["content-type"] == "image/svg+xml"
        assert file.headers["content-disposition"].startswith("attachment;")
        policy = file.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and policy.endswith("; sandbox") and "script" not in policy
        for what in ("thumbnail", "view"):
            small = client.get(f"/api/v1/images/1/{what}")
            assert small.headers["content-type"] == "image/webp" and small.content[8:12] == b"WEBP"
        assert client.get("/api/v1/images/1").json()["drawable"] is False
