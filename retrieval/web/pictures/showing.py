"""Show a picture's file in the file manager of this machine, for someone who sits at it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.web.front.security import host_name

if TYPE_CHECKING:
    from starlette.requests import Request

_PATIENCE_S = 10.0
_FORWARDED = ("forwarded", "x-forwarded-for", "via")
_SHOW_ITEMS = (
    "--session", "--dest", "org.freedesktop.FileManager1", "--object-path", "/org/freedesktop/FileManager1",
    "--method", "org.freedesktop.FileManager1.ShowItems",
)  # fmt: skip


def is_local(request: Request) -> bool:
    """Whether the client runs on this machine: over loopback, by a name of loopback, through no proxy."""
    client = request.client
    name = host_name(request.headers.get("host", ""))
    is_named = name == "localhost" or _is_loopback(name)
    is_forwarded = any(header in request.headers for header in _FORWARDED)
    return client is not None and _is_loopback(client.host) and is_named and not is_forwarded


def commands(path: Path) -> list[list[str]]:
    """Argument lists of programs, each of which shows the file, in the order in which they are to be tried.

    The first ones select the file; the last one opens its folder. Empty if this machine has no screen or no file
    manager.
    No shell sees them, and a path is absolute, so none is read as an option.
    """
    if sys.platform == "darwin":
        return [["open", "-R", str(path)]]
    if sys.platform == "win32":
        return [["explorer", f"/select,{path}"]]
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return []
    found = [["gdbus", "call", *_SHOW_ITEMS, f"['{path.as_uri()}']", "''"], ["xdg-open", str(path.parent)]]
    return [command for command in found if shutil.which(command[0])]


def show(choices: Sequence[Sequence[str]]) -> bool:
    """Run the first command that succeeds; False if none does. Takes seconds."""
    for command in choices:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # it may go on when the server stops
            )
        except OSError:
            continue
        try:
            code = process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:  # a file manager that keeps running in this process: its end is awaited aside
            threading.Thread(target=process.wait, daemon=True).start()
            return True
        # The Explorer of Windows ends with 1 even if it has shown the file.
        if code == 0 or sys.platform == "win32":
            return True
    return False


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
