"""From a picture file's bytes to the tower's input, upright and in sRGB, or the reason why not; in this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.colour import average_colour, flatten, to_srgb, with_alpha
from retrieval.pictures.declared import ADOBE_RGB, KEY, declare
from retrieval.pictures.decoders import MissingDecoder, shared
from retrieval.pictures.exif import Exif, exif_of, read_exif
from retrieval.pictures.formats import (
    is_cut_short,
    jpeg2000_depth,
    jxl_size,
    no_decoder,
    open_image,
    sniff,
    tiff_directory_end,
    webp_size,
)
from retrieval.pictures.geometry import Box, Fit, fit, fitted, input_box, on_draft, surroundings, upright_size
from retrieval.pictures.jpeg_structure import jpeg_is_buffered_whole
from retrieval.pictures.memory import TURNED_BY_DECODER, Budget, Room, needed
from retrieval.pictures.page_likeness import looks_like_page
from retrieval.pictures.phash import MIN_SIDE, hashes_of_tiny, tiny_copy
from retrieval.pictures.psd import check_psd, complete_psd
from retrieval.pictures.quiet import quietly
from retrieval.pictures.raw import read_raw
from retrieval.pictures.raw_exif import read_raw_exif
from retrieval.pictures.reasons import breaks_off, reason_of
from retrieval.pictures.tiff_directory import Layout, TiffDirectory
from retrieval.pictures.tiff_samples import read_samples
from retrieval.pictures.truncated import SALVAGED, check_share, read_what_is_there

T = TypeVar("T")

MAX_PIXELS = 268_435_456  # 1 GiB decoded; the largest phone sensors have 200 million
# Rulers and spacer lines, not pictures. Also limits Pillow's filter table, which grows with the longer side.
_MAX_ASPECT = 1000
# A single resize of a box sometimes rounds differently from two steps (Pillow chooses the order of its passes by
# cost and stores the box in single precision): 60 dB. The exact way costs 0.35 ms more for 500 px, and its
# memory is limited to this many times the input's area.
WHOLE = 8
# Small pictures are sharp at the pixel level, which libjpeg's reduction does not preserve well (45 dB on some), and
# take less than 8 ms at full size. Camera originals are soft at this scale and take 100 ms.
_DRAFT_ABOVE_PIXELS = 1_000_000
_DRAFT_FACTOR = 2  # at half of this the PSNR against the full decoding drops from 53 to 46 dB
# For viewing: with this factor, 12 MP for 1024 pixels is decoded at half size.
_SHOWN_FACTOR = 1.5
_DRAWN = 1024  # width in pixels of a drawing, which has no size in pixels itself

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Picture(NamedTuple):
    """A picture in the form that the encoder needs, and the properties of its file.

    Args:
        pixels: (3, size, size) uint8, contiguous, sRGB, upright, resized and cropped.
        width, height: of the whole picture, upright, pixels.
        format: by content: ``JPEG`` (also MPO), ``PNG``, ``HEIF``, ``AVIF``, ``WEBP``, ``GIF``, ``BMP``,
            ``TIFF``, ``JPEG2000``, ``PPM``, ``JXL``, ``PSD``, ``RAW``, ``SVG``.
        exif: see there.
        phash: 64 bytes, of the whole picture in all orientations, independent of the encoder's crop (see ``phash.py``).
        colour: 0xRRGGBB, the average of the whole picture in sRGB.
        is_page: whether it looks like a page (see ``page_likeness.py``).
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    exif: Exif
    phash: bytes
    colour: int
    is_page: bool = False


def picture_in(data: bytes, preprocessing: Preprocessing, max_pixels: int, budget: Budget) -> Picture:
    """See ``images.read_picture``; ``budget`` is where the memory is taken from."""
    return _readable(data, budget, lambda name, room: _read(data, name, room, preprocessing, max_pixels))


def whole_in(data: bytes, side: int, max_pixels: int, budget: Budget) -> Image.Image:
    """See ``images.read_whole``."""
    return _readable(data, budget, lambda name, room: _read_whole(data, name, room, side, max_pixels))


def cut_out_in(data: bytes, max_pixels: int, budget: Budget) -> Image.Image:
    """See ``images.read_cut_out``."""
    return _readable(
        data, budget, lambda name, room: with_alpha(_decode(data, name, room, lambda *size: size, max_pixels).upright)
    )


def exif_in(data: bytes, budget: Budget) -> Exif:
    """The EXIF of a picture file, without decoding it.

    Raises:
        UnreadableImage: for anything that makes the file unusable.
    """
    return _readable(data, budget, lambda name, _: _exif(data, name))


