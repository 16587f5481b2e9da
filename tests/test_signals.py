"""SIGINT, SIGTERM and SIGHUP at counted steps of every command that takes time, SIGSTOP while others read.

``PHOTOSEEK_SIGNALS`` (moments in each command, 2 by default) and ``PHOTOSEEK_SIGNAL_SEED`` make it longer.
"""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.commands import COMMANDS
from retrieval.interrupts import ENDING
from tests.crashes import Commands, Ended, check_index, meaning, state
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

ROOT = Path(__file__).parents[1]
MOMENTS = int(os.environ.get("PHOTOSEEK_SIGNALS", "2"))
SEED = int(os.environ.get("PHOTOSEEK_SIGNAL_SEED", "1"))
REMARKS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}

STOPPED = {
    "index": ["index", "{new}", "--workers", "1"],
    "label": ["label", "{pictures}", "--tag", "stopped"],
    "album": ["album", "create", "Stopped", "{pictures}/00.jpg"],
    "people": ["people", "regroup"],
    "export": ["export", "{out}"],
    "tag": ["tag", "--labels", "red,green"],
    "classify": ["classify", "{pictures}/00.jpg", "--labels", "red,green"],
    "duplicates": ["duplicates", "--trash", "--yes"],
    "clusters": ["clusters", "--k", "2"],
    "map": ["map", "--method", "pca", "--html", "{out}.html"],
    "tune": ["tune"],
    "forget": ["forget", "{pictures}/03.jpg"],
    "verify": ["verify"],
    "backup": ["backup", "{out}"],
    "restore": ["restore", "{backups}", "--yes"],
    "explain": ["explain", "--image", "{pictures}/00.jpg", "--heat", "occlusion", "--png", "{out}.png"],
    "similar": ["similar", "{new}/00.jpg"],
    "models": ["models"],
    "info": ["info"],
}
"""Command -> arguments, in a gallery with copies, labels, and folders that are not indexed yet."""

ELSEWHERE = {
    "watch": "below", "serve": "below, and tests/web/test_server.py", "mcp": "below", "daemon": "below",
    "shell": "below", "search": "a plain one ends at once, as in test_ends.py", "import": "as index",
    "config": "one small file, written in one call", "completion": "prints only",
    "init": "makes a folder with one file, and tables in PostgreSQL in one transaction",
    "migrate": "tests/test_migrate.py: it needs a server",
    "train": "tests/lab/training/test_command.py", "eval": "reads only, as tune",
}  # fmt: skip


def test_every_command_is_here() -> None:
    assert set(STOPPED) | set(ELSEWHERE) == set(COMMANDS) and not set(STOPPED) & set(ELSEWHERE)


@pytest.fixture(scope="module", autouse=True)
def unignored() -> Iterator[None]:
    """Children inherit what is ignored here, as under nohup, and no handlers."""
    before = {sent: signal.signal(sent, lambda *_: None) for sent in ENDING if signal.getsignal(sent) is signal.SIG_IGN}
    yield
    for sent, handler in before.items():
        signal.signal(sent, handler)


class World:
    """A gallery and what it is about, copied anew for each moment: its paths are absolute."""

    def __init__(self, commands: Commands, place: Path) -> None:
        self.at, self._pristine, self._commands = place / "world", place / "pristine", commands
        for folder in ("pictures", "new"):
            for number in range(8):
                colour = ("red", "green", "blue", "yellow")[number % 4]
                save_picture(self.at / folder / f"{number:02}.jpg", colour, seed=number, size=(24, 24))
        for number in range(8):
            new = self.at / "new" / f"{number:02}.jpg"
            new.write_bytes(new.read_bytes() + b"new")  # other bytes: nothing is known of them
        shutil.copy(self.at / "pictures" / "00.jpg", self.at / "pictures" / "copy.jpg")
        for arguments in (
            ["index", "{pictures}", "--workers", "1"],
            ["label", "{pictures}", "--tag", "sea", "--rating", "3"],
            ["backup", "{backups}"],
            ["label", "{pictures}/01.jpg", "--tag", "since"],
        ):
            assert self.run(arguments).code == 0, arguments
        shutil.move(self.at, self._pristine)

    @property
    def gallery(self) -> Path:
        return self.at / "gallery"

    def fresh(self) -> None:
        shutil.rmtree(self.at, ignore_errors=True)
        shutil.copytree(self._pristine, self.at)

    def run(self, arguments: list[str], **more: object) -> Ended:
        return self._commands.run(self.gallery, *map(self.named, arguments), **more)  # type: ignore[arg-type]

    def named(self, argument: str) -> str:
        names = {name: str(self.at / name) for name in ("pictures", "new", "out", "backups")}
        return argument.format(**names)


