"""``photoseek serve`` answers the command line's searches of its gallery, too, on the same engine as its page."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")

import httpx

from retrieval.gallery import Gallery
from retrieval.server.client import socket_path, state_of
from retrieval.server.control import stop
from retrieval.server.protocol import REFUSED, Answer, ask
from tests.conftest import EXAMPLES
from tests.server.conftest import Photoseek, by_resident, resident, served, wait_until
from tests.web.conftest import Running

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")

Serve = Callable[..., Running]


@pytest.fixture
def serve(runtime: Path, place: Path) -> Iterator[Serve]:
    """``serve("--flag")``: a server of the gallery; the value says where. Those left over are stopped."""
    started: list[Running] = []

    def start(*options: str, gallery: Path = place, **variables: str) -> Running:
        started.append(Running(gallery, *options, env=os.environ | variables))
        return started[-1]

    yield start
    for server in started:
        if not server.is_over:
            server.stop()


def page_of(place: Path) -> object:
    return resident(place)["page"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("a dog",),
        ("2:a dog", "a cat", "--without", "water", "--json", "-n", "3"),
        ("a bird", "--under", "birds", "-0"),
        ("a dog and " * 30, "-n", "1"),
        ("un château", "--after", "1990"),
        ("birds/", "--csv", "-n", "2"),
        ("a dog", "--page", "2", "-n", "3", "--json"),
        ("a dog", "--min-score", "0.99"),
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_answers_are_the_same_bytes(
    photoseek: Photoseek, serve: Serve, place: Path, arguments: tuple[str, ...]
) -> None:
    server = serve(PHOTOSEEK_TOKEN="of the page alone")
    there = by_resident(photoseek, place, "search", *arguments, cwd=EXAMPLES)
    here = photoseek("search", *arguments, cwd=EXAMPLES, PHOTOSEEK_DAEMON="0")
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
    assert server.stop() == (0, ""), "what is told to who asks is not told here"
    assert not Path(str(socket_path(str(place)))).exists()


def test_who_asks_at_once_gets_his_own_answer(serve: Serve, place: Path) -> None:
    server = serve()
    path = str(socket_path(str(place)))
    wait_until(lambda: page_of(place) == server.url)
    folders = sorted(each for each in EXAMPLES.iterdir() if each.is_dir())
    long = "a dog and " * 30

    def by_socket(folder: Path) -> list[Answer]:
        argv = ["search", f"{long} {folder.name}", "--under", ".", "--paths", "-n", "3"]
        found: list[Answer] = []
        while len(found) < 5:
            answer = ask(path, "run", (str(folder), str(place), "", "strict", *argv), 60)
            found.extend([] if answer is None or answer.code == REFUSED else [answer])
        return found

    def by_http(folder: Path) -> list[list[str]]:
        asked = {"q": f"{long} {folder.name}", "under": str(folder), "k": 3}
        answers = (httpx.get(f"{server.url}/api/v1/search", params=asked, timeout=60).json() for _ in range(5))
        return [[hit["path"] for hit in answer["hits"]] for answer in answers]

    with ThreadPoolExecutor(2 * len(folders)) as pool:
        over_sockets, over_http = pool.map(by_socket, folders), pool.map(by_http, folders)
        for folder, answers, pages in zip(folders, over_sockets, over_http, strict=True):
            paths = pages[0]
            assert paths and all(Path(path).is_relative_to(folder) for path in paths)
            assert pages == [paths] * 5
            assert [answer.out.decode().split() for answer in answers] == [paths] * 5
            assert all(answer.err.count(b"the text is longer than the model reads") == 1 for answer in answers)
    code, said = server.stop()
    assert code == 0 and said.count("the text is longer") == 0


def test_one_process_a_gallery(photoseek: Photoseek, serve: Serve, running: Path) -> None:
    before = resident(running)
    server = serve()
    wait_until(lambda: page_of(running) == server.url)
    assert before["pid"] != resident(running)["pid"], "the daemon has left"
    assert photoseek("daemon", "start").returncode == 0
    assert resident(running)["pid"] == server.process.pid
    assert server.url.encode() in photoseek("daemon", "status").stdout
    refused = photoseek("daemon", "stop")
    assert refused.returncode == 3 and server.url.encode() in refused.stderr
    other = serve()
    assert httpx.get(f"{other.url}/healthz").status_code == 200
    other.says("already running for this gallery")
    wait_until(lambda: page_of(running) == server.url)
    server.stop()
    wait_until(lambda: (found := state_of(str(running))) is not None and found["page"] == other.url)
    assert other.stop()[0] == 0


def test_what_was_empty_is_answered_once_it_is_not(photoseek: Photoseek, serve: Serve, place: Path) -> None:
    empty = place.parent / "empty"
    serve(gallery=empty)
    assert state_of(str(empty)) is None
    shutil.copytree(place, empty, dirs_exist_ok=True)
    wait_until(lambda: state_of(str(empty)) is not None)
    assert by_resident(photoseek, empty, "search", "a dog", "-n", "1", PHOTOSEEK_GALLERY=str(empty)).stdout


def test_a_page_of_a_chosen_model_answers_no_search_that_means_the_active_one(serve: Serve, place: Path) -> None:
    with Gallery(place).reader() as reader:
        name = Gallery(place).active_encoder(reader).name
    server = serve("--model", name)
    assert httpx.get(f"{server.url}/api/v1/search", params={"q": "a dog"}, timeout=60).status_code == 200
    assert state_of(str(place)) is None


def test_a_page_goes_on_where_there_can_be_no_socket(serve: Serve, place: Path, runtime: Path) -> None:
    (runtime / "photoseek").mkdir(mode=0o755)
    server = serve()
    assert httpx.get(f"{server.url}/api/v1/search", params={"q": "a dog"}, timeout=60).status_code == 200
    server.says("only you can access")
    code, _ = server.stop()
    assert code == 0 and server.said.count("only you can access") == 1


def test_interrupts_end_both_doors(serve: Serve, place: Path) -> None:
    server = serve()
    assert served(place) == 0
    assert server.stop(signal.SIGINT) == (0, "")
    assert stop(Gallery(place)) is None
