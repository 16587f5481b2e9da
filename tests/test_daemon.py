"""The daemon: the same answers as without it, who may ask, when it leaves, and that nothing depends on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.daemon import talk as daemon_talk
from retrieval.daemon.client import gallery_of, is_for_daemon, socket_path
from retrieval.daemon.control import status, stop
from retrieval.daemon.talk import ask
from retrieval.gallery import Gallery, default_gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")

ROOT = Path(__file__).parent.parent
START = [sys.executable, "-W", "error", "-m", "cli"]

Photoseek = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of the test's own, with a path short enough for a socket."""
    folder = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(folder / "models"))
    monkeypatch.delenv("PHOTOSEEK_DAEMON", raising=False)
    monkeypatch.delenv("PHOTOSEEK_GALLERY", raising=False)
    return folder


@pytest.fixture
def place(indexed_examples: Path, tmp_path: Path) -> Path:
    """A gallery of the test's own."""
    return Path(shutil.copytree(indexed_examples, tmp_path / "gallery"))


@pytest.fixture
def photoseek(runtime: Path, place: Path) -> Photoseek:
    """``photoseek("search", "x")`` in a process, on that gallery."""

    def call(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*START, *arguments],
            cwd=cwd,
            env=os.environ | {"PHOTOSEEK_GALLERY": str(place), "PYTHONPATH": str(ROOT)} | variables,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return call


@pytest.fixture
def running(photoseek: Photoseek, place: Path) -> Iterator[Path]:
    """The gallery with a daemon."""
    started = photoseek("daemon", "start", "--idle", "60")
    assert started.returncode == 0, started.stderr
    yield place
    if place.exists():
        stop(Gallery(place))


def served(place: Path) -> int:
    found = status(Gallery(place))
    assert found is not None
    return int(found["served"])


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "arguments",
    [
        ("a dog",),
        ("a dog", "--json", "-n", "3"),
        ("2:a dog", "a cat", "--without", "water", "--paths"),
        ("a dog", "-0"),
        ("a dog", "--min-score", "0.99"),
        ("a dog and " * 30, "-n", "1"),
        ("un château", "--orientation", "landscape"),
        ("a bird", "--under", "birds", "--paths"),
        ("2:a bird - water + flying", "--glob", "birds/", "--no-format", "png"),
        ("a dog", "--after", "1990"),
        ("a dog", "--no-glob", "*.png", "--no-near", "0,0,5km", "--untagged", "--min-width", "200"),
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_answers_are_the_same_bytes(photoseek: Photoseek, running: Path, arguments: tuple[str, ...]) -> None:
    before = served(running)
    by_daemon = photoseek("search", *arguments, cwd=EXAMPLES)
    assert served(running) == before + 1
    here = photoseek("search", *arguments, cwd=EXAMPLES, PHOTOSEEK_DAEMON="0")
    assert served(running) == before + 1
    assert (by_daemon.returncode, by_daemon.stdout, by_daemon.stderr) == (here.returncode, here.stdout, here.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--relevant"),
        ("search", "0:x"),
        ("search", "x", "-n", "0"),
        ("search", "x", "--no-such-flag"),
        ("search", "x", "--json", "--paths"),
        ("search", "x - "),
        ("search", "x", "--format", "jepg"),
        ("search", "x", "--near", "here"),
        ("search", "x + img:/no/such.jpg"),
        ("search", "--image", "/no/such.jpg"),
        ("search", "-i", "/no/such.jpg"),
        ("search", "x", "--gallery", "/no/such/gallery"),
    ],
    ids=" ".join,
)
def test_errors_are_told_by_the_clients_own_process(
    photoseek: Photoseek, running: Path, arguments: tuple[str, ...]
) -> None:
    before = served(running)
    with_daemon, without = photoseek(*arguments), photoseek(*arguments, PHOTOSEEK_DAEMON="0")
    assert with_daemon.returncode == without.returncode > 1
    assert with_daemon.stderr == without.stderr
    assert served(running) == before


