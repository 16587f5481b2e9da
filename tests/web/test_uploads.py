"""Uploaded pictures: read in memory, bounded, embedded as if they were being indexed, known by ids that say nothing."""

from __future__ import annotations

import asyncio
import builtins
import io
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")

from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from retrieval.errors import RetrievalError
from retrieval.gallery import Gallery
from retrieval.pictures import decoders, images
from retrieval.pictures.decoders import Decoders
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from retrieval.server.engine_thread import EngineLimits, EngineThread
from retrieval.web.search import uploads
from retrieval.web.search.uploads import UploadForm, read_form
from tests.conftest import EXAMPLES
from tests.hostile_pictures import empty_scans
from tests.web.conftest import client_of

DOG = EXAMPLES / "animals" / "dog.jpg"
BOUNDARY = "limit-of-a-part"
SEARCH = "/api/v1/search"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def read(body: bytes, piece: int = 1 << 16, most: int = 1 << 20, boundary: str = BOUNDARY) -> UploadForm:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    return asyncio.run(read_form(f"multipart/form-data; boundary={boundary}", stream(), most))


@given(
    data=st.binary(max_size=300).filter(lambda data: BOUNDARY.encode() not in data),
    query=st.none() | st.just(b'{"k": 3}'),
    piece=st.integers(1, 400),
)
@settings(max_examples=60, deadline=None)
def test_a_form_is_read_whatever_pieces_it_comes_in(data: bytes, query: bytes | None, piece: int) -> None:
    body = part("picture", data, "x.jpg") + (b"" if query is None else part("query", query)) + END
    assert read(body, piece) == UploadForm(data, query or b"")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (END, "has no picture"),
        (part("query", b"{}") + END, "has no picture"),
        (part("picture", b"1") + part("picture", b"2") + END, "two parts named picture"),
        (part("picture", b"1") + part("else", b"2") + END, "other than picture and query"),
        (b"no form at all", "cannot be parsed"),
        (part("picture", b"1").replace(b"name=", b"x" * 5000), "header is too long|cannot be parsed"),
    ],
)
def test_what_is_no_such_form_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(RetrievalError, match=said) as caught:
        read(body)
    assert "multipart/form-data" in caught.value.hint or "send one" in caught.value.hint