@pytest.fixture(scope="module")
def world(commands: Commands, place: Path) -> World:
    return World(commands, place)


def _moments(steps: int, rng: np.random.Generator) -> list[int]:
    """One in each part of the command, and one near its last steps."""
    parts = [1 + int((part + rng.random()) / MOMENTS * steps) for part in range(MOMENTS - 1)]
    return [*parts, max(1, steps - 2)]


def _check_after(world: World, name: str) -> None:
    """It opens, is whole, and the same command works or has nothing to do."""
    verified = world.run(["verify"])
    assert verified.code == 0, (name, verified.printed)
    check_index(world.gallery)
    again = world.run(STOPPED[name])
    again.check_manners()
    assert again.code in (0, 1, 2, 3), (name, again.printed)  # 2 or 3: it was done, and cannot be done again


@pytest.mark.parametrize("name", STOPPED)
def test_a_signal_ends_a_command_with_a_remark_and_loses_nothing(name: str, world: World) -> None:
    rng = np.random.default_rng([SEED, len(name), ord(name[0])])
    world.fresh()
    whole = world.run(STOPPED[name])
    assert whole.code in (0, 1, 2), whole.printed
    ends: Counter[int] = Counter()
    for number, moment in enumerate(_moments(whole.counts["call"], rng)):
        sent = ENDING[(number + len(name)) % len(ENDING)]
        world.fresh()
        first = state(world.gallery)
        ended = world.run(STOPPED[name], point=("call", moment), signal=int(sent))
        ended.check_manners()
        ends[ended.code or 0] += 1
        told = f"{name}, {sent.name} at {moment} of {whole.counts['call']}: {ended.printed}"
        assert ended.code in (128 + sent, whole.code), told
        if ended.code != whole.code:
            assert REMARKS[sent] in ended.printed or "stopp" in ended.printed, told
        assert state(world.gallery) in {(first, *ended.states)[-1], ended.pending} or name == "restore", told
        _check_after(world, name)
    print(f"{name}: {dict(ends)}, {whole.counts['call']} steps")
    assert sum(ends.values()) - ends[whole.code] or whole.counts["call"] < 50


@pytest.mark.parametrize("name", ["index", "label", "backup", "duplicates"])
def test_a_command_that_is_stopped_and_continued_disturbs_no_reader(name: str, world: World) -> None:
    world.fresh()
    whole = world.run(STOPPED[name])
    assert whole.code == 0
    final, rng = meaning(world.gallery), np.random.default_rng([SEED, len(name)])
    points = [("call", at) for at in _moments(whole.counts["call"], rng)]
    points += [("step", at) for at in _moments(max(whole.counts["step"], 1), rng)]
    reading = [["search", "red", "--paths"], ["info"], ["similar", world.named("{pictures}/00.jpg"), "--paths"]]
    stopped = 0
    for point in points:
        world.fresh()
        ended = world.run(
            STOPPED[name], point=point, signal=int(signal.SIGSTOP), meanwhile=_meanwhile(world.gallery, reading)
        )
        ended.check_manners()
        assert ended.code == 0, (point, ended.printed)
        if ended.meanwhile is not None:
            stopped += 1
            for arguments, (code, out) in zip(reading, ended.meanwhile, strict=True):
                assert code == 0 and out, (point, arguments, out)
        assert meaning(world.gallery) == final, point
        assert world.run(["verify"]).code == 0
    assert stopped >= len(points) // 2


