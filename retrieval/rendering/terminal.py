"""Detect what a terminal can draw, from its environment or by a query, and the size of its cells."""

from __future__ import annotations

import os
import re
import select
import struct
import time
from collections.abc import Mapping
from typing import IO, Literal, NamedTuple, get_args

from retrieval.errors import SettingsError

Protocol = Literal["kitty", "iterm", "sixel", "blocks"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

ANSWER_SECONDS = 1.0
"""How long to wait. Every terminal answers the last question (DA1) within milliseconds, also over a network."""

_CELL = (10, 20)  # pixels; the VT340's, which is also what Sixel programs assume
_LARGEST_CELL = (32, 64)
_COLUMNS = 80

# Kitty: may I send a picture of one pixel? XTVERSION: who are you? XTWINOPS 16: how large is a cell? DA1: what can you
# do? What a terminal does not know it leaves unanswered; DA1 comes last, so its answer ends the waiting.
_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\" + b"\x1b[>0q" + b"\x1b[16t" + b"\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_CELL_SIZE = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)")
_MOST_BYTES = 4096


class Terminal(NamedTuple):
    """Where pictures are to be drawn.

    Attributes:
        columns: characters a line.
        cell: (width, height) of a character, pixels.
    """

    protocol: Protocol
    columns: int
    cell: tuple[int, int]


def find_terminal(
    out: IO[str], source: IO[str], choice: str = "auto", environ: Mapping[str, str] = os.environ
) -> Terminal | None:
    """How to draw on ``out``; None if it is no terminal, or one that draws nothing, and nobody insists.

    The terminal is asked only if ``out`` and ``source`` both are one.

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
    """The protocol of a terminal that tells its name in the environment; None: ask it."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if "TMUX" in environ or "STY" in environ or term.startswith(("screen", "tmux")):
        return None  # the names are those of the terminal around it, which does not see what we write
    if "KITTY_WINDOW_ID" in environ or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if program == "Apple_Terminal":
        return "blocks"  # it prints what it does not understand of the question
    return None


def by_answer(answer: bytes) -> Protocol:
    """The protocol of a terminal that answered :data:`_QUESTIONS`."""
    name = _NAME.search(answer)
    if name and name[1].startswith((b"WezTerm", b"iTerm2")):
        return "iterm"
    if b"_Gi=31;OK" in answer:
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and b"4" in attributes[1].split(b";")[1:] else "blocks"


def cell_by_answer(answer: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels, if the terminal told it."""
    match = _CELL_SIZE.search(answer)
    return _sane(int(match[2]), int(match[1])) if match else None


def ask(source: IO[str], out: IO[str], seconds: float = ANSWER_SECONDS) -> bytes:
    """What the terminal answers to our questions; empty where it cannot be asked.

    Keys that are pressed meanwhile are lost, which takes as long as the terminal needs for its answer.
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
    except OSError:
        return b""
    finally:
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
    """Columns, and the size of a cell where the system knows it."""
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
    """Bounded, because pictures are made as large as this says."""
    return (min(width, _LARGEST_CELL[0]), min(height, _LARGEST_CELL[1])) if width > 0 and height > 0 else None
