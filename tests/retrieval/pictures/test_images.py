"""From files to pixels: orientation, limits, damage, suppressed messages and threads."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import pytest
from blake3 import blake3
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures import formats, jpeg_structure
from retrieval.pictures.decoding import MAX_PIXELS, picture_in
from retrieval.pictures.images import IMAGE_EXTENSIONS, content_hash, read_picture, read_whole
from retrieval.pictures.memory import Budget
from retrieval.pictures.quiet import quietly

SMALL = Preprocessing(32)
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
# Where the red and the blue corner of `marked` end up: (column, row) in thirds, per EXIF orientation.
RED_AT = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
BLUE_AT = {1: (1, 0), 2: (0, 0), 3: (0, 1), 4: (1, 1), 5: (0, 1), 6: (1, 1), 7: (1, 0), 8: (0, 0)}


def marked(width: int = 60, height: int = 40) -> Image.Image:
    """White, the upper left corner red, the upper right one blue."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(BLUE, (width // 2, 0, width, height // 2))
    return image


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 3 + y, y * 5, (x + y) * 2], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    if image_format == "HEIF":
        # Turns the EXIF tag into a rotation box and keeps the tag, as phones do: it must not count twice.
        pillow_heif.encode(image.mode, image.size, image.tobytes(), out, **options)
    else:
        image.save(out, image_format, **options)
    return out.getvalue()


def reason(data: bytes, **options: Any) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(data, SMALL, **options)
    return caught.value.reason


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_claiming(width: int, height: int) -> bytes:
    """The header of a picture of that size and nearly no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(9))) + png_chunk(b"IEND", b"")


def as_jpeg_of(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG with other sides in its frame header."""
    at = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


