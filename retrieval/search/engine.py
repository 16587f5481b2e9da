"""The query engine: terms to a vector, the vector to neighbours, neighbours to hits."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import DEFAULT_EFFORT
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.known_words import is_any_known
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord, OnDisk
from retrieval.encoders.cache import CachedText, TextMemory, open_text_cache
from retrieval.errors import GalleryError, IndexUnreachable
from retrieval.gallery import Gallery
from retrieval.search.answering import hits_of
from retrieval.search.embedder import QueryEmbedder
from retrieval.search.hits import Hit, Skipped
from retrieval.search.query import Only, Query, Term
from retrieval.search.remembered import Remembered
from retrieval.search.verified import IndexDamaged, nearest

if TYPE_CHECKING:
    from types import TracebackType

    from indexes.base import Ids, Neighbours, VectorIndex, Vectors
    from retrieval.catalog.selection import Selection
    from retrieval.catalog.shots import RawPairs
    from retrieval.encoders.base import Encoder
    from retrieval.filters import Filter
    from retrieval.search.lexical import Matches
    from retrieval.search.moments import Moments

logger = logging.getLogger("photoseek")

_ATTEMPTS = 5
_RETRY_SECONDS = 120.0  # after which an index is looked for in its server again


class QueryEngine:
    """Answers queries over a gallery with the encoder that built it. Use as a context manager, or call ``close``.

    Args:
        gallery: one with indexed pictures.
        encoder: default: the one that made the gallery's active embeddings, loaded when first needed.
        model: instead of ``encoder``, the name of one of the encoders that this gallery has embeddings of; an
            image-only one serves :meth:`similar`.
        check_files: compare hits with the disk (one ``stat`` each).
        remember_texts: keep the embeddings of single queries' texts in the gallery's folder, so that a repeated query
            runs no text tower; ``PHOTOSEEK_NO_CACHE=1`` turns it off everywhere.
        memory: where texts are looked up first; not shared with another engine.
        stays: this process answers many searches, so checking every byte of a large index is worth the time.

    Raises:
        GalleryNotFound: nothing is indexed yet.
        EncoderMismatch: ``encoder`` is not one that this gallery was built with.
        UnknownEncoder: this gallery has no embeddings of ``model``; the hint has the nearest names.
    """

    def __init__(
        self,
        gallery: Gallery,
        encoder: Encoder | None = None,
        *,
        model: str | None = None,
        check_files: bool = True,
        remember_texts: bool = True,
        memory: TextMemory | None = None,
        stays: bool = False,
    ) -> None:
        self.gallery = gallery
        self._reader = gallery.open_reader()
        try:
            if encoder is None and model is None:
                row = gallery.active_encoder(self._reader)
            else:
                from retrieval.gallery_encoders import chosen_encoder

                row = chosen_encoder(gallery, self._reader, encoder, model)
        except BaseException:
            self._reader.close()
            raise
        cache = open_text_cache(gallery.path, row.fingerprint, row.dim) if remember_texts else None
        self.embedder = QueryEmbedder(self._reader, row, encoder, cache=cache, memory=memory)
        self._is_chosen = model is not None
        self._check_files, self._stays = check_files, stays
        self._index: VectorIndex | None = None
        self._effort = DEFAULT_EFFORT
        self._index_revision: str | None = None
        self._retry_at = math.inf
        self._remembered = Remembered(self._reader, row.id)

    def __enter__(self) -> QueryEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog and the index."""
        self._reader.close()
        self.embedder.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def reader(self) -> CatalogReader:
        """The catalog as read by this engine."""
        return self._reader

    @property
    def encoder_row(self) -> EncoderRow:
        """The catalog row of the encoder whose embeddings are searched."""
        return self.embedder.row

    @property
    def encoder(self) -> Encoder:
        """The encoder; loaded on first use."""
        return self.embedder.encoder

    @property
    def index(self) -> VectorIndex:
        """The vector index, in step with the catalog at the time of this call."""
        revision = self._reader.revision()
        if self._index is None or revision != self._index_revision or time.monotonic() > self._retry_at:
            self.embedder.check_row()
            self._index = self.gallery.open_index(self._reader, self.encoder_row, verify=self._stays)
            self._effort = self.gallery.effort(self.encoder_row, self._index.spec)
            self._index_revision = revision
            is_instead = self._index.spec.family == "exact" and "://" in (self._reader.index_spec() or "")
            self._retry_at = time.monotonic() + _RETRY_SECONDS if is_instead else math.inf
            if self._is_chosen:
                from retrieval.gallery_encoders import warn_of_unseen

                moments = self.moments()
                frames = 0 if moments is None else len(moments.ids)
                warn_of_unseen(self._reader, self.encoder_row, len(self._index) - frames)
        return self._index

    def selection(self, where: Filter) -> Selection:
        """The pictures that a filter selects; the last few selections are remembered until the catalog changes.

        A filter that keeps half of a million images takes SQLite 0.25 s to list, the search after it 7 ms.

        Raises:
            QueryError: it names a camera, lens, format, tag or album that is not in the gallery.
        """
        from retrieval.search.saved_search import selected

        return self._remembered.selection(where, lambda: selected(self, where))

    def narrowed(self, where: Filter | None, show: RawPairs = "both") -> Selection | None:
        """The pictures a list may hold: those that a filter selects, with one file of each shot stored as RAW and JPEG.

        Args:
            where: None, or an empty one: every picture that is not hidden.
            show: which file of such a shot; see ``shots.py``.

        Returns:
            None for every picture of the gallery.

        Raises:
            QueryError: as in :meth:`selection`.
        """
        selected = None if where is None or where.is_empty() else self.selection(where)
        return self._remembered.narrowed(selected, show)

    def with_mates(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These images and the other files of their shots."""
        return self._remembered.with_mates(ids)

    def moments(self) -> Moments | None:
        """The frames of videos that the index holds; None if there are none."""
        return self._remembered.moments()

    def search(self, query: Query) -> list[Hit]:
        """The best hits for a query, best first.

        Raises:
            QueryError: an unreadable or contradictory query.
            TextNotSupported: words for an image-only encoder.
        """
        if query.is_by_words:
            from retrieval.search.pages import Listing, find_page

            return list(find_page(self, query, Listing()).hits)
        return self.ranked(self.direction(query), query)

    def matches(self, terms: Sequence[Term], allowed: Ids | None, only: Only | None = None) -> Matches | None:
        """The matches of a query's words in names, captions and text, among the pictures allowed by its filter; None if
        there are none."""
        texts = [str(term.value) for term in terms if term.kind == "text" and term.weight > 0]
        if only == "visual" or not is_any_known(self._reader, texts):
            return None
        from retrieval.search.lexical import matches_or_warning

        return matches_or_warning(self._reader, terms, allowed, only)

    def direction(self, query: Query) -> Vectors:
        """(1, dim) unit vector: the combined terms of a query; raises as :meth:`search`."""
        return self.embedder.direction(query.terms, self.embedder.texts_of([query], remember=True))

    def embedded(self, texts: Sequence[str], *, remember: bool = True) -> dict[str, CachedText]:
        """The embedding of every text; see :meth:`QueryEmbedder.embedded`."""
        return self.embedder.embedded(texts, remember=remember)

    def stored(self, ids: Sequence[int]) -> Vectors:
        """(n, dim) unit vectors of pictures of the gallery; see :meth:`QueryEmbedder.stored`."""
        return self.embedder.stored(ids)

    def known_id(self, term: Term) -> int | None:
        """The gallery image that a term denotes; see :meth:`QueryEmbedder.known_id`."""
        return self.embedder.known_id(term)

    def ranked(self, direction: Vectors, query: Query, *, leave_out: int | None = None) -> list[Hit]:
        """The best hits for a query with the combined vector ``direction`` (1, dim), best first, ties by id.

        Pictures whose files are missing or changed are left out, counted and reported in a warning.
        """
        skipped = Skipped()
        hits = hits_of(self, direction, [query], skipped, leave_out=leave_out)[0]
        skipped.warn()
        return hits

    def nearest(self, direction: Vectors, count: int, allowed: Ids | None = None) -> Neighbours:
        """The neighbours of directions (q, dim), scored by the catalog's embeddings; -1 after the last.

        A video is found by its nearest frame. Files on disk are not checked. A saved index that turns out to be damaged
        is no longer used.
        """
        moments = self.moments()
        if moments is None:
            return self._nearest(direction, count, allowed)
        wide = None if allowed is None else moments.widened(allowed)
        total = len(self.index) if wide is None else len(wide)
        return moments.nearest(lambda fetch: self._nearest(direction, fetch, wide), count, total)

    def _nearest(self, direction: Vectors, count: int, allowed: Ids | None) -> Neighbours:
        """The same among all vectors that the index holds."""
        for attempt in range(_ATTEMPTS):
            index = self.index
            try:
                return nearest(
                    index, self._reader, self.encoder_row, direction, count, allowed=allowed, effort=self._effort
                )
            except IndexDamaged:
                self.distrust_index()
            except IndexUnreachable:
                if attempt:
                    raise
                self.reopen_index()
        raise GalleryError(f"the gallery {self.gallery.path} is changing too quickly", "search again")

    def look(self, record: ImageRecord) -> OnDisk:
        """How a picture compares with its file; *same* if this engine does not check files."""
        return record.on_disk() if self._check_files else "same"

    def search_many(self, queries: Sequence[Query], skipped: Skipped | None = None) -> list[list[Hit]]:
        """The hits of each query, as :meth:`search` finds them; the encoder, the index and the catalog are each called
        for all queries at once. Scores may differ from a single search by the text tower's rounding (1e-6).

        Everything is held in memory, so pass thousands of queries in blocks of a few hundred. Nothing is stored
        in the text cache: a long list would evict the texts that people search for.

        Args:
            skipped: counts the pictures left out, across several calls; without it, they are reported in a warning.

        Raises:
            QueryError, TextNotSupported: see :meth:`search`; for any one of the queries.
        """
        by_words = {at: self.search(query) for at, query in enumerate(queries) if query.is_by_words}
        texts = self.embedder.texts_of([query for query in queries if not query.is_by_words], remember=False)
        alike: dict[tuple[Filter | None, int], list[int]] = {}
        for at, query in enumerate(queries):
            if at not in by_words:
                alike.setdefault((query.where, query.k), []).append(at)
        answers = [by_words.get(at, []) for at in range(len(queries))]
        left_out = Skipped() if skipped is None else skipped
        for places in alike.values():
            group = [queries[at] for at in places]
            vectors = np.concatenate([self.embedder.direction(query.terms, texts) for query in group])
            for at, hits in zip(places, hits_of(self, vectors, group, left_out), strict=True):
                answers[at] = hits
        if skipped is None:
            left_out.warn()
        return answers

    def similar(
        self,
        image: str | Path | int | Term,
        k: int = 10,
        *,
        where: Filter | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Images that look like a picture; if that is an image of the gallery, it is itself left out.

        A file that is in the gallery, unchanged, needs no encoder.

        Args:
            image: a file, the id of an image of the gallery, or a term for any kind of picture.
        """
        term = image if isinstance(image, Term) else Term("id" if isinstance(image, int) else "image", image)
        query = Query((term,), where=where, k=k, min_score=min_score)
        return self.ranked(self.direction(query), query, leave_out=self.known_id(term))

    def reopen_index(self) -> None:
        """Open the index again before the next search, because its server has failed; see ``sync.open_index``."""
        self._index_revision = None

    def distrust_index(self) -> None:
        """Continue with an index made from the catalog: the saved index disagrees with the catalog.

        Not if it is merely behind because pictures were indexed since it was opened.
        """
        if self._index is None or self._reader.revision() != self._index_revision:
            return
        logger.warning(
            "the saved index in %s is damaged; the catalog is used instead, until photoseek index makes it anew",
            self.gallery.index_path(self.encoder_row.fingerprint),
        )
        # The previous index is not closed: other threads may still read it.
        self._index = self.gallery.exact_index(self._reader, self.encoder_row)
        self._effort = DEFAULT_EFFORT
