"""Detect what a terminal can draw, from its environment or by a query, and the size of its cells."""

from __future__ import annotations

import os
import re
import select
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Literal, NamedTuple, get_args

from retrieval.errors import SettingsError

Protocol = Literal["kitty", "iterm", "sixel", "blocks"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

ANSWER_SECONDS = 1.0
"""How long to wait. Every terminal answers the last query (DA1) within milliseconds, even over a network."""

_CELL = (10, 20)  # pixels; as in the VT340, and as assumed by Sixel programs
_LARGEST_CELL = (32, 64)
_COLUMNS = 80

# Kitty: query with a picture of one pixel. XTVERSION: name. XTWINOPS 16: cell size. DA1: capabilities. Terminals ignore
# queries that they do not support; all answer DA1, which is last, so its response ends the waiting.
_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\" + b"\x1b[>0q" + b"\x1b[16t" + b"\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_CELL_SIZE = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)")
_MOST_BYTES = 4096


class Terminal(NamedTuple):
    """The terminal on which to draw.

    Attributes:
        columns: characters per line.
        cell: (width, height) of a character, pixels.
    """

    protocol: Protocol
    columns: int
    cell: tuple[int, int]


def find_terminal(
    out: IO[str], source: IO[str], choice: str = "auto", environ: Mapping[str, str] = os.environ
) -> Terminal | None:
    """How to draw on ``out``; None if it is not a terminal, or a dumb one, and no protocol is forced.

    The terminal is queried only if ``out`` and ``source`` are both terminals.

    Args:
        choice: a protocol, which is then used whatever ``out`` is; or ``auto``.

    Raises:
        SettingsError: another choice.
    """
    if choice not in (*PROTOCOLS, "auto"):
        raise SettingsError(f"there is no drawing method {choice!r}", f"use auto, {', '.join(PROTOCOLS)}")
    named: Protocol | None = next((protocol for protocol in PROTOCOLS if protocol == choice), None)
    if named is None and (not out.isatty() or environ.get("TERM", "dumb") == "dumb"):
        return None
    columns, cell = _size(out)
    protocol = named or by_environment(environ)
    if protocol is None or (protocol == "sixel" and cell is None):
        answer = ask(source, out) if out.isatty() and source.isatty() else b""
        protocol, cell = protocol or by_answer(answer), cell or cell_by_answer(answer)
    return Terminal(protocol, columns, cell or _CELL)


def by_environment(environ: Mapping[str, str]) -> Protocol | None:
    """The protocol of a terminal that is identified by the environment; None: it must be queried."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if "TMUX" in environ or "STY" in environ or term.startswith(("screen", "tmux")):
        return None  # the names are those of the outer terminal, which does not see our output
    if "KITTY_WINDOW_ID" in environ or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if program == "Apple_Terminal":
        return "blocks"  # it prints the parts of the query that it does not understand
    return None


def by_answer(answer: bytes) -> Protocol:
    """The protocol of a terminal that responded to :data:`_QUESTIONS`."""
    name = _NAME.search(answer)
    if name and name[1].startswith((b"WezTerm", b"iTerm2")):
        return "iterm"
    if b"_Gi=31;OK" in answer:
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and b"4" in attributes[1].split(b";")[1:] else "blocks"


def cell_by_answer(answer: bytes) -> tuple[int, int] | None:
    """(width, height) of a cell in pixels, if the response contains it."""
    match = _CELL_SIZE.search(answer)
    return _sane(int(match[2]), int(match[1])) if match else None


def ask(source: IO[str], out: IO[str], seconds: float = ANSWER_SECONDS) -> bytes:
    """The terminal's response to our queries; empty if it cannot be queried.

    Keys pressed before the response arrives are lost.
    """
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    try:
        read_from = source.fileno()
        if os.tcgetpgrp(read_from) != os.getpgrp():
            return b""  # in the background, where changing the terminal would stop this process
        before = termios.tcgetattr(read_from)
    except (OSError, ValueError, termios.error):
        return b""
    try:
        tty.setcbreak(read_from, termios.TCSAFLUSH)
        out.flush()
        os.write(out.fileno(), _QUESTIONS)
        return _read_answer(read_from, seconds)
    except (OSError, termios.error):
        return b""
    finally:
        with suppress(termios.error):  # it is gone
            termios.tcsetattr(read_from, termios.TCSAFLUSH, before)


def _read_answer(source: int, seconds: float) -> bytes:
    answer, end = b"", time.monotonic() + seconds
    while not _ATTRIBUTES.search(answer) and len(answer) < _MOST_BYTES:
        left = end - time.monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            break
        some = os.read(source, 1024)
        if not some:
            break
        answer += some
    return answer


def _size(out: IO[str]) -> tuple[int, tuple[int, int] | None]:
    """Columns, and the size of a cell if the system knows it."""
    try:
        import fcntl
        import termios

        packed = fcntl.ioctl(out.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", packed)
    except (ImportError, OSError, ValueError):
        try:
            return os.get_terminal_size(out.fileno()).columns, None
        except (OSError, ValueError):
            return _COLUMNS, None
    cell = _sane(width // columns, height // rows) if rows and columns else None
    return columns or _COLUMNS, cell


def _sane(width: int, height: int) -> tuple[int, int] | None:
    """The size within bounds, because pictures are rendered at this size."""
    return (min(width, _LARGEST_CELL[0]), min(height, _LARGEST_CELL[1])) if width > 0 and height > 0 else None
