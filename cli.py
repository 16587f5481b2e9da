"""``photoseek``: where a command starts. A running daemon is asked before anything large is imported.

The application is in ``retrieval/commands``; only light modules are imported on the way to it.
"""

from __future__ import annotations

import sys

from retrieval.interrupts import leave_on_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Run the command line; exit codes as in :mod:`retrieval.program`."""
    leave_on_interrupt()  # before anything else is imported: until then Python would tell of it in a traceback
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
    from retrieval.commands.app import asks_many, run

    is_one_query = arguments[:1] == ["search"] and not asks_many(arguments)
    if is_one_query:
        # It makes no garbage worth looking for: that took 10 of 170 ms of CPU on the way, and 13 at the exit.
        gc.disable()
    try:
        run()
    finally:
        if is_one_query:
            gc.freeze()


if __name__ == "__main__":
    main()
