"""``photoseek info``, ``tune`` and ``forget``: inspect a gallery, tune its index, remove pictures from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import others_go_on, say


def info(
    gallery: GalleryOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="List the files that could not be read, with the reason.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is indexed: counts, model, index, sizes, the last run."""
    from retrieval import overview
    from retrieval.gallery import Gallery

    opened = Gallery(gallery)
    with opened.reader() as reader:
        if failures:
            overview.write_failures(reader, sys.stdout, as_json=as_json)
        else:
            overview.write_overview(opened, reader, sys.stdout, as_json=as_json)


def tune(
    gallery: GalleryOption = None,
    target: Annotated[
        float, typer.Option("--target", help="Share of the true best hits that the index must find.")
    ] = 0.99,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of best hits to compare.")] = 10,
) -> None:
    """Compare the index with exact search on your pictures. The cheapest setting that reaches the target is
    saved."""
    from retrieval.gallery import Gallery
    from retrieval.search import tuning

    report = tuning.tune_gallery(Gallery(gallery), target=target, k=limit)
    tuning.write_report(report, sys.stdout)
    say(tuning.verdict(report))
    if report.chosen is None:
        raise SystemExit(1)


def forget(
    paths: Annotated[list[Path], typer.Argument(help="Folders or files to remove from the gallery.")],
    gallery: GalleryOption = None,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Erase permanently: names, embeddings, thumbnails, tags and captions."),
    ] = False,
) -> None:
    """Remove folders or files from the gallery. The picture files are not touched. If they are indexed again, their
    tags and captions are restored."""
    from retrieval.gallery import Gallery
    from retrieval.indexing.forgetting import forget_paths, report_lines

    with others_go_on("path", paths) as refused:
        report = forget_paths(Gallery(gallery), paths, purge=purge, refused=refused)
        for line in report_lines(report, purge=purge):
            say(line)
        if not report.is_log_empty:
            raise SystemExit(3)
