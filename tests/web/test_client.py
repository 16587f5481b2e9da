"""The client against a real server: the same answers and the same errors as the library, and patience."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from retrieval import Gallery, Listing, Query, QueryEngine, find_page
from retrieval.duplicates import find_duplicates
from retrieval.errors import (
    GalleryNotFound,
    PageExpired,
    QueryError,
    RetrievalError,
    SettingsError,
    UnknownImage,
    UnreadableImage,
)
from retrieval.indexing.forgetting import forget_paths
from retrieval.search.language import parse_query
from retrieval.web import Client
from retrieval.web.wire import PatientTransport, RequestRefused, ServerUnreachable, event_data, file_name
from tests.web.conftest import Running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(running_server: Running) -> Iterator[Client]:
    with Client(running_server.url) as client:
        yield client


@pytest.fixture(scope="module")
def engine(web_gallery: Gallery) -> Iterator[QueryEngine]:
    with QueryEngine(web_gallery) as engine:
        yield engine


def ids(answer: Any) -> list[int]:
    return [hit.id for hit in answer.hits]


@pytest.mark.parametrize("text", ["a dog", "2:flower + img:id:9 - water", '"salt + pepper"'])
def test_search_is_the_engines(photos: Client, engine: QueryEngine, text: str) -> None:
    answer = photos.search(text, k=20)
    hits = engine.search(Query(parse_query(text), k=20))
    assert ids(answer) == [hit.image.id for hit in hits]
    assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    assert [hit.path for hit in answer.hits] == [hit.image.path for hit in hits]
    assert answer.total == 120


def test_everything_that_may_be_asked(photos: Client, engine: QueryEngine, web_gallery: Gallery) -> None:
    found = photos.search("a bird", without=["water"], weights={"flying": 0.5, 3: -0.2}, k=500)
    assert found.total == 120 and {term.weight for term in found.query.terms} == {1.0, -1.0, 0.5, -0.2}
    birds = photos.search("a bird", under=web_gallery.path.parent / "photos" / "birds", no_format=["png"])
    assert {Path(hit.path).parent.name for hit in birds.hits} == {"birds"}
    assert "PNG" not in {hit.format for hit in birds.hits}
    named = photos.search("a bird", sort="name", min_score=0.2, k=500)
    query, listing = Query.text("a bird", k=120), Listing(sort="name")
    names = [hit.image.id for hit in find_page(engine, query, listing).hits if hit.score >= 0.2]
    # Relevance is known to the server, and stays with any order: good matches by name first, then the others by name.
    flags = [bool(hit.relevant) for hit in named.hits]
    assert flags == sorted(flags, reverse=True) and set(ids(named)) == set(names)
    for flag in (True, False):
        part = [hit.id for hit in named.hits if bool(hit.relevant) is flag]
        assert part == sorted(part, key=names.index)
    assert photos.search("a bird", relevant=True).cut == 0.99
    liked, disliked = ids(birds)[:2], ids(photos.search("a car", k=2))
    moved = photos.search("a bird", more=liked, less=disliked, k=500)
    assert ids(moved) != ids(photos.search("a bird", k=500))
    assert not set(disliked) & set(ids(moved))
    assert photos.search(k=500).total == 120
    assert photos.search(k=500).hits[0].score is None


def test_parts_of_a_list_are_the_list(photos: Client) -> None:
    whole = ids(photos.search("a flower", k=500))
    assert ids(photos.search("a flower", k=10, offset=50)) == whole[50:60]
    assert [hit.id for hit in photos.iter_search("a flower", page=17)] == whole
    assert [hit.rank for hit in photos.iter_search("a flower", page=17)] == list(range(1, 121))
    assert [hit.id for hit in photos.iter_search("a flower", page=7, orientation="landscape")] == ids(
        photos.search("a flower", k=500, orientation=["landscape"])
    )


def test_similar_leaves_itself_out(photos: Client, engine: QueryEngine) -> None:
    answer = photos.similar(7, k=5)
    assert ids(answer) == [hit.image.id for hit in engine.similar(7, 5)]
    assert ids(photos.similar(7, k=5, cursor=answer.next)) == [hit.image.id for hit in engine.similar(7, 10)][5:]
    assert {hit.format for hit in photos.similar(7, format="png").hits} == {"PNG"}


def test_an_uploaded_picture_is_read_once(photos: Client, tmp_path: Path, web_gallery: Gallery) -> None:
    copied = tmp_path / "dog.png"
    with Image.open(web_gallery.path.parent / "photos" / "animals" / "dog.jpg") as dog:
        dog.save(copied)
    first = photos.search(picture=copied, k=10)
    assert Path(first.hits[0].path).name == "dog.jpg"
    assert first.upload is not None
    assert ids(photos.search(like=[first.upload], k=10)) == ids(first)
    assert ids(photos.search(picture=copied.read_bytes(), k=10)) == ids(first)
    whole = ids(photos.search(like=[first.upload], k=500))
    assert [hit.id for hit in photos.iter_search(picture=copied, page=25)] == whole
    with pytest.raises(UnreadableImage):
        photos.search(picture=b"no picture at all")
    with pytest.raises(RequestRefused) as gone:
        photos.search(like=["u1.AAAAAAAAAAAAAAAAAAAAAA"])
    assert gone.value.status == 410


def test_one_picture(photos: Client, engine: QueryEngine, tmp_path: Path) -> None:
    [record] = engine.reader.records([7])
    details = photos.image(7)
    assert (details.path, details.width, details.height) == (record.path, record.width, record.height)
    for size in (240, 480):
        small = Image.open(io.BytesIO(photos.thumbnail(7, size)))
        assert small.format == "WEBP"
        assert max(small.size) <= size
    data = Path(record.path).read_bytes()
    assert photos.original(7) == data
    saved = photos.save(7, tmp_path)
    assert saved == tmp_path / Path(record.path).name
    assert saved.read_bytes() == data
    with pytest.raises(FileExistsError):
        photos.save(7, tmp_path)
    assert photos.save(7, tmp_path / "other.jpg").read_bytes() == data


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (lambda photos: photos.search("a -"), QueryError),
        (lambda photos: photos.search("x", format="jepg"), QueryError),
        (lambda photos: photos.search("x", cursor="p1.nonsense"), QueryError),
        (lambda photos: photos.search(without=["water"]), QueryError),
        (lambda photos: photos.image(100_000), UnknownImage),
        (lambda photos: photos.similar(100_000), UnknownImage),
        (lambda photos: photos.thumbnail(100_000), UnknownImage),
        (lambda photos: photos.save(100_000, "nowhere"), UnknownImage),
        (lambda photos: photos.index("/etc"), SettingsError),
        (lambda photos: photos.search("x", yaer="2020"), RequestRefused),
        (lambda photos: photos.search("x", k=501), RequestRefused),
        (lambda photos: photos.thumbnail(7, 241), RequestRefused),
    ],
)
def test_errors_are_the_librarys(photos: Client, asked: Callable[[Client], Any], kind: type[RetrievalError]) -> None:
    with pytest.raises(RetrievalError) as raised:
        asked(photos)
    assert type(raised.value) is kind
    assert raised.value.message and raised.value.hint
    assert not Path("nowhere").exists()


def test_the_two_lines_are_those_of_the_library(photos: Client, engine: QueryEngine) -> None:
    with pytest.raises(QueryError) as told:
        photos.search("a dog - ")
    with pytest.raises(QueryError) as raised:
        parse_query("a dog - ")
    assert (told.value.message, told.value.hint) == (raised.value.message, raised.value.hint)


def test_what_is_said_of_the_gallery(photos: Client, web_gallery: Gallery) -> None:
    assert photos.is_up()
    assert photos.stats()["images"] == 120
    facets = photos.facets(under=web_gallery.path.parent / "photos" / "birds")
    assert facets.total == len(list((web_gallery.path.parent / "photos" / "birds").iterdir()))
    assert photos.tags().total == photos.albums().total == 0
    assert [(each.kind, each.text) for each in photos.suggest("a tig", most=3).suggestions] == [("name", "tiger.webp")]
    assert photos.duplicates().total == len(find_duplicates(web_gallery).groups)
    assert photos.index_state().state == "idle"


def test_indexing_is_started_and_followed(
    own_gallery: Gallery, start_server: Callable[..., Running], web_gallery: Gallery
) -> None:
    with Client(start_server(own_gallery.path).url) as photos:
        first = photos.search("a dog", k=5)
        started = photos.index()
        assert started.running
        states = list(photos.index_events())
        assert states[-1].state == "done"
        assert states[-1].report is not None and states[-1].report["images"] == 120
        assert photos.index_state().state == "done"
        assert not photos.stop_index().running
        forget_paths(own_gallery, [web_gallery.path.parent / "photos" / "birds"])
        with pytest.raises(PageExpired):
            photos.search("a dog", k=5, cursor=first.next)


def test_a_token_is_sent(web_gallery: Gallery, start_server: Callable[..., Running]) -> None:
    server = start_server(web_gallery.path, env=os.environ | {"PHOTOSEEK_TOKEN": "a-token-for-a-test"})
    with Client(server.url, token="a-token-for-a-test") as photos:
        assert photos.search("a dog", k=1).total == 120
    with Client(server.url) as stranger:
        assert stranger.is_up()
        with pytest.raises(RequestRefused) as refused:
            stranger.search("a dog")
        assert refused.value.status == 401


def test_nothing_there(start_server: Callable[..., Running], tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9") as nobody:
        assert not nobody.is_up()
        with pytest.raises(ServerUnreachable, match="nothing answers at"):
            nobody.search("a dog")
    with Client(start_server(tmp_path / "empty").url, tries=50) as empty, pytest.raises(GalleryNotFound) as raised:
        empty.search("a dog")  # at once: waiting does not help
    assert raised.value.hint == "create one: photoseek index FOLDER"


class Scripted(BaseHTTPRequestHandler):
    """Answers with what the test has put on the server."""

    def do_POST(self) -> None:
        self.server.seen.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        status, headers, body = self.server.script.pop(0)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers, one after the other; its address, and the bodies it was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.script, server.seen = list(answers), []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def busy(kind: str = "busy", wait: str = "0") -> tuple[int, dict[str, str], bytes]:
    problem = {"type": f"https://photoseek.invalid/problems/{kind}", "title": "full", "detail": "later", "status": 503}
    return 503, {"Content-Type": "application/problem+json", "Retry-After": wait}, json.dumps(problem).encode()


def posted(url: str, tries: int) -> httpx.Response:
    with httpx.Client(transport=PatientTransport(httpx.HTTPTransport(), tries)) as http:
        return http.post(url, files={"picture": ("x", b"the same bytes"), "query": (None, b"{}")})


def test_a_busy_server_is_asked_again_with_the_same_body() -> None:
    with scripted(busy(), busy(), (200, {}, b"found")) as (url, seen):
        assert posted(url, 6).content == b"found"
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]
    assert b"the same bytes" in seen[0]


def test_patience_ends() -> None:
    with (
        scripted(busy(), busy(), busy(), busy()) as (url, seen),
        Client(url, tries=3) as photos,
        pytest.raises(RequestRefused) as raised,
    ):
        photos.search("a dog")
    assert (raised.value.status, raised.value.message, raised.value.hint) == (503, "full", "later")
    assert len(seen) == 3


@pytest.mark.parametrize("answer", [busy("gallery-not-found"), busy(wait="3600"), busy(wait="soon"), busy(wait="")])
def test_what_time_does_not_heal_is_told_at_once(answer: tuple[int, dict[str, str], bytes]) -> None:
    with scripted(answer, (200, {}, b"never asked")) as (url, seen):
        assert posted(url, 6).status_code == 503
    assert len(seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "application/json"}, b"{}"),
        (200, {"Content-Type": "text/html"}, b"<p>hello"),
        (500, {"Content-Type": "application/problem+json"}, b"["),
        (500, {"Content-Type": "application/problem+json"}, b"[1]"),
        (502, {"Content-Type": "text/html"}, b"<p>bad gateway"),
        (302, {"Location": "http://127.0.0.1:9/"}, b""),
    ],
)
def test_another_server_is_not_believed(answer: tuple[int, dict[str, str], bytes]) -> None:
    with scripted(answer) as (url, _), Client(url) as photos, pytest.raises(RequestRefused) as raised:
        photos.search("a dog")
    assert raised.value.status == answer[0]


def test_all_of_many_clients_are_answered_by_a_server_that_takes_two_at_once(web_gallery: Gallery) -> None:
    code = (
        "import sys; from retrieval import Gallery; from retrieval.web.server import serve\n"
        "from retrieval.web.settings import Settings\n"
        "settings = Settings(port=0, max_requests=2)\n"
        f"serve(Gallery({str(web_gallery.path)!r}), settings, lambda line: print(line, flush=True))"
    )
    found: list[list[int]] = []

    def ask(url: str) -> None:
        with Client(url, tries=40) as photos:
            found.append(ids(photos.search("a dog", k=3)))

    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            [url] = [word for word in server.stdout.readline().split() if word.startswith("http")]
            threads = [threading.Thread(target=ask, args=(url,)) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            server.terminate()
    assert len(found) == 12
    assert len(set(map(tuple, found))) == 1


def test_events_are_taken_from_lines() -> None:
    lines = [": beat", "", "id: 3", "event: progress", "data: {", "data:  1}", "", "data:x", "", "data: cut off"]
    assert list(event_data(lines)) == ["{\n 1}", "x"]
    with pytest.raises(ValueError, match="without an end"):
        list(event_data("data: " + "x" * 1000 for _ in range(2000)))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('inline; filename="dog.jpg"', "dog.jpg"),
        ("attachment; filename=\"x.jpg\"; filename*=UTF-8''caf%C3%A9.jpg", "café.jpg"),
        ('inline; filename="../../etc/passwd"', "passwd"),
        ("inline; filename*=UTF-8''..%2F..%2Fevil", "evil"),
        ('inline; filename="C:\\\\temp\\\\x.jpg"', "x.jpg"),
        ('inline; filename=".."', "7"),
        ("inline", "7"),
        ("", "7"),
    ],
)
def test_a_server_does_not_say_where_a_file_goes(header: str, name: str) -> None:
    assert file_name(header, "7") == name


def test_the_client_brings_no_server() -> None:
    code = "import sys; from retrieval.web import Client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"fastapi", "starlette", "uvicorn", "prometheus_client", "PIL", "mcp"} & set(done.stdout.split())


def test_the_package_alone_brings_nothing() -> None:
    code = "import sys, retrieval.web; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"httpx", "pydantic", "numpy"} & set(done.stdout.split())
