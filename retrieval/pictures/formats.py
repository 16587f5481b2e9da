"""Supported picture formats: by extension for the walk, by content for the decoder.

Pillow can open far more than photographs, some of it through other programs (EPS, WMF). Here the content
determines one decoder in a short table, and that decoder is called directly: no other is ever tried, and
Pillow's process-wide pixel limit stays as the host program set it (ours is checked per call).
"""

from __future__ import annotations

import importlib
import io
import re
from typing import TYPE_CHECKING, Literal

from retrieval.errors import UnreadableImage
from retrieval.pictures.raw_detection import is_raw

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs", ".psd"}
    | {".jp2", ".j2k", ".jpx", ".j2c", ".jpc", ".jpf", ".pnm", ".pbm", ".pgm", ".ppm", ".pfm"}
)
"""Lower-case, with the dot. Only determines which files are read; the content determines their format. Extensions that
need an extra are in ``optional.py``."""

RAW_EXTENSIONS = frozenset({
    ".3fr", ".ari", ".arw", ".bay", ".braw", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf",
    ".eip", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw",
    ".orf", ".ori", ".pef", ".ptx", ".pxn", ".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf",
    ".srw", ".x3f",
})  # fmt: skip
"""Of what cameras write beside or in place of a JPEG; lower-case, with the dot."""

VIDEO_EXTENSIONS = frozenset(
    f".{name}"
    for name in [
        "3g2",
        "3gp",
        "asf",
        "avi",
        "f4v",
        "flv",
        "insv",
        "lrv",
        "m2t",
        "m2ts",
        "m2v",
        "m4v",
        "mkv",
        "mod",
        "mov",
        "mp4",
        "mpe",
        "mpeg",
        "mpg",
        "mts",
        "mxf",
        "ogv",
        "tod",
        "ts",
        "vob",
        "webm",
        "wmv",
    ]
)
"""Lower-case, with the dot."""

VIDEO_TYPES = {
    "MP4": "video/mp4",
    "MOV": "video/quicktime",
    "MKV": "video/x-matroska",
    "WEBM": "video/webm",
    "AVI": "video/x-msvideo",
    "MPEGTS": "video/mp2t",
    "MPEG": "video/mpeg",
    "FLV": "video/x-flv",
    "WMV": "video/x-ms-wmv",
    "OGG": "video/ogg",
    "MXF": "application/mxf",
    "DV": "video/dv",
    "M4V": "video/mp4",
}
"""Formats of videos, by their container, and what servers call them."""

PLAYED_BY_BROWSERS = frozenset({"MP4", "MOV", "WEBM", "M4V", "MKV", "OGG"})
"""Formats of videos that browsers may play, which depends on what is inside and on the browser."""

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
    "JXL": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
    "PSD": ("PIL.PsdImagePlugin", "PsdImageFile"),
}

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
    "JXL": "image/jxl",
    "PSD": "image/vnd.adobe.photoshop",
    "RAW": "image/x-dcraw",
    "SVG": "image/svg+xml",
}

_J2C, _HEIC = "image/j2c", "image/heic"

MEDIA_TYPES = tuple(dict.fromkeys((*_MEDIA_TYPES.values(), _J2C, _HEIC, *VIDEO_TYPES.values())))
"""All results of :func:`media_type`."""

DRAWN_BY_BROWSERS = frozenset({"JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"})
"""Formats that Firefox, Chromium and Safari all draw."""

_INSTALL = {
    "HEIF": "pip install pillow-heif",
    "AVIF": "pip install 'pillow>=11.3'",
    "JXL": "pip install 'photoseek[jxl]'",
    "RAW": "pip install 'photoseek[raw]'",
    "SVG": "pip install 'photoseek[svg]'",
}

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
    (b"\xff\x0a", "JXL"),
    (b"8BPS", "PSD"),
)
_SVG = re.compile(rb"(\xef\xbb\xbf)?\s*<(svg[\s>]|(\?xml|!DOCTYPE svg|!--).*<svg[\s>])", re.DOTALL)
_SVG_WITHIN = 4096

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


def is_video_name(name: str) -> bool:
    """Whether a file is a video by its name."""
    return f".{name.rpartition('.')[2].lower()}" in VIDEO_EXTENSIONS


def sniff(data: bytes) -> str:
    """The format of an image file, by its first bytes.

    Raises:
        UnreadableImage: the file is empty or not an image of a supported kind.
    """
    if not data:
        raise UnreadableImage("empty file")
    if is_raw(data):
        return "RAW"
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    # Text files may also begin with BM; a bitmap continues with one of the known header lengths.
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if re.match(rb"P([1-6]\s|[fF]\s)", data):
        return "PPM"
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(_u32(data, 0), 256), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        # mif1 and msf1 only name the container; without an AV1 brand it contains HEVC in practice.
        if brands & _HEIF_BRANDS or data[8:12] in (b"mif1", b"msf1"):
            return "HEIF"
    if _SVG.match(data[:_SVG_WITHIN]):
        return "SVG"
    raise UnreadableImage(f"not an image ({_other_kind(data)})")


