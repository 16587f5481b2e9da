"""``photoseek daemon``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.answers import PROGRAM
from retrieval.commands.options import GalleryOption
from retrieval.commands.values import one_of

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine


def daemon(
    context: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            help="start, stop, status, or run (in the foreground).",
            autocompletion=one_of("start", "stop", "status", "run"),
        ),
    ],
    gallery: GalleryOption = None,
    idle: Annotated[float, typer.Option("--idle", min=1, help="Stop after this many seconds without a search.")] = 300,
) -> None:
    """Start or stop a background process that makes text searches faster. It keeps the text model loaded; a search then
    takes about 50 ms."""
    from retrieval.daemon.control import control
    from retrieval.gallery import Gallery

    typer.echo(control(action, Gallery(gallery), PROGRAM, idle, partial(_warm_runner, context)))


def _warm_runner(context: typer.Context) -> Callable[[Sequence[str], QueryEngine], int]:
    """Runs command lines on a daemon's engine; the parsers are made once, which takes 6 ms."""
    main = partial(context.find_root().command.main, prog_name="photoseek", standalone_mode=False)
    return lambda arguments, engine: int(main(list(arguments), obj=engine) or 0)
