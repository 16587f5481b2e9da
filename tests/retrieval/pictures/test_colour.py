"""Every mode that a file can store, and colour profiles."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from retrieval.encoders.base import Preprocessing
from retrieval.pictures.images import read_picture, read_whole

SIZE = 32
SMALL = Preprocessing(SIZE, "squash")
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB = SRGB_PROFILE.tobytes()

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB_PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
D50 = (0.9642, 1.0, 0.8249)


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """A version 2 ICC profile. Reference: ICC.1:2001-04, 6.1 to 6.5."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), b"", 0x02100000, b"mntr", space, connection, bytes(12), b"acsp"
    )
    header += bytes(28) + xyz(D50)[8:]
    return header + bytes(128 - len(header)) + table + body


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def rgb_profile(primaries: Sequence[Sequence[float]], exponent: float) -> bytes:
    columns = {name + b"XYZ": xyz(column) for name, column in zip((b"r", b"g", b"b"), primaries, strict=True)}
    return profile(b"RGB ", {b"wtpt": xyz(D50), **columns, **{c + b"TRC": gamma(exponent) for c in (b"r", b"g", b"b")}})


def ink_profile() -> bytes:
    """CMYK whose inks make Lab grey of the lightness 100 * (1 - K), whatever the colours."""
    identity = bytes(range(256))
    corners = [bytes([0 if corner & 1 else 255, 128, 128]) for corner in range(16)]
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + b"".join(corners) + identity * 3
    return profile(b"CMYK", {b"wtpt": xyz(D50), b"A2B0": table}, b"Lab ")


