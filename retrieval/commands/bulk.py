"""``photoseek import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say
from retrieval.streams import plural, printable


def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Embeddings: img_emb_*.npy with metadata_*.parquet, or an export.")
    ],
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="The folder that holds the pictures.")],
    gallery: GalleryOption = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="The encoder that made them [default: the gallery's].", autocompletion=values.models
        ),
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Import embeddings that were made elsewhere, for picture files on this machine."""
    from retrieval.bulk.importing import import_embeddings
    from retrieval.gallery import Gallery
    from retrieval.interrupts import exit_code, stop_on_interrupt

    def show(done: int) -> None:
        if not quiet and sys.stderr.isatty():
            sys.stderr.write(f"\r{done:,} rows")

    with stop_on_interrupt(lambda: say("stopping; what was imported is kept ...")) as stop:
        report = import_embeddings(Gallery(gallery), folder, pictures, model=model or None, on_progress=show, stop=stop)
    if not quiet:
        rest = [
            (report.known, "known already"),
            (report.missing, f"without a file below {printable(str(pictures))}"),
            (report.changed, "whose files have changed"),
            (report.videos, "of videos, which photoseek index embeds"),
            (report.unusable, "that cannot be used"),
        ]
        others = "".join(f", {number:,} {what}" for number, what in rest if number)
        say(f"{plural(report.imported, 'embedding')} by {report.model} imported{others}")
        say(f"index   {report.index}")
    if report.interrupted:
        say("stopped early; the same command goes on from here")
        raise SystemExit(exit_code())
