"""A response from an open file: all of it or a range; the file is never reopened by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from retrieval.paths import as_text
from retrieval.web.front.problems import Problem
from retrieval.web.front.security import DATA_POLICY

PICTURE_HEADERS = {
    # Whatever a file contains, it is not a page, and if it were, it could do nothing. Browsers style the page that
    # they make around a lone picture.
    "Content-Security-Policy": f"{DATA_POLICY}; media-src 'self'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response with a picture."""

_BLOCK = 256 << 10
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_TOKEN = "!#$&+-.^_`|~"


class OpenFileResponse(Response):
    """The bytes of an open file (or of a stretch of it), which it closes; a part if the request asks for one.

    A request for several parts is answered with the whole file, as RFC 9110, 14.2 allows.

    Args:
        file: open for reading.
        size: how many bytes.
        mtime_ns: of the file.
        tag: the entity tag of these bytes.
        offset: where they begin in the file.
        media_type: of the response.
        headers: further headers.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        mtime_ns: int,
        *,
        tag: str,
        media_type: str,
        headers: Mapping[str, str],
        offset: int = 0,
    ) -> None:
        self._file, self._size, self._tag, self._offset = file, size, tag, offset
        self._modified = formatdate(mtime_ns // 1_000_000_000, usegmt=True)
        own = {
            "Content-Length": str(size),
            "Accept-Ranges": "bytes",
            "ETag": tag,
            "Last-Modified": self._modified,
            **PICTURE_HEADERS,
        }
        super().__init__(headers={**own, **headers}, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = Headers(scope=scope)
            asked = headers.get("range") if scope["method"] == "GET" and self._may_be_part(headers) else None
            part = asked_part(asked, self._size)
            if part is None:
                nothing = {"Content-Range": f"bytes */{self._size}", "Accept-Ranges": "bytes"}
                title, detail = "the file has no such part", f"it has {self._size:,} bytes"
                await Problem(416, title, detail, instance=scope["path"], headers=nothing)(scope, receive, send)
                return
            start, end = part
            if asked is not None and (start, end) != (0, self._size):
                self.status_code = 206
                self.headers["Content-Range"] = f"bytes {start}-{end - 1}/{self._size}"
                self.headers["Content-Length"] = str(end - start)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send(start, start if scope["method"] == "HEAD" else end, send)
        finally:
            self._file.close()

    def _may_be_part(self, headers: Headers) -> bool:
        """False if the part is requested under a condition that does not hold: the client has another version."""
        return headers.get("if-range", self._tag) in (self._tag, self._modified)

    async def _send(self, start: int, end: int, send: Send) -> None:
        while start < end:
            block = await run_in_threadpool(self._read, start, min(_BLOCK, end - start))
            if not block:
                raise OSError("the file was cut short while it was sent")
            start += len(block)
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(self._offset + at)
        return self._file.read(count)


def asked_part(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range of bytes that a ``Range`` header asks for; None if the file has no such bytes.

    Anything other than one range of bytes is ignored, and the whole file sent. Reference: RFC 9110, 14.1.2 and 14.2.
    """
    found = None if header is None else _RANGE.fullmatch(header)
    first, last = ("", "") if found is None else found.groups()
    if first and last and int(first) > int(last):
        first = last = ""
    if first:
        end = min(int(last) + 1, size) if last else size
        return (int(first), end) if int(first) < size else None
    if last:
        return (max(size - int(last), 0), size) if int(last) else None
    return 0, size


def is_known(header: str | None, tag: str) -> bool:
    """True if an ``If-None-Match`` header names this entity tag (compared weakly, RFC 9110, 13.1.2)."""
    known = {part.strip().removeprefix("W/") for part in (header or "").split(",")}
    return "*" in known or tag.removeprefix("W/") in known


def disposition(kind: str, name: str) -> str:
    """``Content-Disposition`` with a file name of any characters. Reference: RFC 6266, 4 and appendix D; RFC 8187."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    exact = quote(as_text(name), safe=_TOKEN)
    return f'{kind}; filename="{plain}"' + ("" if plain == name else f"; filename*=UTF-8''{exact}")
