"""EXIF metadata of a picture; missing or invalid values are None, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from retrieval.pictures.dates import Moment, Precision, microseconds, parse_moment, parse_offset
from retrieval.pictures.motion import apple_identifier

_MAX_TEXT = 100
_NO_ROOM = 65535


def _utf8(_self: object, data: bytes, _legacy_api: bool = True) -> bytes:
    return data


# EXIF 3.0 has a type for UTF-8, which Pillow ignores with a warning.
TiffImagePlugin.ImageFileDirectory_v2._load_dispatch.setdefault(129, (1, _utf8))


@dataclass(frozen=True)
class Exif:
    """The tags used in searches.

    Args:
        taken_at: naive local time of the camera, from DateTimeOriginal, else DateTimeDigitized, in either directory;
            else from a PNG's text chunks, else from the GPS clock (in UTC). DateTime is not used: it is the time of the
            last edit.
        offset_minutes: UTC offset of ``taken_at``, from the offset tag that belongs to the same date, or from its text.
        camera: make and model, without repeating the make.
        lens: LensModel.
        latitude, longitude: decimal degrees, north and east positive; both or neither. Without a hemisphere
            both are None, and also for exactly (0, 0), which cameras write before they have a fix.
        precision, microsecond: of ``taken_at``, see ``dates.Moment``.
        taken_source: ``gps`` or ``text`` if ``taken_at`` is not from EXIF's own dates.
        iso: PhotographicSensitivity, or if that is full (65535), the tag that replaces it.
        aperture, exposure, focal_length: f-number, seconds and mm of the lens (not 35 mm equivalent), from FNumber,
            ExposureTime and FocalLength, else the first two from their APEX values.
        orientation: 1..8, 1 if missing; as stored, even if the decoder has already applied it.
        content_id: Apple's identifier that a live photo shares with its video.
    """

    taken_at: datetime | None = None
    offset_minutes: int | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    orientation: int = 1
    precision: Precision | None = None
    microsecond: int = 0
    taken_source: str | None = None
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal_length: float | None = None
    content_id: str | None = None


def read_exif(image: Image.Image) -> Exif:
    """The EXIF of an opened picture; never raises: broken parts are left out and the others kept."""
    try:
        tags = image.getexif()
    except Exception:
        return Exif()
    return exif_of(tags, image.info)


def exif_of(tags: Image.Exif, texts: Mapping[Any, Any] | None = None) -> Exif:
    """The same from tags that have already been read, and the texts of a PNG."""
    detail = _directory(tags, IFD.Exif)
    gps = _directory(tags, IFD.GPSInfo)
    moment, source = _taken(detail, tags) or _written(texts or {}) or _by_satellite(gps) or (None, None)
    latitude, longitude = _position(gps)
    return Exif(
        taken_at=None if moment is None else moment.at,
        offset_minutes=None if moment is None else moment.offset_minutes,
        precision=None if moment is None else moment.precision,
        microsecond=0 if moment is None else moment.microsecond,
        taken_source=source,
        camera=camera_name(plain_text(_tag(tags, Base.Make)), plain_text(_tag(tags, Base.Model))),
        lens=plain_text(_tag(detail, Base.LensModel)),
        latitude=latitude,
        longitude=longitude,
        orientation=_orientation(_tag(tags, Base.Orientation)),
        iso=_iso(detail),
        aperture=_amount(_tag(detail, Base.FNumber), 2, 1000) or _apex(_tag(detail, Base.ApertureValue), 0.5, 2),
        exposure=_amount(_tag(detail, Base.ExposureTime), 9, 1e6) or _apex(_tag(detail, Base.ShutterSpeedValue), -1, 9),
        focal_length=_amount(_tag(detail, Base.FocalLength), 2, 100_000),
        content_id=apple_identifier(_tag(detail, Base.MakerNote)),
    )


def _directory(tags: Image.Exif, ifd: IFD) -> Mapping[int, Any]:
    try:
        return tags.get_ifd(ifd)
    except Exception:
        return {}


def _tag(tags: Mapping[int, Any], tag: int) -> Any:
    """Values are decoded when they are accessed, so each of them may fail separately."""
    try:
        return tags.get(tag)
    except Exception:
        return None


def _orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def plain_text(value: object) -> str | None:
    """Printable text up to the first NUL, white space normalised, bounded; None without a letter or digit."""
    if isinstance(value, str):
        # Pillow decodes these tags as Latin-1, but many programs write UTF-8.
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes):
        return None
    value = value.partition(b"\x00")[0][: 4 * _MAX_TEXT]
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    # Escape sequences must not reach a terminal that lists cameras.
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())[:_MAX_TEXT].rstrip()
    return text if any(c.isalnum() for c in text) else None


def camera_name(make: str | None, model: str | None) -> str | None:
    """Make and model, the make not repeated."""
    if make is None or model is None:
        return model or make
    # "NIKON CORPORATION" + "NIKON D90": models repeat the first word of the make.
    if model.casefold().startswith(make.split()[0].casefold()):
        return model
    return f"{make} {model}"[:_MAX_TEXT].rstrip()


def _iso(detail: Mapping[int, Any]) -> int | None:
    """Reference: EXIF 3.0, annex G."""
    for tag in (Base.ISOSpeedRatings, Base.RecommendedExposureIndex, Base.StandardOutputSensitivity, Base.ISOSpeed):
        value = _tag(detail, tag)
        value = value[0] if isinstance(value, tuple) and value else value
        if isinstance(value, int) and 0 < value <= 100_000_000 and value != _NO_ROOM:
            return value
    return None


def _amount(value: object, digits: int, most: float) -> float | None:
    """A number above zero, rounded; None if it is unknown (zero, infinity, a denominator of zero)."""
    try:
        number = round(float(value), digits)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if 0 < number <= most else None


def _apex(value: object, factor: float, digits: int) -> float | None:
    """2 to the power of a value of the Additive System of Photographic Exposure times ``factor``."""
    try:
        exponent = float(value) * factor  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return None
    return _amount(2.0**exponent, digits, 1e6) if abs(exponent) < 30 else None


def _taken(*directories: Mapping[int, Any]) -> tuple[Moment, None] | None:
    """These tags belong into EXIF's directory, but some programs write them into the main one."""
    for date_tag, offset_tag, fraction_tag in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal, Base.SubsecTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized, Base.SubsecTimeDigitized),
    ):
        for tags in directories:
            moment = parse_moment(plain_text(_tag(tags, date_tag)))
            if moment is None:
                continue
            if (offset := parse_offset(plain_text(_tag(tags, offset_tag)))) is not None:
                moment = moment._replace(offset_minutes=offset)
            if moment.precision is None and (fraction := microseconds(plain_text(_tag(tags, fraction_tag)))):
                moment = moment._replace(microsecond=fraction)
            return moment, None
    return None


