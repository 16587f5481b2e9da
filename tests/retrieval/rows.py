"""Hand-made catalog rows, for tests that need no picture files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from indexes.base import Vectors
from retrieval.catalog.batch import Batch, FailedImage, IndexedImage, Metadata
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import pack_vector
from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import EncoderSpec, Preprocessing
from retrieval.filters import Filter

DIM = 8


def encoder_spec(name: str = "one", dim: int = DIM) -> EncoderSpec:
    return EncoderSpec(name, "fake", "tests", dim, Preprocessing(16), True, 8, "MIT", f"{name:0<64}")


def hash_of(content: str) -> bytes:
    return hashlib.sha256(content.encode()).digest()


def vector_of(content: str, encoder: int = 1, dim: int = DIM) -> Vectors:
    """(dim,) the unit vector that encoder number ``encoder`` gives pictures with this content."""
    seed = int.from_bytes(hash_of(f"{content} {encoder}")[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def image(folder_id: int, name: str, content: str = "", *, encoder: int = 1, **metadata: Any) -> IndexedImage:
    """A row for a file whose bytes are ``content`` (by default its name)."""
    content = content or name
    facts = {"format": "JPEG", "width": 40, "height": 30, **metadata}
    packed = pack_vector(vector_of(content, encoder))
    return IndexedImage(folder_id, name, len(content), 1000, hash_of(content), Metadata(**facts), packed)


def failure(folder_id: int, name: str, reason: str = "truncated file", *, transient: bool = False) -> FailedImage:
    return FailedImage(folder_id, name, 5, 1000, reason, transient)


def filled(path: Path, names: list[str], folder: str = "/photos") -> tuple[Catalog, int, int]:
    """A new catalog with one encoder and these images: (catalog, folder id, encoder id)."""
    catalog = Catalog(path)
    folder_id, encoder_id = catalog.folder_id(folder), catalog.register_encoder(encoder_spec())
    if names:
        catalog.commit(Batch(indexed=[image(folder_id, name) for name in names]), encoder_id)
        catalog.activate_encoder(encoder_id)
    return catalog, folder_id, encoder_id


def row_of(reader: CatalogReader, encoder_id: int) -> EncoderRow:
    return next(row for row in reader.encoders() if row.id == encoder_id)


def ids_by_name(reader: CatalogReader) -> dict[str, int]:
    """Name -> id of every present image."""
    return {Path(r.path).name: r.id for r in reader.records([int(i) for i in reader.select(Filter())])}
