"""The daemon: the same answers as without it, access control, its exit, and that nothing depends on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.server import protocol
from retrieval.server.client import gallery_of, is_for_daemon, socket_path, state_of
from retrieval.server.control import stop
from retrieval.server.door import SocketDoor
from retrieval.server.engine_thread import EngineLimits, EngineThread
from retrieval.server.protocol import LENGTH, REFUSED, VERSION, ask
from tests.conftest import EXAMPLES
from tests.server.conftest import ROOT, START, Photoseek, by_resident, served, wait_until
from tests.test_imports import HEAVY, WEB

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")


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
    there = by_resident(photoseek, running, "search", *arguments, cwd=EXAMPLES)
    before = served(running)
    here = photoseek("search", *arguments, cwd=EXAMPLES, PHOTOSEEK_DAEMON="0")
    assert served(running) == before
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)


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
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(running), "PYTHONPATH": str(ROOT)}

    def client() -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=600, check=True)

    modules = set(by_resident(client, running).stdout.decode().splitlines()[-1].split())
    large = {"numpy", "typer", "retrieval.commands.app", "sqlite3", "retrieval.gallery", "dataclasses", "logging"}
    assert not modules & (large | {"json", "socket"})


def test_only_its_user_may_ask(running: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(running))))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o755)
    assert state_of(str(running)) is None, "a folder that others may enter is not trusted"
    path.parent.chmod(0o700)
    assert state_of(str(running)) is not None


def test_a_foreign_peer_gets_no_answer(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "is_own_peer", lambda connection: False)
    assert state_of(str(running)) is None


def test_another_program_is_not_answered_and_an_exchanged_one_leaves(
    photoseek: Photoseek, place: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    for name in ("retrieval", "indexes"):
        shutil.copytree(ROOT / name, program / name, ignore=shutil.ignore_patterns("builtin", "__pycache__"))
    shutil.copy(ROOT / "cli.py", program)
    (program / "retrieval" / "encoders" / "builtin").symlink_to(ROOT / "retrieval" / "encoders" / "builtin")
    copy: dict[str, Any] = {"cwd": program, "PYTHONPATH": str(program)}
    try:
        assert photoseek("daemon", "start", "--idle", "60", **copy).returncode == 0
        by_resident(photoseek, place, "search", "a dog", **copy)
        before = served(place)
        assert photoseek("search", "a dog").returncode == 0, "by the program that the others are of"
        assert served(place) == before
        with (program / "retrieval" / "search" / "engine.py").open("a") as file:
            file.write("\n# another version\n")
        assert photoseek("search", "a dog", **copy).returncode == 0
        wait_until(lambda: state_of(str(place)) is None and photoseek("daemon", "status").returncode == 3)
    finally:
        stop(Gallery(place))


def test_other_settings_are_not_answered(photoseek: Photoseek, running: Path) -> None:
    assert photoseek("search", "a dog", PHOTOSEEK_NO_CACHE="1").returncode == 0
    assert served(running) == 0


def test_another_gallery_is_not_answered(photoseek: Photoseek, running: Path, tmp_path: Path) -> None:
    path = str(socket_path(str(running)))
    other = shutil.copytree(running, tmp_path / "other")
    argv = ["search", "a dog", "--gallery"]

    def code(named: str, meant: str, is_named: str = "named") -> int | None:
        answer = ask(path, "run", (str(tmp_path), meant, is_named, "strict", *argv, named), 60)
        return None if answer is None else answer.code

    assert [code("other", "other"), code("other", "gallery"), code("gallery", "other")] == [REFUSED] * 3
    assert code("gallery", "gallery", "") == REFUSED, "the client meant its default"
    wait_until(lambda: code("gallery", "gallery") == 0)
    assert photoseek("search", "a dog", "--gallery", str(other)).returncode == 0
    assert served(running) == 1


def message(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH, "big") + body


@pytest.mark.parametrize(
    "line",
    [
        b"no message\n",
        message(b""),
        message(b"\xff\xfe\0\0"),
        message(VERSION.encode()),
        message(VERSION.encode() + b"\0run"),
        message(b"\0".join([VERSION.encode(), b"run", b"", b"", b"/", b"/", b"", b"strict", b"search", b"x"])),
        message(b"photoseek 0\0run" + b"\0" * 9),
        message(b"\0" * 60_000),
        message(b"x" * 200_000),
        b"\xff" * 8,
        b"\0\0",
        b"",
    ],
    ids=lambda line: repr(line[:24]),
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
    assert told[8:9] in (b"", bytes([REFUSED]))
    assert served(running) == 0


def test_a_client_that_says_nothing_does_not_block_the_others_for_long(running: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(socket_path(str(running))))
        wait_until(lambda: state_of(str(running)) is not None)


def test_a_hung_daemon_is_not_waited_for(photoseek: Photoseek, place: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(place))))
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(4)
        done = photoseek("search", "a dog", "-n", "1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == photoseek("search", "a dog", "-n", "1").stdout, "now nobody listens at all"


def test_ctrl_c_ends_a_client_that_waits(place: Path, runtime: Path) -> None:
    path = Path(str(socket_path(str(place))))
    path.parent.mkdir(mode=0o700)
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(place), "PYTHONPATH": str(ROOT)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(4)
        client = subprocess.Popen(
            [*START, "search", "a dog"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        hung.accept()[0].close()  # it has begun; where it is now, only its end tells
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=600)
    assert (client.returncode, err) in ((130, b""), (0, b"")), "it may have searched by itself meanwhile"
    assert client.returncode == 0 or out == b""


@pytest.mark.parametrize("form", ["--json", "--paths"])
def test_a_reader_that_leaves_ends_a_client_quietly(photoseek: Photoseek, running: Path, form: str) -> None:
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(running), "PYTHONPATH": str(ROOT)}

    def client() -> subprocess.CompletedProcess[bytes]:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            return subprocess.run(
                [*START, "search", "a dog", "-n", "100", form], cwd=ROOT, env=environment, stdout=writer,
                stderr=subprocess.PIPE, timeout=600, check=False,
            )  # fmt: skip
        finally:
            os.close(writer)

    done = by_resident(client, running)
    assert (done.returncode, done.stderr) == (0, b"")


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
        assert ask(str(path), "status", wait_s=0.2) is None
        done.set()
        thread.join()


def test_it_loads_nothing_for_pages_or_pictures(place: Path, runtime: Path) -> None:
    code = (
        "import sys; import cli\n"
        "sys.argv = ['photoseek', 'daemon', 'run', '--idle', '1']\n"
        "try:\n    cli.main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print(*sys.modules)"
    )
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(place), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=True
    )
    assert not {name.partition(".")[0] for name in done.stdout.split()} & (WEB | HEAVY)


def test_what_would_keep_others_waiting_is_left_to_the_asker(photoseek: Photoseek, running: Path) -> None:
    for arguments in (("-n", "1001"), ("--relevant",)):
        assert photoseek("search", "a dog", "--paths", *arguments).stdout
        assert served(running) == 0
    by_resident(photoseek, running, "search", "a dog", "--relevant", "--paths")  # it is measured now, and kept


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
    first = state_of(str(running))
    assert photoseek("daemon", "start").returncode == 0
    second = photoseek("daemon", "run")
    assert second.returncode == 2 and b"already running for this gallery" in second.stderr
    again = state_of(str(running))
    assert first is not None and again is not None and first["pid"] == again["pid"]


def test_a_killed_daemon_is_replaced(photoseek: Photoseek, running: Path) -> None:
    first = state_of(str(running))
    assert first is not None
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: state_of(str(running)) is None)
    assert Path(str(socket_path(str(running)))).exists(), "it could not clean up"
    assert photoseek("search", "a dog").returncode == 0
    assert photoseek("daemon", "start", "--idle", "60").returncode == 0
    second = state_of(str(running))
    assert second is not None and second["pid"] != first["pid"]


def test_sigterm_cleans_up(running: Path) -> None:
    found = state_of(str(running))
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
    assert state_of(str(place)) is None


def test_it_leaves_with_its_gallery(running: Path, photoseek: Photoseek) -> None:
    path = Path(str(socket_path(str(running))))
    shutil.rmtree(running)
    assert photoseek("search", "a dog").returncode == 3
    wait_until(lambda: not path.exists())


def test_on_demand(photoseek: Photoseek, place: Path) -> None:
    first = photoseek("search", "a dog", PHOTOSEEK_DAEMON="1")
    try:
        assert first.returncode == 0
        wait_until(lambda: state_of(str(place)) is not None)
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
    assert gallery_of(["search", "x"]) is None
    assert gallery_of(["search", "x", "--gallery", "a", "--gallery=b"]) == "b"
    assert socket_path(str(tmp_path / "none")) is None
    (tmp_path / "link").symlink_to(tmp_path)
    assert socket_path(str(tmp_path / "link")) == socket_path(str(tmp_path))


def test_where_there_are_no_such_sockets_nobody_is_bothered(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "geteuid")  # as on Windows
    assert socket_path(str(place)) is None and state_of(str(place)) is None

    async def opened() -> None:
        engine_thread = EngineThread(Gallery(place), EngineLimits())
        door = SocketDoor(Gallery(place), lambda argv, engine: 0, engine_thread, page="http://127.0.0.1:8765")
        await door.keep_open()
        assert await asyncio.to_thread(engine_thread.close, 600)

    asyncio.run(opened())
    assert not caplog.records


def test_a_request_too_large_to_ask_is_searched_here(running: Path) -> None:
    argv = ["search", *["word"] * 20_000]
    assert len("\0".join(argv)) > protocol.MAX_REQUEST
    assert ask(str(socket_path(str(running))), "run", ("/", str(running), "", "strict", *argv)) is None
    assert served(running) == 0
