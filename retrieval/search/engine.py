"""The query engine: terms to a vector, the vector to neighbours, neighbours to hits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexes.base import DEFAULT_EFFORT
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord, OnDisk
from retrieval.encoders.cache import CachedText, TextMemory, open_text_cache
from retrieval.errors import EncoderMismatch, GalleryError, GalleryNotFound, QueryError, SettingsError, UnknownImage
from retrieval.gallery import Gallery
from retrieval.pictures.picture_file import encode_file
from retrieval.search.query import Query, Term, combine
from retrieval.search.skipped import Skipped
from retrieval.search.verified import IndexDamaged, nearest

if TYPE_CHECKING:
    from types import TracebackType

    from indexes.base import Ids, Neighbours, VectorIndex, Vectors
    from retrieval.catalog.selection import Selection
    from retrieval.encoders.base import Encoder
    from retrieval.filters import Filter

logger = logging.getLogger("photoseek")

_FILTERS_REMEMBERED = 8
_ATTEMPTS = 5


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: from 1.
        score: cosine similarity to the query, in [-1, 1]; comparable between queries of one encoder. NaN where
            nothing was looked for (``pages.browse``).
        image: what the catalog says about it.
        on_disk: how the file compares with the one that was indexed. Searches return only what is the *same*:
            a *changed* file may show something else, a *missing* one cannot be opened (``skipped.py``).
        relevance: how well it answers a search by words, in [0, 1], where that was asked for (``pages.py``).
        burst: how many more pictures of the same scene it stands for (``pages.py``).
    """

    rank: int
    score: float
    image: ImageRecord
    on_disk: OnDisk = "same"
    relevance: float | None = None
    burst: int = 0


