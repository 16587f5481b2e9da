"""Truncated files: nearly complete ones are read; for others the message states how much was present."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import UnreadableImage
from retrieval.pictures.images import read_whole

WIDTH, HEIGHT = 320, 240


def noise() -> Image.Image:
    """Every row takes as many bytes as any other."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    shades = np.stack([x * 0.7, y, (x + y) * 0.4], axis=-1) + np.random.default_rng(1).normal(0, 12, (HEIGHT, WIDTH, 3))
    return Image.fromarray(shades.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


PICTURE = noise()
BY_ROWS = {
    "jpeg": encoded(PICTURE, "JPEG", quality=90),
    "restarts": encoded(PICTURE, "JPEG", quality=90, restart_marker_rows=2),
    "grey jpeg": encoded(PICTURE.convert("L"), "JPEG"),
    "cmyk jpeg": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "reduced jpeg": encoded(PICTURE.resize((1600, 1200)), "JPEG", quality=90),
    "png": encoded(PICTURE, "PNG"),
    "png grey": encoded(PICTURE.convert("L"), "PNG"),
    "png palette": encoded(PICTURE.quantize(64), "PNG"),
    "png 1": encoded(PICTURE.convert("1"), "PNG"),
    "png rgba": encoded(PICTURE.convert("RGBA"), "PNG"),
    "gif": encoded(PICTURE.quantize(64), "GIF"),
    "transparent gif": encoded(PICTURE.quantize(64), "GIF", transparency=3),
    "bmp": encoded(PICTURE, "BMP"),
    "ppm": encoded(PICTURE, "PPM"),
    "tiff": encoded(PICTURE, "TIFF"),
}
AT_ONCE = {
    "webp": encoded(PICTURE, "WEBP"),
    "jp2": encoded(PICTURE, "JPEG2000"),
    "avif": encoded(PICTURE, "AVIF"),
}


def pixels(data: bytes) -> NDArray[np.int64]:
    return np.asarray(read_whole(data, WIDTH)).astype(np.int64)


def readable(data: bytes) -> int:
    with pytest.raises(UnreadableImage) as caught:
        read_whole(data, WIDTH)
    found = re.fullmatch(r"truncated, (\d+) % (readable|of the file is there)", caught.value.reason)
    assert found, caught.value.reason
    return int(found[1])


@pytest.mark.parametrize("name", BY_ROWS)
def test_what_is_nearly_whole_is_read(name: str) -> None:
    whole = pixels(BY_ROWS[name])
    found = pixels(BY_ROWS[name][: int(len(BY_ROWS[name]) * 0.98)])
    assert np.array_equal(found[: int(HEIGHT * 0.85)], whole[: int(HEIGHT * 0.85)]) or name == "bmp"
    assert np.abs(found - whole).mean() < 8


@pytest.mark.parametrize("name", [*BY_ROWS, *AT_ONCE])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_what_is_not_is_refused_with_the_share_that_is_there(name: str, share: float) -> None:
    data = (BY_ROWS | AT_ONCE)[name]
    assert abs(readable(data[: int(len(data) * share)]) - 100 * share) <= 6


@pytest.mark.parametrize("name", ["jpeg", "restarts", "grey jpeg", "cmyk jpeg", "reduced jpeg", "progressive"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_whole(name: str, missing: int) -> None:
    data = encoded(PICTURE, "JPEG", quality=90, progressive=True) if name == "progressive" else BY_ROWS[name]
    assert data.endswith(b"\xff\xd9")
    assert np.array_equal(pixels(data[:-missing]), pixels(data))


@pytest.mark.parametrize("name", [*BY_ROWS, *AT_ONCE])
def test_junk_behind_the_end_is_harmless(name: str) -> None:
    data = (BY_ROWS | AT_ONCE)[name]
    assert np.array_equal(pixels(data + b"junk" * 5), pixels(data))


def test_a_progressive_jpeg_is_read_once_every_coefficient_had_its_first_pass() -> None:
    data = encoded(PICTURE, "JPEG", quality=90, progressive=True)
    whole = pixels(data)
    shares = []
    for percent in range(5, 100, 5):
        part = data[: len(data) * percent // 100]
        try:
            assert np.abs(pixels(part) - whole).mean() < 8
            shares.append(100)
        except UnreadableImage:
            shares.append(readable(part))
    assert shares == sorted(shares)
    assert shares[0] < 50
    assert shares[-1] == 100


def test_a_file_that_ends_in_its_header_says_so() -> None:
    for name in ("jpeg", "png", "tiff"):
        assert readable(BY_ROWS[name][:30]) == 0
    assert readable(encoded(PICTURE, "TIFF", compression="tiff_lzw")[:-200]) == 0  # its directory is at its end
