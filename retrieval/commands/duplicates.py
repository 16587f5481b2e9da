"""``photoseek duplicates``: find duplicate pictures, and move or link the copies."""

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
        bool, typer.Option("--look-alikes", help="Also list pictures that only look alike: bursts, crops, edits.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Lowest cosine similarity of look-alikes [default: 0.95].")
    ] = None,
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with thumbnails.")] = None,
    trash: Annotated[
        bool, typer.Option("--trash", help="Move all but one of each group (never look-alikes) to the gallery's trash.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Replace files with the same bytes by hard links to the one that is kept.")
    ] = False,
    keep: Annotated[
        str,
        typer.Option(
            "--keep",
            help="Which file of a group to keep: original, oldest, newest, largest, smallest or shortest-path.",
        ),
    ] = "original",
    prefer: Annotated[
        list[Path] | None, typer.Option("--prefer", help="Prefer to keep files in this folder (repeatable).")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Carry it out; without this flag, only print what would be done.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back everything that was moved to the trash.")] = False,
) -> None:
    """Find duplicate pictures; no file is changed without --yes.

    Three kinds are listed separately: identical files, the same picture in another file, and look-alikes (on request).
    """
    from retrieval.duplicates.keeper import KeeperRule
    from retrieval.duplicates.run import Options, run
    from retrieval.gallery import Gallery
    from retrieval.search.album_lists import resolved_in
    from retrieval.streams import work_goes_on

    rule = KeeperRule(keep, tuple(map(str, prefer or ())))
    asked = Options(look_alikes, min_score, as_json, html, trash, link, undo, yes, rule)
    opened = Gallery(gallery)
    with work_goes_on(sys.stdout):
        complete = run(opened, resolved_in(opened, where), asked, sys.stdout, say)
    if not complete:
        raise SystemExit(3)
