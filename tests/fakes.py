"""An encoder without weights whose results are obvious: red pictures match the word "red"."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from indexes.base import Vectors
from retrieval.encoders.base import EncoderSpec, Pixels, Preprocessing, unit
from retrieval.errors import TextNotSupported

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}


class ColourEncoder:
    """Embeds a picture as its mean colour plus a faint texture, and a text as the sum of its colour words.

    Deterministic and torch-free. ``encoded`` counts the images that went through it.
    """

    def __init__(self, *, streams: int = 2, batch_size: int = 4, name: str = "colour", has_text: bool = True) -> None:
        self.spec = EncoderSpec(
            name=name,
            family="fake",
            source="tests",
            dim=16,
            preprocessing=Preprocessing(size=16, mean=(0, 0, 0), std=(1, 1, 1)),
            has_text=has_text,
            context_length=8,
            licence="MIT",
            fingerprint=f"{name:0<64}",
        )
        self.streams = streams
        self.batch_size = batch_size
        self.device = "cpu (fake)"
        self.encoded = 0
        self._lock = threading.Lock()

    def encode_images(self, pixels: Pixels) -> Vectors:
        with self._lock:
            self.encoded += len(pixels)
        scaled = pixels.astype(np.float32) / 255
        features = np.full((len(pixels), 16), 0.01, np.float32)
        features[:, :3] += scaled.mean(axis=(2, 3))
        # 12 block means, so that two different red pictures are near, but not equal.
        features[:, 3:15] = 0.1 * scaled[:, :, ::8, ::8].reshape(len(pixels), 12)
        return unit(features)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not self.spec.has_text:
            raise TextNotSupported(f"{self.spec.name} has no text tower", "use a model that has one")
        features = np.full((len(texts), 16), 0.001, np.float32)
        for row, text in zip(features, texts, strict=True):
            for word in text.lower().split():
                row[:3] += COLOURS.get(word, (0, 0, 0))
        return unit(features)

    def is_cut(self, text: str) -> bool:
        return len(text.split()) > self.spec.context_length
