"""The protocol between the command line and a resident process: one request, one response, and checks of the peer.

A message is its length (8 bytes, big-endian) and that many bytes. A request consists of texts separated by NUL, which
no argument, path or variable can contain::

    version, "run", program, settings, working folder, gallery, "named" or "", error handler of stdout, argument, ...
    version, "status" or "stop"

A response is an exit code (1 byte), the length of the stderr output (8 bytes), this output, and the stdout output; for
``status`` and ``stop`` a line of JSON. If anything fails (no process, a hung one, one of another user), there is
no response.

Importing json and ``socket`` would cost a client 6 ms of CPU, a quarter of the time of its own modules.
"""

from __future__ import annotations

import _socket
import os
import stat
import sys
import time
from typing import NamedTuple

from retrieval.config import process
from retrieval.paths import DAEMON_VARIABLE, GALLERY_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "photoseek 2"
MAX_REQUEST = 1 << 16
LENGTH = 8
"""Size of a length in bytes."""

REFUSED = 255
"""In place of an exit code: the client must run the command itself."""

WAIT_S = 1.0
"""After this time, a hung process has cost more than the search it should save."""

_MAX_ANSWER = 64 << 20
_NO_ANSWER_DEPENDS_ON = (GALLERY_VARIABLE, DAEMON_VARIABLE, "PHOTOSEEK_TOKEN")


class Answer(NamedTuple):
    """The result of a command line: its exit code (or :data:`REFUSED`), and its output."""

    code: int
    err: bytes
    out: bytes

    def message(self) -> bytes:
        """The encoded message."""
        body = bytes([self.code]) + len(self.err).to_bytes(LENGTH, "big") + self.err + self.out
        return len(body).to_bytes(LENGTH, "big") + body


def is_private(folder: str) -> bool:
    """True for a real folder that belongs to this user and that nobody else can access."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def is_own_peer(connection: _socket.socket) -> bool:
    """True if the process at the other end belongs to this user (or the system does not report it)."""
    if not hasattr(_socket, "SO_PEERCRED"):
        return True
    raw = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid and gid, of 4 bytes each
    return int.from_bytes(raw[4:8], sys.byteorder) == os.geteuid()


def settings() -> str:
    """The variables and files that affect an answer: a process started with others must not answer."""
    named = [n for n in os.environ if n.startswith("PHOTOSEEK_") and n not in _NO_ANSWER_DEPENDS_ON]
    # HOME and TZ: the meaning of ~ and of dates without a time zone
    lines = [f"{name}={os.environ.get(name, '')}" for name in ("HOME", "TZ", *sorted(named))]
    return "\n".join([*lines, process.contents()])


def program() -> str:
    """Identifies this program: one in another folder or on another Python may give other answers."""
    return "\n".join([os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.version, sys.prefix])


def ask(path: str, op: str, what: Sequence[str] = (), wait_s: float = WAIT_S) -> Answer | None:
    """Send a request to the process that listens at ``path``.

    Args:
        what: for ``run``: the texts after the settings.

    Returns:
        Its answer; None if there is none within ``wait_s`` seconds.
    """
    if not is_private(os.path.dirname(path)):
        return None
    texts = [VERSION, op, *((program(), settings(), *what) if op == "run" else ())]
    request = "\0".join(texts).encode("utf-8", "surrogateescape")
    if len(request) > MAX_REQUEST:
        return None
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    end = time.monotonic() + wait_s
    try:
        connection.settimeout(wait_s)
        connection.connect(path)
        if not is_own_peer(connection):
            return None
        connection.sendall(len(request).to_bytes(LENGTH, "big") + request)
        size = int.from_bytes(_received(connection, LENGTH, end), "big")
        body = _received(connection, min(size, _MAX_ANSWER + 1), end)
    except (OSError, ValueError):
        return None
    finally:
        connection.close()
    length = 1 + LENGTH
    between = length + int.from_bytes(body[1:length], "big")
    if not length <= between <= len(body) == size:
        return None
    return Answer(body[0], body[length:between], body[between:])


def _received(connection: _socket.socket, count: int, end: float) -> bytes:
    """This number of bytes from a peer.

    Raises:
        OSError: they did not arrive by ``end`` (``time.monotonic``), even if in several pieces.
        ValueError: the connection was closed before.
    """
    parts: list[bytes] = []
    while count > 0:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise ValueError
        count -= len(part)
        parts.append(part)
    return b"".join(parts)
