"""A gallery of the example photos, a client of the application in this process, and real servers beside it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")

from fastapi import FastAPI
from starlette.testclient import TestClient

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.settings import Settings
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent.parent
LOCAL = "http://127.0.0.1:8765"


@pytest.fixture(scope="session")
def web_gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The example photos, copied to ``photos`` beside the gallery, indexed by the built-in model. Do not change it."""
    place = tmp_path_factory.mktemp("web")
    shutil.copytree(EXAMPLES, place / "photos")
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(place / "photos")
    return gallery


@pytest.fixture
def own_gallery(web_gallery: Gallery, tmp_path: Path) -> Gallery:
    """A copy of the gallery's folder to write to; its pictures are those of ``web_gallery``: do not change these."""
    shutil.copytree(web_gallery.path, tmp_path / "own-gallery")
    return Gallery(tmp_path / "own-gallery")


@contextmanager
def client_of(gallery: Gallery, **settings: Any) -> Iterator[TestClient]:
    """A client of an application of its own; an error in it is an answer with 500."""
    from retrieval.web.app import create_app

    app = create_app(gallery, Settings(**settings))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def client(web_gallery: Gallery) -> Iterator[TestClient]:
    """A client of ``web_gallery``, shared by all tests."""
    with client_of(web_gallery) as client:
        yield client


class Running:
    """A server in a process of its own.

    Attributes:
        url: ``http://127.0.0.1:PORT``, without a slash.
        line: what it said when it was ready.
        process: to send it signals.
    """

    def __init__(self, gallery: Path, *options: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-W", "error", str(ROOT / "cli.py"), "serve", "--gallery", str(gallery)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=gallery.parent,
            env=env,
        )
        self.is_over = False
        assert self.process.stderr is not None
        self.line = self.process.stderr.readline()
        words = [word for word in self.line.split() if word.startswith("http://")]
        if not words:
            self.process.kill()
            pytest.fail(self.line + self.process.communicate()[1])
        self.url = words[0].partition("?")[0].rstrip("/")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; its exit code and what else it said on stderr."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what else it said on stderr."""
        try:
            _, said = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        self.is_over = True
        return self.process.returncode, said


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Running]]:
    """``start_server(gallery_path, "--flag", ...)``: real servers on free ports; those left over are stopped."""
    started: list[Running] = []

    def start(gallery: Path, *options: str, env: dict[str, str] | None = None) -> Running:
        started.append(Running(gallery, *options, env=env))
        return started[-1]

    yield start
    for server in started:
        if not server.is_over:
            server.stop()


@pytest.fixture(scope="session")
def running_server(web_gallery: Gallery, start_server: Callable[..., Running]) -> Running:
    """A real server of ``web_gallery``, shared by all tests: ask it, do not stop it."""
    return start_server(web_gallery.path)


@contextmanager
def server_of(gallery: Gallery, add: Callable[[FastAPI], object] = lambda app: None, **settings: Any) -> Iterator[int]:
    """A real server in a thread of this process, for limits that the command line does not offer; its port.

    ``add`` may add routes to the application.
    """
    from retrieval.web.app import create_app
    from retrieval.web.server import Server, listen

    chosen = Settings(port=0, **settings)
    listener = listen(chosen.host, 0)
    port = int(listener.getsockname()[1])
    is_ready = threading.Event()
    app = create_app(gallery, chosen)
    add(app)
    server = Server(app, chosen, is_ready.set, lambda: None)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        assert is_ready.wait(30)
        yield port
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
