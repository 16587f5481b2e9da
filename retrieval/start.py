"""``photoseek``: where a command starts. A running daemon is asked before anything large is imported."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def asks_many(arguments: Sequence[str]) -> bool:
    """True for a batch of queries, which one BLAS thread and no garbage collection would serve badly."""
    return any(argument.startswith("--queries-from") for argument in arguments)


def main() -> None:
    """Run the command line; exit codes as in :func:`cli.main`."""
    arguments = sys.argv[1:]
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
