"""``photoseek migrate``: the same gallery with its catalog, or its vectors, at another place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say

_SECONDS = 10.0


def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="ADDRESS|sqlite",
            help="Where the catalog is to be: postgresql+psycopg://USER@HOST:5432/DATABASE, without a password; or "
            "sqlite, a file in the gallery's folder.",
        ),
    ],
    index_spec: Annotated[
        str,
        typer.Option(
            "--index",
            metavar="SPEC",
            help="Also build the vector index elsewhere: pgvector, an address of Milvus, auto.",
        ),
    ] = "",
    gallery: GalleryOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Move the catalog to PostgreSQL, or back into a file. Everything travels. The old catalog is kept; it is the
    gallery's until the new one was compared with it."""
    from retrieval.catalog.postgres.address import parse_address
    from retrieval.catalog.travelling import Stopped
    from retrieval.commands.servers import remember_catalog_server, remember_index_server
    from retrieval.gallery import Gallery
    from retrieval.interrupts import exit_code, stop_on_interrupt
    from retrieval.migrating import migrate as moved_gallery
    from retrieval.streams import plural

    opened = Gallery(gallery)
    address = None if to.lower() == "sqlite" else parse_address(to)
    told = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told
        if not quiet and time.monotonic() - told >= _SECONDS:
            told = time.monotonic()
            say(f"{what}: {done:,} of {total:,}")

    try:
        with stop_on_interrupt(lambda: say("stopping; what was copied is kept ...")) as stop:
            moved = moved_gallery(opened, address, index_spec or None, tell, stop)
    except Stopped:
        say("stopped early; the gallery is as it was, and the same command goes on from here")
        raise SystemExit(exit_code()) from None
    if address is not None:
        remember_catalog_server(address)
    if index_spec:
        remember_index_server(index_spec)
    if quiet:
        return
    place = "a file in its folder" if address is None else str(address)
    if moved.kept is None:
        say(f"the catalog of {opened.path} is in {place} already")
    else:
        rows, searches = sum(moved.rows.values()), plural(moved.searches, "search", "searches")
        say(f"the catalog of {opened.path} is in {place} now")
        say(f"{rows:,} rows of {len(moved.rows)} tables were copied and compared, and {searches} gave the same answers")
        if moved.altered:
            say(f"{plural(moved.altered, 'text')} held characters that PostgreSQL does not have: they were replaced")
        if isinstance(moved.kept, Path):
            say(f"kept: {moved.kept}, the catalog until now; delete it when you do not need it")
        else:
            say(f"kept: {moved.kept}, the catalog until now; drop its schema there when you do not need it")
            say(f"      {moved.note} names it; other machines that name it still use it")
    for kind in moved.index:
        say(f"index   {kind}")
