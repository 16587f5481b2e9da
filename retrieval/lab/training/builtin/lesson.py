"""The sentence encoder's embeddings of a lesson, computed once, in parts, so that an interrupted run can continue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor

logger = logging.getLogger("photoseek")

PART = 10_000
"""Number of texts per file."""


def embedded(texts: Sequence[str], encode: Callable[[list[str]], Tensor], work: Path) -> Tensor:
    """(n, 384) float16 of unit length: the sentence encoder's embeddings of these texts.

    Args:
        texts: of the lesson.
        encode: from texts to (n, 384); called only for parts that are not stored yet.
        work: folder in which the parts are stored, under a name derived from the texts.
    """
    folder = lesson_folder(texts, work)
    parts = range(0, len(texts), PART)
    for at, start in enumerate(parts):
        embed_part(texts[start : start + PART], encode, folder / f"{at:05d}.npy")
        if at % 10 == 9:
            logger.info("embedded %d of %d texts", min(start + PART, len(texts)), len(texts))
    stored = [np.load(folder / f"{at:05d}.npy", allow_pickle=False) for at in range(len(parts))]
    return torch.from_numpy(np.concatenate(stored))


def lesson_folder(texts: Sequence[str], work: Path) -> Path:
    """The folder of these texts' embeddings; created if it is missing."""
    folder = work / f"lesson-{blake3(chr(10).join(texts).encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def embed_part(texts: Sequence[str], encode: Callable[[list[str]], Tensor], file: Path) -> None:
    """Write one part unless it exists; incomplete parts never exist."""
    if not file.exists():
        vectors = encode(list(texts)).half().numpy()
        unfinished = file.with_suffix(".part")
        with unfinished.open("wb") as out:
            np.save(out, vectors, allow_pickle=False)
        unfinished.replace(file)
