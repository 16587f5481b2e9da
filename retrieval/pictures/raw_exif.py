"""EXIF of RAW files, without decoding them. What is missing in their headers is taken from the embedded preview."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from PIL import Image, JpegImagePlugin, TiffImagePlugin
from PIL.ExifTags import IFD, Base, Interop

from retrieval.pictures.doubtful import doubt_of, is_amplified
from retrieval.pictures.exif import Exif, exif_of
from retrieval.pictures.raw_detection import as_tiff

_CANON_BOXES = {None: b"CMT1", IFD.Exif: b"CMT2", IFD.GPSInfo: b"CMT4"}
_BOXES_WITHIN = 1 << 18
_MINOLTA, _MINOLTAS_TIFF, _MOST_BLOCKS = b"\0MRM", b"\0TTW", 16
_WRITTEN_BY_LIBRAW = "dcraw"
_TAKEN = ("taken_at", "offset_minutes", "precision", "microsecond", "taken_source")
_ADOBE_RGB, _MAKERS_ADOBE_RGB = "R03", 2


class _Boxes(Image.Exif):
    """Canon's CR3: each directory is a TIFF in a separate box."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._boxes = {ifd: _directory(_box(data, name)) for ifd, name in _CANON_BOXES.items()}

    def get(self, tag: int, default: Any = None) -> Any:
        return self._boxes[None].get(tag, default)

    def get_ifd(self, tag: int) -> dict[int, Any]:
        return dict(self._boxes.get(IFD(tag)) or {})


def _box(data: bytes, name: bytes) -> bytes:
    at = data.find(name, 0, _BOXES_WITHIN)
    size = int.from_bytes(data[at - 4 : at], "big") if at >= 4 else 0
    return data[at + 4 : at - 4 + size] if size > 16 else b""


def _tiff_of_minolta(data: bytes) -> bytes:
    """The TIFF with the EXIF in a MRW: one of the blocks before the samples, each with a name and a length."""
    at = 8
    for _ in range(_MOST_BLOCKS):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == _MINOLTAS_TIFF:
            return data[at + 8 : at + 8 + size]
        at += 8 + size
    return b""


def _directory(tiff: bytes) -> Mapping[int, Any]:
    if not tiff or is_amplified(tiff):
        return {}
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(tiff[:8])
        file = io.BytesIO(tiff)
        file.seek(directory.next)
        directory.load(file)
        return directory
    except Exception:  # a broken directory is ignored, and the others are kept
        return {}


def raw_tags(data: bytes) -> Image.Exif | None:
    """The tags of a RAW, or of the JPEG at the start of a Fuji file; None if their form is unknown."""
    try:
        if data.startswith(b"FUJIFILMCCD-RAW"):
            start, length = struct.unpack_from(">II", data, 84)
            preview = data[start : start + length]
            doubt = doubt_of(preview)
            return (
                None if doubt and not doubt.is_large else JpegImagePlugin.JpegImageFile(io.BytesIO(preview)).getexif()
            )
        if data[4:12] == b"ftypcrx ":
            return _Boxes(data)
        tiff = _tiff_of_minolta(data) if data.startswith(_MINOLTA) else as_tiff(data)
        if tiff and not is_amplified(tiff):
            tags = Image.Exif()
            tags.load(tiff)
            return tags
    except Exception:
        return None
    return None


def read_raw_exif(data: bytes) -> Exif:
    """The EXIF of a RAW; never raises."""
    tags = raw_tags(data)
    return Exif() if tags is None else exif_of(tags)


def exif_of_preview(tags: Image.Exif) -> Exif:
    """The EXIF of a preview. If it has none, LibRaw adds one, with the date in a tag that cameras do not use."""
    exif = exif_of(tags)
    software = tags.get(Base.Software)
    if isinstance(software, str) and software.startswith(_WRITTEN_BY_LIBRAW) and exif.taken_at is None:
        taken = Image.Exif()
        taken[Base.DateTimeOriginal] = tags.get(Base.DateTime)
        found = exif_of(taken)
        return replace(exif, **{name: getattr(found, name) for name in _TAKEN})
    return exif


def exif_by_decoder(about: Mapping[str, Any]) -> Exif:
    """The values that LibRaw found while decoding a RAW."""
    known: dict[str, Any] = {name: about.get(name) for name in ("lens", "iso", "aperture", "exposure", "focal_length")}
    taken = about.get("taken")
    return Exif(taken_at=None if taken is None else datetime.fromisoformat(taken), **known)


def completed(exif: Exif, other: Exif) -> Exif:
    """``exif``, with missing values from ``other``; dates and positions are only taken as a whole."""
    values: dict[str, Any] = {}
    for names in (_TAKEN, ("latitude", "longitude")):
        if getattr(exif, names[0]) is None:
            values |= {name: getattr(other, name) for name in names}
    for name in ("camera", "lens", "iso", "aperture", "exposure", "focal_length"):
        if getattr(exif, name) is None:
            values[name] = getattr(other, name)
    return replace(exif, **values)


def is_adobe_rgb(tags: Image.Exif | None) -> bool:
    """Whether a camera was set to Adobe RGB, which it records only in EXIF.

    Reference: DCF 2.0 (JEITA CP-3461B), 3.1.5; Nikon and Sony also write 2 as the colour space.
    """
    if tags is None:
        return False
    try:
        detail = tags.get_ifd(IFD.Exif)
        index = tags.get_ifd(IFD.Interop).get(Interop.InteropIndex)
        return detail.get(Base.ColorSpace) == _MAKERS_ADOBE_RGB or index == _ADOBE_RGB
    except Exception:
        return False