def _exif(data: bytes, name: str) -> Exif:
    if name == "RAW":
        return read_raw_exif(data)
    return Exif() if name == "SVG" else read_exif(open_image(data, name))


def _readable(data: bytes, budget: Budget, read: Callable[[str, Room], T]) -> T:
    """What ``read`` makes of a file of this format, in silence, with every error of a decoder as UnreadableImage."""
    name = "image"
    with quietly(), Room(budget) as room:
        try:
            name = sniff(data)
            return read(name, room)
        except UnreadableImage:
            raise
        except MissingDecoder:
            raise no_decoder(name) from None
        except Exception as error:
            raise UnreadableImage(reason_of(error, data, name)) from error


class _Decoded(NamedTuple):
    """A decoded and rotated picture, possibly at reduced size.

    Args:
        source: as returned by the decoder, with its profile.
        upright: as displayed.
        width, height: of the whole picture, upright, pixels.
        scale: both sides of ``upright`` are divided by this: 1, 2, 4 or 8.
        exif: see there.
        orientation: the EXIF orientation that was applied.
        stated: (width, height) of the picture in the file, if only its preview was decoded.
    """

    source: Image.Image
    upright: Image.Image
    width: int
    height: int
    scale: int
    exif: Exif
    orientation: int
    stated: tuple[int, int] | None = None


def _decode(
    data: bytes,
    name: str,
    room: Room,
    wanted: Callable[[int, int], tuple[int, int]],
    max_pixels: int,
    turn: int | None = None,
) -> _Decoded:
    """Decode a picture; ``wanted`` is the minimal size of a reduced decoding, given the stored (width, height)."""
    if name == "RAW":
        return _from_raw(data, room, wanted, max_pixels)
    if name == "SVG":
        data, name = shared.decode("svg", data, name, width=_DRAWN).picture, "PNG"
    if name == "JXL":
        _check_shape(*jxl_size(data), max_pixels)
        room.take(needed(name, *jxl_size(data), "RGBA"))
    if name == "WEBP":
        _check_shape(*webp_size(data), max_pixels)
    if name == "TIFF":
        if data[2] + data[3] == 42:
            if is_cut_short(data, name):
                check_share(0.0)
            # If only the last bytes are missing, add those that mean that no other directory follows.
            data += bytes(max(tiff_directory_end(data) + 4 - len(data), 0))
        directory = TiffDirectory(data)
        layout = directory.layout()
        if layout.is_for_us:
            return _from_samples(directory, layout, data, room, max_pixels)
    if name == "PSD":
        check_psd(data)
    image = open_image(data, name)
    width, height = image.size
    draft = name == "JPEG" and width * height > min(_DRAFT_ABOVE_PIXELS, max_pixels)
    scale = _draft(image, *wanted(width, height)) if draft else 1
    small_enough = image.width * image.height <= max_pixels
    is_buffered = name == "JPEG" and jpeg_is_buffered_whole(data)
    unlimited = small_enough and scale > 1 and not is_buffered
    _check_shape(width, height, math.inf if unlimited else max_pixels)
    if name != "JXL":
        need = needed(name, width, height, image.mode, data, scale=scale, is_buffered=is_buffered)
        room.take(need)
    # Pillow rotates a TIFF while loading and then removes the tag; a PNG may have its EXIF after the pixels.
    exif = read_exif(image) if name == "TIFF" else None
    try:
        image.load()
    except Exception as error:
        if name not in SALVAGED or not breaks_off(error, data, name):
            raise
        if name == "TIFF":
            return _from_samples(directory, layout, data, room, max_pixels)
        # With the same reduction: both decodings must have the same size.
        image = read_what_is_there(data, name, lambda part: _reopened(part, name, image.size if draft else None))
    if name == "JPEG2000":
        _refuse_wrapped(image, jpeg2000_depth(data))
    if name == "PSD":
        complete_psd(image, data)
    declare(image, name, data)
    if exif is None:
        exif = read_exif(image)
    if scale == 1:
        width, height = image.size  # libheif may correct the size while decoding
    # A JPEG inside a JXL is returned as it is.
    turned = name in TURNED_BY_DECODER and not getattr(image, "jpeg", False)
    orientation = turn or (1 if turned else exif.orientation)
    width, height = upright_size(width, height, orientation)
    # Rotating after the resize would be faster, but swaps the order of its two passes and therefore the rounding.
    upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    return _Decoded(image, upright, width, height, scale, exif, orientation)


