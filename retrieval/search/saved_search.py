"""Saved searches: albums that stay live. A recipe of plain values that is run again at every access."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from retrieval.catalog.albums import AlbumRow, album_named, all_albums
from retrieval.catalog.selection import check_names, select
from retrieval.errors import GalleryError, QueryError, TextNotSupported
from retrieval.filters import Filter
from retrieval.filters.albums import FoundAlbum
from retrieval.filters.conditions import NAMED
from retrieval.filters.filter import filter_words, parse_filter, parse_typed

if TYPE_CHECKING:
    from retrieval.catalog.selection import Selection
    from retrieval.search.engine import QueryEngine
    from retrieval.search.query import Term

logger = logging.getLogger("photoseek")

MOST_COUNTED = 50
"""Saved searches that are run to count their pictures."""


@dataclass(frozen=True)
class SavedSearch:
    """The search that defines an album.

    Attributes:
        query: in photoseek's language, words and pictures of the gallery; empty: every picture that passes the filter.
        filter: its conditions as plain values under their names; dates in words ("3 weeks ago") stay words.
        limit: the maximum number, best first; None: all that qualify.
        min_score: only pictures with at least this cosine similarity.
        relevant: only pictures that answer the words (``relevance.py``).

    Raises:
        QueryError: an empty search; a query that would rank every picture and leave none out. (If another album
            is also a saved search, that is only detected when this one is run.)
    """

    query: str = ""
    filter: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    min_score: float | None = None
    relevant: bool = False

    def __post_init__(self) -> None:
        terms = self.terms()
        if not terms and self.where().is_empty():
            raise QueryError(
                "a saved search looks for nothing", "give --search TEXT, or conditions such as --after 2023"
            )
        if not terms and (self.limit is not None or self.min_score is not None or self.relevant):
            raise QueryError("without a query nothing has a rank or a score", "add --search TEXT")
        if terms and self.limit is None and self.min_score is None and not self.relevant:
            raise QueryError("every picture has a score for a query", "add --relevant, --min-score or --limit")
        if any(term.kind in ("image", "url") for term in terms):
            raise QueryError("a saved search holds no files or addresses", "use a picture of the gallery: img:id:12")

    @classmethod
    def typed(
        cls, query: str, given: Mapping[str, Any], *, limit: int | None, min_score: float | None, relevant: bool
    ) -> SavedSearch:
        """The search that somebody typed; words without a limit mean the relevant pictures.

        Args:
            given: values of conditions, as :func:`retrieval.filters.filter.parse_typed` takes them.
        """
        return cls.of(query, parse_typed(given), given, limit=limit, min_score=min_score, relevant=relevant)

    @classmethod
    def of(
        cls,
        query: str,
        where: Filter,
        given: Mapping[str, Any],
        *,
        limit: int | None,
        min_score: float | None,
        relevant: bool,
    ) -> SavedSearch:
        """The same with the conditions as a filter.

        Args:
            given: dates of ``where`` as they were typed: those in words stay words.
        """
        plain = where.to_mapping()
        for name in plain:
            if (condition := NAMED.get(name)) is not None and condition.kind in ("date", "moment"):
                plain[name] = str(given[name])
        only_words = bool(query) and all(term.kind == "text" for term in _terms(query))
        usual = only_words and limit is None and min_score is None
        return cls(query, plain, limit, min_score, relevant or usual)

    @classmethod
    def from_text(cls, text: str) -> SavedSearch:
        """The inverse of :meth:`to_text`.

        Raises:
            GalleryError: the text is damaged, or was written by a newer photoseek.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise GalleryError(
                "the gallery holds a saved search that cannot be read", "delete the album, and make it anew"
            ) from error

    def to_text(self) -> str:
        """JSON, for the catalog."""
        return json.dumps({name: value for name, value in asdict(self).items() if value not in ("", {}, None, False)})

    def terms(self) -> tuple[Term, ...]:
        """The terms of the query; none if it is empty."""
        return _terms(self.query) if self.query else ()

    def where(self) -> Filter:
        """The filter; dates in words are relative to now."""
        return parse_filter(**self.filter)

    def words(self) -> str:
        """As on a command line: ``"a dog" --relevant --after 2023``."""
        parts = [json.dumps(self.query, ensure_ascii=False)] if self.query else []
        parts += ["--relevant"] if self.relevant else []
        parts += [] if self.min_score is None else [f"--min-score {self.min_score:g}"]
        parts += [] if self.limit is None else [f"--limit {self.limit}"]
        said = {name: value for name, value in self.filter.items() if name not in ("after", "before", "added_after")}
        dates = [f"--{name.replace('_', '-')} {value!r}" for name, value in self.filter.items() if name not in said]
        return " ".join([*parts, *dates, filter_words(parse_filter(**said))]).strip()

    def found(self, engine: QueryEngine) -> tuple[int, ...]:
        """The ids of the pictures that it finds now, best first, without those whose files are missing or changed;
        with only a filter, all that pass it.

        Raises:
            QueryError: as the engine; or it searches in an album that is itself a saved search.
            UnknownImage: a picture of the query is no longer in the gallery.
            TextNotSupported: words for an image-only encoder.
        """
        where = self.where()
        for name in (*where.album, *where.no_album):
            if album_named(engine.reader, str(name)).recipe is not None:
                raise QueryError(
                    f"the saved search looks in the album {str(name)!r}, which is a saved search, too",
                    "albums of that kind are not looked for in each other",
                )
        terms = self.terms()
        if not terms:
            return tuple(engine.selection(where).ids.tolist())
        from retrieval.search.pages import Listing, find_page
        from retrieval.search.query import Query
        from retrieval.search.ranking import MAX_DEPTH

        query = Query(terms, None if where.is_empty() else where, self.limit or MAX_DEPTH, self.min_score)
        page = find_page(engine, query, Listing(relevant=self.relevant))
        return engine.with_mates(hit.image.id for hit in page.hits)


