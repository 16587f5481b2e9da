"""Galleries of catalog rows with chosen vectors, and an encoder of words with CLIP's gap between words and pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from indexes.base import Vectors
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.records import pack_vector
from retrieval.encoders.base import EncoderSpec, Pixels, Preprocessing, unit
from retrieval.gallery import Gallery


class Row(NamedTuple):
    """One picture of a made gallery."""

    folder: str
    name: str
    vector: Vectors
    facts: Mapping[str, Any] = MappingProxyType({})


def made_gallery(place: Path, spec: EncoderSpec, rows: Sequence[Row]) -> Gallery:
    """A gallery whose catalog holds ``rows``, ids from 1 in their order; their files, which are no pictures, lie beside
    the gallery: ``/photos/1`` is ``photos/1`` there."""
    gallery = Gallery(place)
    with gallery.writer() as catalog:
        encoder_id = catalog.register_encoder(spec)
        images = []
        for row in rows:
            facts = Metadata(**{"format": "JPEG", "width": 40, "height": 30, **row.facts})
            digest = hashlib.sha256(f"{row.folder} {row.name}".encode()).digest()
            folder = place.parent / row.folder.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / row.name).write_bytes(bytes(9))
            os.utime(folder / row.name, ns=(1000, 1000))
            image = IndexedImage(
                catalog.folder_id(str(folder)), row.name, 9, 1000, digest, facts, pack_vector(row.vector)
            )
            images.append(image)
        catalog.commit(Batch(indexed=images), encoder_id)
        catalog.activate_encoder(encoder_id)
    return gallery


class WordEncoder:
    """A text is the sum of its words' directions, a picture of a thing near that thing's word.

    Words and pictures are shifted apart by ``gap`` in two dimensions of their own, as CLIP's nearly are: the larger it
    is, the more alike all cosines. The logit scale makes up for that, as training does. With a ``bias`` it is
    like SigLIP.
    """

    def __init__(self, *, gap: float = 0.0, bias: float | None = None, scale: float = 20.0, dim: int = 96) -> None:
        self.gap = gap
        self.encoded: list[str] = []
        self._known: dict[str, Vectors] = {}
        self.spec = EncoderSpec(
            "words", "fake", "tests", dim, Preprocessing(16), True, 32, "MIT", f"{gap:a<32}{bias!s:b<32}",
            logit_scale=scale * (1 + gap**2), logit_bias=bias,
        )  # fmt: skip
        self.streams, self.batch_size, self.device = 1, 8, "cpu (fake)"

    def direction(self, word: str) -> Vectors:
        if word not in self._known:
            self._known[word] = self._random(int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big"))
        return self._known[word]

    def _random(self, seed: int) -> Vectors:
        features = np.random.default_rng(seed).standard_normal((1, self.spec.dim))
        features[:, -2:] = 0
        return unit(features)[0]

    def _apart(self, vectors: Vectors, dimension: int) -> Vectors:
        shifted = vectors.copy()
        shifted[:, dimension] = self.gap
        return unit(shifted)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        words = [unit(sum(self.direction(word) for word in text.split())[None])[0] for text in texts]
        return self._apart(np.stack(words), -1)

    def picture_of(self, thing: str, seed: int) -> Vectors:
        """(dim,) a picture with noise as strong as what it shows."""
        return self._apart(unit((self.direction(thing) + self._random(seed))[None]), -2)[0]

    def encode_images(self, pixels: Pixels) -> Vectors:
        raise AssertionError("no test encodes pictures with this")

    def is_cut(self, text: str) -> bool:
        return False