def _written(texts: Mapping[Any, Any]) -> tuple[Moment, str] | None:
    """Reference: PNG (third edition), 11.3.3.2; and names that programs use instead."""
    for name in ("Creation Time", "exif:DateTimeOriginal", "date:taken"):
        value = texts.get(name)
        if isinstance(value, str) and (moment := parse_moment(value[:_MAX_TEXT])) is not None:
            return moment, "text"
    return None


def _by_satellite(gps: Mapping[int, Any]) -> tuple[Moment, str] | None:
    """In UTC. The time of the last fix, which may be hours old: only used if there is nothing better."""
    day = parse_moment(plain_text(_tag(gps, GPS.GPSDateStamp)))
    if day is None or day.precision not in ("day", None):
        return None
    start = day.at.replace(hour=0, minute=0, second=0)
    value = _tag(gps, GPS.GPSTimeStamp)
    try:
        hours, minutes, seconds = (float(part) for part in value)
        if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds <= 60):
            raise ValueError
        at = start + timedelta(seconds=int(hours * 3600 + minutes * 60 + seconds))
        return Moment(at, None, 0, 0), "gps"
    except (TypeError, ValueError, ArithmeticError):
        return Moment(start, "day", 0, 0), "gps"


def _position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(_tag(gps, GPS.GPSLatitude), _tag(gps, GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(_tag(gps, GPS.GPSLongitude), _tag(gps, GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _degrees(value: object, hemisphere: object, signs: str, limit: float) -> float | None:
    """Degrees, minutes, seconds and a hemisphere letter as signed decimal degrees."""
    letter = (plain_text(hemisphere) or "")[:1].upper()
    if not letter or letter not in signs:
        return None
    parts = value if isinstance(value, tuple) else (value,)
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError, ArithmeticError):
        return None
    # A zero denominator gives NaN here.
    if not 1 <= len(numbers) <= 3 or not all(math.isfinite(n) and n >= 0 for n in numbers):
        return None
    if any(n > 60 for n in numbers[1:]):
        return None
    total = math.fsum(n / (1.0, 60.0, 3600.0)[power] for power, n in enumerate(numbers))
    if total > limit:
        return None
    return round(-total if letter == signs[1] else total, 8) + 0.0
