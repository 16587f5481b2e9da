"""Uploaded query pictures: read into memory and embedded; only the vector is kept."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3
from fastapi import HTTPException
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from indexes.base import Vectors
from retrieval.errors import QueryError, UnreadableImage
from retrieval.web.front.metrics import stage

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

    from retrieval.catalog.encoders import EncoderRow
    from retrieval.encoders.base import Preprocessing
    from retrieval.search.engine import QueryEngine
    from retrieval.server.engine_thread import EngineThread

MOST_PIXELS = 100_000_000
"""Pixels of an uploaded picture: 300 MB decoded. (A large JPEG is decoded at reduced size and may have more.)"""

MOST_SECONDS = 10
"""CPU time to decode an uploaded picture that has to be decoded in another process; 100 megapixels take 4 s."""

_AT_ONCE = 4
_REMEMBERED = 64
_MOST_PARTS = 8
_MOST_HEADER = 4096
_MOST_TEXT = 1 << 20
_HINT = "send multipart/form-data with a part named picture, and one named query with JSON"


class UploadForm(NamedTuple):
    """The content of a form.

    Attributes:
        picture: a file's bytes.
        query: JSON; empty if there was none.
    """

    picture: bytes
    query: bytes


async def read_form(content_type: str, stream: AsyncIterator[bytes], most_bytes: int) -> UploadForm:
    """The parts ``picture`` and ``query`` of a form.

    Frameworks write large parts to temporary files; these bytes stay in memory, limited by ``most_bytes``.

    Raises:
        QueryError: not a form, or one with other parts.
        HTTPException: 413.
    """
    _, options = parse_options_header(content_type.encode("latin-1", "replace"))
    parts = _Parts()
    size = 0
    try:
        parser = MultipartParser(options.get(b"boundary", b""), parts.callbacks())
        async for chunk in stream:
            size += len(chunk)
            if size > most_bytes:
                raise HTTPException(413, f"the upload is larger than {most_bytes >> 20} MiB\nsend a smaller picture")
            parser.write(chunk)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise QueryError("the form cannot be parsed", _HINT) from error
    if "picture" not in parts.found:
        raise QueryError("the form has no picture", _HINT)
    return UploadForm(bytes(parts.found["picture"]), bytes(parts.found.get("query", b"")))


class _Parts:
    """Collects a form's parts as the parser reports them."""

    def __init__(self) -> None:
        self.found: dict[str, bytearray] = {}
        self._count = 0
        self._field, self._value = bytearray(), bytearray()
        self._name = ""
        self._data: bytearray | None = None

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin, "on_header_field": self._on_field, "on_header_value": self._on_value,
            "on_header_end": self._header_end, "on_headers_finished": self._headers_finished,
            "on_part_data": self._on_data,
        }  # fmt: skip

    def _begin(self) -> None:
        self._count += 1
        if self._count > _MOST_PARTS:
            raise QueryError("the form has too many parts", _HINT)
        self._name, self._data = "", None
        self._field, self._value = bytearray(), bytearray()

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._check_header()

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._field) + len(self._value) > _MOST_HEADER:
            raise QueryError("a part's header is too long", _HINT)

    def _header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._field, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        if self._name not in ("picture", "query"):
            raise QueryError("the form has a part other than picture and query", _HINT)
        if self._name in self.found:
            raise QueryError(f"the form has two parts named {self._name}", "send one")
        self._data = self.found[self._name] = bytearray()

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._data is not None
        self._data += data[start:end]
        if self._name == "query" and len(self._data) > _MOST_TEXT:
            raise HTTPException(413, "the form's query is too long\nsend a shorter one")


class Uploads:
    """The vectors of the pictures uploaded last, under opaque ids. Used on the event loop only."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[str, tuple[str, Vectors]] = OrderedDict()
        self._key = secrets.token_bytes(32)
        # Their memory is limited elsewhere; more at a time would only compete for the cores.
        self._decoding = asyncio.Semaphore(_AT_ONCE)

    async def add(self, engine_thread: EngineThread, data: bytes) -> str:
        """Embed a picture and return its id; the same picture has the same id as long as the server runs.

        Raises:
            UnreadableImage: not a picture, a damaged one, one with too many pixels, or one that takes too long.
        """
        row, preprocessing = await engine_thread.run(_wanted)
        name = "u1." + blake3(data + row.fingerprint.encode(), key=self._key).hexdigest()[:32]
        if name not in self._vectors:
            async with self._decoding:
                vector = await _embedded(engine_thread, data, preprocessing)
            self._vectors[name] = (row.fingerprint, vector)
        self._vectors.move_to_end(name)
        while len(self._vectors) > _REMEMBERED:
            self._vectors.popitem(last=False)
        return name

    def find(self, names: list[str]) -> dict[str, tuple[str, Vectors]]:
        """Id -> the encoder's fingerprint and the vector (dim,).

        Raises:
            HTTPException: 410, one of them was forgotten.
        """
        found = {}
        for name in names:
            if name not in self._vectors:
                raise forgotten()
            self._vectors.move_to_end(name)
            found[name] = self._vectors[name]
        return found


def forgotten() -> HTTPException:
    """The error for an upload that is no longer known."""
    return HTTPException(410, "the uploaded picture was forgotten\nupload it again")


def _wanted(engine: QueryEngine) -> tuple[EncoderRow, Preprocessing]:
    return engine.encoder_row, engine.encoder.spec.preprocessing


async def _embedded(engine_thread: EngineThread, data: bytes, preprocessing: Preprocessing) -> Vectors:
    """(dim,): decoded on a separate thread, since a large picture takes seconds; encoded on the engine thread.

    If the client leaves, or the server stops, a picture that takes long is given up.
    """
    from retrieval.pictures.decoders import Abandonment, abandonable
    from retrieval.pictures.images import read_picture

    given_up = Abandonment()

    def decoded() -> Vectors:
        with stage("decode"), abandonable(given_up):
            picture = read_picture(data, preprocessing, max_pixels=MOST_PIXELS, seconds=MOST_SECONDS)
            return picture.pixels[None]  # type: ignore[return-value]

    if not data:
        raise UnreadableImage("the uploaded picture is empty")
    try:
        pixels = await asyncio.to_thread(decoded)
    except asyncio.CancelledError:
        given_up.set()
        raise

    def encoded(engine: QueryEngine) -> Vectors:
        vector: Vectors = engine.encoder.encode_images(pixels)[0]  # type: ignore[arg-type]
        return vector

    return await engine_thread.run(encoded)
