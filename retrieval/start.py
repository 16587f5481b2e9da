"""``photoseek``: where a command starts. A running daemon is asked before anything large is imported."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def asks_many(arguments: Sequence[str]) -> bool:
    """True for a batch of queries, which one BLAS thread and no garbage collection would serve badly."""
    return any(argument.startswith("--queries-from") for argument in arguments)


def leave_on_interrupt() -> None:
    """Make Ctrl-C end this process at once: there is nothing to put away. Ignored where it was when we began, which is
    how a script starts what runs in its background."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(130)


def main() -> None:
    """Run the command line; exit codes as in :mod:`retrieval.program`."""
    leave_on_interrupt()  # before anything is imported: until then Python would tell of it in a traceback
    from retrieval import program

    program.begin()
    with program.errors_in_two_lines("photoseek"):
        _run(sys.argv[1:])


def _run(arguments: Sequence[str]) -> None:
    import gc

    if arguments[:1] == ["search"]:
        from retrieval.daemon.client import answered

        code = answered(arguments)
        if code is not None:
            sys.exit(code)
    is_one_query = arguments[:1] == ["search"] and not asks_many(arguments)
    if is_one_query:
        # It makes no garbage worth looking for: that took 10 of 170 ms of CPU on the way, and 13 at the exit.
        gc.disable()
    import cli

    try:
        cli.main()
    finally:
        if is_one_query:
            gc.freeze()


if __name__ == "__main__":
    main()
