"""From a picture file's bytes to the tower's input, upright and in sRGB, or the reason why not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.colour import average_colour, flatten, to_srgb, with_alpha
from retrieval.pictures.declared import declare
from retrieval.pictures.exif import Exif, exif_of, read_exif
from retrieval.pictures.formats import (
    IMAGE_EXTENSIONS,
    is_cut_short,
    jpeg2000_depth,
    jpeg_is_buffered_whole,
    jxl_size,
    open_image,
    share_of_bytes,
    sniff,
    tiff_directory_end,
)
from retrieval.pictures.geometry import Box, Fit, fit, fitted, input_box, on_draft, surroundings, upright_size
from retrieval.pictures.phash import MIN_SIDE, hashes_of_tiny, tiny_copy
from retrieval.pictures.quiet import quietly
from retrieval.pictures.tiff_samples import Layout, TiffDirectory, read_samples
from retrieval.pictures.truncated import SALVAGED, check_share, read_what_is_there

__all__ = ["IMAGE_EXTENSIONS", "NO_MEMORY", "Picture", "content_hash", "read_cut_out", "read_picture", "read_whole"]

T = TypeVar("T")

MAX_PIXELS = 268_435_456  # 1 GiB decoded; the largest phone sensors have 200 million
# Rulers and spacer lines, not pictures. It also bounds Pillow's filter table, which grows with the long side.
_MAX_ASPECT = 1000
# One resize of a box rounds differently from two steps now and then (Pillow picks the order of its passes by
# cost and holds the box in single precision): 60 dB. The exact way costs 0.35 ms more for 500 px, and its
# memory is bounded by this many times the input's area.
WHOLE = 8
# Small pictures are sharp to the pixel, which libjpeg's reduction does not survive well (45 dB on some), and
# are decoded whole in under 8 ms. Camera originals are soft at this scale and take 100 ms.
_DRAFT_ABOVE_PIXELS = 1_000_000
_DRAFT_FACTOR = 2  # at half of this the PSNR against the full decoding falls from 53 to 46 dB
# For people's eyes: 12 MP to 1024 pixels is then decoded at a half.
_SHOWN_FACTOR = 1.5

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# These decoders hand out upright pictures, whatever the EXIF tag says.
_TURNED_BY_DECODER = frozenset({"TIFF", "HEIF", "JXL"})
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_TRUNCATED = re.compile(r"truncat|end of (file|data|image)|\beof\b|not enough|insufficient|too short", re.I)
NO_MEMORY = "not enough memory"
"""The reason that passes: nothing is wrong with the file."""
_OUT_OF_MEMORY = re.compile(
    r"out of memory|(not enough|insufficient) memory|(cannot|unable to|failed to|could not) allocate|"
    r"allocation (error|fail)|bad_?alloc|memory error",
    re.I,
)
_UNSUPPORTED = re.compile(r"unsupported|not supported|cannot handle|not implemented|unknown", re.I)
_PILLOW_LIMIT = re.compile(r"\((\d+) pixels\) exceeds limit of (\d+)")


class Picture(NamedTuple):
    """A picture as the encoder wants it, and what is worth remembering of its file.

    Args:
        pixels: (3, size, size) uint8, contiguous, sRGB, upright, resized and cropped.
        width, height: of the whole picture, upright, pixels.
        format: by content: ``JPEG`` (also MPO), ``PNG``, ``HEIF``, ``AVIF``, ``WEBP``, ``GIF``, ``BMP``,
            ``TIFF``, ``JPEG2000``, ``PPM``, ``JXL``.
        exif: see there.
        phash: 64 bytes, of the whole picture in all orientations, whatever the encoder's crop (see ``phash.py``).
        colour: 0xRRGGBB, the average of the whole picture in sRGB.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    exif: Exif
    phash: bytes
    colour: int


def content_hash(data: bytes) -> bytes:
    """32 bytes of BLAKE3 over the whole file, computed in the calling thread."""
    return blake3(data).digest()