@given(st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_a_form_or_a_problem(body: bytes) -> None:
    with pytest.raises((RetrievalError, HTTPException)):
        read(f"--{BOUNDARY}\r\n".encode() + body)


def test_a_form_without_a_boundary_is_refused() -> None:
    with pytest.raises(RetrievalError, match="cannot be parsed"):
        read(part("picture", b"1") + END, boundary="")


def test_reading_stops_at_the_limit() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield part("picture", b"")[:-2]
        while True:
            taken += 1000
            yield b"x" * 1000

    with pytest.raises(HTTPException) as caught:
        asyncio.run(read_form(f"multipart/form-data; boundary={BOUNDARY}", endless(), 50_000))
    assert caught.value.status_code == 413 and taken <= 51_000


@pytest.fixture
def nothing_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files that are opened for writing, by whatever means, and temporary ones that are made."""
    written: list[Any] = []
    real_open, real_os_open = builtins.open, os.open

    def opened(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            written.append(file)
        return real_open(file, mode, *args, **more)

    def os_opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            written.append(path)
        return real_os_open(path, flags, *args, **more)

    def spooled(*args: Any, **more: Any) -> Any:
        written.append("a temporary file")
        raise AssertionError("a temporary file")

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(os, "open", os_opened)
    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, spooled)
    yield
    assert not written


def post(client: TestClient, data: bytes, query: str | None = None) -> Any:
    form = {} if query is None else {"query": query}
    return client.post(SEARCH, files={"picture": ("a.bin", data, "application/octet-stream")}, data=form)


def noise(form: str, width: int = 1400, height: int = 1100) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def test_a_picture_is_never_written_to_disk(client: TestClient, nothing_written: None) -> None:
    large = noise("PNG")
    assert len(large) > 4 << 20  # well above where frameworks begin to use files
    answer = post(client, large, '{"k": 1}')
    assert answer.status_code == 200, answer.text


def test_a_picture_finds_what_the_command_line_finds(client: TestClient, web_gallery: Gallery, tmp_path: Path) -> None:
    picture = tmp_path / "of-nobody.jpg"
    with Image.open(DOG) as image:
        image.resize((500, 400)).save(picture, quality=80)
    answer = post(client, picture.read_bytes(), '{"k": 5}').json()
    with QueryEngine(web_gallery) as engine:
        expected = engine.search(Query((Term("image", picture),), k=5))
    assert [hit["id"] for hit in answer["hits"]] == [hit.image.id for hit in expected]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert answer["cut"] is None and answer["hits"][0]["relevant"] is None


def test_an_upload_is_known_by_its_id_afterwards(client: TestClient) -> None:
    first = post(client, DOG.read_bytes(), '{"k": 4}').json()
    upload = first["upload"]
    assert upload.startswith("u1.") and post(client, DOG.read_bytes()).json()["upload"] == upload
    again = client.get(SEARCH, params={"like": upload, "k": 4}).json()
    assert again["hits"] == first["hits"] and again["list"] == first["list"]
    assert again["query"]["terms"] == [{"kind": "upload", "value": upload, "weight": 1.0}]
    refined = client.get(SEARCH, params={"like": upload, "q": "a cat", "less": first["hits"][0]["id"], "k": 4}).json()
    assert refined["hits"] != first["hits"]
    assert first["hits"][0]["id"] not in [hit["id"] for hit in refined["hits"]]
    weighted = {"terms": [{"kind": "id", "value": upload, "weight": 2}, {"kind": "text", "value": "cat"}], "k": 1}
    assert client.post(SEARCH, json=weighted).status_code == 200


def test_an_upload_that_was_forgotten_is_gone(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_REMEMBERED", 2)
    small = [noise("PNG", 40 + n, 40) for n in range(3)]
    names = [post(client, data).json()["upload"] for data in small]
    gone = client.get(SEARCH, params={"like": names[0]})
    assert gone.status_code == 410 and gone.headers["content-type"] == "application/problem+json"
    assert gone.json()["detail"] == "upload it again"
    assert client.get(SEARCH, params={"like": names[2]}).status_code == 200
    assert client.get(SEARCH, params={"like": "u1." + "0" * 32}).status_code == 410


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats_are_told_by_content(client: TestClient, form: str) -> None:
    assert post(client, noise(form, 60, 50), '{"k": 1}').status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'", DOG.read_bytes()[:3000], b"\x89PNG\r\n\x1a\n"],
    ids=["empty", "text", "svg", "cut short", "damaged"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(client: TestClient, data: bytes) -> None:
    answer = post(client, data)
    assert answer.status_code == 415, answer.text
    assert answer.json()["type"].endswith("/unreadable-image")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(client: TestClient) -> None:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    assert len(out.getvalue()) < 1 << 20
    answer = post(client, out.getvalue())
    assert answer.status_code == 415
    assert "900 megapixels" in answer.json()["title"]


def test_a_picture_that_takes_too_long_is_refused_and_others_go_past_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(client, noise("JPEG2000", 60, 50), '{"k": 1}').status_code == 200, "a decoder process is running"
    monkeypatch.setattr(uploads, "MOST_SECONDS", 2)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(post, client, empty_scans(side=9900))
        assert post(client, noise("PNG", 61, 50), '{"k": 1}').status_code == 200
        answer = slow.result()
    assert answer.status_code == 415
    assert answer.json()["title"] == "it took more than 2 s to decode"


def test_a_picture_whose_client_has_left_is_given_up(web_gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    made, begun = Decoders(seconds=6000), threading.Event()
    monkeypatch.setattr(images, "shared", made)
    monkeypatch.setattr(uploads, "MOST_SECONDS", 6000)
    ask = decoders._Process.ask

    def noticed(process: decoders._Process, *given: Any) -> Any:
        begun.set()
        return ask(process, *given)

    monkeypatch.setattr(decoders._Process, "ask", noticed)
    engine = EngineThread(web_gallery, EngineLimits())

    async def leave() -> None:
        task = asyncio.create_task(uploads.Uploads().add(engine, empty_scans(side=9900)))
        assert await asyncio.to_thread(begun.wait, 600)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())  # waits for its threads
    assert made._idle == [], "the process was ended"
    engine.close()
    made.close()


def test_a_picture_with_too_many_bytes_is_refused(web_gallery: Gallery) -> None:
    with client_of(web_gallery, max_upload_bytes=100_000) as client:
        answer = post(client, noise("PNG", 400, 300))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_query_beside_a_picture_is_checked(client: TestClient) -> None:
    for query in ('{"k": 0}', "{", '{"colour": 1}'):
        assert post(client, DOG.read_bytes(), query).status_code == 422
    assert post(client, DOG.read_bytes(), '{"camera": ["nobody"]}').status_code == 400
