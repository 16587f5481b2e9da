"""photoseek as a library: index picture folders, search them by text and by picture.

Ten lines that index a folder and search it::

    from retrieval import Gallery, Indexer, Query, QueryEngine, load_encoder

    gallery = Gallery("my-gallery")
    report = Indexer(gallery, load_encoder("builtin-224")).run("~/Photos")
    print(report.images, "images")

    with QueryEngine(gallery) as engine:
        for hit in engine.search(Query.text("a red bird on a branch", k=5)):
            print(hit.rank, round(hit.score, 3), hit.image.path)
        lookalikes = engine.similar(hit.image.id)

The names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # True for type checkers; importing typing would delay the handling of an early Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from retrieval.encoders.registry import load_encoder
    from retrieval.errors import RetrievalError
    from retrieval.filters import Filter
    from retrieval.gallery import Gallery
    from retrieval.indexing.indexer import Indexer
    from retrieval.indexing.report import IndexReport
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit
    from retrieval.search.pages import Listing, Page, find_page
    from retrieval.search.query import Query, Term

__all__ = [
    "Filter",
    "Gallery",
    "Hit",
    "IndexReport",
    "Indexer",
    "Listing",
    "Page",
    "Query",
    "QueryEngine",
    "RetrievalError",
    "Term",
    "find_page",
    "load_encoder",
]

_HOME = {
    "Filter": "filters",
    "Gallery": "gallery",
    "Hit": "search.hits",
    "IndexReport": "indexing.report",
    "Indexer": "indexing.indexer",
    "Listing": "search.pages",
    "Page": "search.pages",
    "Query": "search.query",
    "QueryEngine": "search.engine",
    "RetrievalError": "errors",
    "Term": "search.query",
    "find_page": "search.pages",
    "load_encoder": "encoders.registry",
}


# Written by hand, as in the packages below: importing lazy_loader would add 1.1 ms to every start.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