def search_of(album: AlbumRow) -> SavedSearch | None:
    """The saved search of an album; None for an album that people put pictures in."""
    return None if album.recipe is None else SavedSearch.from_text(album.recipe)


def live_albums(engine: QueryEngine, most: int = MOST_COUNTED) -> dict[str, tuple[int, ...]]:
    """Album -> ids of its pictures, of the albums that are saved searches: by name, ``most`` at most.

    Searches that cannot be answered now are left out: damaged ones, those with a picture that is gone, or with words
    for an image-only encoder. Whoever opens such an album is told why.
    """
    found = {}
    for album in [album for album in all_albums(engine.reader) if album.recipe is not None][:most]:
        try:
            search = search_of(album)
            found[album.name] = () if search is None else search.found(engine)
        except (QueryError, TextNotSupported, GalleryError) as error:
            logger.debug("the album %r is not counted: %s", album.name, error)
    return found


def resolved(engine: QueryEngine, where: Filter) -> Filter:
    """A filter in which albums that are saved searches are replaced by their present results.

    Raises:
        QueryError: there is no such album; and as in :meth:`SavedSearch.found`.
    """

    def held(name: str | FoundAlbum) -> str | FoundAlbum:
        search = None if isinstance(name, FoundAlbum) else search_of(album_named(engine.reader, name))
        return name if search is None else FoundAlbum(str(name), search.found(engine))

    if not (where.album or where.no_album):
        return where
    values = {name: value for name, value in where.asked() if name not in ("album", "no_album")}
    kinds: dict[str, Sequence[str | FoundAlbum]] = {"album": where.album, "no_album": where.no_album}
    return Filter(**values, **{name: tuple(map(held, names)) for name, names in kinds.items()})


def selected(engine: QueryEngine, where: Filter) -> Selection:
    """The pictures that a filter selects, for :meth:`QueryEngine.selection`; raises as that method."""
    known = resolved(engine, where)
    check_names(engine.reader, known, engine.encoder_row.id)
    return select(engine.reader, known, engine.encoder_row.id, for_list=True)


def _terms(query: str) -> tuple[Term, ...]:
    from retrieval.search.language import parse_query

    return parse_query(query)
