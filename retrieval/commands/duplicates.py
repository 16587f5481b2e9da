"""``photoseek duplicates``: which pictures there are twice, and what may go."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import GalleryOption, JsonOption, filter_flags
from retrieval.commands.say import say

if TYPE_CHECKING:
    from retrieval.filters import Filter


@filter_flags
def duplicates(
    where: Filter | None,
    gallery: GalleryOption = None,
    look_alikes: Annotated[
        bool, typer.Option("--look-alikes", help="Also pictures that only look alike: bursts, crops, edits.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Cosine from which pictures look alike: 0.95.")
    ] = None,
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with thumbnails.")] = None,
    trash: Annotated[
        bool, typer.Option("--trash", help="Move all but the keepers (never look-alikes) to the gallery's trash.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Replace files with the same bytes by hard links to their keeper.")
    ] = False,
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            help="Which one of a group stays: original, oldest, newest, largest, smallest or shortest-path.",
        ),
    ] = "original",
    prefer: Annotated[
        list[Path] | None, typer.Option("--prefer", help="Keep what lies in this folder; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; without this, say what would be done.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back everything that was moved to the trash.")] = False,
) -> None:
    """Find pictures that are there twice; nothing is touched without --yes.

    Same bytes, same picture stored in another way, and (if asked) look-alikes are told apart.
    """
    from retrieval.duplicates.keeper import KeeperRule
    from retrieval.duplicates.run import Asked, run
    from retrieval.gallery import Gallery
    from retrieval.streams import work_goes_on

    rule = KeeperRule(keep, tuple(map(str, prefer or ())))
    asked = Asked(look_alikes, min_score, as_json, html, trash, link, undo, yes, rule)
    with work_goes_on(sys.stdout):
        complete = run(Gallery(gallery), where, asked, sys.stdout, say)
    if not complete:
        raise typer.Exit(3)
