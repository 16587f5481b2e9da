"""Get a command's result from a running daemon; without one, the caller searches in its own process.

Standard library only, because importing numpy and typer takes longer than the response, and cheap without a daemon.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from retrieval.config import process
from retrieval.paths import DAEMON_VARIABLE, default_gallery_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Pictures need the image tower, --model another model, a list of queries all cores, help the width of the
# terminal, and files and programs must be handled by the user's own process.
_NOT_FOR_DAEMON = (
    "--image", "--without-image", "--model", "--queries-from", "--help",
    "--preview", "--html", "--open", "--copy-to", "--link-to",
)  # fmt: skip


def read_settings(arguments: Sequence[str]) -> None:
    """Read the settings files that apply to a command line, see :mod:`retrieval.config.process`.

    Raises:
        SettingsError: a file cannot be read.
    """
    process.begin()
    named = gallery_of(arguments)
    if gallery := default_gallery_path() if named is None else named:
        process.begin_gallery(gallery)


def answered(arguments: Sequence[str]) -> int | None:
    """Let the gallery's daemon run ``photoseek ARGUMENTS...``; the exit code, or None if it must be run here.

    Only text searches whose output goes to a file or a pipe: a table is formatted for the current terminal.
    """
    if not is_for_daemon(arguments) or daemon_use() == "0":
        return None
    if sys.stdout is None or sys.stdout.isatty() or sys.stdout.encoding.lower() != "utf-8":
        return None
    named = gallery_of(arguments)
    gallery = default_gallery_path() if named is None else named
    path = socket_path(gallery)
    if path is None or not os.path.exists(path):  # noqa: PTH110
        return None
    try:
        folder = os.getcwd()  # noqa: PTH109
    except OSError:  # the working folder is gone
        return None
    from retrieval.server.protocol import ask  # imported only if there is a daemon to ask

    answer = ask(path, "run", (folder, gallery, "" if named is None else "named", sys.stdout.errors or "", *arguments))
    if answer is None or answer.code not in (0, 1):
        return None
    if answer.err:
        sys.stderr.write(answer.err.decode())
        sys.stderr.flush()
    sys.stdout.buffer.write(answer.out)
    sys.stdout.flush()
    return answer.code


def daemon_use() -> str:
    """``0``: do not use a resident process; ``1``: start one if there is none; else: use one that is running."""
    given = os.environ.get(DAEMON_VARIABLE)
    return given or {"never": "0", "start": "1"}.get(str(process.of_user("daemon")), "")


def is_for_daemon(arguments: Sequence[str]) -> bool:
    """True for a text search without options that the daemon does not support."""
    if not arguments or arguments[0] != "search" or "--" in arguments:
        return False
    for argument in arguments[1:]:
        if argument.startswith(_NOT_FOR_DAEMON) or "img:" in argument:
            return False
        if argument[:1] == "-" and argument[1:2] != "-" and set(argument) & set("hi"):
            return False
    return True


def gallery_of(arguments: Sequence[str]) -> str | None:
    """The gallery folder named in the arguments; None means the default one."""
    named = None
    for at, argument in enumerate(arguments):
        if argument == "--gallery" and at + 1 < len(arguments):
            named = arguments[at + 1]
        elif argument.startswith("--gallery="):
            named = argument.partition("=")[2]
    return None if named is None else os.path.expanduser(named)  # noqa: PTH111


def socket_path(gallery: str) -> str | None:
    """The path of the socket of a gallery's daemon; None without a gallery, or on Windows.

    The folder is the user's own (mode 0700), and the name is derived from the gallery folder's identity on disk: paths
    may be too long for the name of a socket, and a gallery may have several paths.
    """
    if not hasattr(os, "geteuid"):
        return None
    try:
        found = os.stat(gallery)
    except (OSError, ValueError):
        return None
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = os.path.join(runtime, "photoseek") if runtime else f"/tmp/photoseek-{os.geteuid()}"
    return os.path.join(folder, f"{found.st_dev:x}-{found.st_ino:x}.sock")


def state_of(gallery: str, op: str = "status") -> dict[str, Any] | None:
    """The state reported by the process that answers for a gallery; None if none answers.

    Args:
        op: ``stop`` also tells it to exit, which it does unless it serves a page.

    Returns:
        ``pid``; ``served`` searches; ``bytes`` in memory, if the system can tell; ``idle_s``, after which it exits, or
        the address of its ``page``.
    """
    import json

    from retrieval.server.protocol import REFUSED, ask

    path = socket_path(gallery)
    answer = None if path is None or not os.path.exists(path) else ask(path, op)  # noqa: PTH110
    if answer is None or answer.code == REFUSED:
        return None
    try:
        found: dict[str, Any] = json.loads(answer.out)
    except ValueError:
        return None
    return found