@cache
def valid_files() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0)})
    image = gradient(61, 43)
    files = {kind: encoded(image, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")}
    files |= {kind: encoded(image, kind) for kind in ("GIF", "BMP", "JPEG2000", "PPM", "HEIF")}
    files["progressive"] = encoded(image, "JPEG", progressive=True)
    files["palette"] = encoded(image.quantize(16), "PNG", transparency=3)
    return files


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_pictures_are_upright(image_format: str, orientation: int, resize: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = marked()
    options: dict[str, Any] = {"exif": exif} if image_format == "TIFF" else {"exif": exif.tobytes(), "quality": 95}
    data = encoded(image, image_format, **options)
    picture = read_picture(data, Preprocessing(30, resize))
    assert (picture.width, picture.height) == ((60, 40) if orientation < 5 else (40, 60))
    assert picture.format == image_format
    for colour, places in ((RED, RED_AT), (BLUE, BLUE_AT)):
        column, row = (5 + 19 * part for part in places[orientation])
        assert np.abs(picture.pixels[:, row, column].astype(int) - colour).max() < 60


def test_pixels_are_contiguous_channels_first() -> None:
    for mode in ("RGB", "L", "P", "RGBA"):
        pixels = read_picture(encoded(gradient(50, 40).convert(mode), "PNG"), SMALL).pixels
        assert pixels.shape == (3, 32, 32)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous


@pytest.mark.parametrize("name", valid_files())
def test_every_format_is_told_by_its_content(name: str) -> None:
    picture = read_picture(valid_files()[name], SMALL)
    assert picture.format == {"progressive": "JPEG", "palette": "PNG"}.get(name, name)
    assert sorted((picture.width, picture.height)) == [43, 61]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_whole_pictures_are_upright_and_carry_nothing(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"exif": exif} if image_format == "TIFF" else {"exif": exif.tobytes(), "quality": 95}
    found = read_whole(encoded(marked(), image_format, **options), 30)
    assert found.size == ((30, 20) if orientation < 5 else (20, 30))
    assert (found.mode, found.info, len(found.getexif())) == ("RGB", {}, 0)
    width, height = found.size
    for colour, places in ((RED, RED_AT), (BLUE, BLUE_AT)):
        column, row = places[orientation]
        pixel = found.getpixel((width // 4 + column * width // 2, height // 4 + row * height // 2))
        assert np.abs(np.subtract(pixel, colour)).max() < 60


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((300, 200), 240, (240, 160)),
        ((200, 300), 240, (160, 240)),
        ((240, 17), 240, (240, 17)),
        ((50, 40), 240, (50, 40)),
        ((1, 1), 240, (1, 1)),
        ((3000, 10), 240, (240, 1)),
        ((2500, 1800), 240, (240, 173)),
        ((2501, 1801), 1024, (1024, 737)),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_whole_pictures_keep_their_proportions_and_are_never_enlarged(
    size: tuple[int, int], side: int, expected: tuple[int, int], image_format: str
) -> None:
    assert read_whole(encoded(gradient(*size), image_format), side).size == expected


def test_a_reduced_decoding_looks_like_the_whole() -> None:
    y, x = np.mgrid[0:1500, 0:2000]
    waves = [127 + 120 * np.sin(x / 90 + y / 140), 127 + 120 * np.cos(x / 60), (x + y) / 14]
    image = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
    for side in (240, 480, 1024):
        found = read_whole(encoded(image, "JPEG", quality=95), side)
        exact = image.resize(found.size, Image.Resampling.LANCZOS)
        error = np.abs(np.asarray(found, np.int16) - np.asarray(exact, np.int16))
        assert error.mean() < 1.5 and error.max() < 16


def test_whole_pictures_are_refused_like_others() -> None:
    for data in (b"", b"text", png_claiming(40_000, 40_000), encoded(marked(), "JPEG")[:300], png_claiming(5000, 1)):
        with pytest.raises(UnreadableImage) as whole:
            read_whole(data, 240)
        assert whole.value.reason == reason(data)
    with pytest.raises(UnreadableImage, match="megapixels"):
        read_whole(encoded(marked(), "PNG"), 240, max_pixels=2399)


def test_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE)]
    for image_format in ("GIF", "WEBP", "TIFF", "PNG", "MPO", "AVIF"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        colour = read_picture(data, SMALL).pixels.mean(axis=(1, 2))
        assert np.abs(colour - RED).max() < 8, image_format


def test_mpo_counts_as_jpeg() -> None:
    data = encoded(marked(), "MPO", save_all=True, append_images=[marked()])
    assert read_picture(data, SMALL).format == "JPEG"


def test_strip_is_not_blown_up() -> None:
    data = encoded(gradient(3000, 10), "PNG")
    tracemalloc.start()
    picture = read_picture(data, Preprocessing(224))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (picture.width, picture.height) == (3000, 10)
    assert peak < 4_000_000
    middle = gradient(3000, 10).crop((1495, 0, 1505, 10)).resize((224, 224), Image.Resampling.BICUBIC)
    inner = np.s_[:, 30:-30, 30:-30]  # the crop ends where the strip goes on
    expected = np.asarray(middle).transpose(2, 0, 1)[inner].astype(int)
    assert np.abs(picture.pixels[inner] - expected).max() <= 2


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (2, 3)], ids=str)
def test_tiny_and_thin_pictures_are_read(size: tuple[int, int], resize: Any) -> None:
    data = encoded(Image.new("RGB", size, (10, 200, 30)), "PNG")
    pixels = read_picture(data, Preprocessing(32, resize)).pixels
    assert (pixels == np.array([10, 200, 30])[:, None, None]).all()


def test_lines_are_refused() -> None:
    assert reason(encoded(Image.new("L", (2002, 2)), "PNG")) == "aspect ratio over 1000:1"
    assert reason(encoded(Image.new("L", (2, 2002)), "BMP")) == "aspect ratio over 1000:1"


def test_too_many_pixels_are_refused_before_decoding() -> None:
    assert reason(png_claiming(30_000, 30_000)) == "900 megapixels, limit is 268"
    assert reason(png_claiming(2000, 1000), max_pixels=1_000_000) == "2 megapixels, limit is 1"
    assert read_picture(encoded(gradient(100, 50), "PNG"), SMALL, max_pixels=5000).width == 100


def test_pillow_limit_is_neither_used_nor_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert read_picture(encoded(gradient(100, 50), "PNG"), SMALL).width == 100
    assert Image.MAX_IMAGE_PIXELS == 2000
    # WebP allocates when it opens, so Pillow checks there; the reason is still one of ours.
    assert reason(encoded(gradient(1300, 1000), "WEBP")) == "2 megapixels, limit is 0"


def webp_on_a_canvas(side: int) -> bytes:
    """Two small frames in the corner of a large square, which costs a few bytes in the file."""
    file = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(file, "WEBP", lossless=True, save_all=True, append_images=frames[1:])
    data = bytearray(file.getvalue())
    assert data[12:16] == b"VP8X"
    data[24:30] = 2 * (side - 1).to_bytes(3, "little")
    return bytes(data)


def test_one_limit_for_every_format() -> None:
    """Pillow has a smaller one of its own, which it applies to a WebP when it is opened."""
    assert 2 * int(Image.MAX_IMAGE_PIXELS or 0) < 13_400**2 < MAX_PIXELS
    picture = read_picture(webp_on_a_canvas(13_400), SMALL)
    assert (picture.width, picture.height) == (13_400, 13_400)
    over = [webp_on_a_canvas(20_000), png_claiming(20_000, 20_000)]
    assert {reason(data) for data in over} == {"400 megapixels, limit is 268"}
    assert Image.MAX_IMAGE_PIXELS is not None, "in this process it is not ours"


def test_jpeg_over_the_limit_is_read_when_the_draft_is_below_it() -> None:
    data = encoded(gradient(1000, 800), "JPEG")
    picture = read_picture(data, SMALL, max_pixels=200_000)
    assert (picture.width, picture.height) == (1000, 800)
    # The draft for a 224 input is 500x400: as many pixels as allowed, and one fewer allowed.
    assert read_picture(data, Preprocessing(200), max_pixels=200_000).width == 1000
    with pytest.raises(UnreadableImage, match="1 megapixels"):
        read_picture(data, Preprocessing(200), max_pixels=199_999)


def test_jpeg_that_libjpeg_buffers_whole_has_no_such_exception() -> None:
    progressive = encoded(gradient(1000, 800), "JPEG", progressive=True)
    assert reason(progressive, max_pixels=200_000) == "1 megapixels, limit is 0"
    assert reason(as_jpeg_of(progressive, 60_000, 60_000)) == "3600 megapixels, limit is 268"
    baseline = encoded(gradient(100, 80), "JPEG")
    assert not jpeg_structure.jpeg_is_buffered_whole(baseline)
    scan = baseline.index(b"\xff\xda")
    assert jpeg_structure.jpeg_is_buffered_whole(baseline[: scan + 4] + b"\x01" + baseline[scan + 5 :])


@pytest.mark.parametrize("name", valid_files())
def test_truncated_files_say_so(name: str) -> None:
    data = valid_files()[name]
    assert reason(data[: len(data) // 2]).startswith("truncated, ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"hello world, not a picture", "not an image (text)"),
        (b"\x00\x01\x02\x03rest", "not an image (an unknown format)"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "not an image (a video or another ISO media file)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image (PostScript)"),
        (b"%PDF-1.7\n", "not an image (a PDF document)"),
        (as_jpeg_of(encoded(marked(), "JPEG"), 0, 0), "damaged JPEG file"),
        (b"BMW is a car maker, this is a text", "not an image (text)"),
        (png_claiming(0, 10), "damaged PNG file"),
        (png_claiming(40, 30), "truncated, 0 % readable"),
        (bytes.fromhex("ff0a7f06001388020020"), "no JXL decoder installed"),
    ],
)
def test_bad_files_have_a_reason(data: bytes, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats._PLUGINS, "JXL", ("no_such_module", "JXLImageFile"))  # of this process
    with pytest.raises(UnreadableImage) as caught:
        picture_in(data, SMALL, MAX_PIXELS, Budget())
    assert caught.value.reason == expected


def test_metadata_bomb_is_refused() -> None:
    bomb = png_chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(70_000_000)))
    data = encoded(gradient(40, 30), "PNG")
    end_of_header = 8 + 25
    assert reason(data[:end_of_header] + bomb + data[end_of_header:]) == "too much metadata"


