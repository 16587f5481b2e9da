"""Pictures from the network: a server on this machine, which is not public, so only that check is replaced."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.errors import QueryError, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.pictures import web_picture
from retrieval.pictures.web_picture import Address, fetch_picture, is_public
from retrieval.search.engine import QueryEngine
from retrieval.search.language import parse_query
from retrieval.search.query import Query, Term
from tests.fakes import ColourEncoder

Answer = Callable[[BaseHTTPRequestHandler], None]


MOST_DROPS = 6000
"""Bytes, ten a second: each alone comes in time. A client that waits for the last of them gets an answer."""


class Server:
    """Answers each path as it was told to; ``asked`` has (path, Host header) of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers["Host"]))
                with suppress(OSError):  # a client that hung up
                    server.answers[self.path](self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def encrypt(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def anywhere(_address: Address) -> bool:
    return True


def test_the_bytes_come_as_they_are(server: Server) -> None:
    server.answers["/a%20b.png?x=%C3%A9&y=1"] = sends(b"picture" * 50_000)
    url = server.url("/a%20b.png?x=\u00e9&y=1")
    assert fetch_picture(url, is_allowed=anywhere) == b"picture" * 50_000
    assert server.asked == [("/a%20b.png?x=%C3%A9&y=1", f"127.0.0.1:{server.port}")]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0", "0177.0.0.1", "127.1",
     "017700000001", "[::1]", "[0:0:0:0:0:ffff:7f00:1]", "\uff11\uff12\uff17.0.0.1"],
)  # fmt: skip
def test_this_machine_is_refused_by_every_name(server: Server, host: str) -> None:
    server.answers["/a.png"] = sends(b"secret")
    with pytest.raises(QueryError, match="not a public address"):
        fetch_picture(server.url("/a.png", host))
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07::1", True),
        ("::ffff:8.8.8.8", True),
        *((address, False) for address in (
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
            "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::1", "2002:a00:1::", "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe", "2001:db8::1",
            # Python 3.11 takes these for global.
            "192.0.0.192", "192.88.99.1", "192.0.0.8", "198.18.0.1", "203.0.113.9", "fec0::1", "3fff::1", "5f00::1",
            "64:ff9b:1::808:808", "::8.8.8.8", "100::1", "2001::1", "2002:808:808::1", "::ffff:0:7f00:1", "4000::1",
            "::ffff:192.0.0.192", "64:ff9b::c058:6301",
        )),
        ("64:ff9b::808:808", True),
        ("2a00:1450:4001::1", True),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


INNER = ("192.0.0.192", "192.88.99.1", "169.254.169.254", "127.0.0.1", "fec0::1", "::ffff:10.0.0.1", "2002:7f00:1::1",
         "64:ff9b::7f00:1", "fe80::1%eth0", "::1")  # fmt: skip


