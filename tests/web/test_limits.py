"""What strangers may take: bytes, time, connections, requests. Against a real server where the network matters."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from retrieval.gallery import Gallery
from retrieval.web.front.limits import Limits
from retrieval.web.front.watch import Watch
from retrieval.web.settings import Settings
from tests.web.conftest import client_of, server_of

POST = "/api/v1/search"


def sent(client: TestClient, size: int, content_type: str, *, chunked: bool) -> Any:
    """The answer to a body of ``size`` bytes, whose length is told or not."""
    pieces = (b"x" * min(10_000, size - at) for at in range(0, size, 10_000))
    content: Any = pieces if chunked else b"".join(pieces)
    return client.post(POST, content=content, headers={"Content-Type": content_type})


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=b"])
def test_bodies_have_a_size(web_gallery: Gallery, content_type: str, chunked: bool) -> None:
    with client_of(web_gallery, max_json_bytes=20_000, max_upload_bytes=50_000) as client:
        most = 50_000 if "multipart" in content_type else 20_000
        assert sent(client, most, content_type, chunked=chunked).status_code in (400, 415, 422)  # read, and no query
        answer = sent(client, most + 1, content_type, chunked=chunked)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"{most:,}" in answer.json()["detail"]


def test_the_length_that_is_told_need_not_be_true(web_gallery: Gallery) -> None:
    with server_of(web_gallery, max_json_bytes=1000) as port, connected(port) as server:
        server.sendall(head("POST", POST, "Content-Type: application/json", "Content-Length: 2000"))
        server.sendall(b"x" * 2000)
        assert read_all(server).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "lengths",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: x",),
        ("Content-Length: -1",),
        ("Content-Length: 2, 3",),
    ],
)
def test_a_length_that_is_not_clear_is_refused(web_gallery: Gallery, lengths: tuple[str, ...]) -> None:
    with server_of(web_gallery) as port, connected(port) as server:
        server.sendall(head("POST", POST, "Content-Type: application/json", *lengths) + b"2\r\n{}\r\n0\r\n\r\n")
        assert read_all(server).startswith(b"HTTP/1.1 400 ")


def test_an_upload_that_is_cut_off_is_no_error(web_gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    with server_of(web_gallery) as port:
        for kind in ("application/json", "multipart/form-data; boundary=b"):
            with connected(port) as server:
                server.sendall(head("POST", POST, f"Content-Type: {kind}", "Content-Length: 2000") + b"x" * 100)
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/health").status_code in (200, 404)
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


def test_a_client_that_sends_too_much_can_read_why(web_gallery: Gallery) -> None:
    with server_of(web_gallery, max_json_bytes=1_000_000) as port:
        for content in (b"x" * 1_800_000, iter([b"x" * 100_000] * 18)):
            url = f"http://127.0.0.1:{port}{POST}"
            answer = httpx.post(url, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413


def test_all_bodies_together_have_a_size(web_gallery: Gallery) -> None:
    with server_of(web_gallery, max_json_bytes=100_000, max_bodies_bytes=150_000) as port:
        asked = head("POST", POST, "Content-Type: application/json", "Content-Length: 100000")
        with connected(port) as first, connected(port) as second:
            first.sendall(asked + b" " * 99_999)
            second.sendall(asked + b" " * 99_999)
            refused = select.select([first, second], [], [], 300)[0][0]  # whichever was read later
            answer = refused.recv(65536)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after" in answer
            kept = second if refused is first else first
            kept.sendall(b"x")
            assert kept.recv(65536).startswith(b"HTTP/1.1 422 ")
        with connected(port) as third:  # what was held was let go
            third.sendall(asked + b" " * 99_999 + b"x")
            assert third.recv(65536).startswith(b"HTTP/1.1 422 ")


# Time


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=600) as server:
        yield server


def read_all(server: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    data = b""
    while True:
        try:
            piece = server.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def read_until(server: socket.socket, end: bytes) -> bytes:
    """Everything to the first ``end``; fails if the connection ends before."""
    data = b""
    while end not in data:
        piece = server.recv(65536)
        assert piece, data
        data += piece
    return data


def drip(server: socket.socket, data: bytes, every_s: float) -> None:
    """Send a byte now and then, as long as there is somebody to take it."""
    try:
        for at in range(len(data)):
            server.sendall(data[at : at + 1])
            time.sleep(every_s)
    except OSError:
        pass


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
def test_headers_that_do_not_come(web_gallery: Gallery, before: bytes) -> None:
    with server_of(web_gallery, header_wait_s=0.3) as port, connected(port) as server:
        server.sendall(before)
        assert read_all(server) == b""  # it was closed


def test_headers_that_come_byte_by_byte(web_gallery: Gallery) -> None:
    with server_of(web_gallery, header_wait_s=0.3) as port, connected(port) as server:
        server.sendall(head("GET", "/healthz"))
        read_until(server, b'{"status":"ok"}')
        dripping = threading.Thread(target=drip, args=(server, head("GET", "/healthz", "X: " + "y" * 400), 0.05))
        dripping.start()  # the second request of a connection
        assert read_all(server) == b""
        dripping.join()


def test_a_slow_body_is_told_so(web_gallery: Gallery) -> None:
    with server_of(web_gallery, body_wait_s=0.2) as port, connected(port) as server:
        server.sendall(head("POST", POST, "Content-Type: application/json", "Content-Length: 100") + b'{"q":')
        answer = read_all(server)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408


def test_a_body_that_drips_has_an_end(web_gallery: Gallery) -> None:
    with server_of(web_gallery, body_wait_s=10, body_total_s=0.4) as port, connected(port) as server:
        server.sendall(head("POST", POST, "Content-Type: application/json", "Content-Length: 1000"))
        dripping = threading.Thread(target=drip, args=(server, b" " * 1000, 0.05))
        dripping.start()
        assert read_all(server).startswith(b"HTTP/1.1 408 ")
        dripping.join()


def test_slow_clients_do_not_hold_up_others(web_gallery: Gallery) -> None:
    with server_of(web_gallery, header_wait_s=20) as port:
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for server in waiting:
            server.sendall(b"GET / HTTP/1.1\r\n")
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/stats").status_code == 200
        for server in waiting:
            server.close()


def asked_for_health(server: socket.socket) -> None:
    server.sendall(head("GET", "/healthz"))
    read_until(server, b'{"status":"ok"}')


def test_the_connection_that_waits_longest_makes_room(web_gallery: Gallery) -> None:
    with (
        server_of(web_gallery, max_connections=2, header_wait_s=600, keep_alive_s=600) as port,
        connected(port) as first,
        connected(port) as second,
    ):
        asked_for_health(first)
        asked_for_health(second)
        asked_for_health(first)
        with connected(port) as third:
            asked_for_health(third)
            assert read_all(second) == b"", "it was without a request for longest"
            asked_for_health(first)


def test_a_connection_is_closed_if_all_have_work(web_gallery: Gallery) -> None:
    begun = threading.Semaphore(0)

    async def hold() -> None:
        begun.release()
        await asyncio.sleep(600)  # until the client leaves

    def add(app: FastAPI) -> None:
        app.get("/hold")(hold)

    with (
        server_of(web_gallery, add, max_connections=2) as port,
        connected(port) as first,
        connected(port) as second,
    ):
        for server in (first, second):
            server.sendall(head("GET", "/hold"))
            assert begun.acquire(timeout=600)
        with connected(port) as third:
            assert read_all(third) == b""
        first.close()
        with connected(port) as fourth:
            asked_for_health(fourth)


def test_hundreds_who_only_wait_keep_nobody_out(web_gallery: Gallery) -> None:
    """Some send nothing, some half a request, some have an answer: the next user is served, again and again."""
    begins = (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", head("GET", "/healthz"))
    with server_of(web_gallery, max_connections=100, header_wait_s=600, keep_alive_s=600) as port:
        waiting = []
        for number in range(300):
            waiting.append(socket.create_connection(("127.0.0.1", port), timeout=600))
            with suppress(OSError):
                waiting[-1].sendall(begins[number % 3])
        for _ in range(3):
            answer = httpx.get(f"http://127.0.0.1:{port}{POST}?q=a+dog")
            assert answer.status_code == 200 and answer.json()["hits"]
        for server in waiting:
            server.close()


def test_what_is_not_http(web_gallery: Gallery) -> None:
    with server_of(web_gallery) as port:
        for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n", b"a" * 70_000):
            with connected(port) as server:
                server.sendall(nonsense)
                answer = read_all(server)
                assert answer.startswith(b"HTTP/1.1 4") and b"application/problem+json" in answer
                assert b"nosniff" in answer.lower() and b"default-src 'none'" in answer
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


# Work: applications with a handler that can be held


class Held:
    """An application with our limits whose ``/wait`` waits to be let go."""

    def __init__(self, **settings: Any) -> None:
        self.begun, self.cancelled, self.written = 0, 0, 0
        self.go_on = asyncio.Event()
        app = FastAPI()

        @app.get("/wait")
        async def wait() -> str:
            self.begun += 1
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "done"

        @app.post("/wait")
        async def wait_and_read(request: Request) -> int:
            return len(await request.body())

        @app.get("/healthz")
        async def healthz() -> str:
            return "ok"

        @app.get("/stream")
        async def stream() -> StreamingResponse:
            async def pieces() -> Any:
                for _ in range(1000):
                    self.written += 1
                    yield b"x" * 1000

            return StreamingResponse(pieces())

        self.app = Watch(Limits(app, Settings(**settings)))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://127.0.0.1")


def test_one_request_too_many_is_told_to_come_back() -> None:
    async def asked() -> tuple[list[int], httpx.Response, int, int]:
        held = Held(max_requests=2)
        async with held.client() as client:
            waiting = [asyncio.ensure_future(client.get("/wait")) for _ in range(2)]
            while held.begun < 2:
                await asyncio.sleep(0)
            refused = await client.get("/wait")
            healthy = (await client.get("/healthz")).status_code
            held.go_on.set()
            answers = [answer.status_code for answer in await asyncio.gather(*waiting)]
            afterwards = (await client.get("/wait")).status_code
        return answers, refused, healthy, afterwards

    answers, refused, healthy, afterwards = asyncio.run(asked())
    assert answers == [200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["type"].endswith("/busy")
    assert (healthy, afterwards) == (200, 200)


def scope(path: str) -> dict[str, Any]:
    server = {"scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "root_path": ""}
    return {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(), **server,
            "query_string": b"", "headers": [], "asgi": {"version": "3.0", "spec_version": "2.3"}}  # fmt: skip


def test_nobody_works_for_a_client_that_has_left() -> None:
    async def asked() -> tuple[Held, list[Any]]:
        held, sent = Held(), []
        messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            while len(messages) == 1 and not held.begun:
                await asyncio.sleep(0)
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(held.app(scope("/wait"), receive, send), 30)
        return held, sent

    held, sent = asyncio.run(asked())
    assert (held.begun, held.cancelled, sent) == (1, 1, [])


def test_a_whole_answer_is_sent_to_who_stays() -> None:
    async def asked() -> tuple[httpx.Response, int]:
        held = Held()
        async with held.client() as client:
            return await client.get("/stream"), held.written

    answer, written = asyncio.run(asked())
    assert (len(answer.content), written) == (1_000_000, 1000)


def test_a_body_of_many_pieces_arrives_whole() -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    async def asked() -> httpx.Response:
        async with Held(max_json_bytes=100_000).client() as client:
            return await client.post("/wait", content=pieces())

    assert asyncio.run(asked()).json() == 100_000


def test_who_does_not_read_is_left(web_gallery: Gallery) -> None:
    with server_of(web_gallery, write_wait_s=0.3) as port, socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.settimeout(30)
        server.connect(("127.0.0.1", port))
        asked = head("GET", "/api/v1/openapi.json")
        server.sendall(asked * 400)  # 400 answers of 30 KB and more fill every buffer on the way
        time.sleep(1.5)
        assert not read_all(server).endswith(b"}" * 400)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
