"""``photoseek init``: a gallery whose catalog is in a server."""

from __future__ import annotations

from typing import Annotated

import typer

from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say


def init(
    catalog: Annotated[
        str,
        typer.Option(
            "--catalog",
            help="Address: postgresql+psycopg://USER@HOST:5432/DATABASE, without a password; ?schema=NAME for several "
            "galleries in one database.",
        ),
    ],
    gallery: GalleryOption = None,
) -> None:
    """Make a gallery whose catalog is in PostgreSQL; others need no making. On a second machine, it joins the catalog
    that is there."""
    from retrieval.catalog.postgres.address import parse_address
    from retrieval.commands.servers import remember_catalog_server
    from retrieval.gallery import Gallery
    from retrieval.making import make_in_server
    from retrieval.streams import plural

    address, opened = parse_address(catalog), Gallery(gallery)
    is_new = make_in_server(opened, address)
    remember_catalog_server(address)
    with opened.reader() as reader:
        there = "it is new" if is_new else f"it holds {plural(reader.count(), 'picture')}"
    say(f"the catalog of {opened.path} is in {address}: {there}")
    say("index folders into it: photoseek index FOLDER")
