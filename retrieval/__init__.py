"""photoseek as a library: index picture folders, search them by text and by picture.

Ten lines that index a folder and search it::

    from retrieval import Gallery, Indexer, Query, QueryEngine, load_encoder

    gallery = Gallery("my-gallery")
    report = Indexer(gallery, load_encoder("builtin-64")).run("~/Photos")
    print(report.images, "images")

    with QueryEngine(gallery) as engine:
        for hit in engine.search(Query.text("a red bird on a branch", k=5)):
            print(hit.rank, round(hit.score, 3), hit.image.path)
        lookalikes = engine.similar(hit.image.id)

The names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.encoders.load import load_encoder
    from retrieval.engine import Hit, QueryEngine
    from retrieval.errors import RetrievalError
    from retrieval.filters import Filter
    from retrieval.gallery import Gallery
    from retrieval.indexer import Indexer
    from retrieval.pages import Listing, Page, find_page
    from retrieval.query import Query, Term
    from retrieval.report import IndexReport

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
    "Hit": "engine",
    "IndexReport": "report",
    "Indexer": "indexer",
    "Listing": "pages",
    "Page": "pages",
    "Query": "query",
    "QueryEngine": "engine",
    "RetrievalError": "errors",
    "Term": "query",
    "find_page": "pages",
    "load_encoder": "encoders.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
