"""What is read from EXIF, and which values are ignored as invalid."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pillow_heif
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from retrieval.encoders.base import Preprocessing
from retrieval.pictures.exif import Exif, read_exif
from retrieval.pictures.images import read_picture

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ORIGINAL, DIGITIZED, OFFSET_ORIGINAL, OFFSET_DIGITIZED, LENS = 0x9003, 0x9004, 0x9011, 0x9012, 0xA434
MAKE, MODEL, ORIENTATION, EDITED = 0x010F, 0x0110, 0x0112, 0x0132
PARIS = {1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)}


def tags(
    main: dict[int, Any] | None = None, detail: dict[int, Any] | None = None, gps: dict[int, Any] | None = None
) -> Image.Exif:
    exif = Image.Exif()
    exif.update(main or {})
    if detail:
        exif.get_ifd(EXIF_IFD).update(detail)
    if gps:
        exif.get_ifd(GPS_IFD).update(gps)
    return exif


def read(exif: Image.Exif | bytes, image_format: str = "JPEG") -> Exif:
    """Through a real file, as every reader of ours gets it."""
    out = io.BytesIO()
    image = Image.new("RGB", (32, 32))
    if image_format == "HEIF":
        pillow_heif.encode("RGB", image.size, image.tobytes(), out, exif=exif.tobytes())
    else:
        image.save(out, image_format, exif=exif if isinstance(exif, bytes) else exif.tobytes())
    return read_picture(out.getvalue(), Preprocessing(16)).exif


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_all_fields_in_every_format(image_format: str) -> None:
    exif = read(
        tags(
            {MAKE: "FUJIFILM", MODEL: "X-T5"},
            {ORIGINAL: "2024:02:29 23:59:58", OFFSET_ORIGINAL: "-03:30", LENS: "XF35mmF1.4 R"},
            PARIS,
        ),
        image_format,
    )
    assert exif.latitude == pytest.approx(48 + 51 / 60 + 29.6 / 3600, abs=1e-6)
    assert exif.longitude == pytest.approx(2 + 17 / 60 + 40.2 / 3600, abs=1e-6)
    assert exif.taken_at == datetime(2024, 2, 29, 23, 59, 58)
    assert exif.offset_minutes == -210
    assert exif.camera == "FUJIFILM X-T5"
    assert exif.lens == "XF35mmF1.4 R"
    assert exif.orientation == 1


def test_nothing_is_all_none() -> None:
    assert read(b"") == Exif()
    assert Exif() == Exif(None, None, None, None, None, None, 1, None, 0, None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2019:07:14 08:09:10", datetime(2019, 7, 14, 8, 9, 10)),
        ("2019-07-14 08:09:10", datetime(2019, 7, 14, 8, 9, 10)),
        ("2019/07/14T08:09:10.123", datetime(2019, 7, 14, 8, 9, 10)),
        ("2019:07:14 08:09", datetime(2019, 7, 14, 8, 9)),
        ("2019:7:4 8:09:10\0\0junk", datetime(2019, 7, 4, 8, 9, 10)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("", None),
        ("2019:02:30 08:09:10", None),
        ("2019:07:14 24:29:47", datetime(2019, 7, 14, 0, 29, 47)),
        ("2019:07:14 08:09:60", datetime(2019, 7, 14, 8, 9, 59)),
        ("2019:07:14", datetime(2019, 7, 14)),
        ("1700:01:01 00:00:00", None),
        ("20190714080910", datetime(2019, 7, 14, 8, 9, 10)),
        ("yesterday", None),
    ],
)
def test_dates(written: str, expected: datetime | None) -> None:
    assert read(tags(detail={ORIGINAL: written})).taken_at == expected


def test_date_of_the_edit_is_not_the_date_of_the_picture() -> None:
    assert read(tags({EDITED: "2020:01:02 03:04:05"})).taken_at is None


def test_digitized_stands_in_with_its_own_offset() -> None:
    exif = read(
        tags(
            detail={
                ORIGINAL: "0000:00:00 00:00:00",
                OFFSET_ORIGINAL: "+01:00",
                DIGITIZED: "2001:02:03 04:05:06",
                OFFSET_DIGITIZED: "+05:45",
            }
        )
    )
    assert (exif.taken_at, exif.offset_minutes) == (datetime(2001, 2, 3, 4, 5, 6), 345)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("+00:00", 0),
        ("Z", 0),
        ("+14:00", 840),
        ("-12:00", -720),
        ("-0930", -570),
        ("+14:01", None),
        ("-12:30", None),
        ("+02:60", None),
        ("   :  ", None),
        ("+2", None),
    ],
)
def test_offsets(written: str, expected: int | None) -> None:
    detail = {ORIGINAL: "2019:07:14 08:09:10", OFFSET_ORIGINAL: written}
    assert read(tags(detail=detail)).offset_minutes == expected


def test_an_offset_without_a_date_means_nothing() -> None:
    assert read(tags(detail={OFFSET_ORIGINAL: "+02:00"})) == Exif()


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS R6", "Canon EOS R6"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 15 Pro", "Apple iPhone 15 Pro"),
        ("  SONY\0garbage", "ILCE-7M4   ", "SONY ILCE-7M4"),
        ("Apple", None, "Apple"),
        (None, "Pixel 8", "Pixel 8"),
        ("   ", "\0", None),
        ("----", "....", None),
        ("M" * 300, "x" * 300, "M" * 100),
        ("Evil\x1b[2J", "Cam\x07era\n2", "Evil [2J Cam era 2"),
        ("Käm", "Ω1".encode().decode("latin-1"), "Käm Ω1"),
    ],
)
def test_camera_names(make: str | None, model: str | None, expected: str | None) -> None:
    written = {tag: text for tag, text in ((MAKE, make), (MODEL, model)) if text is not None}
    image = Image.new("RGB", (8, 8))
    image.getexif().update(written)
    assert read_exif(image).camera == expected


def test_lens_without_a_letter_is_no_lens() -> None:
    assert read(tags(detail={LENS: "----"})).lens is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({1: "S", 3: "W"}, (-48.8582222, -2.2945)),
        ({2: (48.5, 0.0, 0.0)}, (48.5, 2.2945)),
        ({2: (48.0, 30.5, 0.0)}, (48.508333, 2.2945)),
        ({2: (90.0, 0.0, 0.0), 4: (180.0, 0.0, 0.0)}, (90, 180)),
        ({2: (0.0, 0.0, 0.0)}, (0, 2.2945)),
        ({2: (90.0, 0.0, 1.0)}, None),
        ({4: (180.0, 1.0, 0.0)}, None),
        ({2: (48.0, 61.0, 0.0)}, None),
        ({2: (IFDRational(48, 0), 0.0, 0.0)}, None),
        ({2: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))}, None),
        ({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, None),
        ({1: None}, None),
        ({3: None}, None),
        ({1: "X"}, None),
        ({1: ""}, None),
        ({2: None}, None),
        ({4: None}, None),
        ({2: (1.0, 2.0, 3.0, 4.0)}, None),
    ],
)
def test_positions(changed: dict[int, Any], expected: tuple[float, float] | None) -> None:
    gps = {tag: value for tag, value in (PARIS | changed).items() if value is not None}
    exif = read(tags(gps=gps))
    if expected is None:
        assert (exif.latitude, exif.longitude) == (None, None)
    else:
        assert (exif.latitude, exif.longitude) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", ["north", b"\x01\x02", (b"a", "b", None), 10**400, -5.0, (-1.0, 0.0, 0.0)])
def test_values_of_the_wrong_type_are_none(value: object) -> None:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif.update({MAKE: value, MODEL: value, ORIENTATION: value})
    exif.get_ifd(EXIF_IFD).update({ORIGINAL: value, LENS: 7})
    exif.get_ifd(GPS_IFD).update({1: "N", 2: value, 3: "E", 4: value})
    found = read_exif(image)
    assert (found.taken_at, found.lens, found.latitude, found.longitude) == (None, None, None, None)
    assert found.orientation == 1


@pytest.mark.parametrize(("written", "expected"), [(6, 6), (0, 1), (9, 1), (255, 1)])
def test_orientation(written: int, expected: int) -> None:
    assert read(tags({ORIENTATION: written})).orientation == expected


def test_a_broken_part_leaves_the_others() -> None:
    exif = bytearray(tags({MAKE: "Canon"}, {ORIGINAL: "2020:01:02 03:04:05"}, PARIS).tobytes())
    entry = exif.index(b"\x88\x25\x00\x04")
    exif[entry + 8 : entry + 12] = b"\x7f\xff\xff\xff"  # the GPS directory is said to be far behind the end
    found = read(bytes(exif))
    assert (found.camera, found.taken_at) == ("Canon", datetime(2020, 1, 2, 3, 4, 5))
    assert (found.latitude, found.longitude) == (None, None)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"garbage" * 9])
def test_unreadable_exif_is_no_exif(exif: bytes) -> None:
    assert read(exif) == Exif()


def test_truncated_and_flipped_exif_never_raises() -> None:
    valid = tags({MAKE: "Canon", MODEL: "R6"}, {ORIGINAL: "2020:01:02 03:04:05", LENS: "L"}, PARIS).tobytes()
    for at in range(6, len(valid)):
        assert isinstance(read(valid[:at]), Exif)
        for value in (0, 255):
            assert isinstance(read(valid[:at] + bytes([value]) + valid[at + 1 :]), Exif)


ISO, F_NUMBER, EXPOSURE, FOCAL, APEX_APERTURE, APEX_TIME = 0x8827, 0x829D, 0x829A, 0x920A, 0x9202, 0x9201
OUTPUT_SENSITIVITY, EXPOSURE_INDEX = 0x8831, 0x8832


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({ISO: 400, F_NUMBER: IFDRational(28, 10), EXPOSURE: IFDRational(1, 250), FOCAL: IFDRational(50, 1)},
         (400, 2.8, 0.004, 50.0)),
        ({ISO: 65535, EXPOSURE_INDEX: 102400}, (102400, None, None, None)),
        ({ISO: 65535, OUTPUT_SENSITIVITY: 80000}, (80000, None, None, None)),
        ({ISO: 65535}, (None, None, None, None)),
        ({ISO: 0}, (None, None, None, None)),
        ({F_NUMBER: IFDRational(1244236, 699009)}, (None, 1.78, None, None)),
        ({F_NUMBER: IFDRational(0, 1), FOCAL: IFDRational(0, 1), EXPOSURE: IFDRational(0, 1)}, (None,) * 4),
        ({F_NUMBER: IFDRational(1, 0), FOCAL: IFDRational(1, 0)}, (None,) * 4),
        ({APEX_APERTURE: IFDRational(3, 1), APEX_TIME: IFDRational(8, 1)}, (None, 2.83, 0.00390625, None)),
        ({APEX_TIME: IFDRational(-2, 1)}, (None, None, 4.0, None)),
        ({EXPOSURE: IFDRational(30, 1), APEX_TIME: IFDRational(8, 1)}, (None, None, 30.0, None)),
        ({FOCAL: IFDRational(4250, 1000)}, (None, None, None, 4.25)),
    ],
)  # fmt: skip
def test_what_the_camera_was_set_to(detail: dict[int, Any], expected: tuple[float | None, ...]) -> None:
    exif = read(tags(detail=detail))
    assert (exif.iso, exif.aperture, exif.exposure, exif.focal_length) == expected
