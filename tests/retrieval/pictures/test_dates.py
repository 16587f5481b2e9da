"""Dates as they occur in pictures: everything known is kept, and nothing is invented."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retrieval.encoders.base import Preprocessing
from retrieval.pictures.dates import Moment, parse_moment
from retrieval.pictures.exif import Exif
from retrieval.pictures.images import read_picture

DAY = datetime(2008, 7, 26)
AT = datetime(2008, 7, 26, 14, 29, 47)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2008:07:26 14:29:47", Moment(AT)),
        ("2008-07-26T14:29:47", Moment(AT)),
        ("2008/07/26 14.29.47", Moment(AT)),
        ("2008.07.26 14:29:47", Moment(AT)),
        ("2008_07_26 14:29:47", Moment(AT)),
        ("2008 07 26 14:29:47", Moment(AT)),
        ("20080726_142947", Moment(AT)),
        ("20080726142947", Moment(AT)),
        ("20080726T142947Z", Moment(AT, None, 0, 0)),
        ("2008:07:26 14:29:47.40", Moment(AT, None, 400_000)),
        ("2008:07:26 14:29:47,123456789", Moment(AT, None, 123_456)),
        ("2008:07:26 14:29:47+0200", Moment(AT, None, 0, 120)),
        ("2008:07:26 14:29:47-03:30", Moment(AT, None, 0, -210)),
        ("2008-07-26T14:29:47.5Z", Moment(AT, None, 500_000, 0)),
        ("2008:07:26 14:29:47 GMT+02:00", Moment(AT, None, 0, 120)),
        ("2008:07:26 14:29:47 UTC", Moment(AT, None, 0, 0)),
        ("2008:07:26 14:29:47+99:00", Moment(AT)),
        ("2008:07:26 24:29:47", Moment(DAY.replace(minute=29, second=47))),
        ("2008:07:26 14:29:60", Moment(AT.replace(second=59))),
        ("2008:07:26 02:29:47 PM", Moment(AT)),
        ("2008:07:26 2:29:47 p.m.", Moment(AT)),
        ("2008:07:26 下午02:29:47", Moment(AT)),
        ("2008:07:26 오후 2:29:47", Moment(AT)),
        ("2008:07:26 12:29:47 am", Moment(DAY.replace(minute=29, second=47))),
        ("2008:07:26 12:29:47 PM", Moment(AT.replace(hour=12))),
        ("2008:07:26 14:29", Moment(AT.replace(second=0), "minute")),
        ("2008:07:26", Moment(DAY, "day")),
        ("2008:07:26 ", Moment(DAY, "day")),
        ("2008:07:26   :  :  ", Moment(DAY, "day")),
        ("2008:07:26 25:00:00", Moment(DAY, "day")),
        ("2008:07:26 14:75:00", Moment(DAY, "day")),
        ("2008:07:26 soon", Moment(DAY, "day")),
        ("20080726", Moment(DAY, "day")),
        ("2008:07", Moment(datetime(2008, 7, 1), "month")),
        ("2008:07:00 00:00:00", Moment(datetime(2008, 7, 1), "month")),
        ("2008:07:  14:29:47", Moment(datetime(2008, 7, 1), "month")),
        ("2008", Moment(datetime(2008, 1, 1), "year")),
        ("2008:00:00 00:00:00", Moment(datetime(2008, 1, 1), "year")),
        ("26.07.2008 14:29:47", Moment(AT)),
        ("26/07/2008 14:29:47", Moment(AT)),
        ("Sat, 26 Jul 2008 14:29:47 +0200", Moment(AT, None, 0, 120)),
        ("26 Jul 2008 14:29:47", Moment(AT)),
        ("06/07/2008 14:29:47", None),
        ("08:07:26 14:29:47", None),
        ("0000:00:00 00:00:00", None),
        ("0001-01-01T00:00:00", None),
        ("1970:01:01 00:00:00", None),
        ("1970:01:01 00:00:01", Moment(datetime(1970, 1, 1, 0, 0, 1))),
        ("1904:01:01 00:00:00", None),
        ("1700:01:01 00:00:00", None),
        ("2107:01:01 00:00:00", None),
        ("2008:02:30 14:29:47", None),
        ("2008:13:01 14:29:47", None),
        ("    :  :     :  :  ", None),
        ("99999999999999999999", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_forms(text: str, wanted: Moment | None) -> None:
    assert parse_moment(text) == wanted


def exif_of(main: dict[int, Any], detail: dict[int, Any], gps: dict[int, Any] | None = None) -> Exif:
    tags = Image.Exif()
    tags.update(main)
    if detail:
        tags.get_ifd(0x8769).update(detail)
    if gps:
        tags.get_ifd(0x8825).update(gps)
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "JPEG", exif=tags.tobytes())
    return read_picture(out.getvalue(), Preprocessing(16)).exif


def test_the_date_may_stand_in_the_first_directory() -> None:
    assert exif_of({0x9003: "2021:05:06 07:08:09"}, {}).taken_at == datetime(2021, 5, 6, 7, 8, 9)


def test_an_offset_and_fractions_in_the_text_count_and_their_tags_more() -> None:
    exif = exif_of({}, {0x9003: "2025:01:14 18:31:30+0200"})
    assert (exif.taken_at, exif.offset_minutes) == (datetime(2025, 1, 14, 18, 31, 30), 120)
    exif = exif_of({}, {0x9003: "2025:01:14 18:31:30.5+0200", 0x9011: "+01:00", 0x9291: "25"})
    assert (exif.offset_minutes, exif.microsecond) == (60, 250_000)


def test_the_clock_of_satellites_is_the_last_resort() -> None:
    gps = {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0), 7: (13.0, 14.0, 15.0), 29: "2020:03:04"}
    exif = exif_of({}, {}, gps)
    assert (exif.taken_at, exif.offset_minutes) == (datetime(2020, 3, 4, 13, 14, 15), 0)
    assert exif.taken_source == "gps"
    assert exif_of({}, {0x9003: "2020:03:04 08:00:00"}, gps).taken_at == datetime(2020, 3, 4, 8)
    exif = exif_of({}, {}, gps | {7: (99.0, 0.0, 0.0)})
    assert (exif.taken_at, exif.precision) == (datetime(2020, 3, 4), "day")


def test_texts_of_a_png() -> None:
    for text in ("Sat, 26 Jul 2008 14:29:47 +0200", "2008-07-26T14:29:47+02:00"):
        info = PngInfo()
        info.add_itxt("Creation Time", text)
        out = io.BytesIO()
        Image.new("RGB", (32, 32)).save(out, "PNG", pnginfo=info)
        exif = read_picture(out.getvalue(), Preprocessing(16)).exif
        assert (exif.taken_at, exif.offset_minutes, exif.taken_source) == (AT, 120, "text")


def utf8_exif(order: str, text: bytes) -> bytes:
    """A JPEG's EXIF whose maker is of EXIF 3.0's type 129."""
    mark, put = (b"II*\0", "little") if order == "<" else (b"MM\0*", "big")

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, put)  # type: ignore[arg-type]

    entry = number(0x010F, 2) + number(129, 2) + number(len(text), 4) + number(26, 4)
    return b"Exif\0\0" + mark + number(8, 4) + number(1, 2) + entry + number(0, 4) + text


@pytest.mark.parametrize("order", ["<", ">"])
def test_utf8_of_exif_3(order: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "JPEG", exif=utf8_exif(order, "Müller Kamera\0".encode()))
    assert read_picture(out.getvalue(), Preprocessing(16)).exif.camera == "Müller Kamera"
