"""The headers of a JPEG before its first scan, read without decoding it."""

from __future__ import annotations

from typing import NamedTuple


class JpegFrame(NamedTuple):
    """The contents of a JPEG's headers before its first scan.

    Args:
        process: second byte of the frame's marker: 0xC0 baseline, 0xC1 extended, 0xC2 progressive; 0 for none.
        precision: bits per sample.
        components: their identifiers, one byte each.
        scan: offset of the first scan.
        in_scan: number of components in it.
        width, height: pixels.
        exif: offset of each EXIF segment.

    Reference: ITU-T T.81, B.2.
    """

    process: int
    precision: int
    components: bytes
    scan: int
    in_scan: int
    width: int
    height: int
    exif: tuple[int, ...]


def jpeg_frame(data: bytes, most: int | None = None) -> JpegFrame | None:
    """The frame and the first scan of a JPEG; None if its markers do not lead to a scan, in ``most`` steps."""
    at, process, precision, components, sides = 2, 0, 0, b"", b""
    exif: list[int] = []
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if most is not None:
            most -= 1
            if most < 0:
                return None
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            process, precision, sides = marker, data[at + 4], data[at + 5 : at + 9]
            components = data[at + 10 : at + 10 + 3 * data[at + 9] : 3]
        elif marker == 0xE1:
            exif += [at] if data.startswith(b"Exif\0", at + 4) else []
        if marker == 0xDA:
            height, width = int.from_bytes(sides[:2], "big"), int.from_bytes(sides[2:], "big")
            return JpegFrame(process, precision, components, at, data[at + 4], width, height, tuple(exif))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def jpeg_is_buffered_whole(data: bytes) -> bool:
    """:func:`jpeg_is_buffered` of a file; True if its headers are unusual."""
    frame = jpeg_frame(data)
    return frame is None or jpeg_is_buffered(frame)


def jpeg_is_buffered(frame: JpegFrame) -> bool:
    """True if libjpeg keeps all coefficients of this JPEG in memory (3 bytes per pixel at 4:2:0, 6 at 4:4:4).

    It does so for progressive files and files with one scan per channel. Reduced decoding does not help then.
    """
    return frame.process in (0xC2, 0xC6, 0xCA, 0xCE) or frame.in_scan != len(frame.components)
