"""Run the request of ``photoseek search``: find hits, print them, and give hints.

typer is not imported here, see ``commands/plain.py``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from retrieval.asker import in_folder
from retrieval.commands.answers import (
    ALL,
    PROGRAM,
    Form,
    Request,
    limit_in,
    open_engine,
    others_wait_for_no_calibration,
    show_hits,
    show_page,
    tell_unknown,
)
from retrieval.commands.say import say
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit
    from retrieval.search.pages import Listing, Page
    from retrieval.search.query import Only, Term

DEFAULT_LIMIT = 10
"""Number of hits shown by default."""


def one_blas_thread() -> None:
    """For a command with one query; call it before numpy is imported.

    Its few small products lose more by waiting for a second BLAS thread than they can gain: on a busy machine a cold
    query took 1.19 s with two threads and 0.12 s with one.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def find_and_show(
    asked: Request,
    texts: Sequence[str],
    form: Form,
    gallery: Path | None,
    *,
    warm: QueryEngine | None = None,
    model: str = "",
    limit: int = DEFAULT_LIMIT,
    min_score: float | None = None,
    relevant: bool = False,
    only: str | None = None,
    listing: Listing | None = None,
) -> None:
    """Find the hits, or without terms list the pictures that pass the filter, and print them.

    Args:
        texts: as typed, for hints.
        warm, model: see ``open_engine``.
        limit: maximum number of hits, or ``ALL``.
        only: see ``Query``.
    """
    from retrieval.search.query import Query

    terms, where = asked
    if only and not terms:
        raise QueryError(f"there is no query that {only} could be searched for", "give a query, or omit --only")
    if terms:
        Query(terms, min_score=min_score, only=cast("Only | None", only))  # nothing is opened for an invalid query
        _hint_at_files(texts)
    with open_engine(gallery, warm, model=model) as engine:
        tell_unknown(engine, where)
        if relevant and warm is not None:
            others_wait_for_no_calibration(engine)
        found = find(engine, asked, limit, min_score=min_score, relevant=relevant, only=only, listing=listing)
        from retrieval.server.client import daemon_use

        if daemon_use() == "1" and warm is None and not model:
            from retrieval.server.control import start_on_demand

            start_on_demand(engine.gallery, PROGRAM)
        if only not in ("text", "names"):
            _hint_at_english(terms, engine, nothing_matches=found.nothing_matches())
        if found.page is not None and found.listing is not None:
            show_page(found.page, found.listing, form, asked, engine)
        else:
            show_hits(found.hits, form, asked, engine)


class Found(NamedTuple):
    """The result: hits and, for a list, its page and how it was requested."""

    hits: list[Hit]
    page: Page | None = None
    listing: Listing | None = None

    def nothing_matches(self) -> bool:
        """True if there are pictures, but none is relevant to the words."""
        return self.page is not None and self.page.nearest is not None


def find(
    engine: QueryEngine,
    asked: Request,
    limit: int,
    *,
    min_score: float | None = None,
    relevant: bool = False,
    only: str | None = None,
    listing: Listing | None = None,
) -> Found:
    """Find the hits, or without terms list the pictures that pass the filter; see :func:`find_and_show`."""
    from retrieval.search.query import Query

    terms, where = asked
    if not terms and min_score is not None:
        raise QueryError("without a query there are no scores", "give a query, or omit --min-score")
    k = limit_in(engine, limit)
    part = cast("Only | None", only)
    if terms and not (relevant or listing or only in ("text", "names")):
        return Found(engine.search(Query(terms, where, k, min_score, part)))
    from retrieval.search.pages import Listing, browse, find_page
    from retrieval.search.ranking import MAX_DEPTH

    listing = replace(listing or Listing(), relevant=relevant)
    if not terms:
        page = browse(engine, where, listing, k)
    else:
        if limit == ALL and k > MAX_DEPTH:
            say(f"such a list is limited to {MAX_DEPTH:,} hits")
        query = Query(terms, where, min(k, MAX_DEPTH) if limit == ALL else k, min_score, part)
        page = find_page(engine, query, listing)
    return Found(list(page.hits), page, listing)


def _hint_at_english(terms: Sequence[Term], engine: QueryEngine, *, nothing_matches: bool) -> None:
    texts = [str(term.value) for term in terms if term.kind == "text" and term.weight > 0]
    if nothing_matches or not all(map(str.isascii, texts)):
        from retrieval.search.english import english_hint

        if line := english_hint(texts, engine.encoder_row.name, nothing_matches=nothing_matches):
            say(line)


def _hint_at_files(texts: Sequence[str]) -> None:
    """Words that name a file were probably meant as that picture, and a folder as a place to search."""
    from shlex import quote

    from retrieval.streams import printable

    for text in dict.fromkeys((*texts, " ".join(texts))):
        path = in_folder(os.path.expanduser(text))  # noqa: PTH111 - a name may be too long for Path's questions
        if os.path.isfile(path):  # noqa: PTH113
            say(f"{printable(text)} is a file; did you mean: photoseek similar {quote(printable(text))}")
        elif os.sep in text and os.path.isdir(path):  # noqa: PTH112
            say(f"{printable(text)} is a folder; did you mean: --under {quote(printable(text))}")
