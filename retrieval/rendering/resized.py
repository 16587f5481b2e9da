"""Resized copies of pictures: JPEG, upright, in sRGB, with date and camera settings."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from retrieval.errors import SettingsError
from retrieval.pictures.quiet import quietly
from retrieval.regular_files import open_regular
from retrieval.rendering.thumbnails import look_at

if TYPE_CHECKING:
    from retrieval.catalog.records import ImageRecord

SMALLEST, LARGEST = 16, 16_384
_ENDED = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16}
_BLANK = "    :  :     :  :  "
"""EXIF's notation of an unknown date (section 4.6.5, DateTimeOriginal)."""


@dataclass(frozen=True)
class Resize:
    """Settings of resized copies.

    Args:
        size: maximum of the longer side in pixels; smaller pictures keep their size.
        quality: JPEG quality, 1 to 100.
        location: include the coordinates.

    Raises:
        SettingsError: size or quality is out of range.
    """

    size: int = 2048
    quality: int = 90
    location: bool = True

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST:
            raise SettingsError(f"cannot make pictures of {self.size} pixels", f"use {SMALLEST} to {LARGEST:,}")
        if not 1 <= self.quality <= 100:
            raise SettingsError(f"there is no quality {self.quality}", "use 1 to 100")

    def jpeg(self, image: ImageRecord) -> bytes:
        """The content of the resized file.

        Raises:
            FileChanged, OSError, UnreadableImage: see ``thumbnails.look_at``.
        """
        made = io.BytesIO()
        look_at(image, self.size).save(made, "JPEG", quality=self.quality, exif=self._exif(image))
        return made.getvalue()

    def is_made_of(self, image: ImageRecord, place: Path) -> bool:
        """Whether a file was made from this picture with these settings; False for one that cannot be read."""
        if place.is_symlink():
            return False
        try:
            with quietly(), open_regular(place) as file, Image.open(file, formats=("JPEG",)) as found:
                known = found.getexif().get_ifd(IFD.Exif).get(Base.ImageUniqueID)
        except Exception:  # a pipe, a folder, no JPEG, or damaged EXIF, for which Pillow has errors of many kinds
            return False
        return isinstance(known, str) and known.rstrip("\0") == self._mark(image)

    def _mark(self, image: ImageRecord) -> str:
        """Hash of content and settings: 32 hexadecimal digits, the length of EXIF's ImageUniqueID."""
        said = f"{image.content_hash.hex()} {self.size} {self.quality} {self.location}"
        return blake3(said.encode("ascii")).hexdigest()[:32]

    def _exif(self, image: ImageRecord) -> Image.Exif:
        """New EXIF from the catalog's values, so that nothing else in the original is passed on."""
        exif = Image.Exif()
        exif[Base.Orientation] = 1
        if image.camera is not None:
            exif[Base.Model] = image.camera
        detail: dict[int, Any] = {Base.ColorSpace: 1, Base.ImageUniqueID: self._mark(image)}  # sRGB
        if image.taken_at is not None:
            text = image.taken_at.strftime("%Y:%m:%d %H:%M:%S")
            known = _ENDED.get(image.taken_precision or "", len(text))
            detail[Base.DateTimeOriginal] = text[:known] + _BLANK[known:]
            if image.taken_at.tzinfo is not None:
                offset = image.taken_at.strftime("%z")
                detail[Base.OffsetTimeOriginal] = f"{offset[:3]}:{offset[3:5]}"
        if image.lens is not None:
            detail[Base.LensModel] = image.lens
        if image.iso is not None and image.iso <= 65535:
            detail[Base.ISOSpeedRatings] = image.iso
        measured = (
            (Base.FNumber, image.aperture),
            (Base.ExposureTime, image.exposure),
            (Base.FocalLength, image.focal_length),
        )
        detail |= {tag: _rational(value) for tag, value in measured if value is not None}
        exif.get_ifd(IFD.Exif).update(detail)
        if self.location and image.latitude is not None and image.longitude is not None:
            exif.get_ifd(IFD.GPSInfo).update(
                {
                    GPS.GPSLatitudeRef: "N" if image.latitude >= 0 else "S",
                    GPS.GPSLatitude: _degrees(image.latitude),
                    GPS.GPSLongitudeRef: "E" if image.longitude >= 0 else "W",
                    GPS.GPSLongitude: _degrees(image.longitude),
                }
            )
        return exif


def _rational(value: float) -> IFDRational:
    return IFDRational(Fraction(value).limit_denominator(1_000_000))


def _degrees(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds, to 1e-5 seconds, which is less than a millimetre."""
    hundred_thousandths = round(abs(value) * 3600 * 100_000)
    minutes, seconds = divmod(hundred_thousandths, 60 * 100_000)
    degrees, minutes = divmod(minutes, 60)
    return IFDRational(degrees), IFDRational(minutes), IFDRational(seconds, 100_000)