class QueryEngine:
    """Answers queries over a gallery with the encoder that built it. Use as a context manager, or ``close`` it.

    Args:
        gallery: with something indexed in it.
        encoder: default: the one that the gallery's active embeddings were made with, loaded when first needed.
        model: instead of ``encoder``, the name of one of the encoders that this gallery has embeddings of; an
            image-only one serves :meth:`similar`.
        check_files: compare hits with the disk (one ``stat`` each).
        remember_texts: keep the embeddings of single queries' texts in the gallery's folder, so that a repeated query
            runs no text tower; ``PHOTOSEEK_NO_CACHE=1`` turns it off everywhere.
        memory: where texts are looked for first; no other engine's.
        stays: this process answers many searches, so that checking every byte of a large index is worth the time.

    Raises:
        GalleryNotFound: nothing is indexed yet.
        EncoderMismatch: ``encoder`` is not one that this gallery was built with.
        UnknownEncoder: nor is ``model``; the hint has the nearest names.
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
        self._reader = CatalogReader(gallery.catalog_path)
        try:
            self._row = self._encoder_row(encoder, model)
        except BaseException:
            self._reader.close()
            raise
        self._encoder = encoder
        self._is_chosen = model is not None
        self._check_files, self._stays = check_files, stays
        row = self._row
        self._cache = open_text_cache(gallery.path, row.fingerprint, row.dim) if remember_texts else None
        self._memory = memory
        self._index: VectorIndex | None = None
        self._effort = DEFAULT_EFFORT
        self._index_revision: str | None = None
        self._selected: dict[Filter, Selection] = {}
        self._selected_version: str | None = None

    def __enter__(self) -> QueryEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog and the index."""
        self._reader.close()
        if self._cache is not None:
            self._cache.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def reader(self) -> CatalogReader:
        """The catalog as this engine reads it."""
        return self._reader

    @property
    def encoder_row(self) -> EncoderRow:
        """The encoder whose embeddings are searched, as the catalog knows it."""
        return self._row

    @property
    def encoder(self) -> Encoder:
        """The encoder; loaded on first use."""
        if self._encoder is None:
            from retrieval.encoders.registry import load_encoder_by_fingerprint

            self._check_tower()
            self._encoder = load_encoder_by_fingerprint(self._row.fingerprint, self._row.name, self._row.source)
        return self._encoder

    @property
    def index(self) -> VectorIndex:
        """The vector index, in step with the catalog at the time of this call."""
        revision = self._reader.revision()
        if self._index is None or revision != self._index_revision:
            self._check_tower()
            self._index = self.gallery.open_index(self._reader, self._row, verify=self._stays)
            self._effort = self.gallery.effort(self._row, self._index.spec)
            self._index_revision = revision
            if self._is_chosen:
                from retrieval.towers import warn_of_unseen

                warn_of_unseen(self._reader, self._row, len(self._index))
        return self._index

    def selection(self, where: Filter) -> Selection:
        """What a filter selects here; the last few are remembered until the catalog changes.

        A filter that keeps half of a million images takes SQLite 0.25 s to list, the search behind it 7 ms.

        Raises:
            QueryError: it names a camera, lens, format or tag that the gallery does not hold.
        """
        from retrieval.catalog.selection import check_names, select

        version = self._reader.version()  # not the change number: a new tag touches no index
        if version != self._selected_version or len(self._selected) >= _FILTERS_REMEMBERED:
            self._selected.clear()
            self._selected_version = version
        if where not in self._selected:
            check_names(self._reader, where, self._row.id)
            self._selected[where] = select(self._reader, where, self._row.id)
        return self._selected[where]

    def search(self, query: Query) -> list[Hit]:
        """The best hits for a query, best first.

        Raises:
            QueryError: an unreadable or contradictory query.
            TextNotSupported: words for an image-only encoder.
        """
        return self.ranked(self.direction(query), query)

    def direction(self, query: Query) -> Vectors:
        """(1, dim) unit vector that a query's terms add up to; raises as :meth:`search`."""
        return self._vector(query.terms, self._texts([query], remember=True))

    def embedded(self, texts: Sequence[str], *, remember: bool = True) -> dict[str, CachedText]:
        """The embedding of every text: what is not remembered goes through the text tower at once.

        Raises:
            TextNotSupported: there is none.
        """
        known: dict[str, CachedText] = {}
        for store in (self._memory, self._cache):
            if store is not None and (new := _without(texts, known)):
                known.update(store.find(new))
        if new := _without(texts, known):
            self._check_words()
            made = list(map(CachedText, self.encoder.encode_texts(new), map(self.encoder.is_cut, new)))
            if self._cache is not None and remember:
                self._cache.add(new, made)
            known.update(zip(new, made, strict=True))
        if self._memory is not None and remember:
            self._memory.add(known.keys(), known.values())
        return known

    def ranked(self, direction: Vectors, query: Query, *, leave_out: int | None = None) -> list[Hit]:
        """The best hits for a query whose terms add up to ``direction`` (1, dim), best first, ties by id.

        Pictures whose files are missing or changed are left out, counted and told in a warning.
        """
        skipped = Skipped()
        hits = self._rank(direction, [query], skipped, leave_out=leave_out)[0]
        skipped.warn()
        return hits

    def nearest(self, direction: Vectors, count: int, allowed: Ids | None = None) -> Neighbours:
        """The neighbours of directions (q, dim) with the scores that the catalog's embeddings have, -1 behind the last.

        What became of their files is not looked at. A saved index that proves to be damaged is not used any more.
        """
        for _ in range(_ATTEMPTS):
            index = self.index
            try:
                return nearest(index, self._reader, self._row, direction, count, allowed=allowed, effort=self._effort)
            except IndexDamaged:
                self.distrust_index()
        raise GalleryError(f"the gallery {self.gallery.path} is changing too quickly", "search again")

    def look(self, record: ImageRecord) -> OnDisk:
        """How a picture compares with its file; *same* where this engine does not look at files."""
        return record.on_disk() if self._check_files else "same"

    def search_many(self, queries: Sequence[Query], skipped: Skipped | None = None) -> list[list[Hit]]:
        """The hits of each query, as :meth:`search` finds them, with the encoder, the index and the catalog each asked
        for all queries at once. Scores may differ from a single search by the text tower's rounding (1e-6).

        Everything is held in memory, so give thousands of queries in blocks of a few hundred. Nothing is remembered
        in the text cache: a long list would push out what people ask.

        Args:
            skipped: counts what is left out, for whoever asks in blocks; without it, a warning tells.

        Raises:
            QueryError, TextNotSupported: see :meth:`search`; for any one of the queries.
        """
        texts = self._texts(queries, remember=False)
        alike: dict[tuple[Filter | None, int], list[int]] = {}
        for at, query in enumerate(queries):
            alike.setdefault((query.where, query.k), []).append(at)
        answers: list[list[Hit]] = [[] for _ in queries]
        left_out = Skipped() if skipped is None else skipped
        for places in alike.values():
            group = [queries[at] for at in places]
            vectors = np.concatenate([self._vector(query.terms, texts) for query in group])
            for at, hits in zip(places, self._rank(vectors, group, left_out), strict=True):
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
        """Images that look like a picture; where that is an image of the gallery, it is itself left out.

        A file that is in the gallery, unchanged, needs no encoder.

        Args:
            image: a file, the id of an image of the gallery, or a term for any kind of picture.
        """
        if k < 1:
            raise QueryError(f"cannot return {k} hits", "ask for 1 or more")
        term = image if isinstance(image, Term) else Term("id" if isinstance(image, int) else "image", image)
        query = Query((term,), where=where, k=k, min_score=min_score)
        return self.ranked(self.direction(query), query, leave_out=self.known_id(term))

    def known_id(self, term: Term) -> int | None:
        """The image of the gallery that a term is; None for words, and for pictures that are not in it unchanged."""
        if term.kind == "image":
            return self._known_id(Path(str(term.value)))
        return term.value if isinstance(term.value, int) else None

    # From terms to a vector

    def _encoder_row(self, encoder: Encoder | None, model: str | None) -> EncoderRow:
        if model is not None:
            if encoder is not None:
                raise SettingsError("an encoder and a model were both given", "give one of them")
            from retrieval.towers import find_tower

            return find_tower(self._reader.encoders(), model)
        if encoder is None:
            return self.gallery.active_encoder(self._reader)
        rows = self._reader.encoders()
        for row in rows:
            if row.fingerprint == encoder.spec.fingerprint:
                return row
        if not rows:
            raise GalleryNotFound(f"nothing is indexed in {self.gallery.path}", "run: photoseek index FOLDER")
        raise EncoderMismatch(
            f"this gallery was built with {', '.join(row.name for row in rows)}, not with {encoder.spec.name}",
            f"search with its own model, or run: photoseek index --model {encoder.spec.name}",
        )

    def _texts(self, queries: Sequence[Query], *, remember: bool) -> dict[str, CachedText]:
        """The embedding of every text of the queries."""
        texts = dict.fromkeys(str(t.value) for query in queries for t in query.terms if t.kind == "text")
        known = self.embedded(list(texts), remember=remember)
        for text in texts:
            if known[text].is_cut:
                # How long that is, only the model could say, and a text that was asked before needs none.
                logger.warning("the text is longer than the model reads; only its beginning counts: %.60s...", text)
        return known

    def _check_words(self) -> None:
        from retrieval.encoders.names.models import is_known_image_only

        # By its name first: a model that cannot answer need not be loaded to say so.
        if is_known_image_only(self._row.name) or not self.encoder.spec.has_text:
            from retrieval.towers import no_words

            raise no_words(self._reader.encoders(), self._row)

    def _check_tower(self) -> None:
        """Its embeddings may have been dropped since this engine was opened, and its number given to another encoder;
        or it was moved, and lies elsewhere now.

        Raises:
            EncoderMismatch: they were dropped.
        """
        known = {(row.id, row.fingerprint): row for row in self._reader.encoders()}
        if (self._row.id, self._row.fingerprint) not in known:
            raise EncoderMismatch(f"the embeddings by {self._row.name} were dropped", "open the gallery again")
        self._row = known[self._row.id, self._row.fingerprint]

    def _vector(self, terms: Sequence[Term], texts: Mapping[str, CachedText]) -> Vectors:
        """(1, dim): texts as they were embedded, pictures one by one."""
        rows = [texts[str(term.value)].vector if term.kind == "text" else self._picture(term) for term in terms]
        return combine(np.stack(rows), [term.weight for term in terms])

    def _picture(self, term: Term) -> Vectors:
        """(dim,) embedding of an image term."""
        if term.kind == "id":
            return self._stored(int(str(term.value)))
        if term.kind == "url":
            from retrieval.pictures.web_picture import encode_url

            return encode_url(self.encoder, str(term.value))
        path = Path(str(term.value))
        known = self._known_id(path)
        if known is not None:
            sound, vectors = self._reader.sound_vectors([known], self._row)
            if sound:
                return vectors[0]  # type: ignore[no-any-return]
        return encode_file(self.encoder, path)

    def _stored(self, image_id: int) -> Vectors:
        if not self._reader.records([image_id]):
            raise UnknownImage(f"there is no image {image_id} in this gallery", "use an id from a search with --json")
        vector: Vectors = self._reader.vectors([image_id], self._row)[0]
        return vector

    def _known_id(self, path: Path) -> int | None:
        """The id of the gallery's image at ``path`` if its file is still the one that was indexed."""
        record = self._reader.record_at(path)
        return record.id if record is not None and record.on_disk() == "same" else None

    # From vectors to hits

    def _rank(
        self, vectors: Vectors, queries: Sequence[Query], skipped: Skipped, *, leave_out: int | None = None
    ) -> list[list[Hit]]:
        """The hits of queries that differ in nothing but their vectors (q, dim) and their lowest score."""
        k, where = queries[0].k, queries[0].where
        size = len(self.index)
        allowed = None if where is None or where.is_empty() else self.selection(where).ids
        total = size if allowed is None else len(allowed)
        asked = k + (leave_out is not None)
        answers: list[list[Hit]] = [[] for _ in queries]
        absent: list[list[Hit]] = [[] for _ in queries]
        seen: dict[int, _Seen] = {}
        pending = list(range(len(queries)))
        while pending:
            found = self.nearest(vectors[pending], asked, allowed)
            self._look(sorted(set(found.ids.ravel().tolist())), seen)  # np.unique would import numpy.ma: 4 ms
            short = []
            for at, ids, scores in zip(pending, found.ids.tolist(), found.scores.tolist(), strict=True):
                near = [(i, score) for i, score in zip(ids, scores, strict=True) if i in seen and i != leave_out]
                answers[at], absent[at] = _hits(near, seen, queries[at].min_score, k)
                if absent[at] and len(answers[at]) < k:
                    short.append(at)
            # Some were left out: look further down until there are k others, or no more.
            pending, asked = (short, min(total, 2 * asked)) if asked < total else ([], asked)
        for some in absent:
            skipped.present(some)
        return answers

    def distrust_index(self) -> None:
        """Go on with an index made from the catalog: what the saved one says is not what the catalog says.

        Unless it is merely behind, because pictures were indexed since it was opened.
        """
        if self._index is None or self._reader.revision() != self._index_revision:
            return
        logger.warning(
            "the saved index in %s is damaged; the catalog is used instead, until photoseek index makes it anew",
            self.gallery.index_path(self._row.fingerprint),
        )
        self._index = self.gallery.exact_index(self._reader, self._row)  # others may still read the one before
        self._effort = DEFAULT_EFFORT

    def _look(self, ids: Sequence[int], seen: dict[int, _Seen]) -> None:
        """Read the records of ``ids`` that were not seen yet, and compare each with its file."""
        for record in self._reader.records([i for i in ids if i >= 0 and i not in seen]):
            seen[record.id] = _Seen(record, self.look(record))


def _without(texts: Iterable[str], known: Mapping[str, CachedText]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text not in known]


class _Seen(NamedTuple):
    record: ImageRecord
    on_disk: OnDisk


def _hits(
    near: Iterable[tuple[int, float]], seen: Mapping[int, _Seen], min_score: float | None, k: int
) -> tuple[list[Hit], list[Hit]]:
    """The first ``k`` neighbours that may be shown, ranked, and those before the last of them that may not."""
    hits: list[Hit] = []
    absent: list[Hit] = []
    for image_id, score in near:
        if len(hits) == k or (min_score is not None and score < min_score):
            break
        record, on_disk = seen[image_id]
        into = hits if on_disk == "same" else absent
        into.append(Hit(len(hits) + 1, score, record, on_disk))
    return hits, absent
