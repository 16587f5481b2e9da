"""``photoseek daemon``."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from retrieval.commands.answers import PROGRAM, for_askers
from retrieval.commands.options import GalleryOption
from retrieval.commands.values import one_of


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
    from retrieval.gallery import Gallery
    from retrieval.server.control import control

    typer.echo(control(action, Gallery(gallery), PROGRAM, idle, partial(for_askers, context)))