def read_picture(data: bytes, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture file (its first frame) to what the tower sees; safe to call from many threads.

    Equals open_clip's ``image_transform`` of the upright sRGB picture; JPEGs above a megapixel are decoded at
    1/2, 1/4 or 1/8, which keeps the PSNR against it above 50 dB unless they are sharp to the pixel.

    Args:
        data: the whole file.
        preprocessing: of the encoder that will get the pixels.
        max_pixels: pictures that would decode to more are refused before they are decoded.

    Raises:
        UnreadableImage: for anything that keeps the file from being used.
    """
    return _readable(data, lambda name: _read(data, name, preprocessing, max_pixels))


def read_whole(data: bytes, side: int, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture file (its first frame) to look at: upright, sRGB, without any metadata; from any thread.

    Args:
        data: the whole file.
        side: the picture is scaled down to at most this many pixels on its longer side, and never up.
        max_pixels: as for :func:`read_picture`.

    Returns:
        An ``RGB`` picture.

    Raises:
        UnreadableImage: for anything that keeps the file from being used.
    """
    return _readable(data, lambda name: _read_whole(data, name, side, max_pixels))


def read_cut_out(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture file (its first frame) with its transparency: upright, ``RGBA``; from any thread.

    Raises:
        UnreadableImage: for anything that keeps the file from being used.
    """
    return _readable(data, lambda name: with_alpha(_decode(data, name, lambda *size: size, max_pixels).upright))


def read_exif_of(data: bytes) -> Exif:
    """The EXIF of a picture file that is not decoded for it; empty where it cannot be read. From any thread."""
    try:
        return _readable(data, lambda name: read_exif(open_image(data, name)))
    except UnreadableImage:
        return Exif()


def _readable(data: bytes, read: Callable[[str], T]) -> T:
    """What ``read`` makes of a file of this format, in silence, with every error of a decoder as UnreadableImage."""
    name = "image"
    with quietly():
        try:
            name = sniff(data)
            return read(name)
        except UnreadableImage:
            raise
        except Exception as error:
            cut_short = is_cut_short(data, name)
            share = 0.0 if name in SALVAGED else share_of_bytes(data, name)
            raise UnreadableImage(_reason(error, name, cut_short, share)) from error


class _Decoded(NamedTuple):
    """A picture that was decoded and turned, perhaps at a fraction of its size.

    Args:
        source: as the decoder gave it, with its profile.
        upright: as shown.
        width, height: of the whole picture, upright, pixels.
        scale: by which both sides of ``upright`` are divided: 1, 2, 4 or 8.
        exif: see there.
        orientation: by which it was turned.
    """

    source: Image.Image
    upright: Image.Image
    width: int
    height: int
    scale: int
    exif: Exif
    orientation: int


def _decode(data: bytes, name: str, wanted: Callable[[int, int], tuple[int, int]], max_pixels: int) -> _Decoded:
    """Decode a picture; ``wanted`` says what a reduced decoding of stored (width, height) must not fall below."""
    if name == "JXL":
        _check_shape(*jxl_size(data), max_pixels)
    if name == "TIFF":
        if data[2] + data[3] == 42:
            if is_cut_short(data, name):
                check_share(0.0)
            # Of a file that lacks its very last bytes, those that would say that no other directory follows.
            data += bytes(max(tiff_directory_end(data) + 4 - len(data), 0))
        directory = TiffDirectory(data)
        layout = directory.layout()
        if layout.is_for_us:
            return _from_samples(directory, layout, data, max_pixels)
    image = open_image(data, name)
    width, height = image.size
    draft = name == "JPEG" and width * height > min(_DRAFT_ABOVE_PIXELS, max_pixels)
    scale = _draft(image, *wanted(width, height)) if draft else 1
    small_enough = image.width * image.height <= max_pixels
    unlimited = small_enough and scale > 1 and not jpeg_is_buffered_whole(data)
    _check_shape(width, height, math.inf if unlimited else max_pixels)
    # Pillow turns a TIFF while loading and drops the tag then; a PNG may have its EXIF behind the pixels.
    exif = read_exif(image) if name == "TIFF" else None
    try:
        image.load()
    except Exception as error:
        if name not in SALVAGED or not _breaks_off(error, data, name):
            raise
        if name == "TIFF":
            return _from_samples(directory, layout, data, max_pixels)
        # The same reduction again: whatever is decoded twice has the same size.
        image = read_what_is_there(data, name, lambda part: _reopened(part, name, image.size if draft else None))
    if name == "JPEG2000":
        _refuse_wrapped(image, jpeg2000_depth(data))
    declare(image, name, data)
    if exif is None:
        exif = read_exif(image)
    if scale == 1:
        width, height = image.size  # libheif may correct it while decoding
    # A JPEG inside a JXL is handed out as it is.
    turned = name in _TURNED_BY_DECODER and not getattr(image, "jpeg", False)
    orientation = 1 if turned else exif.orientation
    width, height = upright_size(width, height, orientation)
    # Turning after the resize would be cheaper, but swaps the order of its two passes and so the rounding.
    upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    return _Decoded(image, upright, width, height, scale, exif, orientation)


def _refuse_wrapped(image: Image.Image, bits: int) -> None:
    """Pillow rounds deep samples of a JPEG 2000 up to 256 of 255, which is 0: where there is a 0, it may be white."""
    if bits > 8 and not image.mode.startswith("I;16") and not np.asarray(image).all():
        raise UnreadableImage(f"JPEG2000: {bits}-bit colour, not supported", "save it as JPEG, PNG or TIFF")


def _reopened(data: bytes, name: str, size: tuple[int, int] | None) -> ImageFile:
    image = open_image(data, name)
    if size is not None:
        image.draft(None, size)
    return image


def _from_samples(directory: TiffDirectory, layout: Layout, data: bytes, max_pixels: int) -> _Decoded:
    _check_shape(layout.width, layout.height, max_pixels)
    image, share = read_samples(directory, layout, data, max_pixels)
    check_share(share)
    exif = exif_of(directory.exif())
    upright = image.transpose(TURNS[exif.orientation]) if exif.orientation in TURNS else image
    return _Decoded(image, upright, *upright.size, 1, exif, exif.orientation)


def _read(data: bytes, name: str, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    least = _DRAFT_FACTOR * preprocessing.scaled
    image, upright, width, height, scale, exif, orientation = _decode(data, name, lambda *_: (least, least), max_pixels)
    plan = fit(width, height, preprocessing)
    if scale == 1 and plan.width * plan.height <= WHOLE * preprocessing.size**2:
        small = flatten(upright).resize(plan[:2], _FILTERS[preprocessing.interpolation])
        # The small one still is the whole picture, and averaging the large one takes 0.4 ms.
        tiny = tiny_copy(small if preprocessing.size >= MIN_SIDE else upright)
    else:
        tiny = tiny_copy(upright)
        box = on_draft(input_box(width, height, preprocessing), width, height, scale, orientation)
        small, plan = _resized_box(upright, box, preprocessing), Fit(0, 0, 0, 0)
    pixels = cropped(to_srgb(small, image), plan, preprocessing.size)
    return Picture(pixels, width, height, name, exif, hashes_of_tiny(tiny), average_colour(tiny, image))


def _read_whole(data: bytes, name: str, side: int, max_pixels: int) -> Image.Image:
    def shown(width: int, height: int, factor: float = 1.0) -> tuple[int, int]:
        most = min(side, max(width, height)) * factor
        return fitted(width, height, math.ceil(most), math.ceil(most))

    found = _decode(data, name, lambda width, height: shown(width, height, _SHOWN_FACTOR), max_pixels)
    size = shown(found.width, found.height)
    # What is more than three times too large is averaged first: an eighth of the time for 12 MP to 240 px, at 56 dB.
    small = flatten(found.upright).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture = to_srgb(small, found.source).convert("RGB")
    picture.info = {}
    return picture


def _draft(image: ImageFile, width: int, height: int) -> int:
    """Let the JPEG decoder divide both sides by 2, 4 or 8 while they keep width x height; returns which."""
    full_width = image.width
    drafted = image.draft(None, (width, height))
    return 1 if drafted is None else round(full_width / drafted[1][2])


def _check_shape(width: int, height: int, max_pixels: float) -> None:
    if width * height > max_pixels:
        raise UnreadableImage(
            f"{math.ceil(width * height / 1e6)} megapixels, limit is {max_pixels / 1e6:.0f}",
            "make the picture smaller",
        )
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise UnreadableImage(f"aspect ratio over {_MAX_ASPECT}:1")


def _resized_box(upright: Image.Image, box: Box, preprocessing: Preprocessing) -> Image.Image:
    size, resample = preprocessing.size, _FILTERS[preprocessing.interpolation]
    left, top, right, bottom = around = surroundings(box, *upright.size, preprocessing)
    if 2 * (right - left) * (bottom - top) < upright.width * upright.height:
        # Panoramas and strips: convert only the part that counts, and keep the box exact (Pillow holds it in
        # single precision, which has no fractions left far from the origin).
        upright = upright.crop(around)
        box = Box(box.left - left, box.top - top, box.right - left, box.bottom - top)
    return flatten(upright).resize((size, size), resample, box)


def cropped(image: Image.Image, plan: Fit, size: int) -> NDArray[np.uint8]:
    """The square input in a resized ``RGB`` or ``L`` picture: (3, size, size) uint8, contiguous."""
    pixels = np.asarray(image)[plan.top : plan.top + size, plan.left : plan.left + size]
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 3, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _breaks_off(error: Exception, data: bytes, name: str) -> bool:
    is_worded = isinstance(error, EOFError) or bool(_TRUNCATED.search(str(error)))
    return not isinstance(error, MemoryError) and (is_worded or is_cut_short(data, name))


def _reason(error: Exception, name: str, cut_short: bool, share: float) -> str:
    """A short reason that is the same for the same kind of damage, whatever the decoder's wording."""
    text = str(error)
    # A decoder that refuses to allocate what a damaged header asks for speaks of a limit.
    if isinstance(error, MemoryError) or (_OUT_OF_MEMORY.search(text) and "limit" not in text.lower()):
        return NO_MEMORY
    if isinstance(error, Image.DecompressionBombError):
        found = _PILLOW_LIMIT.search(text)
        return (
            f"{math.ceil(int(found[1]) / 1e6)} megapixels, limit is {int(found[2]) // 1_000_000}"
            if found
            else "too many pixels"
        )
    if cut_short or isinstance(error, EOFError) or _TRUNCATED.search(text):
        return f"truncated, {int(share * 100)} % of the file is there" if share else "truncated, 0 % readable"
    if "too large" in text:
        return "too much metadata"
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(text):
        return f"unsupported kind of {name}"
    return f"damaged {name} file"
