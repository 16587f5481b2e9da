"""``photoseek``: the entry point of all commands. A running daemon is asked before anything large is imported.

The application is in ``retrieval/commands``; only light modules are imported before it.
"""

from __future__ import annotations

import sys

from retrieval.interrupts import leave_on_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Run the command line; exit codes as in :mod:`retrieval.program`."""
    leave_on_interrupt()  # before anything else is imported: until then Python would print a traceback
    from retrieval import program

    program.begin()
    with program.errors_in_two_lines("photoseek"):
        _run(sys.argv[1:])


def _run(arguments: Sequence[str]) -> None:
    import gc

    if arguments[:1] == ["search"] and "--help" not in arguments and "-h" not in arguments:
        from retrieval.config.process import sources
        from retrieval.server.client import answered, read_settings

        read_settings(arguments)
        code = answered(arguments)
        if code is not None:
            sys.exit(code)
        if sources():
            from retrieval.config.checking import check

            check()
        from retrieval.commands.plain import plain_search
        from retrieval.commands.searching import one_blas_thread

        if (plain := plain_search(arguments)) is not None:
            one_blas_thread()
            gc.disable()  # see below
            try:
                plain.run()
            finally:
                gc.freeze()
            return
    from retrieval.commands.app import asks_many, run

    is_one_query = arguments[:1] == ["search"] and not asks_many(arguments)
    if is_one_query:
        # It makes little garbage; searching for it took 10 of 170 ms of CPU during the query, and 13 at the exit.
        gc.disable()
    try:
        run()
    finally:
        if is_one_query:
            gc.freeze()


if __name__ == "__main__":
    main()
