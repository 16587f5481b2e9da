"""The engine of a long-running process: reopened when the gallery's catalog or model changes."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from retrieval.encoders.cache import TextMemory
from retrieval.errors import EncoderError
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine

logger = logging.getLogger("photoseek")


class CurrentEngine:
    """Keeps one engine of a gallery open and replaces it when the gallery's catalog or model was replaced.

    Newly indexed pictures need no new engine: the engine picks them up by itself. Use from one thread.

    Args:
        gallery: with or without something indexed in it.
        model: the name of one of its encoders; None follows the active one.
        texts_remembered: texts whose embeddings stay in memory.
    """

    def __init__(self, gallery: Gallery, *, model: str | None = None, texts_remembered: int = 0) -> None:
        self._gallery, self._model, self._texts_remembered = gallery, model, texts_remembered
        self.memory = TextMemory(texts_remembered)
        self._engine: QueryEngine | None = None
        self._opened: Hashable | None = None

    def engine(self) -> QueryEngine:
        """The engine; opened if there is none yet, and reopened if the catalog was replaced or another model is active.

        Raises:
            GalleryNotFound: nothing is indexed yet, or not any more; a later call looks for it again.
        """
        identity = self._gallery.catalog_identity()
        engine = self._engine
        if engine is not None and identity is not None and identity == self._opened and self._is_wanted(engine):
            return engine
        self.close()
        self.memory = TextMemory(self._texts_remembered)  # the next encoder has different vectors
        self._engine = QueryEngine(self._gallery, model=self._model, memory=self.memory, stays=True)
        self._opened = identity
        return self._engine

    def wake(self) -> QueryEngine:
        """The engine with its text tower and its index loaded, so that no question has to wait for them.

        If the model cannot be loaded, that is logged: gallery pictures and remembered words can be searched without it.

        Raises:
            GalleryNotFound: see :meth:`engine`.
        """
        engine = self.engine()
        _ = engine.index
        try:
            if engine.encoder.spec.has_text:
                engine.encoder.encode_texts(["warm"])
        except EncoderError as error:
            logger.warning("%s\n%s", error.message, error.hint)
        return engine

    def _is_wanted(self, engine: QueryEngine) -> bool:
        """False if another encoder is active now, or the embeddings of the named one were dropped."""
        if self._model is not None:
            return engine.encoder_row in engine.reader.encoders()
        return self._gallery.active_encoder(engine.reader) == engine.encoder_row

    def close(self) -> None:
        """Close the engine, if one is open."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