def test_a_client_imports_nothing_large(running: Path) -> None:
    code = (
        "import sys; import cli\n"
        "sys.argv = ['photoseek', 'search', 'a dog', '--paths']\n"
        "try:\n    cli.main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PHOTOSEEK_GALLERY": str(running), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    large = {"numpy", "typer", "retrieval.commands.app", "sqlite3", "retrieval.gallery", "dataclasses", "logging"}
    assert not modules & large
    assert served(running) == 1


def test_only_its_user_may_ask(running: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(running))))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o755)
    assert status(Gallery(running)) is None, "a folder that others may enter is not trusted"
    path.parent.chmod(0o700)
    assert status(Gallery(running)) is not None


def test_a_foreign_peer_gets_no_answer(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_talk, "is_own_peer", lambda connection: False)
    assert status(Gallery(running)) is None


def test_other_settings_are_not_answered(photoseek: Photoseek, running: Path) -> None:
    assert photoseek("search", "a dog", PHOTOSEEK_NO_CACHE="1").returncode == 0
    assert served(running) == 0


def test_another_gallery_is_not_answered(photoseek: Photoseek, running: Path, tmp_path: Path) -> None:
    path = str(socket_path(str(running)))
    other = shutil.copytree(running, tmp_path / "other")
    argv = ["search", "a dog", "--gallery"]
    request = {"op": "run", "cwd": str(tmp_path), "errors": "strict"}
    assert (ask(path, {**request, "argv": [*argv, "other"]}) or {}).keys() == {"refused"}
    assert (ask(path, {**request, "argv": [*argv, "gallery"]}) or {}).get("code") == 0
    assert photoseek("search", "a dog", "--gallery", str(other)).returncode == 0
    assert served(running) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b"{}\n",
        b'{"version": 1}\n',
        b'{"version": 1, "op": "run"}\n',
        b'{"version": 1, "op": "run", "argv": 7, "cwd": 3, "errors": "strict", "settings": {}}\n',
        b"[" * 50_000 + b"\n",
        b"x" * 200_000,
        b"",
    ],
    ids=lambda line: line[:20].decode(),
)
def test_nonsense_does_not_hurt(running: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path(str(running))))
        try:
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            told = connection.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            told = b""
    assert b'"out"' not in told
    assert served(running) == 0


def test_a_client_that_says_nothing_does_not_block_the_others_for_long(running: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(socket_path(str(running))))
        wait_until(lambda: status(Gallery(running)) is not None)


def test_a_hung_daemon_is_not_waited_for(photoseek: Photoseek, place: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(place))))
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(4)
        done = photoseek("search", "a dog", "-n", "1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == photoseek("search", "a dog", "-n", "1").stdout, "now nobody listens at all"


def test_a_daemon_that_trickles_is_not_waited_for(place: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(place))))
    path.parent.mkdir(mode=0o700)
    done = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not done.wait(0.02):
                connection.send(b" ")

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        assert ask(str(path), {"op": "status"}, wait_s=0.2) is None
        done.set()
        thread.join()


def test_it_follows_the_catalog(photoseek: Photoseek, running: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "birds", tmp_path / "more")
    assert photoseek("search", "a bird", "--under", str(tmp_path / "more")).returncode == 2
    assert photoseek("index", str(tmp_path / "more")).returncode == 0
    found = photoseek("search", "a bird", "--under", str(tmp_path / "more"), "--paths")
    assert found.returncode == 0 and str(tmp_path / "more").encode() in found.stdout
    assert served(running) == 1, "an unknown folder is answered by the command itself"


def test_an_exchanged_catalog_is_noticed(photoseek: Photoseek, running: Path, tmp_path: Path) -> None:
    from retrieval.encoders.registry import load_encoder

    other = Gallery(tmp_path / "fewer")
    Indexer(other, load_encoder("builtin-224")).run(EXAMPLES / "birds")
    shutil.rmtree(running / "index")
    other.catalog_path.replace(running / "catalog.sqlite")
    shutil.copytree(other.path / "index", running / "index")
    found = photoseek("search", "a dog", "-n", "200", "--paths").stdout.splitlines()
    assert found and all(b"/birds/" in path for path in found)
    assert served(running) == 1


def test_one_daemon_a_gallery(photoseek: Photoseek, running: Path) -> None:
    first = status(Gallery(running))
    assert photoseek("daemon", "start").returncode == 0
    second = photoseek("daemon", "run")
    assert second.returncode == 2 and b"already running for this gallery" in second.stderr
    again = status(Gallery(running))
    assert first is not None and again is not None and first["pid"] == again["pid"]