def is_still(head: bytes, image_format: str) -> bool:
    """Whether a file with these first bytes may have this format; some RAW files look like a TIFF at first.

    Raises:
        UnreadableImage: like :func:`sniff`.
    """
    if image_format in VIDEO_TYPES:  # that it is this file, its size and its time say
        return True
    found = sniff(head)
    return found == image_format or (found, image_format) == ("TIFF", "RAW")


def media_type(data: bytes, name: str) -> str:
    """The media type of a file with this format and these first bytes (256 are enough)."""
    if name in VIDEO_TYPES:
        return VIDEO_TYPES[name]
    if name == "JPEG2000" and data.startswith(b"\xff"):
        return _J2C  # a codestream without a container
    if name == "HEIF" and data[8:12] in _HEIF_BRANDS:
        return _HEIC
    return _MEDIA_TYPES[name]


def open_image(data: bytes, image_format: str) -> ImageFile:
    """Read the header of ``data`` with the decoder of that format; only JXL decodes its pixels here.

    Raises:
        UnreadableImage: the decoder is not installed.
        Exception: whatever the decoder raises on a damaged header.
    """
    module, name = _PLUGINS[image_format]
    try:
        plugin = getattr(importlib.import_module(module), name)
    except ImportError:
        raise no_decoder(image_format) from None
    image: ImageFile = plugin(io.BytesIO(data))
    return image


def no_decoder(image_format: str) -> UnreadableImage:
    """The error for a format whose decoder is not installed."""
    return UnreadableImage(f"no {image_format} decoder installed", _INSTALL.get(image_format, "reinstall pillow"))


def lacks_decoder(reason: str) -> bool:
    """Whether a file was refused with :func:`no_decoder`: it can be read where more is installed."""
    return reason.startswith("no ") and reason.endswith(" decoder installed")


def jpeg2000_depth(data: bytes) -> int:
    """Bits of the deepest component of a JPEG 2000; 0 if unknown.

    Reference: ITU-T T.800, A.5.1 (SIZ).
    """
    start = data.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(data[start + 40 : start + 42], "big") if start >= 0 else 0
    return max(((size & 0x7F) + 1 for size in data[start + 42 : start + 42 + 3 * count : 3]), default=0)


def webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) from a WebP header; needed because its decoder allocates the pixels on opening.

    Reference: RFC 9649, 2.5 to 2.7.
    """
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def jxl_size(data: bytes) -> tuple[int, int]:
    """(width, height) from a JPEG XL header; needed because its decoder decodes the pixels on opening.

    Raises:
        UnreadableImage: no codestream in the container.

    Reference: ISO/IEC 18181-1, SizeHeader; 18181-2, boxes.
    """
    start = 0
    while not data.startswith(b"\xff\x0a", start):
        length, kind, head = _u32(data, start), data[start + 4 : start + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if kind == b"jxlc":
            start += head
        elif kind == b"jxlp":
            start += head + 4
        elif head <= length < len(data) - start:
            start += length
            continue
        if not data.startswith(b"\xff\x0a", start):
            raise UnreadableImage("damaged JXL file")
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    numerator, denominator = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    return (height * numerator // denominator if numerator else side()), height


def is_cut_short(data: bytes, image_format: str) -> bool:
    """True if the file's structure shows that bytes are missing at its end; called after decoding has failed.

    Decoders report this in many ways or not at all, and a truncated copy is the most useful thing
    to tell the owner of the file.
    """
    if image_format == "PNG":
        return not _has_chunk(data, b"IEND")
    if image_format == "TIFF" and data[2] + data[3] == 42:
        return len(data) < tiff_directory_end(data)
    return 0 < share_of_bytes(data, image_format) < 1


def tiff_directory_end(data: bytes) -> int:
    """Where the first directory of a TIFF (not a BigTIFF) ends, without the four bytes that point to the next one."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    start = int.from_bytes(data[4:8], order)
    return start + 2 + 12 * max(int.from_bytes(data[start : start + 2], order), 1)


def share_of_bytes(data: bytes, image_format: str) -> float:
    """Actual length / length stated in the file, for WebP and files of boxes (HEIF, JPEG 2000); 0: unknown."""
    if image_format == "WEBP":
        return min(len(data) / (8 + int.from_bytes(data[4:8], "little")), 1.0)
    at = 0
    while data[:1] == b"\x00" and at < len(data):
        size = _u32(data, at)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0 means "to the end of the file", anything else is damage
            return 0
        at += size
    return min(len(data) / at, 1.0) if at else 0


def _has_chunk(data: bytes, kind: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == kind:
            return True
        at += 12 + _u32(data, at)
    return False


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


_OTHERS = (
    (b"%PDF", "a PDF document"), (b"%!PS", "PostScript"), (b"PK\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "gzip"),
    (b"\x1aE\xdf\xa3", "a Matroska video"), (b"RIFF", "sound or a video"), (b"ID3", "sound"),
    (b"OggS", "sound or a video"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"SQLite format 3", "a database"),
)  # fmt: skip


def _other_kind(data: bytes) -> str:
    """The kind of a file that is not a picture, without any of its bytes: this text may be sent to strangers."""
    if data[4:8] == b"ftyp":
        return "a video or another ISO media file"
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    start = data[:256]
    if not start.strip(b"\0"):
        return "zeros"
    is_text = all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in start)
    return "text" if is_text else "an unknown format"
