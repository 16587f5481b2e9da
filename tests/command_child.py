"""Commands that are killed at a counted step, one fork each: ``python -m tests.command_child``, run by crashes.py.

One line of JSON in is one command; one line out is how it ended and which states of its catalog it was told to be on
disk. Everything is imported before the first fork, so that a command costs no start of Python; a job that is ``fresh``
starts one nevertheless, and one that is ``plain`` is neither counted nor killed. A job may name another ``signal`` than
SIGKILL; if that stops the command (SIGSTOP), the commands of ``meanwhile`` run before it is continued. Threads and
databases exist only in the forks.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

FILE_CALLS = {"open", "mkdir", "replace", "rename", "unlink", "rmdir", "fsync", "write", "flock", "truncate"}
SQL_CALLS = {"connect", "execute", "executemany", "executescript", "commit", "rollback", "close"}
CALLS = FILE_CALLS | SQL_CALLS

STEP = 50
"""Instructions of SQLite's machine between two moments at which a statement can be cut off."""

MOST_SECONDS = 300
"""Of processor time: what goes round for ever ends then, by another signal than the killed ones."""

IMPORTED_FIRST = (
    "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "alembic.command", "alembic.runtime.migration", "cli", "faiss",
    "filelock", "openvino", "retrieval.catalog.writer", "retrieval.commands.gallery", "retrieval.commands.index",
    "retrieval.commands.labels", "retrieval.commands.models", "retrieval.commands.search", "retrieval.server.client",
    "retrieval.encoders.onnx.encoder", "retrieval.indexing.dry_run", "retrieval.indexing.forgetting",
    "retrieval.indexing.indexer", "retrieval.labels.sidecars", "retrieval.labels.tagging", "retrieval.overview",
    "retrieval.search.engine", "retrieval.rendering.thumbnail_store", "retrieval.system_errors",
)  # fmt: skip


def state_of(connection: sqlite3.Connection) -> str:
    """A digest of every row of every table, as this connection sees them."""
    digest = hashlib.sha256()
    factory, connection.text_factory = connection.text_factory, bytes
    try:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        for name, sql in tables:
            rows = connection.execute(f'SELECT * FROM "{name.decode()}"').fetchall()
            digest.update(repr((name, sql, rows)).encode())
    finally:
        connection.text_factory = factory
    return digest.hexdigest()


