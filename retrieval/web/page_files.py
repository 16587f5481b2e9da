"""The files of the web page, from a table read once: requested names are looked up, never joined to a path.

``/`` is written out in each language of the page when the server starts; a browser gets the one that it asks for.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from rcssmin import cssmin
from rjsmin import jsmin

from retrieval.filters.conditions import CONDITIONS, fields
from retrieval.search.language import PREFIXES
from retrieval.web.languages import language_of, languages, messages

PAGE = "index.html"
WORKER = "worker.js"
TITLE = "photoseek"
WORKER_POLICY = "default-src 'none'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""A worker has the policy that it came with: this one asks nobody but the server."""
_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SMALLER: Mapping[str, Callable[[str], str]] = {".js": jsmin, ".css": cssmin}
"""Without comments and blanks. A template inside a template (in JavaScript) is taken for code: it must have no blanks
that count, which a test looks for."""


@dataclass(frozen=True)
class PageFile:
    """One file of the page as it is sent: its bytes, the same compressed, its type, and its entity tag."""

    content: bytes
    packed: bytes
    media_type: str
    tag: str


def page_files() -> dict[str, PageFile]:
    """The files below ``/static/`` by name, including those generated: the table of conditions, and the messages."""
    files = {name: file for name, file in read_files(_FOLDER).items() if name not in (PAGE, WORKER)}
    files["conditions.js"] = _file(".js", _conditions().encode("utf-8"))
    for language in languages():
        told = messages(language) | {"languages": " ".join(languages())}
        texts = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        files[f"messages/{language}.js"] = _file(".js", f"export default {texts};\n".encode())
    return files


def worker(files: Mapping[str, PageFile], in_languages: Mapping[str, PageFile]) -> PageFile:
    """The service worker, which keeps the page for when the server is away: another one for each version of the page.

    Args:
        files: of :func:`page_files`.
        in_languages: of :func:`pages`.
    """
    tags = [file.tag for _, file in sorted(files.items())] + [page.tag for _, page in sorted(in_languages.items())]
    version = hashlib.sha256("".join(tags).encode("ascii")).hexdigest()[:20]
    told = {"VERSION": version, "SHELL": [f"/static/{name}" for name in first_look(files)]}
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in told.items())
    return _file(".js", (constants + (_FOLDER / WORKER).read_text(encoding="utf-8")).encode("utf-8"))


def first_look(files: Mapping[str, PageFile]) -> list[str]:
    """Names of what the page names itself, and of what these scripts import before they run, but for the messages."""
    template = (_FOLDER / PAGE).read_text(encoding="utf-8")
    waiting = re.findall(r"/static/([\w.-]+\.(?:css|js|svg))", template)
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name in files and name not in found:
            found[name] = None
            if name.endswith(".js"):
                waiting += re.findall(r'(?:from|import) ?"\./([\w.-]+)"', files[name].content.decode("utf-8"))
    return sorted(found)


def pages(title: str = TITLE, *, read_only: bool = False) -> dict[str, PageFile]:
    """The page at ``/`` in each language.

    Args:
        title: the page's name.
        read_only: the page shows nothing that changes something.
    """
    template = (_FOLDER / PAGE).read_text(encoding="utf-8")
    if read_only:
        template = template.replace("<body>", '<body data-read-only="true">', 1)
    return {language: _file(".html", _written(template, language, title).encode("utf-8")) for language in languages()}


def _written(template: str, language: str, title: str) -> str:
    """The page with each ``{{key}}`` replaced by its message; ``{{language}}`` and ``{{title}}`` are no messages."""
    texts = messages(language) | {"language": language, "title": title}

    def text(found: re.Match[str]) -> str:
        message = texts[found[1]]
        assert isinstance(message, str), found[1]
        return html.escape(message)

    return re.sub(r"\{\{([\w.-]+)\}\}", text, template)


def read_files(folder: Path) -> dict[str, PageFile]:
    """The files in a folder by name; only file types that a page uses."""
    return {
        path.name: _file(path.suffix, path.read_bytes()) for path in sorted(folder.iterdir()) if path.suffix in _TYPES
    }


def page_router(files: Mapping[str, PageFile], in_languages: Mapping[str, PageFile], title: str = TITLE) -> APIRouter:
    """The page (``/``), its other files (``/static/<name>``), how to install it (``/manifest.webmanifest``), and what
    keeps it (``/worker.js``).

    A browser caches them and revalidates each time, so that a new version is seen at once.

    Args:
        files: of :func:`page_files`.
        in_languages: of :func:`pages`.
        title: the page's name.
    """
    router = APIRouter()
    kept = worker(files, in_languages)

    @router.api_route(f"/{WORKER}", methods=["GET", "HEAD"])  # not below /static/: it is for the whole page
    async def service_worker(request: Request) -> Response:
        answer = _answer(request, kept)
        answer.headers["Content-Security-Policy"] = WORKER_POLICY
        return answer

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        answer = _answer(request, in_languages[language_of(request.headers)])
        answer.headers["Vary"] = "Accept-Encoding, Accept-Language, Cookie"
        return answer

    @router.api_route("/static/{name:path}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file\nthe page is at /")
        return _answer(request, files[name])

    @router.get("/manifest.webmanifest")
    async def manifest(request: Request) -> Response:
        language = language_of(request.headers)
        told = {
            "name": title,
            "short_name": title,
            "description": messages(language)["page.description"],
            "lang": language,
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#121316",
            "theme_color": "#2f52d0",
            "icons": [{"src": "/static/favicon.svg", "type": "image/svg+xml", "sizes": "any", "purpose": "any"}],
        }
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}
        return Response(json.dumps(told, ensure_ascii=False), media_type="application/manifest+json", headers=headers)

    return router


def _conditions() -> str:
    """A script with a filter's fields: their names by the kind of value on the page, which are numbers, which of them
    can be written among the words of a question or list counted values, and which are ranges of numbers.
    """
    lists = [name for name, condition in fields() if condition.is_several]
    flags = [name for name, condition in fields() if condition.kind == "flag"]
    texts = [name for name, _ in fields() if name not in (*lists, *flags)]
    told: dict[str, object] = {
        "LISTS": lists,
        "TEXTS": texts,
        "FLAGS": flags,
        "NUMBERS": [name for name, condition in fields() if condition.kind in ("pixels", "stars")],
        "PREFIXES": list(PREFIXES),
        "COUNTED": {each.name: each.facet.field for each in CONDITIONS if each.facet is not None and each.facet.field},
        "RANGES": {
            each.name: each.unit.examples.split(", ")[1].split(" or ")[0]
            for each in CONDITIONS
            if each.unit is not None
        },
    }
    return "".join(f"export const {name} = {json.dumps(value)};\n" for name, value in told.items())


def _file(suffix: str, content: bytes) -> PageFile:
    if suffix in _SMALLER:
        content = _SMALLER[suffix](content.decode("utf-8")).encode("utf-8")
    tag = hashlib.sha256(content).hexdigest()[:20]
    # No time stamp inside: the same content gives the same bytes, whenever the server was started.
    return PageFile(content, gzip.compress(content, 9, mtime=0), _TYPES[suffix], tag)


def _answer(request: Request, file: PageFile) -> Response:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = f'"{file.tag}-gzip"' if packed else f'"{file.tag}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        # With its type: the headers of a 304 replace those of the cached copy, and the policy depends on the type.
        return Response(status_code=304, headers=headers, media_type=file.media_type)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.content, media_type=file.media_type, headers=headers)
