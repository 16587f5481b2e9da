"""Galleries of any size without encoding a picture: random unit vectors over files that are really there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.data import Data
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.records import pack_vector
from retrieval.encoders.base import Encoder, unit
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.scan import FoundFolder, walk

_METADATA = Metadata(format="JPEG", width=4032, height=3024)


def made_gallery(data: Data, count: int, encoder: Encoder) -> Gallery:
    """A gallery that knows every file of ``data.tree(count)``, with its vector index saved."""
    tree = data.tree(count)
    name = f"gallery-{count}-{encoder.spec.fingerprint[:12]}"
    return Gallery(data.made(name, partial(_fill, tree=tree, encoder=encoder)))


def _fill(folder: Path, *, tree: Path, encoder: Encoder) -> None:
    gallery = Gallery(folder)
    rng = np.random.default_rng(0)
    with gallery.writer() as catalog:
        encoder_id = catalog.register_encoder(encoder.spec)
        for found in walk(tree):
            if found.files:
                rows = _rows(found, catalog.folder_id(found.path), encoder.spec.dim, rng)
                catalog.commit(Batch(indexed=rows), encoder_id)
    # Everything is known, so this encodes nothing: it makes the encoder the active one and saves the index.
    report = Indexer(gallery, encoder).run(tree)
    if report.encoded or report.failures_known:
        raise RuntimeError(f"the files of {tree} changed while the gallery was made")


def _rows(found: FoundFolder, folder_id: int, dim: int, rng: np.random.Generator) -> list[IndexedImage]:
    vectors = unit(rng.standard_normal((len(found.files), dim), np.float32))
    return [
        IndexedImage(folder_id, file.name, file.size, file.mtime_ns, rng.bytes(32), _METADATA, pack_vector(vector))
        for file, vector in zip(found.files, vectors, strict=True)
    ]