def test_a_killed_daemon_is_replaced(photoseek: Photoseek, running: Path) -> None:
    first = status(Gallery(running))
    assert first is not None
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: status(Gallery(running)) is None)
    assert Path(str(socket_path(str(running)))).exists(), "it could not clean up"
    assert photoseek("search", "a dog").returncode == 0
    assert photoseek("daemon", "start", "--idle", "60").returncode == 0
    second = status(Gallery(running))
    assert second is not None and second["pid"] != first["pid"]


def test_sigterm_cleans_up(running: Path) -> None:
    found = status(Gallery(running))
    assert found is not None
    os.kill(found["pid"], signal.SIGTERM)
    wait_until(lambda: not Path(str(socket_path(str(running)))).exists())


def test_stop_and_status(photoseek: Photoseek, running: Path) -> None:
    assert b"running" in photoseek("daemon", "status").stdout
    assert b"stopped" in photoseek("daemon", "stop").stdout
    assert not Path(str(socket_path(str(running)))).exists()
    for action in ("status", "stop"):
        done = photoseek("daemon", action)
        assert done.returncode == 3 and b"no daemon is running" in done.stderr
    assert photoseek("daemon", "dance").returncode == 2


def test_it_leaves_when_idle(photoseek: Photoseek, place: Path) -> None:
    done = photoseek("daemon", "run", "--idle", "1")
    assert (done.returncode, done.stdout) == (0, b"left after 0 searches\n")
    assert status(Gallery(place)) is None


def test_it_leaves_with_its_gallery(running: Path, photoseek: Photoseek) -> None:
    path = Path(str(socket_path(str(running))))
    shutil.rmtree(running)
    assert photoseek("search", "a dog").returncode == 3
    wait_until(lambda: not path.exists())


def test_on_demand(photoseek: Photoseek, place: Path) -> None:
    first = photoseek("search", "a dog", PHOTOSEEK_DAEMON="1")
    try:
        assert first.returncode == 0
        wait_until(lambda: status(Gallery(place)) is not None)
        assert photoseek("search", "a dog", PHOTOSEEK_DAEMON="1").stdout == first.stdout
        assert served(place) == 1
    finally:
        stop(Gallery(place))


def test_nothing_indexed_yet(photoseek: Photoseek, tmp_path: Path) -> None:
    for action in ("start", "run"):
        done = photoseek("daemon", action, "--gallery", str(tmp_path / "none"))
        assert done.returncode in (2, 3) and b"photoseek index" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_runtime_folder_of_somebody_else_is_refused(photoseek: Photoseek, runtime: Path) -> None:
    (runtime / "photoseek").mkdir()
    (runtime / "photoseek").chmod(0o777)
    done = photoseek("daemon", "run")
    assert done.returncode == 2 and b"only you can access" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["search", "hi there"], True),
        (["search", "x", "-n5", "--json"], True),
        (["search", "--queries-from=f"], False),
        (["search", "x", "-0i", "pic"], False),
        (["search", "x", "-h"], False),
        (["search", "--", "--gallery"], False),
        (["search", "x + img:a.jpg"], False),
        (["search", "beach", "-", "people"], True),
        (["similar", "x"], False),
        ([], False),
    ],
)
def test_which_commands_are_for_a_daemon(arguments: list[str], expected: bool) -> None:
    assert is_for_daemon(arguments) is expected


def test_the_gallery_that_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHOTOSEEK_GALLERY", str(tmp_path))
    assert gallery_of(["search", "x"]) == str(tmp_path) == str(default_gallery())
    assert gallery_of(["search", "x", "--gallery", "a", "--gallery=b"]) == "b"
    assert socket_path(str(tmp_path / "none")) is None
    (tmp_path / "link").symlink_to(tmp_path)
    assert socket_path(str(tmp_path / "link")) == socket_path(str(tmp_path))


def test_a_request_too_large_to_ask_is_searched_here(running: Path) -> None:
    argv: list[Any] = ["search", *["word"] * 20_000]
    assert len(json.dumps(argv)) > daemon_talk.MAX_REQUEST
    assert ask(str(socket_path(str(running))), {"op": "run", "argv": argv, "cwd": "/", "errors": "strict"}) is None
    assert served(running) == 0