def _refuse_wrapped(image: Image.Image, bits: int) -> None:
    """Pillow rounds deep samples of a JPEG 2000 up to 256, which wraps to 0: a 0 in the result may have been white."""
    if bits > 8 and not image.mode.startswith("I;16") and not np.asarray(image).all():
        raise UnreadableImage(f"JPEG2000: {bits}-bit colour, not supported", "save it as JPEG, PNG or TIFF")


def _reopened(data: bytes, name: str, size: tuple[int, int] | None) -> ImageFile:
    image = open_image(data, name)
    if size is not None:
        image.draft(None, size)
    return image


def _from_samples(directory: TiffDirectory, layout: Layout, data: bytes, room: Room, max_pixels: int) -> _Decoded:
    _check_shape(layout.width, layout.height, max_pixels)
    room.take(needed("TIFF", layout.width, layout.height, "samples"))
    image, share = read_samples(directory, layout, data, max_pixels)
    check_share(share)
    exif = exif_of(directory.exif())
    upright = image.transpose(TURNS[exif.orientation]) if exif.orientation in TURNS else image
    return _Decoded(image, upright, *upright.size, 1, exif, exif.orientation)


def _from_raw(data: bytes, room: Room, wanted: Callable[[int, int], tuple[int, int]], max_pixels: int) -> _Decoded:
    found = read_raw(data, max_pixels)
    image, orientation = found.image, found.orientation
    if found.preview is None:
        upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
        return _Decoded(image, upright, *upright.size, 1, found.exif, orientation, (found.width, found.height))
    seen = _decode(found.preview, "JPEG", room, wanted, max_pixels, orientation)
    if found.is_adobe_rgb:
        seen.source.info[KEY] = ADOBE_RGB
    return seen._replace(exif=found.exif, stated=(found.width, found.height))


def _read(data: bytes, name: str, room: Room, preprocessing: Preprocessing, max_pixels: int) -> Picture:
    least = _DRAFT_FACTOR * preprocessing.scaled
    found = _decode(data, name, room, lambda *_: (least, least), max_pixels)
    image, upright, width, height, scale, exif, orientation, stated = found
    plan = fit(width, height, preprocessing)
    if scale == 1 and plan.width * plan.height <= WHOLE * preprocessing.size**2:
        small = flatten(upright).resize(plan[:2], FILTERS[preprocessing.interpolation])
        # The small copy still covers the whole picture, and averaging the large one takes 0.4 ms.
        tiny = tiny_copy(small if preprocessing.size >= MIN_SIDE else upright)
    else:
        tiny = tiny_copy(upright)
        box = on_draft(input_box(width, height, preprocessing), width, height, scale, orientation)
        small, plan = _resized_box(upright, box, preprocessing), Fit(0, 0, 0, 0)
    pixels = cropped(to_srgb(small, image), plan, preprocessing.size)
    colour, is_page = average_colour(tiny, image), looks_like_page(upright)
    return Picture(pixels, *(stated or (width, height)), name, exif, hashes_of_tiny(tiny), colour, is_page)


def _read_whole(data: bytes, name: str, room: Room, side: int, max_pixels: int) -> Image.Image:
    def shown(width: int, height: int, factor: float = 1.0) -> tuple[int, int]:
        most = min(side, max(width, height)) * factor
        return fitted(width, height, math.ceil(most), math.ceil(most))

    found = _decode(data, name, room, lambda width, height: shown(width, height, _SHOWN_FACTOR), max_pixels)
    size = shown(found.width, found.height)
    # Pictures more than three times too large are box-averaged first: 1/8 of the time for 12 MP to 240 px, at 56 dB.
    small = flatten(found.upright).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture = to_srgb(small, found.source).convert("RGB")
    picture.info = {}
    return picture


def _draft(image: ImageFile, width: int, height: int) -> int:
    """Let the JPEG decoder divide both sides by 2, 4 or 8 as long as width x height remain; returns the divisor."""
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
    size, resample = preprocessing.size, FILTERS[preprocessing.interpolation]
    left, top, right, bottom = around = surroundings(box, *upright.size, preprocessing)
    if 2 * (right - left) * (bottom - top) < upright.width * upright.height:
        # Panoramas and strips: convert only the relevant part, and keep the box exact (Pillow stores it in
        # single precision, which has no fractions far from the origin).
        upright = upright.crop(around)
        box = Box(box.left - left, box.top - top, box.right - left, box.bottom - top)
    return flatten(upright).resize((size, size), resample, box)


def cropped(image: Image.Image, plan: Fit, size: int) -> NDArray[np.uint8]:
    """The square input in a resized ``RGB`` or ``L`` picture: (3, size, size) uint8, contiguous."""
    pixels = np.asarray(image)[plan.top : plan.top + size, plan.left : plan.left + size]
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 3, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
