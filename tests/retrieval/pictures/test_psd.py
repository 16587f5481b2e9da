"""Photoshop files: the merged picture, or a reason; and JPEG XL."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.images import read_picture, read_whole
from tests.raw_files import QUARTERS, scene


def psd(
    channels: list[bytes], width: int, height: int, *, mode: int = 3, depth: int = 8, merged: int | None = 1,
    layers: int = 0, exif: bytes = b"",
) -> bytes:  # fmt: skip
    """A file of plain channels, without compression."""
    resources = b""
    for number, body in ((1057, None if merged is None else struct.pack(">IB", 1, merged) + bytes(9)), (1058, exif)):
        if body:
            resources += b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)
    info = struct.pack(">h", layers) + bytes(2)
    section = struct.pack(">I", len(info)) + info if layers else b""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(channels), height, width, depth, mode)
    return (
        head + bytes(4) + struct.pack(">I", len(resources)) + resources
        + struct.pack(">I", len(section)) + section + bytes(2) + b"".join(channels)
    )  # fmt: skip


def planes(seen: np.ndarray) -> list[bytes]:  # type: ignore[type-arg]
    return [seen[..., n].tobytes() for n in range(seen.shape[2])]


def corner_colours(picture: Image.Image) -> list[tuple[int, ...]]:
    width, height = picture.size
    corners = [(2, 2), (width - 3, 2), (2, height - 3), (width - 3, height - 3)]
    return [picture.getpixel(corner) for corner in corners]  # type: ignore[misc]


def test_the_merged_picture_is_shown() -> None:
    data = psd(planes(scene(120, 80)), 120, 80)
    assert corner_colours(read_whole(data, 500)) == list(QUARTERS)
    picture = read_picture(data, Preprocessing(size=64))
    assert (picture.format, picture.width, picture.height) == ("PSD", 120, 80)
    assert corner_colours(read_whole(psd(planes(scene(120, 80)), 120, 80, merged=None), 500)) == list(QUARTERS)


def test_exif_is_read_from_its_resource() -> None:
    exif = Image.Exif()
    exif[0x0110] = "Camera One"
    found = read_picture(psd(planes(scene(120, 80)), 120, 80, exif=exif.tobytes()), Preprocessing(size=64)).exif
    assert found.camera == "Camera One"


def test_a_stored_selection_is_no_transparency() -> None:
    four = [*planes(scene(120, 80)), bytes(120 * 80)]
    assert corner_colours(read_whole(psd(four, 120, 80, layers=2), 500)) == list(QUARTERS)
    assert corner_colours(read_whole(psd(four, 120, 80, layers=-2), 500)) == [(255, 255, 255)] * 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (psd(planes(scene(12, 8)), 12, 8, merged=0), "without a picture of its layers"),
        (psd(planes(scene(12, 8).astype(">u2")), 12, 8, depth=16), "unsupported kind of PSD"),
        (psd(planes(scene(12, 8)), 12, 8, mode=7), "unsupported kind of PSD"),
        (psd(planes(scene(12, 8)), 12, 8, mode=9), "unsupported kind of PSD"),
        (psd(planes(scene(120, 80)), 120, 80)[:3000], "truncated|damaged"),
        (b"8BPS", "truncated|damaged"),
    ],
)
def test_what_would_be_shown_wrongly_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_whole(data, 500)


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpeg_xl_is_read_upright(orientation: int) -> None:
    pytest.importorskip("pillow_jxl")
    import pillow_jxl  # noqa: F401 - registers the writer

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(scene(120, 80)).save(data, "JXL", lossless=True, exif=exif.tobytes())
    seen = read_whole(data.getvalue(), 500)
    assert seen.size == (120, 80)
    assert corner_colours(seen) == list(QUARTERS)
