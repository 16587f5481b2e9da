"""The files of the web page, from a table read once: requested names are looked up, never joined to a path."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from retrieval.filters.conditions import fields

PAGE = "index.html"
_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page, as it goes out: its bytes, the same compressed, its type, and the tag of that content."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


def page_files() -> dict[str, PageFile]:
    """The files of the page by name, and the one that is made of the table of conditions."""
    return read_files(_FOLDER) | {"conditions.js": _file(".js", _conditions().encode("utf-8"))}


def read_files(folder: Path) -> dict[str, PageFile]:
    """The files in a folder by name. Files of other kinds than a page has are not part of it."""
    return {
        path.name: _file(path.suffix, path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix in _TYPES
    }


def page_router(files: Mapping[str, PageFile]) -> APIRouter:
    """``/`` is the page, ``/static/<name>`` each of the others.

    A browser keeps them and asks each time whether they are still the same, so that a new version is seen at once.
    """
    router = APIRouter()

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return _answer(request, files[PAGE])

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name == PAGE or name not in files:
            raise HTTPException(404, "there is no such file\nthe page is at /")
        return _answer(request, files[name])

    return router


def without_comments(script: str) -> str:
    """A script without the lines that are comments, which a browser has no use for; each line keeps its number.

    Only comments that begin their line are found, so that nothing inside of code is ever taken for one.
    """
    script = re.sub(r"^[ \t]*/\*.*?\*/[ \t]*$", lambda found: "\n" * found[0].count("\n"), script, flags=re.M | re.S)
    return re.sub(r"^[ \t]*//.*$", "", script, flags=re.M)


def _conditions() -> str:
    """A script with the names of a filter's fields, by what a page holds of each."""
    lists = [name for name, condition in fields() if condition.is_several]
    flags = [name for name, condition in fields() if condition.kind == "flag"]
    texts = [name for name, _ in fields() if name not in (*lists, *flags)]
    named = {"LISTS": lists, "TEXTS": texts, "FLAGS": flags}
    return "".join(f"export const {name} = {json.dumps(names)};\n" for name, names in named.items())


def _file(suffix: str, content: bytes) -> PageFile:
    if suffix == ".js":
        content = without_comments(content.decode("utf-8")).encode("utf-8")
    tag = hashlib.sha256(content).hexdigest()[:20]
    # No time inside: the same content is the same bytes, whenever the server was started.
    return PageFile(content, gzip.compress(content, 9, mtime=0), _TYPES[suffix], tag)


def _answer(request: Request, file: PageFile) -> Response:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{file.tag}-gzip"' if packed else f'"{file.tag}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        # With its type: the headers of a 304 replace those of the copy that is kept, and the policy goes by the type.
        return Response(status_code=304, headers=headers, media_type=file.media_type)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.content, media_type=file.media_type, headers=headers)


router = page_router(page_files())
