"""Galleries with a resident process, and the command line as its client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.gallery import Gallery
from retrieval.server.client import state_of
from retrieval.server.control import stop

ROOT = Path(__file__).parent.parent.parent
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
            timeout=600,
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


def resident(place: Path) -> dict[str, Any]:
    """What the gallery's resident process says of itself; on a busy machine it may have to be asked again."""
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        answer = state_of(str(place))
        found.extend([] if answer is None else [answer])
        return bool(found)

    wait_until(asked)
    return found[0]


def served(place: Path) -> int:
    return int(resident(place)["served"])


def by_resident(photoseek: Photoseek, place: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """What ``photoseek ARGUMENTS...`` does when it is answered by the resident process: on a busy machine it may not
    wait for it, and is run again."""
    before = served(place)
    done: list[subprocess.CompletedProcess[bytes]] = []

    def answered() -> bool:
        done.append(photoseek(*arguments, **more))
        return served(place) > before

    wait_until(answered)
    return done[-1]


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
