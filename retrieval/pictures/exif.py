"""What the camera wrote about a picture; missing or nonsense is None, never a guess."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

_MAX_TEXT = 100
_FIRST_YEAR = 1826  # the oldest photograph that is left; earlier years are unset clocks

_DATE = re.compile(r"\s*(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?(?!\d)")
_OFFSET = re.compile(r"\s*([+-])(\d{1,2}):?(\d{2})\s*$")


@dataclass(frozen=True)
class Exif:
    """The tags that searching uses.

    Args:
        taken_at: naive local time of the camera, from DateTimeOriginal, else DateTimeDigitized. DateTime is
            not used: it is the time of the last edit.
        offset_minutes: UTC offset of ``taken_at``, from the offset tag that belongs to the same date.
        camera: make and model, the make not repeated.
        lens: LensModel.
        latitude, longitude: decimal degrees, north and east positive; both or neither. Without a hemisphere
            both are None, and so is exactly (0, 0), which cameras write before they have a fix.
        orientation: 1..8, 1 when missing; as stored, also where the decoder has already applied it.
    """

    taken_at: datetime | None = None
    offset_minutes: int | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    orientation: int = 1


def read_exif(image: Image.Image) -> Exif:
    """The EXIF of an opened picture; never raises, each broken part is left out and the others kept."""
    try:
        tags = image.getexif()
    except Exception:
        return Exif()
    return exif_of(tags)


def exif_of(tags: Image.Exif) -> Exif:
    """The same from tags that were read already."""
    detail = _directory(tags, IFD.Exif)
    taken_at, offset_minutes = _taken(detail)
    latitude, longitude = _position(_directory(tags, IFD.GPSInfo))
    return Exif(
        taken_at=taken_at,
        offset_minutes=offset_minutes,
        camera=_camera(_text(_tag(tags, Base.Make)), _text(_tag(tags, Base.Model))),
        lens=_text(_tag(detail, Base.LensModel)),
        latitude=latitude,
        longitude=longitude,
        orientation=_orientation(_tag(tags, Base.Orientation)),
    )


def _directory(tags: Image.Exif, ifd: IFD) -> Mapping[int, Any]:
    try:
        return tags.get_ifd(ifd)
    except Exception:
        return {}


def _tag(tags: Mapping[int, Any], tag: int) -> Any:
    """Values are decoded when they are asked for, so any of them can fail alone."""
    try:
        return tags.get(tag)
    except Exception:
        return None


def _orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _text(value: object) -> str | None:
    """Printable text up to the first NUL, blanks joined, bounded; None if no letter or digit is in it."""
    if isinstance(value, str):
        # Pillow reads these tags as Latin-1, many programs write UTF-8.
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


def _camera(make: str | None, model: str | None) -> str | None:
    if make is None or model is None:
        return model or make
    # "NIKON CORPORATION" + "NIKON D90": the first word is what models repeat.
    if model.casefold().startswith(make.split()[0].casefold()):
        return model
    return f"{make} {model}"[:_MAX_TEXT].rstrip()


def _taken(detail: Mapping[int, Any]) -> tuple[datetime | None, int | None]:
    for date_tag, offset_tag in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
    ):
        taken_at = _date(_text(_tag(detail, date_tag)))
        if taken_at is not None:
            return taken_at, _offset(_text(_tag(detail, offset_tag)))
    return None, None


def _date(text: str | None) -> datetime | None:
    found = _DATE.match(text or "")
    if not found or int(found[1]) < _FIRST_YEAR:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def _offset(text: str | None) -> int | None:
    if text == "Z":
        return 0
    found = _OFFSET.match(text or "")
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    # Time zones reach from -12:00 to +14:00.
    if int(found[3]) > 59 or minutes > (14 if found[1] == "+" else 12) * 60:
        return None
    return minutes if found[1] == "+" else -minutes


def _position(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(_tag(gps, GPS.GPSLatitude), _tag(gps, GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(_tag(gps, GPS.GPSLongitude), _tag(gps, GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _degrees(value: object, hemisphere: object, signs: str, limit: float) -> float | None:
    """Degrees, minutes, seconds and a hemisphere letter as signed decimal degrees."""
    letter = (_text(hemisphere) or "")[:1].upper()
    if not letter or letter not in signs:
        return None
    parts = value if isinstance(value, tuple) else (value,)
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError, ArithmeticError):
        return None
    # A zero denominator is NaN here.
    if not 1 <= len(numbers) <= 3 or not all(math.isfinite(n) and n >= 0 for n in numbers):
        return None
    if any(n > 60 for n in numbers[1:]):
        return None
    total = math.fsum(n / (1.0, 60.0, 3600.0)[power] for power, n in enumerate(numbers))
    if total > limit:
        return None
    return round(-total if letter == signs[1] else total, 8) + 0.0
