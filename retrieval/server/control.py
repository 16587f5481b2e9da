"""Start and stop the daemon of a gallery, and report its status."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import GalleryError, RetrievalError, SettingsError
from retrieval.gallery import Gallery
from retrieval.server.client import socket_path, state_of
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.server.door import Run

IDLE_S = 300.0
_WAIT_S = 20.0


def control(action: str, gallery: Gallery, program: Sequence[str], idle_s: float, runner: Callable[[], Run]) -> str:
    """Perform ``start``, ``stop``, ``status`` or ``run`` (which returns when the daemon exits); returns the message
    to print.

    Raises:
        SettingsError: another action.
        GalleryError: no daemon is running; and see :func:`start`.
    """
    if action == "run":
        from retrieval.server.resident import reside

        return f"left after {plural(reside(gallery, runner(), idle_s), 'search', 'searches')}"
    if action == "start":
        start(gallery, program, idle_s)
    elif action not in ("stop", "status"):
        raise SettingsError(f"a daemon cannot {action}", "use start, stop, status or run")
    found = stop(gallery) if action == "stop" else state_of(str(gallery.path))
    if found is None:
        raise GalleryError("no daemon is running for this gallery", "start it: photoseek daemon start")
    if action == "stop" and found["page"] is not None:
        raise GalleryError(f"photoseek serve answers for this gallery, at {found['page']}", "stop that with Ctrl-C")
    state = "stopped" if action == "stop" else "running"
    parts = [f"{state}: process {found['pid']}", plural(found["served"], "search", "searches")]
    if found["bytes"] is not None:
        parts.append(f"{found['bytes'] / 1e6:.0f} MB in memory")
    parts.append(f"{found['idle_s']:g} s until it is idle" if found["page"] is None else f"page at {found['page']}")
    return ", ".join(parts)


def stop(gallery: Gallery) -> dict[str, Any] | None:
    """Make the gallery's daemon exit, and wait until it has; returns its last state, or None if none answered.

    A process that serves a page keeps running.
    """
    found = state_of(str(gallery.path), "stop")
    path = socket_path(str(gallery.path))
    end = time.monotonic() + _WAIT_S
    if found is not None and found["page"] is None and path is not None:
        while Path(path).exists() and time.monotonic() < end:
            time.sleep(0.01)
    return found


def start(gallery: Gallery, program: Sequence[str], idle_s: float = IDLE_S, *, wait: bool = True) -> None:
    """Start a daemon for a gallery in a separate process, unless one answers already.

    Args:
        program: the command of this command line, without arguments.
        wait: return when it answers.

    Raises:
        GalleryNotFound: nothing is indexed yet.
        GalleryError: it did not answer in time.
    """
    with gallery.reader() as reader:
        gallery.active_encoder(reader)
    if state_of(str(gallery.path)) is not None:
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
    while wait and state_of(str(gallery.path)) is None:
        if process.poll() is not None or time.monotonic() > end:
            raise GalleryError("the daemon does not respond", "find out why: photoseek daemon run")
        time.sleep(0.02)
    process.returncode = 0  # it outlives this process on purpose; otherwise Popen would warn


def start_on_demand(gallery: Gallery, program: Sequence[str]) -> None:
    """Start a daemon without waiting for it; failures are ignored because the search does not need it."""
    with suppress(RetrievalError, OSError):
        start(gallery, program, wait=False)
