"""Pictures with a short video: inside the same file (motion photos), or in a file beside it (Apple's live photos).

Google's cameras declare it in XMP (``MicroVideo``, later ``MotionPhoto`` with a directory of lengths), Samsung's by a
marker in the trailer, and both put it into a box ``mpvd`` of HEIF files. The lengths in XMP are wrong as soon as a
program rewrites the file without knowing them, so they are not used: the declaration says that there is a video, and
the video's own structure says where. Apple's write one identifier into both files.

References: Android's "Motion Photo format 1.0"; ISO/IEC 14496-12, 4.2 (boxes);
ExifTool's tables of Apple's maker notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

FORMATS = frozenset({"JPEG", "HEIF", "AVIF"})
"""Formats of pictures that may contain a video."""

MOTION_TYPES = ("video/mp4", "video/quicktime")
"""All results of :func:`media_type_of_motion`."""

_DECLARED = re.compile(rb"(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>\s*)1\s*[\"'<]")
_SAMSUNG = b"MotionPhoto_Data"
_BOX = b"mpvd"
_FIRST = b"ftyp"

_TOP_LEVEL = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"sidx", b"styp", b"meta"}
    | {b"udta", b"pnot", b"pdin", b"prft"}
)
_APPLE = b"Apple iOS\0"
_CONTENT_ID, _ASCII = 0x11, 2
_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{7,63}")

_MOST_PLACES = 64
_MOST_BOXES = 10_000


class Motion(NamedTuple):
    """Where the video is in the file, in bytes."""

    offset: int
    length: int


def find_motion(data: bytes, image_format: str) -> Motion | None:
    """The video inside a picture file, or None if there is no complete one.

    Args:
        data: the whole file; untrusted.
        image_format: of the picture, as from ``formats.sniff``.
    """
    if image_format not in FORMATS:
        return None
    if image_format != "JPEG" and (inside := _in_box(data)) is not None:
        return inside
    marker = data.rfind(_SAMSUNG)
    if marker >= 0 and (found := _video_at(data, marker + len(_SAMSUNG), len(data))) is not None:
        return found
    if marker >= 0 or _is_declared(data):
        # A HEIF file begins with a box of this name itself, which is the picture's.
        return next(filter(None, (_video_at(data, at, len(data)) for at in _places(data, 16))), None)
    return None


def _is_declared(data: bytes) -> bool:
    # Searching for plain bytes first takes a hundredth of the time of the expression, in the many files without them.
    is_named = b"MotionPhoto" in data or b"MicroVideo" in data
    return is_named and _DECLARED.search(data) is not None


def _places(data: bytes, first: int) -> Iterator[int]:
    """Where boxes ``ftyp`` may begin, a bounded number."""
    at = first
    for _ in range(_MOST_PLACES):
        at = data.find(_FIRST, at + 4) - 4
        if at < 0:
            return
        yield at
        at += 4


def _in_box(data: bytes) -> Motion | None:
    """The content of a box ``mpvd`` at the top level."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == _BOX:
            return _video_at(data, start, end)
    return None


def _video_at(data: bytes, at: int, end: int) -> Motion | None:
    """The complete video of ISO media boxes that begins here: with a header, and samples to which it belongs."""
    if data[at + 4 : at + 8] != _FIRST:
        return None
    kinds: set[bytes] = set()
    last = at
    for kind, _, box_end in _boxes(data, at, end):
        if kind not in _TOP_LEVEL or (kind == _FIRST and kinds):
            break
        kinds.add(kind)
        last = box_end
    is_complete = b"moov" in kinds and (b"mdat" in kinds or b"moof" in kinds)
    return Motion(at, last - at) if is_complete else None


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of the content, end) of the boxes in a part of a file; ends at the first that is not complete."""
    for _ in range(_MOST_BOXES):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:  # to the end
            size = end - at
        if size < head or at + size > end:
            return
        yield data[at + 4 : at + 8], at + head, at + size
        at += size


def media_type_of_motion(head: bytes) -> str:
    """The media type of a video with these first bytes (12 are enough)."""
    return MOTION_TYPES[head[8:12] == b"qt  "]


def content_identifier(text: object) -> str | None:
    """Apple's identifier of a live photo, in one form; None if the text is none. It usually is a UUID."""
    found = text.strip("\0 ") if isinstance(text, str) else ""
    return found.upper() if _IDENTIFIER.fullmatch(found) else None


def apple_identifier(maker_note: object) -> str | None:
    """The identifier in the maker note of a live photo's still; None if there is none.

    The note is a directory as in a big-endian TIFF, with offsets from its own beginning.

    Args:
        maker_note: the bytes of EXIF's tag 0x927C; untrusted.
    """
    if not isinstance(maker_note, bytes) or not maker_note.startswith(_APPLE) or maker_note[12:14] != b"MM":
        return None
    count = int.from_bytes(maker_note[14:16], "big")
    for at in range(16, min(16 + 12 * count, len(maker_note) - 11), 12):
        tag, kind = (int.from_bytes(maker_note[at + part : at + part + 2], "big") for part in (0, 2))
        length, offset = (int.from_bytes(maker_note[at + part : at + part + 4], "big") for part in (4, 8))
        if (tag, kind) == (_CONTENT_ID, _ASCII):
            return content_identifier(maker_note[offset : offset + min(length, 100)].decode("ascii", "replace"))
    return None
