"""The protocol between client and daemon: one request, one response, and checks of the peer.

A request is one line of JSON, the answer another, one of each a connection. Whatever goes wrong (no daemon, a hung
one, one of somebody else's), there is no answer.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import time
from collections.abc import Mapping
from typing import Any

from retrieval.paths import DAEMON_VARIABLE, GALLERY_VARIABLE

VERSION = 1
MAX_REQUEST = 1 << 16
_MAX_ANSWER = 64 << 20
_WAIT_S = 1.0  # after this a hung daemon has cost more than the search that it should save


def is_private(folder: str) -> bool:
    """True for a real folder that belongs to this user and that nobody else may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def is_own_peer(connection: socket.socket) -> bool:
    """True if the process at the other end is this user's (or the system cannot tell)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", raw)[1] == os.geteuid())


def settings() -> dict[str, str]:
    """The variables that decide an answer: a daemon that was started with others must not give one."""
    left_out = (GALLERY_VARIABLE, DAEMON_VARIABLE)
    named = {name: value for name, value in os.environ.items() if name.startswith("PHOTOSEEK_")}
    own = {name: os.environ.get(name, "") for name in ("HOME", "TZ")}  # what ~ and a date without a time zone mean
    return own | {n: v for n, v in named.items() if n not in left_out}


def ask(path: str, request: Mapping[str, Any], wait_s: float = _WAIT_S) -> dict[str, Any] | None:
    """Send a request to the daemon at ``path``; its answer, or None if there is none within ``wait_s`` seconds."""
    if not is_private(os.path.dirname(path)):
        return None
    line = json.dumps({"version": VERSION, "settings": settings(), **request}).encode() + b"\n"
    if len(line) > MAX_REQUEST:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(wait_s)
            connection.connect(path)
            if not is_own_peer(connection):
                return None
            connection.sendall(line)
            answer = json.loads(read_line(connection, _MAX_ANSWER, wait_s))
    except (OSError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def read_line(connection: socket.socket, most: int, wait_s: float) -> bytes:
    """One line from a peer.

    Raises:
        OSError: none within ``wait_s`` seconds, however many pieces came.
        ValueError: longer than ``most`` bytes, or cut off.
    """
    end = time.monotonic() + wait_s
    parts: list[bytes] = []
    size = 0
    while not parts or not parts[-1].endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no complete line in time")
        connection.settimeout(left)
        part = connection.recv(1 << 16)
        size += len(part)
        if not part or size > most:
            raise ValueError("the line is cut off or too long")
        parts.append(part)
    return b"".join(parts)
