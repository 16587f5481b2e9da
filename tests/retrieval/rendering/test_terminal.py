"""Detecting what a terminal can draw: from its environment, and from the responses of real terminals."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from retrieval.errors import SettingsError
from retrieval.rendering.terminal import Terminal, ask, by_answer, by_environment, cell_by_answer, find_terminal

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.35.2)\x1b\\\x1b[6;36;18t\x1b[?62;c"
FOOT = b"\x1bP>|foot(1.16.2)\x1b\\\x1b[6;22;11t\x1b[?62;4;22c"
XTERM = b"\x1bP>|XTerm(390)\x1b\\\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c"
WEZTERM = b"\x1b_Gi=31;OK\x1b\\\x1bP>|WezTerm 20240203\x1b\\\x1b[?65;4;6;18;22c"


@contextmanager
def terminal(
    answer: bytes, size: tuple[int, int, int, int] = (24, 100, 0, 0)
) -> Iterator[tuple[io.TextIOWrapper, bytearray]]:
    """A pseudo-terminal (rows, columns, pixels) whose other side answers the last question; what it was asked."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    asked = bytearray()
    done = threading.Event()

    def play() -> None:
        while not done.is_set():
            try:
                some = os.read(master, 1024)
            except OSError:
                return
            if not some:
                return
            asked.extend(some)
            if some.endswith(b"\x1b[c") and answer:
                os.write(master, answer)

    player = threading.Thread(target=play, daemon=True)
    player.start()
    stream = io.TextIOWrapper(io.FileIO(slave, "r+", closefd=False), write_through=True)
    try:
        yield stream, asked
    finally:
        done.set()
        stream.detach()
        os.close(slave)
        player.join(5)
        os.close(master)


@pytest.fixture
def in_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal that a test opens belongs to no process group; a shell's does to the command's."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "blocks"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/x,1,0"}, None),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, None),
    ],
)
def test_names_in_the_environment(environ: dict[str, str], protocol: str | None) -> None:
    assert by_environment(environ) == protocol


@pytest.mark.parametrize(
    ("answer", "protocol", "cell"),
    [
        (KITTY, "kitty", (18, 36)),
        (FOOT, "sixel", (11, 22)),
        (XTERM, "blocks", None),
        (WEZTERM, "iterm", None),
        (b"", "blocks", None),
        (b"\x1b[?64;14;24c", "blocks", None),  # 14 and 24 are not 4
        (b"\x1b[?4c", "blocks", None),  # a VT132, not Sixel
        (b"\x1b[6;9999;9999t\x1b[?62;4c", "sixel", (32, 64)),  # bounded: pictures are made this large
    ],
)
def test_answers(answer: bytes, protocol: str, cell: tuple[int, int] | None) -> None:
    assert by_answer(answer) == protocol
    assert cell_by_answer(answer) == cell


@pytest.mark.usefixtures("in_foreground")
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (KITTY, Terminal("kitty", 100, (18, 36))),
        (FOOT, Terminal("sixel", 100, (11, 22))),
        (XTERM, Terminal("blocks", 100, (10, 20))),
    ],
)
def test_a_terminal_is_asked(answer: bytes, found: Terminal) -> None:
    with terminal(answer) as (stream, asked):
        before = termios.tcgetattr(stream.fileno())
        assert find_terminal(stream, stream, environ={"TERM": "xterm"}) == found
        assert termios.tcgetattr(stream.fileno()) == before
    assert asked.count(b"\x1b[c") == 1 and b"a=q" in asked


@pytest.mark.usefixtures("in_foreground")
def test_silence_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.rendering.terminal.ask.__defaults__", (0.05,))
    with terminal(b"") as (stream, _):
        assert find_terminal(stream, stream, environ={"TERM": "xterm"}) == Terminal("blocks", 100, (10, 20))


def test_nobody_is_asked_who_tells_it_anyway_or_cannot_answer() -> None:
    with terminal(KITTY, (24, 80, 800, 480)) as (stream, asked):
        assert find_terminal(stream, stream, environ={"TERM": "xterm-kitty"}) == Terminal("kitty", 80, (10, 20))
        assert find_terminal(stream, stream, "sixel", environ={}) == Terminal("sixel", 80, (10, 20))
        # standard input is a pipe, or the command is in the background
        assert find_terminal(stream, io.StringIO(), environ={"TERM": "xterm"}) == Terminal("blocks", 80, (10, 20))
        assert find_terminal(stream, stream, environ={"TERM": "xterm"}) == Terminal("blocks", 80, (10, 20))
        assert find_terminal(stream, stream, environ={"TERM": "dumb"}) is None
    assert asked == b""


def test_what_is_no_terminal_draws_only_by_force() -> None:
    out = io.StringIO()
    assert find_terminal(out, out, environ={"TERM": "xterm-kitty"}) is None
    assert find_terminal(out, out, "kitty", environ={}) == Terminal("kitty", 80, (10, 20))
    with pytest.raises(SettingsError, match="no drawing method"):
        find_terminal(out, out, "vt52")


def test_a_terminal_that_refuses_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    for name in ("tty.setcbreak", "termios.tcsetattr"):
        monkeypatch.setattr(name, refuse)
        with terminal(b"") as (stream, _):
            assert ask(stream, stream, 0.01) == b""
