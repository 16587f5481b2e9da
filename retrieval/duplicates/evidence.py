"""Evidence in a file's bytes for being an original: completeness, coarseness of storage, which was made of which.

Two tests determine which of two copies was made from the other:

* *re-saved*: the values of a JPEG are multiples of its quantization steps in the frequency domain. Pixels that were
  decoded from it and stored again are still close to these multiples; the pixels from which it was made are not.
  Reference: Z. Fan, R. de Queiroz, "Identification of bitmap compression history", IEEE TIP 12(2), 2003.
* *enlarged*: a larger picture that equals the smaller one scaled up, except for the noise of its own compression,
  contains no more than the smaller one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from retrieval.errors import UnreadableImage
from retrieval.pictures.doubtful import doubt_of
from retrieval.pictures.formats import is_cut_short, open_image, sniff

State = Literal["whole", "junk behind", "cut short"]
Steps = NDArray[np.float32]

_UNKNOWN_LOSSY, _CAMERA_LOSSY = 12.0, 0.5
_LOSSLESS = frozenset({"PNG", "BMP", "PPM"})

_LEAST_STEP, _LEAST_VALUES, _ON_STEPS = 5.0, 200, 0.15
"""Smaller steps cannot be distinguished from rounding; values needed; mean distance to a multiple, 0.25 by chance."""

_BLOCKS = 4096
_NOISE_TIMES, _DETAIL_SHARE, _LEAST_DETAIL = 1.5, 0.06, 6.0
_SQUARES = np.arange(256, dtype=np.float64) ** 2
_FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR, Image.Resampling.NEAREST)


@dataclass(frozen=True)
class Evidence:
    """The evidence in a file.

    Attributes:
        state: ``junk behind``: unknown data follow the picture's end; ``cut short``: the end is
            missing.
        coarseness: mean quantization step of brightness; 0: stored without loss.
        step: of the mean of 8 x 8 pixels, times 8: see ``compare.compare``.
        steps: (8, 8) quantization steps of brightness, for a JPEG that is stored as displayed (not rotated).
    """

    state: State = "whole"
    coarseness: float = _UNKNOWN_LOSSY
    step: float = _UNKNOWN_LOSSY
    steps: Steps | None = None


def evidence_of(data: bytes) -> Evidence:
    """Examine a whole file without decoding it. Whatever cannot be determined has the value of an ordinary file."""
    try:
        form = sniff(data)
    except UnreadableImage:
        return Evidence()
    doubt = doubt_of(data)
    if doubt is not None and doubt.is_dangerous:  # the steps below are as many as the file's parts
        return Evidence()
    state = _state(data, form)
    if form == "JPEG":
        return Evidence(state, *_quantization(data))
    is_lossless = form in _LOSSLESS or (form == "WEBP" and data[12:16] == b"VP8L") or form == "TIFF"
    if is_lossless:
        return Evidence(state, 0.0, 1.0)
    return Evidence(state, _CAMERA_LOSSY if form == "HEIF" else _UNKNOWN_LOSSY)


def _quantization(data: bytes) -> tuple[float, float, Steps | None]:
    try:
        image = open_image(data, "JPEG")
        table = image.quantization[0]  # type: ignore[attr-defined]
        steps = np.array(table, dtype=np.float32).reshape(8, 8)  # in natural order
        is_upright = image.getexif().get(0x0112, 1) == 1
    except Exception:  # the decoder may raise any type
        return _UNKNOWN_LOSSY, _UNKNOWN_LOSSY, None
    return float(steps.mean()), float(steps[0, 0]), steps if is_upright else None


# The end of a file


def _state(data: bytes, form: str) -> State:
    end = _end(data, form)
    if end is None:
        return "whole"
    if end > len(data) or is_cut_short(data, form):
        return "cut short"
    return "junk behind" if _is_junk(data[end:]) else "whole"


def _is_junk(behind: bytes) -> bool:
    """True for unknown data; a second picture (MPO, gain maps) or a video (motion photos) belongs to the file."""
    return bool(behind) and not (behind[:3] == b"\xff\xd8\xff" or behind[4:8] == b"ftyp" or behind.endswith(b"SEFT"))


def _end(data: bytes, form: str) -> int | None:
    """Where a picture ends; beyond the end of the file if its end is missing; None if the format does not tell."""
    if form == "JPEG":
        return _jpeg_end(data)
    if form == "PNG":
        at = 8
        while at + 8 <= len(data):
            kind = data[at + 4 : at + 8]
            at += 12 + int.from_bytes(data[at : at + 4], "big")
            if kind == b"IEND":
                return at
        return len(data) + 1
    if form == "WEBP":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + size % 2
    if form == "BMP":
        return int.from_bytes(data[2:6], "little") or None
    if form in ("HEIF", "AVIF"):
        return _boxes_end(data)
    return None


def _jpeg_end(data: bytes) -> int:
    """Reference: ITU-T T.81, B.1.1: segments have a length; in scans a marker is FF and neither 00 nor RSTn."""
    at, missing = 2, len(data) + 1
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xDA:
            continue
        while True:
            at = data.find(b"\xff", at)
            if at < 0 or at + 1 >= len(data):
                return missing
            if data[at + 1] == 0xFF:
                at += 1
            elif data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
                at += 2
            else:
                break
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else missing


def _boxes_end(data: bytes) -> int:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return len(data)
        if size < 8 or not data[at + 4 : at + 8].isalnum():
            break
        at += size
    return at


# Which was made of which


def is_resaved(picture: Image.Image, steps: Steps) -> bool:
    """True if the pixels of ``picture`` (``RGB``, upright) were decoded from a JPEG of this size with these steps."""
    columns, rows = picture.width // 8, picture.height // 8
    chosen = np.flatnonzero(steps.ravel() >= _LEAST_STEP)
    if not rows * columns or not len(chosen):
        return False
    grey = np.asarray(picture.convert("L").crop((0, 0, columns * 8, rows * 8)), dtype=np.float32) - 128
    blocks = grey.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    blocks = blocks[:: max(len(blocks) // _BLOCKS, 1)]
    values = (_DCT @ blocks @ _DCT.T).reshape(len(blocks), 64)[:, chosen] / steps.ravel()[chosen]
    values = values[np.abs(values) > 0.5]
    if len(values) < _LEAST_VALUES:
        return False
    return float(np.abs(values - np.rint(values)).mean()) < _ON_STEPS


def is_enlarged(larger: Image.Image, smaller: Image.Image, steps: Steps | None) -> bool:
    """True if ``larger`` is ``smaller`` (both ``RGB``, upright) scaled up, except for compression noise.

    Args:
        steps: of the larger one, if it is a JPEG.
    """
    wanted, source = larger.convert("L"), smaller.convert("L")
    half = source.resize((max(source.width // 2, 1), max(source.height // 2, 1)), Image.Resampling.LANCZOS)
    finest = mean_square(half.resize(source.size, Image.Resampling.BICUBIC), source)
    if finest < _LEAST_DETAIL:  # a soft picture: impossible to tell, and the larger one is kept
        return False
    made = [source.resize(wanted.size, resample) for resample in _FILTERS]
    left, best = min(((mean_square(image, wanted), image) for image in made), key=lambda x: x[0])
    left -= _DETAIL_SHARE * finest
    return left <= 0 or left <= _NOISE_TIMES * _compression_noise(best, steps)


def mean_square(one: Image.Image, other: Image.Image) -> float:
    """Mean square difference of two ``L`` pictures of equal size; exact, and much faster than with an array."""
    counts = np.array(ImageChops.difference(one, other).histogram(), dtype=np.float64)
    return float(counts @ _SQUARES) / max(one.width * one.height, 1)


def _compression_noise(image: Image.Image, steps: Steps | None) -> float:
    """Mean square error of storing an ``L`` picture with these steps."""
    if steps is None:
        return 0.0
    stored = io.BytesIO()
    image.save(stored, "JPEG", qtables=[steps.ravel().astype(int).clip(1, 255).tolist()])
    return mean_square(Image.open(stored), image)


def _dct() -> NDArray[np.float32]:
    """(8, 8): the orthonormal DCT-II."""
    frequency, place = np.arange(8)[:, None], np.arange(8)[None]
    rows = np.cos(np.pi * (2 * place + 1) * frequency / 16) / 2
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


_DCT = _dct()