@pytest.mark.parametrize("address", INNER)
@pytest.mark.parametrize("is_redirected", [False, True], ids=["at once", "after a redirect"])
def test_no_name_leads_inside(
    server: Server, monkeypatch: pytest.MonkeyPatch, address: str, is_redirected: bool
) -> None:
    """With a resolver of ours: nothing asks for such an address, so nothing can connect to it either."""
    connected, connect = [], socket.create_connection

    def resolved(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = address if host == "inside.example" else "127.0.0.1"
        return [(socket.AF_INET6 if ":" in found else socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    def counted(there: tuple[str, int], **named: Any) -> socket.socket:
        connected.append(there)
        assert there == ("127.0.0.1", server.port)
        return connect(there, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", counted)
    first = f"http://inside.example:{server.port}/a.png"
    if is_redirected:
        server.answers["/old"] = sends(b"", 302, Location=f"http://inside.example:{server.port + 1}/a.png")
        first = server.url("/old", "outside.example")
    allowed = [True] if is_redirected else []  # the redirecting server stands for one on the internet
    with pytest.raises(QueryError, match="not a public address"):
        fetch_picture(first, is_allowed=lambda each: bool(allowed and allowed.pop()) or is_public(each))
    assert len(connected) == is_redirected


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(QueryError, match=r"example.org is at 10.0.0.1, which is not a public"):
        fetch_picture("http://example.org/a.png")


def test_the_connection_goes_to_the_address_that_was_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose address changes after the check (DNS rebinding) is not looked up again."""
    server.answers["/a.png"] = sends(b"picture")
    looked_up: list[str] = []

    def changing(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host == "127.0.0.1":  # the connection itself, by number
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        looked_up.append(host)
        assert len(looked_up) == 1, "the name was asked for twice"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    checked: list[str] = []
    found = fetch_picture(
        server.url("/a.png", "pictures.example"), is_allowed=lambda address: not checked.append(str(address))
    )
    assert (found, checked) == (b"picture", ["127.0.0.1"])
    assert server.asked == [("/a.png", f"pictures.example:{server.port}")]


def test_a_redirect_is_followed_and_checked_again(server: Server) -> None:
    server.answers["/old"] = sends(b"", 302, Location="new/a.png")
    server.answers["/new/a.png"] = sends(b"picture")
    assert fetch_picture(server.url("/old"), is_allowed=anywhere) == b"picture"
    server.answers["/inward"] = sends(b"", 301, Location=f"http://localhost:{server.port}/new/a.png")
    asked = len(server.asked)
    checks = iter((True, False))
    with pytest.raises(QueryError, match="not a public address"):
        fetch_picture(server.url("/inward"), is_allowed=lambda _: next(checks))
    assert len(server.asked) == asked + 1


@pytest.mark.parametrize(
    "there", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://me:secret@127.0.0.1/", "http:///x"]
)
def test_a_redirect_to_something_else_is_refused(server: Server, there: str) -> None:
    server.answers["/old"] = sends(b"", 302, Location=there)
    with pytest.raises(QueryError):
        fetch_picture(server.url("/old"), is_allowed=anywhere)


def test_redirects_end(server: Server) -> None:
    server.answers["/round"] = sends(b"", 302, Location="/round")
    with pytest.raises(QueryError, match="redirected more than 5 times"):
        fetch_picture(server.url("/round"), is_allowed=anywhere)
    assert len(server.asked) == 6


def test_what_is_too_large_is_not_read(server: Server) -> None:
    server.answers["/said"] = sends(b"", Content_Length=str(10**12))
    sent = []

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while len(sent) < 1000:
            request.wfile.write(b"x" * 65536)
            sent.append(1)

    server.answers["/unsaid"] = endless
    for path in ("/said", "/unsaid"):
        with pytest.raises(QueryError, match="larger than 1 MiB"):
            fetch_picture(server.url(path), is_allowed=anywhere, max_bytes=1 << 20)
    assert len(sent) < 1000


@pytest.mark.parametrize("where", ["before the status", "in the headers", "in the body"])
def test_a_server_that_drips_is_left(server: Server, where: str) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        if where != "before the status":
            request.wfile.write(b"HTTP/1.0 200 OK\r\n")
        if where == "in the body":
            request.wfile.write(b"Content-Length: %d\r\n\r\n" % MOST_DROPS)
        for _ in range(MOST_DROPS):
            request.wfile.write(b"x")
            time.sleep(0.1)

    server.answers["/slow"] = drip
    with pytest.raises(QueryError, match="does not answer in time"):
        fetch_picture(server.url("/slow"), is_allowed=anywhere, max_seconds=0.5)


def test_a_greeting_that_drips_is_left_too() -> None:
    """The start of TLS, before any request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x40\x00")  # a long handshake record, and then little of it
                for _ in range(MOST_DROPS):
                    connection.sendall(b"x")
                    time.sleep(0.1)

        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(QueryError, match="does not answer in time"):
            fetch_picture(f"https://127.0.0.1:{listener.getsockname()[1]}/", is_allowed=anywhere, max_seconds=0.5)
        dripping.join()


def test_other_failures_are_told(server: Server) -> None:
    server.answers["/gone"] = sends(b"no", 404)
    server.answers["/short"] = sends(b"half", Content_Length="100")
    with pytest.raises(QueryError, match="answers 404"):
        fetch_picture(server.url("/gone"), is_allowed=anywhere)
    with pytest.raises(QueryError, match="cannot fetch"):
        fetch_picture(server.url("/short"), is_allowed=anywhere)
    with pytest.raises(QueryError, match="cannot fetch"):
        fetch_picture("http://127.0.0.1:9/", is_allowed=anywhere, max_seconds=5)
    for url in ("http://x:99999/", "http://[::1/", "gopher://x/", "http://", "http://u:p@x/", "http://x/a b", "//x/y"):
        with pytest.raises(QueryError):
            fetch_picture(url, is_allowed=anywhere)


def test_without_tls_there_is_no_https(server: Server) -> None:
    with pytest.raises(QueryError, match="cannot fetch"):
        fetch_picture(f"https://127.0.0.1:{server.port}/a.png", is_allowed=anywhere, max_seconds=5)
    assert server.asked == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_the_certificate_has_to_be_for_the_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pictures.example"]
    names = ["-addext", "subjectAltName=DNS:pictures.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True, timeout=600)
    server.encrypt(certificate, key)
    server.answers["/a.png"] = sends(b"picture")
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here)

    def fetch(name: str) -> bytes:
        return fetch_picture(f"https://{name}:{server.port}/a.png", is_allowed=anywhere)

    with pytest.raises(QueryError, match="self-signed certificate"):
        fetch("pictures.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch("pictures.example") == b"picture"
    assert server.asked == [("/a.png", f"pictures.example:{server.port}")]
    with pytest.raises(QueryError, match=r"certificate is not valid for 'other\.example'"):
        fetch("other.example")


@pytest.fixture
def open_house(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_picture, "is_public", anywhere)


@pytest.mark.usefixtures("open_house")
def test_a_search_by_address_is_the_search_by_file(
    server: Server, indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    server.answers["/a.jpg"] = sends((photos / "green.jpg").read_bytes())
    server.answers["/page"] = sends(b"<html>no picture</html>")
    with QueryEngine(indexed, encoder) as engine:
        by_file = engine.search(Query((Term("image", photos / "green.jpg"), Term("text", "red", -0.5))))
        by_url = engine.search(Query(parse_query(f"img:{server.url('/a.jpg')} - 0.5:red", allow_urls=True)))
        assert [hit.image.id for hit in by_url] == [hit.image.id for hit in by_file]
        np.testing.assert_allclose([hit.score for hit in by_url], [hit.score for hit in by_file], atol=1e-3)
        assert len(engine.similar(Term("url", server.url("/a.jpg")))) == 6, "no image of the gallery is meant"
        with pytest.raises(UnreadableImage, match=r"page: not an image"):
            engine.search(Query((Term("url", server.url("/page")),)))
