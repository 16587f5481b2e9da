"""``photoseek info``, ``tune`` and ``forget``: what is in the gallery, how its index is searched, what leaves it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import others_go_on, say


def info(
    gallery: GalleryOption = None,
    failures: Annotated[bool, typer.Option("--failures", help="List the files that cannot be used, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is indexed: counts, model, index, sizes, the last run."""
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
    target: Annotated[float, typer.Option("--target", help="Share of the true best hits to be found: 0.99.")] = 0.99,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many best hits are compared.")] = 10,
) -> None:
    """Try the index against exact search on your pictures. The cheapest setting that is good enough is kept."""
    from retrieval.gallery import Gallery
    from retrieval.search import tuning

    report = tuning.tune_gallery(Gallery(gallery), target=target, k=limit)
    tuning.write_report(report, sys.stdout)
    say(tuning.verdict(report))
    if report.chosen is None:
        raise typer.Exit(1)


def forget(
    paths: Annotated[list[Path], typer.Argument(help="Folders or single files that leave the gallery.")],
    gallery: GalleryOption = None,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="For good: names, embeddings, thumbnails, tags and captions are deleted from its files."
        ),
    ] = False,
) -> None:
    """Take folders or files out of the gallery. The files are not touched; tags and captions come back with their
    pictures when these are indexed again."""
    from retrieval.gallery import Gallery
    from retrieval.indexing.forgetting import forget_paths, told

    with others_go_on("path", paths) as refused:
        report = forget_paths(Gallery(gallery), paths, purge=purge, refused=refused)
        for line in told(report, purge=purge):
            say(line)
        if not report.is_log_empty:
            raise typer.Exit(3)
