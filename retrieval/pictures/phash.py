"""A 64-bit perceptual hash: re-encoding or resizing a picture moves few bits, another picture differs in half of them.

The DCT hash of pHash: 32 x 32 grey values, their discrete cosine transform, the signs of the 8 x 8 lowest frequencies
against their median. Reference: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010,
section 3.2.1. It was chosen by ``benchmarks/duplicates.py`` and on photographs of 300 x 200 pixels, where block-mean
and difference hashes were worse. Among the 80,000 pairs of 400 of Caltech-101's none lies within 5 bits; copies of
these at quality 30 move 4 bits at most, at half the size 3 and at a quarter 7 (99 % of them 2, 2 and 3).

Two things differ from the reference. Each of the 32 x 32 values is the mean of exactly the area that it stands for,
whatever the picture's size (:func:`tiny_copy`). And a frequency has to be this strong (``DEAD_ZONE``) to set its bit.
In skies, pages and gradients most of the 63 frequencies are zero but for noise, and the signs of noise are a matter of
chance: copies of gradients moved 11 to 28 bits without it and 0 to 2 with it, photographs as few as before.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.pictures.colour import flatten

HASH_BYTES = 8
ORIENTATIONS = 8
PLAIN = bytes(HASH_BYTES)
"""The hash of a picture without any structure: a black frame, a white page. It says nothing about sameness."""

DEAD_ZONE = 64.0
"""In units of the unnormalised transform of grey values 0..255, whose DC term is 1024 times the mean."""

_SIDE, _LOW = 32, 8
MIN_SIDE = 4 * _SIDE
"""Pixels of the shorter side that a reduced picture should have, to have the hash of the whole one."""

_MIDDLE = (_LOW * _LOW - 1) // 2
_MIXABLE = frozenset({"L", "RGB", "CMYK", "LA", "RGBA"})


def _cosines() -> NDArray[np.float32]:
    """(8, 32): the lowest rows of the DCT-II, cos(pi (2x + 1) k / 64)."""
    frequency, place = np.arange(_LOW)[:, None], np.arange(_SIDE)[None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE)).astype(np.float32)


_COSINES = _cosines()
_ODD_X = np.where(np.arange(_LOW) % 2, -1, 1).astype(np.float32)[None]
_ODD_Y = _ODD_X.T
_ODD_BOTH = _ODD_X * _ODD_Y


def perceptual_hash(upright: Image.Image) -> bytes:
    """The 8 bytes of a picture's hash.

    Args:
        upright: of any mode, as shown (EXIF orientation applied). Decoded at a fraction of its size is fine
            down to ``MIN_SIDE``; a bit or two differ now and then.
    """
    return hash_of_grey(np.asarray(tiny_copy(upright).convert("L")))


def tiny_copy(upright: Image.Image) -> Image.Image:
    """The whole picture averaged to 32 x 32, ``RGB`` or ``L``: what the hash and the average colour are made of.

    Each value is the mean of exactly the part of the picture that it stands for, with shares of the pixels at its
    borders. Pillow's box filter takes whole pixels: with it, copies of another size or turned by 180 degrees moved up
    to 9 bits of the hash, and so they move 4 and 1.

    Args:
        upright: as for :func:`perceptual_hash`.
    """
    if upright.mode not in _MIXABLE:
        upright = flatten(upright)  # palettes and 16 bits cannot be averaged as they are
    # Whole numbers of pixels are averaged by Pillow first, which is fast.
    across, down = (max(side // MIN_SIDE, 1) for side in upright.size)
    reduced = upright.reduce((across, down)) if across > 1 or down > 1 else upright
    values = np.asarray(flatten(reduced), dtype=np.float32)
    by_row = _area_means(upright.height, down) @ values.reshape(len(values), -1)
    means = _area_means(upright.width, across) @ by_row.reshape(_SIDE, values.shape[1], -1)
    return Image.fromarray(np.rint(means).astype(np.uint8).reshape(_SIDE, _SIDE, *values.shape[2:]))


@lru_cache(maxsize=256)
def _area_means(count: int, at_once: int) -> NDArray[np.float32]:
    """(32, n) weights that average ``count`` pixels in 32 equal parts, where each of n values has ``at_once`` pixels.

    The last value may have fewer.
    """
    borders = np.minimum(np.arange(0, count + at_once, at_once), count)
    parts = np.arange(_SIDE + 1) * (count / _SIDE)
    shared = np.minimum(borders[1:], parts[1:, None]) - np.maximum(borders[:-1], parts[:-1, None])
    weights: NDArray[np.float32] = (shared.clip(0) * (_SIDE / count)).astype(np.float32)
    return weights


def hashes_of_tiny(tiny: Image.Image) -> bytes:
    """64 bytes: the hashes of a picture, by its :func:`tiny_copy`, in the EXIF orientations 1 (as it is) to 8.

    A picture that was turned or mirrored pixel by pixel is found by them. To mirror changes the signs of the odd
    frequencies, to turn by 90 degrees swaps the two axes: no picture is turned for it.
    """
    low = _frequencies(np.asarray(tiny.convert("L")))
    swapped = low.T
    signs = (1, _ODD_X, _ODD_BOTH, _ODD_Y)
    return b"".join(_signs(values * sign) for values in (low, swapped) for sign in signs)


def hash_of_grey(grey: NDArray[np.uint8]) -> bytes:
    """The hash of (32, 32) grey values; the first bit, that of the mean, says that there is any structure."""
    return _signs(_frequencies(grey))


def _frequencies(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    low: NDArray[np.float32] = _COSINES @ grey.astype(np.float32) @ _COSINES.T
    return low


def _signs(frequencies: NDArray[np.floating]) -> bytes:
    low = frequencies.ravel()
    median = np.partition(low[1:], _MIDDLE)[_MIDDLE]  # of 63: np.median would take longer than all the rest
    bits = low > max(float(median), DEAD_ZONE)
    bits[0] = float(np.abs(low[1:]).max()) > DEAD_ZONE
    return np.packbits(bits).tobytes()


def as_numbers(hashes: list[bytes]) -> NDArray[np.uint64]:
    """(n,) the hashes as integers, whose differing bits can be counted."""
    return np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.uint64)