def test_the_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats._PLUGINS, "HEIF", ("no_such_module", "HeifImageFile"))
    with pytest.raises(UnreadableImage) as caught:
        picture_in(valid_files()["HEIF"], SMALL, MAX_PIXELS, Budget())
    assert caught.value.reason == "no HEIF decoder installed"
    assert "pillow-heif" in caught.value.hint


def test_memory_error_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("retrieval.pictures.decoding.flatten", fail)
    assert reason(encoded(gradient(40, 30), "PNG")) == "not enough memory"


@pytest.mark.parametrize(
    ("header", "size"),  # as libjxl writes them
    [
        ("ff0a7f06001388020020", (256, 256)),
        ("ff0a09070013880200d8", (60, 40)),
        ("ff0aba211d0013880200", (1920, 1080)),
    ],
)
def test_jxl_size_comes_from_the_header(header: str, size: tuple[int, int]) -> None:
    stream = bytes.fromhex(header)
    container = b"\x00\x00\x00\x0cJXL \r\n\x87\n" + b"\x00\x00\x00\x14ftypjxl \x00\x00\x00\x00jxl "
    assert formats.jxl_size(stream) == size
    assert formats.jxl_size(container + bytes(4) + b"jxlc" + stream) == size
    assert formats.jxl_size(container + bytes(4) + b"jxlp" + bytes(4) + stream) == size
    long = b"\x00\x00\x00\x01junk" + (20).to_bytes(8, "big") + bytes(4)  # lengths of 64 bits
    whole = (16 + len(stream)).to_bytes(8, "big")
    assert formats.jxl_size(container + long + b"\x00\x00\x00\x01jxlc" + whole + stream) == size
    assert formats.jxl_size(container + long + b"\x00\x00\x00\x01jxlp" + whole + bytes(4) + stream) == size
    with pytest.raises(UnreadableImage):
        formats.jxl_size(container + long)
    with pytest.raises(UnreadableImage):
        formats.jxl_size(container)


