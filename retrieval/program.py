"""Wrapper of every program: its streams, Ctrl-C from the first line on, and error output.

Exit codes: 0 success (also if the reader of the output has closed it), 1 nothing found, 2 wrong use, 3 a problem with
the gallery, a model or the machine, 128 and the number of the signal that stopped it (130: Ctrl-C, 143: SIGTERM, 129:
SIGHUP).
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from retrieval.interrupts import Stopped, exit_code, leave_on_interrupt, raise_on_interrupt, remark, was_heard
from retrieval.streams import ReaderLeft, discard, own_streams, printable_lines

if TYPE_CHECKING:
    from retrieval.errors import RetrievalError

TRACEBACK_VARIABLE = "PHOTOSEEK_TRACEBACK"
"""If set to anything but 0, a bug in the program is printed with its traceback."""

_LEAST_ADDRESSES = 384 << 20
"""Bytes of address space: imports of the server and one thread take 350 MiB."""

_is_ours = False  # True if this process is ours, so that its signal handlers are, too


def begin() -> None:
    """Must be called first by a program: until :func:`begin_work`, Ctrl-C exits at once, because nothing has begun."""
    global _is_ours
    _is_ours = True
    leave_on_interrupt()
    sys.unraisablehook = _unraisable
    own_streams()


def begin_work() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt, so that unfinished work is cleaned up."""
    if _is_ours:
        from retrieval.threads import starts_that_end

        _check_addresses()
        starts_that_end()
        raise_on_interrupt()


def _check_addresses() -> None:
    """Libraries end the whole process if they find no addresses for their first steps.

    Raises:
        MemoryError: a limit of this process leaves less than they take.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _LEAST_ADDRESSES:
        raise MemoryError


class errors_in_two_lines:  # noqa: N801 - used like a function
    """Around a whole program: an error is printed on stderr as two lines, and its exit code is the program's.

    Args:
        name: prefix of the lines.
    """

    def __init__(self, name: str = "") -> None:
        self._begin = f"{name}: " if name else ""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, SystemExit):
            try:
                if sys.stdout is not None:
                    sys.stdout.flush()
            except BaseException as failed:
                error = failed
            else:
                _end()
                return
        code = self._told(error)
        _end()
        raise SystemExit(code) from None

    def _told(self, error: BaseException) -> int:
        if isinstance(error, ReaderLeft):
            discard(sys.stdout)
            return 0
        from retrieval.system_errors import explained

        known = explained(error)
        if isinstance(error, KeyboardInterrupt | Stopped) or (
            was_heard() and (known is None or _is_of_a_stream(error))
        ):
            self._write(remark())
            return exit_code()
        if known is None:
            known = _fault(error)
        self._write(*known.message.splitlines(), *known.hint.splitlines())
        return known.exit_code

    def _write(self, *lines: str) -> None:
        try:
            sys.stdout.flush()
        except Exception:
            discard(sys.stdout)
        sys.stderr.write(printable_lines(self._begin + ("\n" + " " * len(self._begin)).join(lines)) + "\n")


def _fault(error: BaseException) -> RetrievalError:
    """A bug of ours, without the text of the error, which may contain a part of a user's file."""
    from retrieval.errors import RetrievalError

    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        file = trace.tb_frame.f_code.co_filename.replace(os.sep, "/").split("/")
        place = f" in {'/'.join(file[-2:])}, line {trace.tb_lineno}"
    return RetrievalError(
        f"a fault in the program: {type(error).__name__}{place}",
        f"please report it, with what {TRACEBACK_VARIABLE}=1 prints in front of these lines",
    )


def _end() -> None:
    """Only waiting for threads is left; an interrupt there must not print a traceback either."""
    if _is_ours:
        leave_on_interrupt()


def _is_of_a_stream(error: BaseException) -> bool:
    """Of an output without a name: the terminal that was closed, and with it came the signal."""
    return isinstance(error, OSError) and error.filename is None


def _unraisable(told: sys.UnraisableHookArgs) -> None:
    """An interrupt that Python cannot raise (in a finaliser) would print a traceback and be lost."""
    if isinstance(told.exc_value, KeyboardInterrupt):
        os._exit(exit_code())
    sys.__unraisablehook__(told)
