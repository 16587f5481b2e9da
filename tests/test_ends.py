"""How every command ends: on a full disk, when the reader of its output exits, and after Ctrl-C."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.commands import COMMANDS
from retrieval.errors import GalleryError, SettingsError, SystemProblem
from retrieval.system_errors import explained, not_written, of_sqlite
from tests.conftest import EXAMPLES
from tests.test_cli import every_command

ROOT = Path(__file__).parent.parent
OWL = str(EXAMPLES / "birds" / "owl.jpg")

PRINTING: dict[str, list[list[str]]] = {
    "index": [["--json-progress", str(EXAMPLES / "birds")]],
    "search": [["a dog"], ["a dog", "--json"], ["a dog", "-0"], ["--queries-from", "-"]],
    "similar": [[OWL], [OWL, "--paths"]],
    "shell": [[]],
    "label": [[OWL]],
    "album": [["--help"]],
    "people": [["--help"]],
    "tag": [["--labels", "cat,dog"]],
    "classify": [[OWL]],
    "duplicates": [[], ["--undo"]],
    "clusters": [["--k", "2"]],
    "map": [["--method", "pca"]],
    "config": [[], ["--json"], ["get", "serve.port"]],
    "info": [[], ["--json"], ["--failures"]],
    "tune": [[]],
    "verify": [[], ["--json"]],
    "daemon": [["--help"]],
    "models": [[], ["--json"]],
    "explain": [["--check"]],
    "eval": [["zeroshot", str(EXAMPLES)], ["--help"]],
    "completion": [["bash"]],
}
"""Command -> arguments with which it writes to stdout."""

SILENT = {
    "export": "writes to a folder", "import": "tells on stderr", "init": "tells on stderr",
    "serve": "writes to sockets", "mcp": "its other end speaks first", "forget": "tells on stderr",
    "backup": "each run makes another one", "restore": "tells on stderr", "migrate": "tells on stderr",
    "watch": "tells on stderr, and goes on",
    "train": "needs torch, or labels",
}  # fmt: skip

CASES = [(name, *arguments) for name, given in PRINTING.items() for arguments in given]


def test_every_command_is_here() -> None:
    assert set(PRINTING) | set(SILENT) == set(COMMANDS)


@pytest.fixture(scope="module")
def start(indexed_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """``start("search", "x", stdout=...)``: a process of photoseek on a gallery of its own, with a query on stdin."""
    place = Path(shutil.copytree(indexed_examples, tmp_path_factory.mktemp("ends") / "gallery"))

    def begin(*arguments: str, stdout: object, stderr: object = subprocess.PIPE) -> subprocess.Popen[str]:
        queries = place.with_name("queries.txt")
        queries.write_text("a dog\n" * 3)
        with queries.open() as stdin:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "cli.py"), *arguments],
                env=os.environ | {"PHOTOSEEK_GALLERY": str(place), "PHOTOSEEK_MODELS": str(place / "models")},
                stdin=stdin, stdout=stdout, stderr=stderr, text=True,
            )  # fmt: skip

    return begin


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_a_full_disk_behind_stdout_is_two_lines(start: Callable[..., subprocess.Popen[str]], arguments) -> None:  # type: ignore[no-untyped-def]
    if arguments in (("info", "--failures"),):
        pytest.skip("nothing to print")
    with Path("/dev/full").open("w") as full, start(*arguments, stdout=full) as process:
        err = process.communicate(timeout=600)[1]
    assert process.returncode == 3, err
    said = err.splitlines()[-2:]
    assert "the disk is full" in said[0] and "free some space" in said[1]
    assert "Traceback" not in err and "Exception ignored" not in err


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_a_reader_who_leaves_is_no_error(start: Callable[..., subprocess.Popen[str]], arguments) -> None:  # type: ignore[no-untyped-def]
    out, into = os.pipe()
    os.close(out)
    with start(*arguments, stdout=into) as process:
        os.close(into)
        err = process.communicate(timeout=600)[1]
    assert process.returncode == 0, err
    assert "Traceback" not in err and "Exception ignored" not in err and "Broken pipe" not in err


def test_remarks_that_cannot_be_written_stop_nothing(start: Callable[..., subprocess.Popen[str]]) -> None:
    out, into = os.pipe()
    os.close(out)
    with start("duplicates", stdout=subprocess.PIPE, stderr=into) as process:
        os.close(into)
        assert process.communicate(timeout=600)[0] and process.returncode == 0


def test_closed_streams_are_no_error(start: Callable[..., subprocess.Popen[str]], indexed_examples: Path) -> None:
    command = f'exec "{sys.executable}" "{ROOT / "cli.py"}" search dog --gallery "{indexed_examples}" "$@"'
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), closed


_INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
left = int(sys.argv[1])
class Finder:
    def find_spec(self, name, path=None, target=None):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.argv[1:] = sys.argv[2:]
import cli
sys.meta_path.insert(0, Finder())
cli.main()
"""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "mcp"])
def test_ctrl_c_while_modules_are_imported_is_quiet(command: str, indexed_examples: Path, tmp_path: Path) -> None:
    """Sent when the so-many-th module is looked for: the same moments however fast the machine is."""
    arguments = [command, *next(iter(PRINTING.get(command, [[]])))]
    if command in ("index", "tag"):
        indexed_examples = tmp_path / "gallery"
    for moment in (1, 12, 60, 150, 240):
        done = subprocess.run(
            [sys.executable, "-c", _INTERRUPTED, str(moment), *arguments],
            env=os.environ | {"PHOTOSEEK_GALLERY": str(indexed_examples), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, (moment, done.stderr)
        # Not asked for so many modules: it has ended as it does without an interrupt.
        assert done.returncode == 130 or moment >= 60, (moment, done.stderr)


def test_an_ignored_ctrl_c_stays_ignored(indexed_examples: Path) -> None:
    """A script starts what runs in its background like this."""
    code = _INTERRUPTED.replace("signal.default_int_handler", "signal.SIG_IGN")
    done = subprocess.run(
        [sys.executable, "-c", code, "60", "search", "a dog", "--gallery", str(indexed_examples)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout, done.stderr


def test_a_fault_of_ours_is_two_lines_without_its_text(indexed_examples: Path) -> None:
    code = (
        "import cli, retrieval.overview, sys\n"
        "def wrong(*_, **__): raise KeyError('a line of somebody')\n"
        "retrieval.overview.write_overview = wrong\ncli.main()"
    )
    asked = [sys.executable, "-c", code, "info", "--gallery", str(indexed_examples)]
    for told in ("0", "1"):
        done = subprocess.run(
            asked, env=os.environ | {"PHOTOSEEK_TRACEBACK": told}, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 3 and ("a line of somebody" in done.stderr) == (told == "1")
        first, second = done.stderr.splitlines()[-2:]
        assert "a fault in the program: KeyError in <string>, line 2" in first and "report" in second


@pytest.mark.parametrize(
    ("number", "what", "advice"),
    [
        (errno.ENOSPC, "the disk is full", "free some space"),
        (errno.EDQUOT, "the disk is full", "free some space"),
        (errno.EIO, "reports an error", "check the drive"),
        (errno.EROFS, "read-only", "mount it"),
        (errno.EACCES, "permission", "permissions"),
        (errno.EMFILE, "too many files", "ulimit"),
        (errno.ENOMEM, "memory", "close other programs"),
        (errno.EPIPE, "closed by the other side", "again"),
        (errno.EFBIG, "no larger file", "ulimit"),
        (errno.ENOENT, "does not exist", "name"),
        (errno.ENODEV, "No such device", "check the disk"),
    ],
)
def test_what_the_system_says_and_what_to_do(number: int, what: str, advice: str) -> None:
    found = explained(OSError(number, os.strerror(number), "/some/file"))
    assert isinstance(found, SystemProblem) and found.exit_code == 3
    assert found.message.startswith("/some/file: ") and what in found.message and advice in found.hint
    assert type(found).__name__ in str(type(explained(found)))


def test_what_is_not_the_machines_doing_is_not_explained() -> None:
    for error in (KeyError("x"), ValueError("x"), sqlite3.ProgrammingError("x"), sqlite3.IntegrityError("x")):
        assert explained(error) is None
    assert isinstance(explained(MemoryError()), SystemProblem)


def test_files_that_cannot_be_written() -> None:
    assert isinstance(not_written("x", OSError(errno.ENOENT, "no")), SettingsError)
    full = not_written("x", OSError(errno.ENOSPC, "no"))
    assert full.exit_code == 3 and full.message == "cannot write x: the disk is full"


def test_errors_of_sqlite_are_told_apart(tmp_path: Path) -> None:
    import sqlalchemy

    path = tmp_path / "catalog.sqlite"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(sqlite3.DatabaseError) as broken:
        sqlite3.connect(path).execute("SELECT * FROM x")
    assert "damaged" in of_sqlite(broken.value, path, "read").message
    path.unlink()
    holder, waiting = sqlite3.connect(path), sqlite3.connect(path, timeout=0)
    holder.execute("CREATE TABLE x (y)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError) as locked:
        waiting.execute("INSERT INTO x VALUES (1)")
    told = of_sqlite(locked.value, path)
    assert isinstance(told, GalleryError) and "another process" in told.message and "wait" in told.hint
    wrapped = sqlalchemy.exc.OperationalError("INSERT", {}, locked.value)
    assert explained(wrapped) is not None and "another process" in str(explained(wrapped))
    holder.rollback()
    waiting.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        waiting.execute("INSERT INTO x VALUES (zeroblob(100000))")
    assert "the disk is full" in of_sqlite(full.value, path).message
    holder.close()
    waiting.close()


def test_every_command_of_a_group_is_reached() -> None:
    """So that a new command has to be put into a table above."""
    assert {command[0] for command in every_command()} == set(PRINTING) | set(SILENT)
    assert signal.getsignal(signal.SIGINT) is not None
