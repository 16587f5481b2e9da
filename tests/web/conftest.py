"""A gallery of the example photos, a client of the application in this process, and real servers beside it."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
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
    writes = {"X-Requested-With": "tests"}
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False, headers=writes) as client:
        yield client


@pytest.fixture(scope="session")
def client(web_gallery: Gallery) -> Iterator[TestClient]:
    """A client of ``web_gallery``, shared by all tests."""
    with client_of(web_gallery) as client:
        yield client


NO_LIMITS: Mapping[int, tuple[int, int]] = {}


def _limit(limits: Mapping[int, tuple[int, int]]) -> None:
    for number, values in limits.items():
        resource.setrlimit(number, values)


class Running:
    """A server in a process of its own. What it says is read at once by a thread: a full pipe would stop it.

    Attributes:
        url: ``http://127.0.0.1:PORT``, without a slash.
        line: what it said when it was ready.
        process: to send it signals.

    Args:
        limits: of the process, by the numbers of ``resource``.
    """

    def __init__(
        self,
        gallery: Path,
        *options: str,
        env: dict[str, str] | None = None,
        limits: Mapping[int, tuple[int, int]] = NO_LIMITS,
    ) -> None:
        command = [sys.executable, "-W", "error", str(ROOT / "cli.py"), "serve", "--gallery", str(gallery)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=gallery.parent,
            env=env,
            preexec_fn=partial(_limit, limits) if limits else None,
        )
        self.is_over = False
        self._said: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.line = self._wait_for("http://")
        words = [word for word in self.line.split() if word.startswith("http://")]
        if not words:
            self.process.kill()
            pytest.fail(self.said)
        self.url = words[0].partition("?")[0].rstrip("/")

    @property
    def said(self) -> str:
        """All that it said on stderr so far."""
        with self._news:
            return "".join(self._said)

    def says(self, text: str) -> None:
        """Wait until it has said a line with ``text`` on stderr, whenever that comes; fails if it ends without."""
        assert self._wait_for(text), f"it ended without a word of {text!r}: {self.said}"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; its exit code and what it said on stderr after the line of :attr:`line`."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what it said on stderr after the line of :attr:`line`."""
        try:
            code = self.process.wait(timeout=600)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        self.is_over = True
        return code, self.said.partition(self.line)[2]

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._news:
                    self._said.append(line)
                    self._news.notify_all()
        with self._news:
            self._said.append("")
            self._news.notify_all()

    def _wait_for(self, text: str) -> str:
        """The first line with ``text``; an empty one if it ends without."""
        at = 0
        with self._news:
            while True:
                while at < len(self._said):
                    line = self._said[at]
                    if text in line or not line:
                        return line
                    at += 1
                self._news.wait()


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., Running]]:
    """``start_server(gallery_path, "--flag", ...)``: real servers on free ports; those left over are stopped.

    Several may show one gallery, so each has its own place for the socket that the command line asks.
    """
    started: list[Running] = []
    with TemporaryDirectory(prefix="photoseek-") as runtime:

        def start(gallery: Path, *options: str, env: dict[str, str] | None = None, **more: Any) -> Running:
            own = Path(runtime, str(len(started)))
            own.mkdir(mode=0o700)
            variables = {**(os.environ if env is None else env), "XDG_RUNTIME_DIR": str(own)}
            started.append(Running(gallery, *options, env=variables, **more))
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
        assert is_ready.wait(600)
        yield port
    finally:
        server.should_exit = True
        thread.join(600)
        assert not thread.is_alive()