def test_jxl_is_measured_before_its_decoder_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats._PLUGINS, "JXL", ("no_such_module", "JXLImageFile"))
    assert reason(bytes.fromhex("ff0aba211d0013880200"), max_pixels=10**6) == "3 megapixels, limit is 1"


@pytest.mark.parametrize("name", valid_files())
def test_damage_ends_in_a_picture_or_a_reason(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings are errors here: any that leaked would fail this."""
    valid = valid_files()[name]
    random = np.random.default_rng(len(valid))
    outcomes = set()
    for _ in range(60):
        data = bytearray(valid)
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(0, min(len(data), 700) if random.random() < 0.5 else len(data)))
            data[at] = int(random.integers(0, 256))
        if random.random() < 0.3:
            del data[int(random.integers(0, len(data))) :]
        try:
            assert read_picture(bytes(data), SMALL).pixels.shape == (3, 32, 32)
            outcomes.add("read")
        except UnreadableImage as error:
            assert len(error.reason) < 60
            outcomes.add(error.reason)
    assert len(outcomes) > 1
    assert capfd.readouterr() == ("", "")


def test_decoder_warnings_are_dropped_for_this_thread_only() -> None:
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02" + b"\x01\x0f\x00\x02\x00\x00\xff\xff\x00\x00\xff\xff" * 2
    data = encoded(gradient(40, 30), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).getexif()
        assert caught, "Pillow no longer warns about this file: find another one"
        caught.clear()
        assert read_picture(data, SMALL).exif.camera is None
        assert not caught
        with quietly(), ThreadPoolExecutor(1) as other:
            other.submit(warnings.warn, "another thread's", stacklevel=1).result()
            warnings.warn("this thread's", stacklevel=1)
        assert [str(w.message) for w in caught] == ["another thread's"]


def test_decoder_log_is_dropped_inside_only(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with quietly():
        logger.error("inside")
    logger.error("outside")
    assert caplog.messages == ["outside"]


def test_threads_read_the_same_as_one() -> None:
    files = list(valid_files().values())
    files += [encoded(gradient(1200 + n, 900), "JPEG") for n in range(3)]
    expected = [read_picture(data, SMALL) for data in files]
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda data: read_picture(data, SMALL), files * 8))
    for picture, reference in zip(pictures, expected * 8, strict=True):
        assert np.array_equal(picture.pixels, reference.pixels)
        assert picture[1:] == reference[1:]


def test_content_hash_is_blake3_of_everything() -> None:
    data = bytes(range(256)) * 5000
    assert content_hash(data) == blake3(data).digest()
    assert len(content_hash(b"")) == 32
    assert content_hash(data[:-1]) != content_hash(data)


def test_extensions() -> None:
    wanted = ".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .heic .heif .hif .avif .psd .jp2 .j2k .pnm .pbm .pgm .ppm"
    assert set(wanted.split()) <= IMAGE_EXTENSIONS
    assert all(e == e.lower() and e.startswith(".") for e in IMAGE_EXTENSIONS)
    assert not IMAGE_EXTENSIONS & {".pdf", ".eps", ".svg", ".mp4", ".txt"}