class Killer:
    """Counts what a command does, kills it at one of these moments, and tells of each transaction.

    Kinds of moments: ``call`` before a call that changes a disk or a database, ``step`` within a statement of SQLite.
    ``counts`` has how many there were of each, the largest sizes of the catalog's log and
    file in bytes, and after which call the last transaction was committed.
    """

    def __init__(
        self, point: tuple[str, int] | None, tell: Callable[[str, str], None], number: int = signal.SIGKILL
    ) -> None:
        self.counts = {"call": 0, "step": 0, "log": 0, "file": 0, "committed": 0}
        self._point = point
        self._tell = tell
        self._signal = number
        self._is_asking = False
        self._committing: dict[int, str] = {}  # thread -> the state that its commit makes

    def install(self) -> None:
        """From now on, in every thread; connections that are made from now on."""
        connect = sqlite3.connect

        def counted(*arguments: Any, **named: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **named)
            connection.set_progress_handler(self._step, STEP)
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = counted  # type: ignore[assignment]
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _reached(self, kind: str) -> None:
        self.counts[kind] += 1
        if self._point == (kind, self.counts[kind]):
            os.kill(os.getpid(), self._signal)

    def _step(self) -> int:
        if not self._is_asking:
            self._reached("step")
        return 0

    def _profile(self, _frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in CALLS:
            if argument.__name__ == "commit":
                self._begin_commit(argument.__self__)
            self._reached("call")
        elif event == "c_return" and argument.__name__ == "commit":
            state = self._committing.pop(threading.get_ident(), None)
            if state is not None:
                self._tell("committed", state)
                self._note_sizes(argument.__self__)
                self.counts["committed"] = self.counts["call"]

    def _begin_commit(self, connection: object) -> None:
        if not isinstance(connection, sqlite3.Connection) or not connection.in_transaction:
            return
        self._is_asking = True
        try:
            file = str(connection.execute("PRAGMA database_list").fetchone()[2])
            if os.path.basename(file) == "catalog.sqlite":
                self._committing[threading.get_ident()] = state = state_of(connection)
                self._tell("committing", state)
        finally:
            self._is_asking = False

    def _note_sizes(self, connection: sqlite3.Connection) -> None:
        self._is_asking = True
        try:
            file = str(connection.execute("PRAGMA database_list").fetchone()[2])
        finally:
            self._is_asking = False
        for kind, path in (("log", Path(file + "-wal")), ("file", Path(file))):
            self.counts[kind] = max(self.counts[kind], path.stat().st_size if path.exists() else 0)


def limit_files(size: int) -> None:
    """Die in the write that would make a file longer than ``size`` bytes: what fits of it is written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run(job: dict[str, Any], told: int) -> None:
    """Run the command as its program does; never returns."""
    kind, number = job["point"] or (None, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))

    def tell(what: str, value: object) -> None:
        os.write(told, json.dumps([what, value]).encode() + b"\n")

    if not job["fresh"] and not job["plain"]:
        from retrieval.indexing import indexer

        indexer.COMMIT_IMAGES = 5
    killer = Killer((kind, number) if kind in ("call", "step") else None, tell, job.get("signal", signal.SIGKILL))
    if kind == "size":
        limit_files(number)
    for name, most in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    sys.argv = ["photoseek", *job["arguments"]]
    os.environ |= {"PHOTOSEEK_GALLERY": job["gallery"], **job["environment"]}
    code = 1
    from cli import main as start

    faults = job["faults"]
    if faults is not None:
        library = ctypes.CDLL(None)  # loaded before the program, see disk_calls.c
        log = os.open(faults["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if faults.get("log") else -1
        library.faults_begin(
            faults["folder"].encode(),
            log,
            ctypes.c_long(faults["at"]),
            faults.get("errno", 0),
            faults.get("lasting", 0),
        )
        library.faults_calls.restype = ctypes.c_long
    try:
        if not job["plain"]:
            killer.install()
        start()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        sys.stdout.flush()
        sys.stderr.flush()
        if faults is not None:
            killer.counts["disk"] = library.faults_calls()
        tell("counts", killer.counts)
        os._exit(code)


def begin(job: dict[str, Any]) -> dict[str, Any]:
    """One command in a fork; its wait status, what it printed on stdout and on stderr, and what it told."""
    out, err, told = os.memfd_create("out"), os.memfd_create("err"), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told[0])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err if job["plain"] else out, 2)
        if job["fresh"]:
            os.set_inheritable(told[1], True)
            command = [sys.executable, "-m", "tests.command_child", json.dumps(job), str(told[1])]
            os.execv(sys.executable, command)
        run(job, told[1])
    os.close(told[1])
    meanwhile = None
    if "meanwhile" in job:
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            meanwhile = [begin(job["meanwhile"] | {"arguments": each}) for each in job["meanwhile"]["arguments"]]
            os.kill(child, signal.SIGCONT)
    with os.fdopen(told[0]) as lines:
        said = [json.loads(line) for line in lines]
    if "meanwhile" not in job or meanwhile is not None:
        _, status = os.waitpid(child, 0)
    return {"status": status, "said": said, "out": _printed(out), "err": _printed(err), "meanwhile": meanwhile}


def _printed(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as printed:
        printed.seek(0)
        return printed.read().decode("utf-8", "replace")


def main() -> None:
    if len(sys.argv) == 3:
        run(json.loads(sys.argv[1]), int(sys.argv[2]))
    from importlib import import_module

    for name in IMPORTED_FIRST:
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(begin(json.loads(line))), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
