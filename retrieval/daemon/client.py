"""Ask a running daemon for a command's result; otherwise the caller searches in its own process.

Standard library only, because numpy and typer cost more than the answer, and next to nothing where there is no daemon.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from retrieval.paths import DAEMON_VARIABLE, default_gallery_path

# Pictures wake the image tower, --model another model, a list of queries wants all cores, help is as wide as the
# terminal, and files and programs are the business of the person's own process.
_NOT_FOR_DAEMON = (
    "--image", "--without-image", "--model", "--queries-from", "--help",
    "--preview", "--html", "--open", "--copy-to", "--link-to",
)  # fmt: skip


def answered(arguments: Sequence[str]) -> int | None:
    """Answer ``photoseek ARGUMENTS...`` by the gallery's daemon; the exit code, or None if it has to be run here.

    Only searches by words whose output goes to a file or a pipe: a table is made for the terminal at hand.
    """
    if not is_for_daemon(arguments) or os.environ.get(DAEMON_VARIABLE) == "0":
        return None
    if sys.stdout is None or sys.stdout.isatty() or sys.stdout.encoding.lower() != "utf-8":
        return None
    path = socket_path(gallery_of(arguments))
    if path is None or not os.path.exists(path):  # noqa: PTH110
        return None
    try:
        request = {"op": "run", "argv": list(arguments), "cwd": os.getcwd(), "errors": sys.stdout.errors}  # noqa: PTH109
    except OSError:  # the working folder is gone
        return None
    from retrieval.daemon.talk import ask  # sockets and JSON: 6 ms that only those pay who have a daemon

    answer = ask(path, request)
    if answer is None or answer.get("code") not in (0, 1):
        return None
    try:
        out, err, code = answer["out"].encode("latin-1"), str(answer["err"]), int(answer["code"])
    except (KeyError, ValueError, AttributeError):
        return None
    _write(out, err)
    return code


def is_for_daemon(arguments: Sequence[str]) -> bool:
    """True for a search by words alone."""
    if not arguments or arguments[0] != "search" or "--" in arguments:
        return False
    for argument in arguments[1:]:
        if argument.startswith(_NOT_FOR_DAEMON) or "img:" in argument:
            return False
        if argument[:1] == "-" and argument[1:2] != "-" and set(argument) & set("hi"):
            return False
    return True


def gallery_of(arguments: Sequence[str]) -> str:
    """The gallery folder that the arguments name, or the default one."""
    named = None
    for at, argument in enumerate(arguments):
        if argument == "--gallery" and at + 1 < len(arguments):
            named = arguments[at + 1]
        elif argument.startswith("--gallery="):
            named = argument.partition("=")[2]
    return default_gallery_path() if named is None else os.path.expanduser(named)  # noqa: PTH111


def socket_path(gallery: str) -> str | None:
    """Where the daemon of a gallery listens; None without a gallery, or on Windows.

    The folder is the user's own (mode 0700), and the name comes from the gallery folder's identity on disk: paths
    may be longer than a socket's name, and one gallery may have several.
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


def _write(out: bytes, err: str) -> None:
    if err:
        sys.stderr.write(err)
        sys.stderr.flush()
    try:
        sys.stdout.buffer.write(out)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
