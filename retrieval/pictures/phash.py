"""A 64-bit perceptual hash: re-encoding or resizing changes few bits, different pictures differ in half of them.

The DCT hash of pHash: 32 x 32 grey values, their discrete cosine transform, the signs of the 8 x 8 lowest frequencies
relative to their median. Reference: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions",
2010, section 3.2.1. It was chosen with ``benchmarks/duplicates.py`` and on photographs of 300 x 200 pixels, where
block-mean and difference hashes were worse. Of the 80,000 pairs of 400 pictures of Caltech-101 none differs in 5 bits
or fewer; copies at quality 30 differ in at most 4 bits, at half size 3 and at a quarter 7 (99 % of them 2, 2 and 3).

There are two differences from the reference. Each of the 32 x 32 values is the mean of exactly the area that it covers,
for any picture size (:func:`tiny_copy`). And a frequency needs a minimal strength (``DEAD_ZONE``) to set its bit.
In skies, pages and gradients most of the 63 frequencies are zero except for noise, and the signs of noise are random:
copies of gradients differed in 11 to 28 bits without it and 0 to 2 with it; photographs did not change.
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
"""The hash of a picture without any structure: a black frame, a white page. It is no evidence for duplicates."""

DEAD_ZONE = 64.0
"""In units of the unnormalised transform of grey values 0..255, whose DC term is 1024 times the mean."""

_SIDE, _LOW = 32, 8
MIN_SIDE = 4 * _SIDE
"""Pixels of the shorter side that a reduced picture needs to have the same hash as the original."""

_BAND = 4
"""Number of parts that are averaged by one product."""

_MIDDLE = (_LOW * _LOW - 1) // 2
_MIXABLE = frozenset({"L", "RGB", "CMYK", "LA", "RGBA"})


def _cosines() -> NDArray[np.float32]:
    """(8, 32): the lowest rows of the DCT-II, cos(pi (2x + 1) k / 64)."""
    frequency, place = np.arange(_LOW)[:, None], np.arange(_SIDE)[None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE)).astype(np.float32)


_COSINES = _cosines()
_ODD_X = np.where(np.arange(_LOW) % 2, -1, 1).astype(np.float32)[None]
_ODD_Y = _ODD_X.T
_MIRRORED = np.stack(
    [np.ones((_LOW, _LOW), np.float32), _ODD_X * np.ones_like(_ODD_Y), _ODD_X * _ODD_Y, _ODD_Y * np.ones_like(_ODD_X)]
)
"""(4, 8, 8): the signs of the frequencies of a picture unchanged, mirrored, rotated by 180 degrees, and both."""


def perceptual_hash(upright: Image.Image) -> bytes:
    """The 8 bytes of a picture's hash.

    Args:
        upright: of any mode, as displayed (EXIF orientation applied). It may be decoded at a reduced size
            down to ``MIN_SIDE``; sometimes a bit or two differ.
    """
    return hash_of_grey(np.asarray(tiny_copy(upright).convert("L")))


def tiny_copy(upright: Image.Image) -> Image.Image:
    """The whole picture averaged to 32 x 32, ``RGB`` or ``L``: the basis of the hash and the average colour.

    Each value is the mean of exactly the part of the picture that it covers, including fractions of the pixels at its
    borders. Pillow's box filter uses whole pixels: with it, up to 9 bits of the hash changed in copies of another size
    or rotated by 180 degrees; without it, 4 and 1.

    Args:
        upright: as in :func:`perceptual_hash`.
    """
    if upright.mode not in _MIXABLE:
        upright = flatten(upright)  # palettes and 16 bits cannot be averaged directly
    # Pillow first averages by a whole factor, which is fast.
    across, down = (max(side // MIN_SIDE, 1) for side in upright.size)
    reduced = upright.reduce((across, down)) if across > 1 or down > 1 else upright
    values = np.asarray(flatten(reduced), dtype=np.float32)
    by_row = _area_means(values.reshape(len(values), -1), upright.height, down)
    by_column = np.ascontiguousarray(by_row.reshape(_SIDE, reduced.width, -1).swapaxes(0, 1))
    means = _area_means(by_column.reshape(reduced.width, -1), upright.width, across)
    tiny = np.rint(means).astype(np.uint8).reshape(_SIDE, _SIDE, *values.shape[2:]).swapaxes(0, 1)
    return Image.fromarray(np.ascontiguousarray(tiny))


def _area_means(values: NDArray[np.float32], count: int, at_once: int) -> NDArray[np.float32]:
    """(32, m) the means of 32 equal parts of ``values``' first axis, see :func:`_weights`.

    Each part uses few of the values, so the product is computed as several small ones. They are also too small for a
    multi-threaded BLAS: many threads read pictures at once, and BLAS threads waiting for each other took as much CPU
    time as the rest of reading a picture.
    """
    means = np.empty((_SIDE, values.shape[1]), np.float32)
    for parts, used, weights in _weights(count, at_once):
        np.matmul(weights, values[used], out=means[parts])
    return means


@lru_cache(maxsize=256)
def _weights(count: int, at_once: int) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Weights for averaging ``count`` pixels in 32 equal parts, where each of n values covers ``at_once`` pixels.

    The last value may cover fewer.

    Returns:
        For every four parts: their slice, the slice of the values they use, and the (4, values) weights.
    """
    borders = np.minimum(np.arange(0, count + at_once, at_once), count)
    parts = np.arange(_SIDE + 1) * (count / _SIDE)
    shared = np.minimum(borders[1:], parts[1:, None]) - np.maximum(borders[:-1], parts[:-1, None])
    weights: NDArray[np.float32] = (shared.clip(0) * (_SIDE / count)).astype(np.float32)
    bands = []
    for first in range(0, _SIDE, _BAND):
        band = weights[first : first + _BAND]
        used = np.flatnonzero(band.any(axis=0))
        taken = slice(int(used[0]), int(used[-1]) + 1)
        bands.append((slice(first, first + _BAND), taken, np.ascontiguousarray(band[:, taken])))
    return bands


def hashes_of_tiny(tiny: Image.Image) -> bytes:
    """64 bytes: the hashes of a picture, from its :func:`tiny_copy`, in the EXIF orientations 1 (unchanged) to 8.

    They allow finding pictures that were rotated or mirrored. Mirroring changes the signs of the odd
    frequencies, rotating by 90 degrees swaps the two axes, so no picture needs to be rotated.
    """
    low = _frequencies(np.asarray(tiny.convert("L")))
    turned = np.stack([low, low.T])[:, None] * _MIRRORED
    return _signs(turned.reshape(ORIENTATIONS, -1))


def hash_of_grey(grey: NDArray[np.uint8]) -> bytes:
    """The hash of (32, 32) grey values; the first bit, that of the mean, is set if there is any structure."""
    return _signs(_frequencies(grey).reshape(1, -1))


def _frequencies(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    low: NDArray[np.float32] = _COSINES @ grey.astype(np.float32) @ _COSINES.T
    return low


def _signs(frequencies: NDArray[np.float32]) -> bytes:
    """8 bytes for each row of 64 frequencies; the rows contain the same magnitudes in different orders."""
    middle = np.partition(frequencies[:, 1:], _MIDDLE)[:, _MIDDLE, None]  # np.median is slower than all the rest
    bits = frequencies > np.maximum(middle, DEAD_ZONE)
    bits[:, 0] = np.abs(frequencies[0, 1:]).max() > DEAD_ZONE
    return np.packbits(bits).tobytes()


def as_numbers(hashes: list[bytes]) -> NDArray[np.uint64]:
    """(n,) the hashes as integers, for counting different bits."""
    return np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.uint64)
