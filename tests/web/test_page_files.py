"""The page's files: a fixed table, their types, what a browser may keep, and nothing beside them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from retrieval.web import page_files as page_files_module
from retrieval.web.page_files import page_files, pages, read_files, worker
from tests.web.page_texts import literals

FILES = sorted(page_files())
PAGE = Path(page_files_module.__file__).with_name("page")
TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_each_file_has_its_type(client: TestClient, name: str) -> None:
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content


def test_the_page_is_at_the_root_and_its_policy_allows_no_inline_script(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == TYPES["html"]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = answer.text
    assert "<script>" not in text
    assert "style=" not in text
    assert " on" + "click=" not in text


def test_every_file_that_the_page_names_is_there(client: TestClient) -> None:
    for name in FILES:
        text = client.get("/" if name == "index.html" else f"/static/{name}").text
        linked = re.findall(r"/static/([\w.-]+\.(?:css|js|svg))", text)
        imported = re.findall(r"(?:from |import\()\"\./([\w.-]+)\"", text)
        assert {*linked, *imported} <= set(FILES), name


def test_a_browser_asks_each_time_and_gets_nothing_twice(client: TestClient) -> None:
    first = client.get("/static/app.css")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/app.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]
    weak = client.get("/static/app.css", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert weak.status_code == 304
    assert client.get("/static/app.css", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_page_keeps_its_policy_when_it_is_still_the_same(client: TestClient) -> None:
    # A browser puts the headers of a 304 in place of those that it kept: another policy would stop every script.
    first = client.get("/")
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert "script-src 'self'" in first.headers["content-security-policy"]


def test_packed_and_plain_are_the_same_under_tags_of_their_own(client: TestClient) -> None:
    packed = client.get("/static/app.css", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/static/app.css", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_head_has_the_headers_alone(client: TestClient) -> None:
    answer = client.head("/static/app.css")
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize(
    "path",
    [
        "/static/page_files.py",
        "/static/../page_files.py",
        "/static/%2e%2e/page_files.py",
        "/static/%2e%2e%2fpage_files.py",
        "/static/..%5cpage_files.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/app.css%00.js",
        "/static/index.html",
        "/static/",
        "/static",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_files_of_other_kinds_are_no_part_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "main.js").write_text("// why\nrun();\n")
    (tmp_path / "notes.txt").write_text("no")
    files = read_files(tmp_path)
    assert sorted(files) == ["index.html", "main.js"]
    assert files["main.js"].content.strip() == b"run();"
    assert gzip.decompress(files["main.js"].packed) == files["main.js"].content


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.js")), ids=lambda path: path.name)
def test_scripts_say_the_same_without_comments_and_blanks(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    sent = read_files(PAGE)[path.name].content.decode("utf-8")
    assert len(sent) < len(source)
    # A template inside a template is taken for code; where one has blanks that count, write it in another way.
    assert list(literals(sent)) == list(literals(source))


def test_the_manifest_speaks_the_browsers_language(client: TestClient) -> None:
    answer = client.get("/manifest.webmanifest", headers={"Accept-Language": "es"})
    assert answer.headers["content-type"] == "application/manifest+json"
    told = answer.json()
    assert (told["name"], told["lang"], told["display"]) == ("photoseek", "es", "standalone")
    assert "imágenes" in told["description"]
    for icon in told["icons"]:
        assert client.get(icon["src"]).headers["content-type"] == icon["type"]


def test_what_keeps_the_page_is_another_one_for_each_version(client: TestClient) -> None:
    answer = client.get("/worker.js")
    assert answer.status_code == 200 and answer.headers["content-type"] == TYPES["js"]
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
    assert client.get("/static/worker.js").status_code == 404, "below /static/ it could not keep the page"
    files, in_languages = page_files(), pages()
    assert worker(files, in_languages).content == worker(page_files(), pages()).content == answer.content
    changed = dict(files) | {"main.js": files["app.css"]}
    assert worker(changed, in_languages).content != answer.content
    assert worker(files, pages("Another title")).content != answer.content
    shell = re.findall(r'"/static/([\w.-]+)"', answer.text.partition("SHELL")[2].partition("]")[0])
    assert {"main.js", "grid.js", "words.js", "app.css", "favicon.svg"} <= set(shell) <= set(files)
    assert "viewer.js" not in shell and "/api/" not in answer.text


def test_no_script_makes_elements_out_of_text() -> None:
    """Names, tags and captions are set as text; a policy of the page would stop scripts in them, but not all harm."""
    ways = re.compile(
        r"\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|createContextualFragment|srcdoc)\b"
        r"|document\.write|\beval\(|new Function|javascript:"
    )
    found = [
        (path.name, line)
        for path in sorted(PAGE.glob("*.js"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if ways.search(line)
    ]
    assert found == []