def saved(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def pixels(image: Image.Image, image_format: str = "PNG", **options: Any) -> NDArray[np.int16]:
    return read_picture(saved(image, image_format, **options), SMALL).pixels.astype(np.int16)


def plain(colour: Any, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (SIZE, SIZE), colour)


def colours() -> Image.Image:
    """Smooth, so that a conversion before or after a resize is the same."""
    y, x = np.mgrid[0:64, 0:64]
    return Image.fromarray(np.stack([4 * x, 4 * y, 255 - 2 * (x + y)], axis=-1).astype(np.uint8))


def expected(image: Image.Image) -> NDArray[np.int16]:
    small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(small).transpose(2, 0, 1).astype(np.int16)


def psnr(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    error = float(((a - b).astype(np.float64) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def test_grey_and_bilevel() -> None:
    grey = colours().convert("L")
    assert np.array_equal(pixels(grey), expected(grey))
    for image_format in ("PNG", "TIFF", "BMP", "PPM"):
        bilevel = grey.convert("1")
        assert np.array_equal(pixels(bilevel, image_format), expected(bilevel.convert("L"))), image_format


def test_palette_is_resized_in_colour() -> None:
    palette = colours().quantize(64)
    for image_format in ("PNG", "GIF", "BMP", "TIFF"):
        assert np.array_equal(pixels(palette, image_format), expected(palette.convert("RGB"))), image_format


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_transparency_is_composited_over_white(image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {"quality": 100} if image_format == "AVIF" else {}
    found = pixels(plain((200, 100, 0, 128), "RGBA"), image_format, **options)
    assert np.abs(found.mean(axis=(1, 2)) - (227.4, 177.2, 127)).max() < 2
    assert pixels(plain((0, 0, 0, 0), "RGBA"), image_format, **options).min() > 250


def test_grey_and_premultiplied_transparency() -> None:
    assert np.abs(pixels(plain((0, 64), "LA")) - 191).max() <= 1
    tiff = saved(plain((100, 50, 0, 128), "RGBA"), "TIFF")
    # ExtraSamples 1: the colours are already multiplied by alpha.
    at = tiff.index(struct.pack("<HHI", 338, 3, 1)) + 8
    associated = tiff[:at] + struct.pack("<H", 1) + tiff[at + 2 :]
    found = read_picture(associated, SMALL).pixels.astype(int).mean(axis=(1, 2))
    assert np.abs(found - (227, 177, 127)).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_transparent_colour_becomes_white(mode: str) -> None:
    image = plain(0, mode) if mode != "RGB" else plain((1, 2, 3))
    if mode == "P":
        image.putpalette([9, 9, 9, 80, 80, 80])
    image.paste(1 if mode == "P" else 255 if mode in "L1" else (80, 80, 80), (0, 0, SIZE, SIZE // 2))
    found = pixels(image, transparency=(1, 2, 3) if mode == "RGB" else 0)
    assert (found[:, -4:] == 255).all()
    assert (found[:, :4] == (255 if mode in "L1" else 80)).all()


def test_palette_with_an_alpha_per_entry() -> None:
    image = plain(0, "P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert np.abs(pixels(image, transparency=bytes([64, 255])) - 191).max() <= 1


def test_gif_transparency() -> None:
    image = plain(0, "P")
    image.putpalette([9, 9, 9, 80, 80, 80])
    assert (pixels(image, "GIF", transparency=0) == 255).all()


@pytest.mark.parametrize(("mode", "image_format"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_16_bit_grey_is_scaled(mode: str, image_format: str) -> None:
    values = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE)
    image = Image.frombytes(mode, (SIZE, SIZE), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    found = pixels(image, image_format)
    assert np.abs(found - values / 257).max() <= 1
    assert (found.min(), found.max()) == (0, 255)


def test_16_bit_pgm_is_scaled() -> None:
    values = np.linspace(0, 65535, SIZE * SIZE).astype(">u2")
    data = b"P5 %d %d 65535\n" % (SIZE, SIZE) + values.tobytes()
    found = read_picture(data, SMALL).pixels[0].astype(float).ravel()
    assert np.abs(found - values / 257).max() <= 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (0, 65535), (-5, 3), (0, 1e9), (1e6, 2e6)])
def test_floats_are_scaled_to_the_range_they_use(low: float, high: float) -> None:
    values = np.linspace(low, high, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    found = pixels(Image.fromarray(values), "TIFF")
    assert np.abs(found - np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE)).max() <= 1


def test_floats_that_are_not_numbers_do_not_spread() -> None:
    values = np.full((SIZE, SIZE), 0.5, np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    assert np.abs(pixels(Image.fromarray(values), "TIFF") - 128).max() <= 1
    assert (pixels(Image.fromarray(np.full((SIZE, SIZE), np.nan, np.float32)), "TIFF") == 0).all()


@pytest.mark.parametrize("top", [255, 65535, 2_000_000_000])
def test_32_bit_integers_are_scaled(top: int) -> None:
    values = np.linspace(0, top, SIZE * SIZE).astype(np.int32).reshape(SIZE, SIZE)
    assert np.abs(pixels(Image.fromarray(values), "TIFF") - values * (255.0 / top)).max() <= 1


def test_cmyk_and_ycck() -> None:
    image = colours().convert("CMYK")
    for image_format in ("TIFF", "JPEG"):
        options = {"quality": 100, "subsampling": 0} if image_format == "JPEG" else {}
        assert np.abs(pixels(image, image_format, **options) - expected(image)).max() <= 8, image_format
    # Adobe's marker with transform 2: the same four channels as YCCK, still stored inverted.
    jpeg = saved(plain((255, 255, 255)).convert("CMYK"), "JPEG", quality=100)
    at = jpeg.index(b"Adobe") + 11
    assert jpeg[at] == 0
    ycck = read_picture(jpeg[:at] + b"\x02" + jpeg[at + 1 :], SMALL)
    assert ycck.pixels.shape == (3, SIZE, SIZE)


def test_lab_and_ycbcr() -> None:
    lab = Image.merge("LAB", [Image.new("L", (SIZE, SIZE), v) for v in (255, 128, 128)])
    assert pixels(lab, "TIFF").min() >= 253
    assert np.abs(pixels(plain((90, 90, 90)).convert("YCbCr"), "TIFF") - 90).max() <= 1


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_profiles_are_applied(image_format: str) -> None:
    icc = rgb_profile(DISPLAY_P3, 2.2)
    options = {} if image_format == "TIFF" else {"quality": 100}
    found = pixels(plain((200, 100, 50)), image_format, icc_profile=icc, **options).mean(axis=(1, 2))
    linear = np.array(DISPLAY_P3).T @ (np.array([200, 100, 50]) / 255) ** 2.2
    linear = np.linalg.inv(np.array(SRGB_PRIMARIES).T) @ linear
    wanted = 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(found - wanted).max() < 3


@pytest.mark.parametrize("icc", [rgb_profile(DISPLAY_P3, 2.2), rgb_profile(ADOBE_RGB, 2.2)], ids=["P3", "Adobe"])
def test_profile_after_the_resize_is_nearly_as_good_as_before(icc: bytes) -> None:
    random = np.random.default_rng(3)
    total = np.full((512, 512, 3), 127, np.float32)
    for cells, amplitude in ((4, 60), (16, 30), (64, 20), (256, 15)):
        grid = random.integers(0, 256, (cells, cells, 3)).astype(np.float32) - 127
        grid = 0.7 * grid.mean(axis=-1, keepdims=True) + 0.3 * grid  # photographs vary more in light than in hue
        layer = Image.fromarray((grid + 127).clip(0, 255).astype(np.uint8)).resize((512, 512))
        total += (np.asarray(layer, np.float32) - 127) * (amplitude / 127)
    image = Image.fromarray(total.clip(0, 255).astype(np.uint8))
    before = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), SRGB_PROFILE)
    assert before is not None
    kept = psnr(pixels(image, icc_profile=icc), expected(before))
    assert kept > 45
    assert kept > psnr(pixels(image), expected(before)) + 8  # against leaving the profile out


def test_srgb_is_left_alone() -> None:
    image = colours()
    assert np.array_equal(pixels(image, icc_profile=SRGB), expected(image))


def test_a_profile_named_srgb_is_judged_by_what_it_does() -> None:
    linear = rgb_profile(DISPLAY_P3, 1.0).replace(b"test\0", b"sRGB\0")
    assert pixels(plain((50, 50, 50)), icc_profile=linear).mean() > 100


def test_grey_profile() -> None:
    linear = profile(b"GRAY", {b"wtpt": xyz(D50), b"kTRC": gamma(1.0)})
    assert np.abs(pixels(plain(55, "L"), icc_profile=linear) - 127).max() < 3


def test_cmyk_profile_decides_what_inks_look_like() -> None:
    image = plain((0, 255, 255, 0), "CMYK")
    assert np.abs(pixels(image, "TIFF").mean(axis=(1, 2)) - (255, 0, 0)).max() < 2
    assert pixels(image, "TIFF", icc_profile=ink_profile()).min() > 250


@pytest.mark.parametrize(
    "icc", [b"junk" * 50, SRGB[:200], bytes(128), profile(b"CMYK", {}), rgb_profile(DISPLAY_P3, 2.2)[:-30]]
)
def test_broken_or_foreign_profiles_are_ignored(icc: bytes) -> None:
    image = colours()
    assert np.array_equal(pixels(image, icc_profile=icc), expected(image))


def test_rgb_profile_on_a_grey_picture_is_ignored() -> None:
    grey = colours().convert("L")
    assert np.array_equal(pixels(grey, icc_profile=rgb_profile(ADOBE_RGB, 1.0)), expected(grey))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "RGB"])
def test_whole_pictures_of_every_mode_are_rgb(mode: str) -> None:
    image = colours().resize((60, 40)).convert("L") if mode in ("L", "1", "LA") else colours().resize((60, 40))
    found = read_whole(saved(image.convert(mode), "TIFF" if mode == "CMYK" else "PNG"), 60)
    assert (found.mode, found.size) == ("RGB", (60, 40))
    if mode not in ("1", "P"):  # of few colours
        assert np.abs(np.asarray(found, np.int16) - np.asarray(image.convert("RGB"), np.int16)).max() <= 6


def test_whole_pictures_are_in_srgb_over_white() -> None:
    for icc, image, image_format in (
        (rgb_profile(DISPLAY_P3, 2.2), plain((200, 60, 40)), "PNG"),
        (ink_profile(), plain((120, 40, 200, 60), "CMYK"), "TIFF"),
    ):
        wanted = pixels(image, image_format, icc_profile=icc)[:, 0, 0]
        found = read_whole(saved(image, image_format, icc_profile=icc), SIZE)
        assert np.abs(np.asarray(found, np.int16)[3, 3] - wanted).max() <= 1
        assert "icc_profile" not in found.info
    assert read_whole(saved(plain((255, 0, 0, 0), "RGBA")), SIZE).getpixel((3, 3)) == (255, 255, 255)
    deep = Image.fromarray(np.full((SIZE, SIZE), 0x4080, np.uint16))
    assert read_whole(saved(deep), SIZE).getpixel((3, 3)) == (0x40,) * 3


def average(image: Image.Image, tower: Preprocessing = SMALL, **options: Any) -> tuple[int, ...]:
    """Red, green and blue of the average colour that a picture is indexed with."""
    return tuple(read_picture(saved(image, **options), tower).colour.to_bytes(3))


def test_the_average_colour_is_of_the_whole_picture_whatever_the_tower_sees() -> None:
    image = Image.new("RGB", (1200, 300), (200, 30, 40))
    image.paste((10, 250, 100), (0, 0, 300, 300))  # a quarter that the square in the middle leaves out
    mean = (152, 85, 55)
    for tower in (Preprocessing(32), Preprocessing(64), Preprocessing(224), Preprocessing(64, resize="squash")):
        assert average(image, tower) == pytest.approx(mean, abs=3)
    large = image.resize((3000, 1000))
    for options in ({}, {"image_format": "JPEG", "quality": 95}):
        assert average(large, **options) == pytest.approx(mean, abs=3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_has_an_average_colour(mode: str) -> None:
    image = Image.new("RGB", (80, 60), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 40, 60))
    image_format = "TIFF" if mode == "CMYK" else "PNG"
    assert average(image.convert(mode), image_format=image_format) == pytest.approx((128,) * 3, abs=1)


def test_the_average_colour_is_what_is_shown() -> None:
    clear = Image.new("RGBA", (80, 60), (255, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 40, 60))
    assert average(clear) == pytest.approx((255, 128, 128), abs=1)
    deep = Image.fromarray(np.full((60, 80), 0x4080, np.uint16))
    assert average(deep) == (0x40,) * 3
    wide = rgb_profile(DISPLAY_P3, 2.2)
    shown = pixels(plain((200, 60, 40)), icc_profile=wide)[:, 0, 0]
    assert average(plain((200, 60, 40)), icc_profile=wide) == pytest.approx(tuple(shown), abs=1)
    inks = ink_profile()
    shown = pixels(plain((120, 40, 200, 0), "CMYK"), "TIFF", icc_profile=inks)[:, 0, 0]
    found = average(plain((120, 40, 200, 0), "CMYK"), image_format="TIFF", icc_profile=inks)
    assert found == pytest.approx(tuple(shown), abs=1)
