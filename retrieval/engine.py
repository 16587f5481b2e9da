"""The query engine: terms to a vector, the vector to neighbours, neighbours to hits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from indexes.base import Ids, VectorIndex, Vectors
from retrieval.encoders.base import Encoder
from retrieval.errors import EncoderMismatch, GalleryNotFound, QueryError, UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.query import Query, Term, combine
from retrieval.reader import CatalogReader, EncoderRow
from retrieval.records import ImageRecord, OnDisk

logger = logging.getLogger("photoseek")

MAX_QUERY_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: from 1.
        score: cosine similarity to the query, in [-1, 1]; comparable between queries of one encoder.
        image: what the catalog says about it.
        on_disk: how the file compares with the one that was indexed. Files that *changed* since are never
            returned, because they may show something else; *missing* ones are (an unplugged drive), and say so.
    """

    rank: int
    score: float
    image: ImageRecord
    on_disk: OnDisk = "same"


class QueryEngine:
    """Answers queries over a gallery with the encoder that built it. Use as a context manager, or ``close`` it.

    Args:
        gallery: with something indexed in it.
        encoder: default: the one that the gallery's active embeddings were made with, loaded when first needed.
        check_files: compare hits with the disk (one ``stat`` each).

    Raises:
        GalleryNotFound: nothing is indexed yet.
        EncoderMismatch: ``encoder`` is not one that this gallery was built with.
    """

    def __init__(self, gallery: Gallery, encoder: Encoder | None = None, *, check_files: bool = True) -> None:
        self.gallery = gallery
        self._reader = CatalogReader(gallery.catalog_path)
        try:
            self._row = self._encoder_row(encoder)
        except BaseException:
            self._reader.close()
            raise
        self._encoder = encoder
        self._check_files = check_files
        self._index: VectorIndex | None = None
        self._index_change = -1

    def __enter__(self) -> QueryEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog and the index."""
        self._reader.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def reader(self) -> CatalogReader:
        """The catalog as this engine reads it."""
        return self._reader

    @property
    def encoder(self) -> Encoder:
        """The encoder; loaded on first use."""
        if self._encoder is None:
            from retrieval.encoders.load import load_encoder_by_fingerprint

            self._encoder = load_encoder_by_fingerprint(self._row.fingerprint, self._row.name, self._row.source)
        return self._encoder

    @property
    def index(self) -> VectorIndex:
        """The vector index, in step with the catalog at the time of this call."""
        change = self._reader.change()
        if self._index is None or change != self._index_change:
            self._index = self.gallery.open_index(self._reader, self._row)
            self._index_change = change
        return self._index

    def search(self, query: Query) -> list[Hit]:
        """The best hits for a query, best first.

        Raises:
            QueryError: an unreadable or contradictory query.
            TextNotSupported: words for an image-only encoder.
        """
        return self._rank(self._vector(query.terms), query.k, query.where, query.min_score, leave_out=set())

    def similar(
        self,
        image: str | Path | int,
        k: int = 10,
        *,
        where: Filter | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Images that look like a file or like an image of the gallery; that image itself is left out.

        A file that is in the gallery, unchanged, needs no encoder.
        """
        if k < 1:
            raise QueryError(f"cannot return {k} hits", "ask for 1 or more")
        term = Term("id", image) if isinstance(image, int) else Term("image", Path(image))
        itself = image if isinstance(image, int) else self._known_id(Path(image))
        leave_out = set() if itself is None else {itself}
        return self._rank(self._vector([term]), k, where, min_score, leave_out=leave_out)

    # From terms to a vector

    def _encoder_row(self, encoder: Encoder | None) -> EncoderRow:
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

    def _vector(self, terms: Sequence[Term]) -> Vectors:
        """(1, dim): all texts in one call of the text tower, pictures one by one."""
        texts = [str(term.value) for term in terms if term.kind == "text"]
        for text in texts:
            if self.encoder.is_cut(text):
                logger.warning(
                    "the text is longer than the model's %d tokens; only its beginning counts: %.60s...",
                    self.encoder.spec.context_length,
                    text,
                )
        embedded = iter(self.encoder.encode_texts(texts) if texts else ())
        rows = [next(embedded) if term.kind == "text" else self._picture(term) for term in terms]
        return combine(np.stack(rows), [term.weight for term in terms])

    def _picture(self, term: Term) -> Vectors:
        """(dim,) embedding of an image term."""
        if term.kind == "id":
            return self._stored(int(str(term.value)))
        path = Path(str(term.value))
        known = self._known_id(path)
        return self._encode_file(path) if known is None else self._stored(known)

    def _stored(self, image_id: int) -> Vectors:
        if not self._reader.records([image_id]):
            raise UnknownImage(f"there is no image {image_id} in this gallery", "take an id from a search with --json")
        vector: Vectors = self._reader.vectors([image_id], self._row)[0]
        return vector

    def _known_id(self, path: Path) -> int | None:
        """The id of the gallery's image at ``path`` if its file is still the one that was indexed."""
        record = self._reader.record_at(path)
        return record.id if record is not None and record.on_disk() == "same" else None

    def _encode_file(self, path: Path) -> Vectors:
        from retrieval.images import read_picture

        try:
            if path.stat().st_size > MAX_QUERY_FILE_BYTES:
                raise QueryError(f"{path} is larger than {MAX_QUERY_FILE_BYTES >> 20} MiB", "give a smaller picture")
            data = path.read_bytes()
        except OSError as error:
            raise QueryError(
                f"cannot read {path}: {error.strerror}", "give a picture file that exists and can be read"
            ) from error
        picture = read_picture(data, self.encoder.spec.preprocessing)
        vector: Vectors = self.encoder.encode_images(picture.pixels[None])[0]
        return vector

    # From a vector to hits

    def _rank(
        self, vector: Vectors, k: int, where: Filter | None, min_score: float | None, *, leave_out: set[int]
    ) -> list[Hit]:
        allowed = None if where is None or where.is_empty() else self._reader.select(where)
        total = len(self.index) if allowed is None else len(allowed)
        asked = k + len(leave_out)
        while True:
            hits, changed = self._hits(vector, asked, allowed, min_score, leave_out)
            # Changed files were left out: look further down until there are k others, or no more.
            if len(hits) >= k or asked >= total or not changed:
                break
            asked = min(total, 2 * asked)
        if changed:
            logger.warning("%d changed since they were indexed and are left out: photoseek index", changed)
        return hits[:k]

    def _hits(
        self, vector: Vectors, asked: int, allowed: Ids | None, min_score: float | None, leave_out: set[int]
    ) -> tuple[list[Hit], int]:
        """Hits among the ``asked`` nearest, and how many were left out because their file changed."""
        ids, scores = self.index.search(vector, asked, allowed=allowed)
        score_of = {
            int(i): float(s)
            for i, s in zip(ids[0], scores[0], strict=True)
            if i >= 0 and int(i) not in leave_out and (min_score is None or s >= min_score)
        }
        hits: list[Hit] = []
        changed = 0
        look: Callable[[ImageRecord], OnDisk] = ImageRecord.on_disk if self._check_files else lambda _: "same"
        for record in self._reader.records(list(score_of)):
            on_disk = look(record)
            if on_disk == "changed":
                changed += 1
            else:
                hits.append(Hit(len(hits) + 1, score_of[record.id], record, on_disk))
        return hits, changed
