"""A client that leaves in the middle of an answer: nothing is told of it, and the server answers the next one."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.web.conftest import Running

Start = Callable[..., Running]

_SIDE = 2600


@pytest.fixture
def large(tmp_path: Path) -> Gallery:
    """A picture of 20 MB, which no buffer between server and client holds."""
    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise).save(tmp_path / "photos" / "noise.bmp")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery


def begun(port: int, request: bytes) -> socket.socket:
    """A connection over which the first bytes of an answer came."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    client.sendall(request)
    assert client.recv(512).startswith(b"HTTP/1.1 20")
    return client


def closed(client: socket.socket) -> None:
    client.close()


def torn(client: socket.socket) -> None:
    """Without a goodbye, as when a cable is pulled."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def requests() -> list[bytes]:
    """For the picture, a part of it, and an archive with it."""
    head = b"Host: 127.0.0.1\r\n"
    body = json.dumps({"ids": [1]}).encode()
    sent = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return [
        b"GET /api/v1/images/1/file HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /api/v1/images/1/file HTTP/1.1\r\n" + head + b"Range: bytes=1000-\r\n\r\n",
        b"POST /api/v1/download HTTP/1.1\r\n" + head + sent,
    ]


def test_nothing_is_told(large: Gallery, start_server: Start) -> None:
    server = start_server(large.path)
    port = int(server.url.rpartition(":")[2])
    for request in requests():
        for leave in (closed, torn):
            leave(begun(port, request))
            assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert server.stop() == (0, "")
