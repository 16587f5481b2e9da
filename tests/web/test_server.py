"""The server as a process: what it says, what it refuses, how it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from retrieval.encoders.registry import load_encoder
from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web import app_state
from retrieval.web import server as server_module
from retrieval.web.server import listen, serve
from retrieval.web.settings import Settings
from tests.conftest import EXAMPLES
from tests.web.conftest import ROOT, Running, server_of

Start = Callable[..., Running]


def test_it_says_where_it_is_and_leaves_without_a_word(web_gallery: Gallery, start_server: Start) -> None:
    server = start_server(web_gallery.path)
    port = server.url.rpartition(":")[2]
    assert server.line == f"photoseek: http://127.0.0.1:{port}  (Ctrl-C stops it)\n"
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(server.url).headers["content-type"].startswith("text/html")
    assert server.stop() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_runs_is_finished_before_it_leaves(web_gallery: Gallery, start_server: Start, number: int) -> None:
    server = start_server(web_gallery.path)
    port = int(server.url.rpartition(":")[2])
    body = b'{"q": ["a dog"]}'
    with socket.create_connection(("127.0.0.1", port), timeout=600) as client:
        client.sendall(
            b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 "), "the request is being answered"
        client.sendall(body[:5])
        server.process.send_signal(number)
        client.sendall(body[5:])
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.ended() == (0, "")


def test_idle_connections_and_half_requests_do_not_keep_it(web_gallery: Gallery, start_server: Start) -> None:
    server = start_server(web_gallery.path)
    port = int(server.url.rpartition(":")[2])
    with httpx.Client() as kept, socket.create_connection(("127.0.0.1", port)) as half:
        assert kept.get(f"{server.url}/healthz").status_code == 200
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        code, said = server.stop()
    assert (code, said) == (0, "")


def test_a_stuck_request_is_given_up(web_gallery: Gallery, start_server: Start) -> None:
    server = start_server(web_gallery.path)
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=600) as client:
        client.sendall(
            b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 "), "the request is being answered"
        code, said = server.stop()
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
    assert code == 0
    assert "Traceback" not in said


def test_streams_end_when_it_leaves(web_gallery: Gallery) -> None:
    def add_stream(app: FastAPI) -> None:
        @app.get("/forever")
        async def forever(request: Request) -> StreamingResponse:
            async def ticks() -> AsyncIterator[bytes]:
                stopping = app_state.stopping(request)
                while not stopping.is_set():
                    yield b"tick"
                    await asyncio.sleep(0.01)
                yield b"end"

            return StreamingResponse(ticks())

    with ExitStack() as still_there:
        with server_of(web_gallery, add_stream, stop_within_s=600) as port:
            answer = still_there.enter_context(httpx.stream("GET", f"http://127.0.0.1:{port}/forever", timeout=600))
            pieces = answer.iter_raw()
            assert next(pieces).startswith(b"tick")
        assert b"".join(pieces).endswith(b"end")


def test_what_does_not_end_is_ended(web_gallery: Gallery) -> None:
    begun = threading.Event()

    def add_work(app: FastAPI) -> None:
        @app.get("/stuck")
        async def stuck() -> None:
            begun.set()
            await asyncio.sleep(600)

    answers: list[httpx.Response] = []
    with server_of(web_gallery, add_work, stop_within_s=1) as port:
        url = f"http://127.0.0.1:{port}/stuck"
        asking = threading.Thread(target=lambda: answers.append(httpx.get(url, timeout=600)))
        asking.start()
        assert begun.wait(600)
    asking.join(600)
    assert (answers[0].status_code, answers[0].headers["retry-after"]) == (503, "1")
    assert answers[0].json()["type"].endswith("/stopping")


def test_the_browser_is_shown_the_page_without_the_token_on_its_command_line(
    web_gallery: Gallery, start_server: Start, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}.part; mv {shown}.part {shown}\n', encoding="utf-8")
    browser.chmod(0o700)
    server = start_server(web_gallery.path, "--open", "--token", "a b&c", env=os.environ | {"BROWSER": f"{browser} %s"})
    until = time.monotonic() + 600
    while not shown.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert shown.read_text(encoding="utf-8") == server.url
    with httpx.Client(follow_redirects=True, headers={"Accept": "text/html"}) as visitor:
        asks = visitor.get(shown.read_text(encoding="utf-8"))
        assert asks.status_code == 401 and '<form method="post">' in asks.text
        assert visitor.post(server.url, data={"token": "a b&c"}).status_code == 200
    server.stop()


def test_without_a_gallery_it_starts_and_finds_what_comes(tmp_path: Path, start_server: Start) -> None:
    server = start_server(tmp_path / "gallery")
    empty = httpx.get(f"{server.url}/api/v1/stats")
    assert (empty.status_code, empty.json()["type"].rpartition("/")[2]) == (503, "gallery-not-found")
    assert httpx.get(server.url).status_code == 200
    Indexer(Gallery(tmp_path / "gallery"), load_encoder("builtin-224")).run(EXAMPLES / "space")
    found = httpx.get(f"{server.url}/api/v1/search", params={"q": "the moon"})
    assert found.status_code == 200 and found.json()["total"] > 0
    assert server.stop() == (0, "")


def test_the_token_of_the_command_line_and_of_the_environment(web_gallery: Gallery, start_server: Start) -> None:
    env = os.environ | {"PHOTOSEEK_TOKEN": "from the environment"}
    for server, token in (
        (start_server(web_gallery.path, "--token", "from the flag"), "from the flag"),
        (start_server(web_gallery.path, env=env), "from the environment"),
    ):
        assert token not in server.line
        assert httpx.get(f"{server.url}/api/v1/stats").status_code == 401
        with_token = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/api/v1/stats", headers=with_token).status_code == 200
        server.stop()


def test_where_others_can_connect_a_token_is_made(web_gallery: Gallery, start_server: Start) -> None:
    server = start_server(web_gallery.path, "--host", "0.0.0.0")
    entry = server.line.split()[1]
    assert "/?token=" in entry
    port, token = server.url.rpartition(":")[2], entry.rpartition("=")[2]
    assert len(token) >= 32
    local = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{local}/api/v1/stats").status_code == 401
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(f"{local}/?token={token}").status_code == 200
        assert browser.get(f"{local}/api/v1/stats").status_code == 200
    server.stop()


def test_a_token_that_strangers_could_guess_is_refused(gallery: Gallery) -> None:
    with pytest.raises(SettingsError, match="5 characters"):
        serve(gallery, Settings(host="0.0.0.0", port=0, token="short"), lambda line: None)


def test_a_port_that_is_taken(web_gallery: Gallery, running_server: Running) -> None:
    port = running_server.url.rpartition(":")[2]
    command = [sys.executable, str(ROOT / "cli.py"), "serve", "--gallery", str(web_gallery.path), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith(f"photoseek: cannot listen on 127.0.0.1, port {port}: ")
    assert "--port 0" in second
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a" * 300, "\udce9"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    with pytest.raises(SettingsError, match="cannot listen on"):
        listen(host, 0)


def test_an_address_of_the_next_protocol(gallery: Gallery) -> None:
    try:
        listener = listen("::1", 0)
    except SettingsError:
        pytest.skip("no IPv6 here")
    with listener:
        assert server_module._url("::1", listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; import cli\n"
        "sys.argv = ['photoseek', 'serve', '--port', '0']\ncli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "photoseek: the web page needs uvicorn, which is not installed",
        "           run: pip install 'photoseek[web]'",
    ]


def test_flags_that_cannot_be(gallery: Gallery) -> None:
    command = [sys.executable, str(ROOT / "cli.py"), "serve", "--gallery", str(gallery.path)]
    for flags in (["--port", "70000"], ["--port", "-1"], ["--host", "no.such.host.invalid"]):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr
