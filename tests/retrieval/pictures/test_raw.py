"""RAW files: the same picture from the preview and from the samples, upright and in colour, with the camera's EXIF."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures import decoding, optional
from retrieval.pictures.decoders import shared
from retrieval.pictures.formats import media_type, sniff
from retrieval.pictures.images import read_exif_of, read_picture, read_whole
from retrieval.pictures.passed_over import in_words
from retrieval.pictures.raw import read_raw
from retrieval.pictures.raw_detection import is_cut_short, is_raw
from retrieval.pictures.raw_exif import read_raw_exif
from tests.raw_files import QUARTERS, dng, jpeg, mrw, scene, stored, tiled_dng

pytest.importorskip("rawpy")

SMALL = Preprocessing(size=64)


def quarters(picture: Image.Image) -> np.ndarray[Any, Any]:
    """(4, 3): the colours in the middle of the quarters."""
    pixels = np.asarray(picture).astype(int)
    height, width = pixels.shape[:2]
    return np.array([pixels[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)])


def check_upright(data: bytes, tolerance: int, size: tuple[int, int] = (400, 267)) -> None:
    seen = read_whole(data, 400)
    assert seen.size == size
    assert np.abs(quarters(seen) - np.array(QUARTERS)).max() <= tolerance
    picture = read_picture(data, SMALL)
    assert (picture.format, picture.width, picture.height) == ("RAW", 1200, 800)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_previews_and_samples_are_seen_upright_in_their_colours(orientation: int) -> None:
    seen = scene()
    with_preview = dng(seen, orientation, preview=jpeg(stored(seen, orientation)))
    check_upright(with_preview, 2)
    check_upright(dng(seen, orientation), 30)
    assert read_raw(with_preview, 10**8).preview is not None
    from_samples = read_raw(with_preview, 10**8, previews=False)
    assert from_samples.preview is None
    assert np.abs(quarters(from_samples.image) - np.array(QUARTERS)).max() <= 30


def test_linear_samples_are_read() -> None:
    check_upright(dng(scene(), 6, is_linear=True), 30)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_preview_that_is_stored_upright_is_not_turned(orientation: int) -> None:
    seen = scene()
    check_upright(dng(seen, orientation, preview=jpeg(seen)), 2)


def test_what_a_preview_says_of_itself_counts_where_its_shape_allows_it() -> None:
    seen = scene()
    upside_down = Image.Exif()
    upside_down[0x0112] = 1
    check_upright(dng(seen, 3, preview=jpeg(seen, exif=upside_down)), 2)
    wrong = Image.Exif()
    wrong[0x0112] = 1
    check_upright(dng(seen, 6, preview=jpeg(stored(seen, 6), exif=wrong)), 2)


def test_a_preview_that_is_too_small_is_not_used() -> None:
    seen = scene(2100, 1400)
    data = dng(seen, preview=jpeg(scene(640, 427, quarters=[(9, 9, 9)] * 4)))
    assert np.abs(quarters(read_whole(data, 300)) - np.array(QUARTERS)).max() <= 30
    assert read_whole(data, 9999).size == (1050, 700)
    picture = read_picture(data, SMALL)
    assert (picture.width, picture.height) == (2100, 1400)


def test_a_small_preview_stands_in_for_samples_that_cannot_be_read() -> None:
    seen = scene(2100, 1400)
    whole = dng(seen, preview=jpeg(scene(640, 427)))
    cut = _without_samples(whole)
    assert is_cut_short(cut) and not is_cut_short(whole)
    assert np.abs(quarters(read_whole(cut, 300)) - np.array(QUARTERS)).max() <= 2
    with pytest.raises(UnreadableImage, match="truncated RAW file"):
        read_picture(_without_samples(dng(seen)), SMALL)


def _without_samples(data: bytes) -> bytes:
    """The same with its samples placed behind the end, as in a copy that broke off there."""
    at = 0
    for tag in (b"\x11\x01", b"\x17\x01"):
        assert tag in data
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [file.pages[0], *(file.pages[0].pages or [])]
        page = next(page for page in pages if page.photometric == 32803)
        at = page.tags["StripOffsets"].valueoffset
    return data[:at] + len(data).to_bytes(4, "little") + data[at + 4 :]


def test_tiles_that_are_not_there_are_damage_and_not_black() -> None:
    """LibRaw leaves them black without a word; a copy that broke off may be as long as the whole, with zeros."""
    data, starts = tiled_dng(scene())
    assert not is_cut_short(data)
    seen = read_whole(data, 300)
    assert seen.size == (300, 200) and quarters(seen)[0][0] > 2 * quarters(seen)[0][1]  # the red one is red
    zeros = data[: starts[-1]] + bytes(len(data) - starts[-1])
    one = starts[2].to_bytes(4, "little")  # the list of offsets, with one entry less
    at = data.index(starts[0].to_bytes(4, "little") + starts[1].to_bytes(4, "little") + one)
    entry = data.index(
        (324).to_bytes(2, "little") + b"\4\0" + len(starts).to_bytes(4, "little") + at.to_bytes(4, "little")
    )
    fewer = data[: entry + 4] + (len(starts) - 1).to_bytes(4, "little") + data[entry + 8 :]
    for damaged in (zeros, fewer):
        assert is_cut_short(damaged)
        with pytest.raises(UnreadableImage, match="truncated RAW file"):
            read_whole(damaged, 300)


def test_a_tiff_without_the_directory_of_its_samples_is_called_truncated() -> None:
    import tifffile

    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<") as writer:
        writer.write(np.zeros((8, 8), np.uint8), photometric="minisblack", metadata=None)
        writer.write(np.zeros((8, 8), np.uint8), photometric="minisblack", metadata=None)
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as found:
        tag, second = found.pages[0].tags[262], found.pages[1].offset
    data[tag.offset : tag.offset + 2] = (254).to_bytes(2, "little")  # the first page says nothing of its colours
    with pytest.raises(UnreadableImage, match="no photometric interpretation"):
        read_whole(bytes(data), 8)
    with pytest.raises(UnreadableImage, match="truncated"):
        read_whole(bytes(data[:second]), 8)


def test_minoltas_exif_is_in_a_block_before_the_samples() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Minolta", "DiMAGE 7"
    exif[0x8769] = {0x9003: "2004:11:18 23:14:58", 0x8827: 64}
    found = read_raw_exif(mrw(exif.tobytes().removeprefix(b"Exif\0\0")))
    assert (found.camera, found.taken_at, found.iso) == ("Minolta DiMAGE 7", datetime(2004, 11, 18, 23, 14, 58), 64)
    assert read_raw_exif(mrw(b"")[:20]).taken_at is None


def test_exif_is_the_cameras() -> None:
    data = dng(scene(), 6, preview=jpeg(stored(scene(), 6)))
    for exif in (read_picture(data, SMALL).exif, read_exif_of(data), read_picture(dng(scene(), 6), SMALL).exif):
        assert (exif.camera, exif.lens, exif.iso) == ("Testmaker One", "Testlens 35mm F2", 400)
        assert (exif.aperture, exif.exposure, exif.focal_length) == (2.8, 0.004, 35.0)
        assert exif.taken_at == datetime(2023, 5, 6, 7, 8, 9)
        assert (round(exif.latitude or 0, 4), round(exif.longitude or 0, 4)) == (48.8583, 2.2944)


def test_colours_of_a_camera_set_to_adobe_rgb() -> None:
    """Seen through a profile of that space, made by another library's table."""
    seen = scene()
    plain = quarters(read_whole(dng(seen, preview=jpeg(seen)), 300))
    data = dng(seen, preview=jpeg(seen), adobe_rgb=True)
    adobe = quarters(read_whole(data, 300))
    assert adobe[0][0] > plain[0][0] + 15 and adobe[1][1] >= plain[1][1]  # its red and its green are richer
    assert np.abs(adobe[3] - plain[3]).max() <= 2  # and its grey is grey
    with_profile = jpeg(seen, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    own = quarters(read_whole(dng(seen, preview=with_profile, adobe_rgb=True), 300))
    assert np.abs(own - plain).max() <= 2


def test_a_raw_is_told_from_a_tiff_by_its_content(tmp_path: Path) -> None:
    tiff = io.BytesIO()
    Image.fromarray(scene(60, 40)).save(tiff, "TIFF")
    assert sniff(tiff.getvalue()) == "TIFF"
    data = dng(scene(120, 80))
    assert sniff(data) == "RAW"
    assert media_type(data[:256], "RAW") == "image/x-dcraw"
    for start in (b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0", b"FUJIFILMCCD-RAW ", b"\0MRM", b"FOVb", b"\0\0\0\x18ftypcrx "):
        assert is_raw(start + bytes(20))


@pytest.mark.parametrize("seed", range(3))
def test_damage_ends_in_a_picture_or_a_reason(seed: int) -> None:
    random = np.random.default_rng(seed)
    valid = dng(scene(240, 160), 6, preview=jpeg(stored(scene(240, 160), 6)))
    for _ in range(25):
        data = bytearray(valid[: random.integers(1, len(valid))] if random.random() < 0.3 else valid)
        for at in random.integers(0, min(len(data), 4000), 20):
            data[at] = random.integers(256)
        try:
            picture = read_picture(bytes(data), SMALL)
            assert picture.pixels.shape == (3, 64, 64)
        except UnreadableImage as error:
            assert error.reason and "\n" not in error.reason


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(UnreadableImage, match="too many pixels"):
        read_picture(dng(scene()), SMALL, max_pixels=100_000)


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a process had no LibRaw: with a path on which it is not found."""
    shared.close()
    monkeypatch.setenv("PYTHONHOME", "")
    monkeypatch.setattr(decoding, "read_raw", _without_rawpy)
    with pytest.raises(UnreadableImage) as caught:
        read_picture(dng(scene(120, 80)), SMALL)
    assert (caught.value.reason, caught.value.hint) == ("no RAW decoder installed", "pip install 'photoseek[raw]'")


def _without_rawpy(*_: object) -> None:
    raise decoding.MissingDecoder


def test_what_is_passed_over_says_how_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional.Extra, "is_installed", lambda self: False)
    found = {"RAW": {"nef": 20_000, "gpr": 1}, "JPEG XL": {"jxl": 3}, "SVG": {"svg": 2}, "video": {"mov": 1}}
    words = dict(in_words(found))
    assert words["RAW"] == "20,001 (nef 20,000, gpr 1): pip install 'photoseek[raw]'"
    assert words["JPEG XL"].endswith("pip install 'photoseek[jxl]'")
    assert words["SVG"].endswith("pip install 'photoseek[svg]'")
    assert words["video"].endswith("pip install 'photoseek[video]'")
    assert "pip" not in dict(in_words({"RAW": {"r3d": 1}}))["RAW"]
