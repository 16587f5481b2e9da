"""Random unit vectors with known right answers, and slow reference computations."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.encoders.base import unit


def captioned(pictures: int, per_picture: int, *, dim: int = 24, noise: float = 1.0, seed: int = 0) -> Any:
    """Pictures, texts, and each caption's rows of both: captions lie around their picture."""
    generator = np.random.default_rng(seed)
    images = unit(generator.normal(size=(pictures, dim)))
    own = np.repeat(np.arange(pictures), per_picture)
    texts = unit(images[own] + noise * generator.normal(size=(len(own), dim)))
    return images, texts, np.arange(len(own)), own


def labelled(per_class: int, classes: int, *, dim: int = 16, noise: float = 0.6, seed: int = 0) -> tuple[Vectors, Ids]:
    """Unit vectors around a centre for each class, and their classes, mixed."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class))
    centres = generator.normal(size=(classes, dim))
    return unit(centres[labels] + 2 * noise * generator.normal(size=(len(labels), dim))), labels