def _meanwhile(gallery: Path, arguments: list[list[str]]) -> dict[str, object]:
    job = {"point": None, "fresh": False, "plain": True, "environment": {}, "faults": None, "limits": {}}
    return job | {"gallery": str(gallery), "arguments": arguments}


def _started(gallery: Path, *arguments: str, **streams: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *arguments],
        env=os.environ | {"PHOTOSEEK_GALLERY": str(gallery), "PYTHONUNBUFFERED": "1"},
        **streams,  # type: ignore[call-overload]
    )


LASTING = {
    "watch": (["watch", "{pictures}"], b"watching", 0),
    "serve": (["serve", "--port", "0"], b"(Ctrl-C stops it)", 0),
    "shell": (["shell"], b"0.", 128),
}
"""Command -> arguments, what it prints once it works, its exit code (128: and the signal's number)."""


@pytest.mark.parametrize("sent", ENDING)
@pytest.mark.parametrize("name", LASTING)
def test_what_runs_until_it_is_told_to_end_heeds_each_signal(name: str, sent: signal.Signals, world: World) -> None:
    world.fresh()
    arguments, works, code = LASTING[name]
    process = _started(
        world.gallery, *map(world.named, arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    if name == "shell":
        process.stdin.write(b"red\n")
        process.stdin.flush()
    said = b""
    while works not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.send_signal(sent)
    rest = process.communicate()[0]
    assert process.returncode == (code + sent if code else 0), rest
    assert b"Traceback" not in rest
    assert world.run(["verify"]).code == 0


def test_an_assistants_server_ends_at_once(world: World) -> None:
    pytest.importorskip("mcp")
    world.fresh()
    for sent in ENDING[-2:]:
        process = _started(world.gallery, "mcp", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        begin = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
        process.stdin.write(begin)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(sent)
        assert process.wait() == 128 + sent
        process.communicate()


def test_a_terminal_that_is_closed_ends_a_run_and_loses_nothing(world: World) -> None:
    """SIGHUP comes to the whole group of the terminal, and each later write to it fails."""
    world.fresh()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PHOTOSEEK_GALLERY"] = str(world.gallery)
        os.execv(sys.executable, [sys.executable, str(ROOT / "cli.py"), "watch", world.named("{pictures}")])
    said = b""
    while b"watching" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert world.run(["verify"]).code == 0


_IN_A_LIBRARY = """
import hashlib, os, signal, sys, threading
from retrieval import interrupts, program
interrupts.WITHIN_S = 0.2
program.begin()
with program.errors_in_two_lines("photoseek"):
    program.begin_work()
    if sys.argv[1] == "goes on":
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            assert interrupts.goes_on()
        threading.Event().wait(1.0)
        sys.exit(7)
    threading.Timer(0.1, os.kill, (os.getpid(), getattr(signal, sys.argv[1]))).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("sent", ENDING)
def test_a_library_that_does_not_return_is_not_waited_for(sent: signal.Signals) -> None:
    done = subprocess.run([sys.executable, "-c", _IN_A_LIBRARY, sent.name], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 128 + sent
    assert len(done.stderr.splitlines()) == 1 and REMARKS[sent] in done.stderr


def test_a_shell_goes_on_after_ctrl_c() -> None:
    done = subprocess.run([sys.executable, "-c", _IN_A_LIBRARY, "goes on"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")


def test_what_was_started_with_nohup_stays(world: World) -> None:
    world.fresh()
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv[0] = 'photoseek'\n"
        "import cli, retrieval.catalog.writer as writer\n"
        "begun = writer.Catalog.begin_run\n"
        "def hung_up(*a, **b): os.kill(os.getpid(), signal.SIGHUP); return begun(*a, **b)\n"
        "writer.Catalog.begin_run = hung_up\ncli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "index", world.named("{new}")], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PHOTOSEEK_GALLERY": str(world.gallery)},
    )  # fmt: skip
    assert done.returncode == 0 and "stopped" not in done.stderr, done.stderr
