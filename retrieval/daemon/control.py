"""Start and stop the daemon of a gallery, and report its status."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.daemon.client import socket_path
from retrieval.daemon.talk import ask
from retrieval.errors import GalleryError, RetrievalError, SettingsError
from retrieval.gallery import Gallery
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.daemon.server import Run

IDLE_S = 300.0
_WAIT_S = 20.0


def control(action: str, gallery: Gallery, program: Sequence[str], idle_s: float, runner: Callable[[], Run]) -> str:
    """Do ``start``, ``stop``, ``status`` or ``run`` (which returns when the daemon leaves); what to tell the
    person.

    Raises:
        SettingsError: another action.
        GalleryError: no daemon is running; and see :func:`start`.
    """
    if action == "run":
        from retrieval.daemon.server import Daemon, leave_on_sigterm

        leave_on_sigterm()
        return f"left after {plural(Daemon(gallery, runner(), idle_s).serve(), 'search', 'searches')}"
    if action == "start":
        start(gallery, program, idle_s)
    elif action not in ("stop", "status"):
        raise SettingsError(f"a daemon cannot {action}", "use start, stop, status or run")
    found = stop(gallery) if action == "stop" else status(gallery)
    if found is None:
        raise GalleryError("no daemon is running for this gallery", "start it: photoseek daemon start")
    state = "stopped" if action == "stop" else "running"
    served = plural(found["served"], "search", "searches")
    return f"{state}: process {found['pid']}, {served}, {found['idle_s']:g} s until it is idle"


def status(gallery: Gallery) -> dict[str, Any] | None:
    """``pid``, ``served`` and ``idle_s`` of the gallery's daemon; None if none answers."""
    return _tell(gallery, "status")


def stop(gallery: Gallery) -> dict[str, Any] | None:
    """Make the gallery's daemon leave, and wait until it has; what it was, or None if none answered."""
    told = _tell(gallery, "stop")
    path = socket_path(str(gallery.path))
    end = time.monotonic() + _WAIT_S
    while told is not None and path is not None and Path(path).exists() and time.monotonic() < end:
        time.sleep(0.01)
    return told


def start(gallery: Gallery, program: Sequence[str], idle_s: float = IDLE_S, *, wait: bool = True) -> None:
    """Start a daemon for a gallery in a process of its own, unless one answers already.

    Args:
        program: how this command line is called, without arguments.
        wait: return when it answers.

    Raises:
        GalleryNotFound: nothing is indexed yet.
        GalleryError: it did not answer in time.
    """
    with gallery.reader() as reader:
        gallery.active_encoder(reader)
    if status(gallery) is not None:
        return
    process = subprocess.Popen(
        [*program, "daemon", "run", "--gallery", str(gallery.path.resolve()), "--idle", str(idle_s)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    end = time.monotonic() + _WAIT_S
    while wait and status(gallery) is None:
        if process.poll() is not None or time.monotonic() > end:
            raise GalleryError("the daemon does not respond", "find out why: photoseek daemon run")
        time.sleep(0.02)
    process.returncode = 0  # it outlives this process on purpose; Popen would warn that nobody waited for it


def start_on_demand(gallery: Gallery, program: Sequence[str]) -> None:
    """Start a daemon and do not wait for it; that it cannot be started is no concern of a search."""
    with suppress(RetrievalError, OSError):
        start(gallery, program, wait=False)


def _tell(gallery: Gallery, op: str) -> dict[str, Any] | None:
    path = socket_path(str(gallery.path))
    answer = None if path is None or not Path(path).exists() else ask(path, {"op": op})
    return answer if answer is not None and "pid" in answer else None
