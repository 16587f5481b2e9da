"""From the terms of a query to one unit vector, by the encoder that made a gallery's embeddings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.encoders.cache import CachedText, TextCache, TextMemory, remembered
from retrieval.errors import EncoderMismatch, UnknownImage
from retrieval.search.query import Query, Term, combine

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.encoders.base import Encoder

logger = logging.getLogger("photoseek")


class QueryEmbedder:
    """Embeds texts and pictures for queries. The model is loaded only for what is not known yet.

    Args:
        reader: the gallery's catalog.
        row: the encoder whose embeddings are searched.
        encoder: the loaded model; default: loaded on first use.
        cache: embeddings of texts that were searched before, in the gallery's folder; closed by :meth:`close`.
        memory: where texts are looked up first; not shared with another engine.
    """

    def __init__(
        self,
        reader: CatalogReader,
        row: EncoderRow,
        encoder: Encoder | None = None,
        *,
        cache: TextCache | None = None,
        memory: TextMemory | None = None,
    ) -> None:
        self._reader, self._row, self._encoder = reader, row, encoder
        self._cache, self._memory = cache, memory

    def close(self) -> None:
        """Close the cache of texts."""
        if self._cache is not None:
            self._cache.close()

    @property
    def row(self) -> EncoderRow:
        """The catalog row of the encoder."""
        return self._row

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._encoder is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder; loaded on first use."""
        if self._encoder is None:
            from retrieval.encoders.registry import load_encoder_by_fingerprint

            self.check_row()
            self._encoder = load_encoder_by_fingerprint(self._row.fingerprint, self._row.name, self._row.source)
        return self._encoder

    def check_row(self) -> None:
        """Read the encoder's row again: its embeddings may have been dropped and its number reused for another encoder,
        or it was moved to another path.

        Raises:
            EncoderMismatch: they were dropped.
        """
        known = {(row.id, row.fingerprint): row for row in self._reader.encoders()}
        if (self._row.id, self._row.fingerprint) not in known:
            raise EncoderMismatch(f"the embeddings by {self._row.name} were dropped", "open the gallery again")
        self._row = known[self._row.id, self._row.fingerprint]

    def embedded(self, texts: Sequence[str], *, remember: bool = True) -> dict[str, CachedText]:
        """The embedding of every text: all that are not remembered go through the text tower at once.

        Raises:
            TextNotSupported: the encoder has no text tower.
        """
        known, new = remembered(texts, self._memory, self._cache)
        if new:
            self._check_words()
            made = list(map(CachedText, self.encoder.encode_texts(new), map(self.encoder.is_cut, new)))
            if self._cache is not None and remember:
                self._cache.add(new, made)
            known.update(zip(new, made, strict=True))
        if self._memory is not None and remember:
            self._memory.add(known.keys(), known.values())
        return known

    def texts_of(self, queries: Sequence[Query], *, remember: bool) -> dict[str, CachedText]:
        """The embedding of every text of the queries; a warning for each that is longer than the model reads."""
        texts = dict.fromkeys(str(t.value) for query in queries for t in query.terms if t.kind == "text")
        known = self.embedded(list(texts), remember=remember)
        for text in texts:
            if known[text].is_cut:
                # Only the model can count the tokens, and a remembered text needs no model.
                logger.warning("the text is longer than the model reads; only its beginning counts: %.60s...", text)
        return known

    def direction(self, terms: Sequence[Term], texts: Mapping[str, CachedText]) -> Vectors:
        """(1, dim) unit vector: the combined terms: texts from ``texts``, pictures embedded one by one."""
        rows = [texts[str(term.value)].vector if term.kind == "text" else self._picture(term) for term in terms]
        return combine(np.stack(rows), [term.weight for term in terms])

    def stored(self, ids: Sequence[int]) -> Vectors:
        """(n, dim) unit vectors of pictures of the gallery.

        Raises:
            UnknownImage: one of them is not in the gallery.
        """
        known = {record.id for record in self._reader.records(ids)}
        for image_id in ids:
            if image_id not in known:
                problem = f"there is no image {image_id} in this gallery"
                raise UnknownImage(problem, "use an id from a search with --json")
        return self._reader.vectors(ids, self._row)

    def known_id(self, term: Term) -> int | None:
        """The gallery image that a term denotes; None for words, and for pictures not in the gallery unchanged."""
        if term.kind == "image":
            return self._id_at(Path(str(term.value)))
        return term.value if isinstance(term.value, int) else None

    def _id_at(self, path: Path) -> int | None:
        """The id of the gallery's image at ``path`` if its file is still the one that was indexed."""
        record = self._reader.record_at(path)
        return record.id if record is not None and record.on_disk() == "same" else None

    def _check_words(self) -> None:
        from retrieval.encoders.names.known_models import is_known_image_only

        # Check by name first: a model without a text tower need not be loaded to report that.
        if is_known_image_only(self._row.name) or not self.encoder.spec.has_text:
            from retrieval.gallery_encoders import no_words

            raise no_words(self._reader.encoders(), self._row)

    def _picture(self, term: Term) -> Vectors:
        """(dim,) embedding of an image term."""
        if term.kind == "id":
            vector: Vectors = self.stored([int(str(term.value))])[0]
            return vector
        if term.kind == "url":
            from retrieval.pictures.web_picture import encode_url

            return encode_url(self.encoder, str(term.value))
        path = Path(str(term.value))
        known = self._id_at(path)
        if known is not None:
            sound, vectors = self._reader.sound_vectors([known], self._row)
            if sound:
                return vectors[0]  # type: ignore[no-any-return]
        from retrieval.pictures.picture_file import encode_file

        return encode_file(self.encoder, path)
