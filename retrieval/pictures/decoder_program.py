"""The program of a decoder process: LibRaw for RAW files, resvg for SVG, FFmpeg for videos, and the decoders of all
other pictures for files that may take long or much memory; see ``decoders.py``.

Their formats have hundreds of variants, and a damaged or hostile file may make such a decoder crash, run for ever or
request all memory. Here that ends only this process. It is a separate program that imports nothing of photoseek
except the modules for videos and for pictures, and those only when one comes: it starts in a fraction of a second,
once.

A request is a line of JSON, an answer a line of JSON and the bytes of a picture. The file is in shared memory,
whose descriptor is the argument, so that LibRaw reads no more of it than it needs; or, if the system has no
such memory (-1), its bytes follow the request.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

MOST_MEMORY = 3 << 30
"""Bytes of address space: a RAW of 150 megapixels takes 1 GiB. Pictures that need more have to ask for it."""

NO_MEMORY = "not enough memory"
"""As in ``free_memory.py``."""

_IDLE_SECONDS = 120
_SMALL = 2048  # pixels of the longer side: half of that would be too little
_DAMAGE = re.compile(rb"Unexpected end of file|data corrupted|Corrupt|Decompression error", re.IGNORECASE)

Answer = tuple[dict[str, Any], bytes]
File = str | bytes
"""A path or the content."""


class Unreadable(Exception):
    """Its arguments are the reason and, for some, a hint."""


def raw_preview(file: File, _asked: dict[str, Any]) -> Answer:
    """The largest preview in a RAW, as JPEG or plain RGB, and the metadata that LibRaw reads from the file."""
    import rawpy

    with _opened(file) as raw:
        about = _about(raw)  # no further metadata: for that LibRaw would decode the samples
        try:
            found = raw.extract_thumb()
        except rawpy.LibRawError:
            return about, b""
        if found.format == rawpy.ThumbFormat.JPEG:
            return {**about, "form": "JPEG"}, bytes(found.data)
        height, width = found.data.shape[:2]
        return {**about, "form": "RGB", "size": (width, height)}, found.data.tobytes()


def raw_decoded(file: File, asked: dict[str, Any]) -> Answer:
    """A RAW's own samples in sRGB, with the camera's white balance, upright; large ones at half size."""
    import rawpy

    with _opened(file) as raw:
        about = _about(raw)
        if raw.sizes.raw_width * raw.sizes.raw_height > asked["max_pixels"]:
            raise Unreadable("too many pixels")
        _errors.drop()
        is_large = max(raw.sizes.width, raw.sizes.height) >= _SMALL
        try:
            seen = raw.postprocess(use_camera_wb=True, half_size=is_large, output_bps=8)
        except rawpy.LibRawError as error:
            raise Unreadable(_reason(error)) from error
        if _DAMAGE.search(_errors.drop()):  # LibRaw continues with the previous content of the buffer
            raise Unreadable("damaged or truncated RAW file")
        if seen.ndim == 2 or seen.shape[2] == 1:
            seen = seen.reshape(*seen.shape[:2], 1).repeat(3, axis=2)
        height, width = seen.shape[:2]
        return {**about, **_written(raw), "form": "RGB", "size": (width, height)}, seen.tobytes()


def svg(file: File, asked: dict[str, Any]) -> Answer:
    """A drawing as PNG of the requested width in pixels. Only the file itself is read: no other files, no network."""
    import resvg_py

    data = Path(file).read_bytes() if isinstance(file, str) else file
    drawing = _closed(data)
    has_text = b"<text" in data or b":text" in data  # searching for fonts takes longer than drawing
    try:
        drawn = resvg_py.svg_to_bytes(svg_string=drawing, width=asked["width"], skip_system_fonts=not has_text)
    except ValueError as error:
        raise Unreadable("damaged SVG file") from error
    return {"form": "PNG"}, bytes(drawn)


def _closed(data: bytes) -> str:
    """A drawing without its references to other files, which ``resvg`` would open, anywhere on this machine.

    The XML parser opens no other files, and stops at entities that expand without end.
    """
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unreadable("damaged SVG file") from error
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name.rpartition("}")[2] == "href" and not value.strip().startswith(("#", "data:image/")):
                del element.attrib[name]
    return ElementTree.tostring(root, encoding="unicode")


def _opened(file: File) -> Any:
    import io

    import rawpy

    try:
        return rawpy.imread(file if isinstance(file, str) else io.BytesIO(file))
    except rawpy.LibRawFileUnsupportedError as error:
        raise Unreadable("unsupported kind of RAW") from error
    except rawpy.LibRawError as error:
        raise Unreadable(_reason(error)) from error


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if "Memory" in name or "TooBig" in name:
        return "the RAW file asks for too much memory"
    return "unsupported kind of RAW" if "Unsupported" in name else "damaged or truncated RAW file"


def _about(raw: Any) -> dict[str, Any]:
    """The size as stored on the sensor, and how to rotate it."""
    sizes = raw.sizes
    pixels = sizes.raw_width * sizes.raw_height
    return {"sensor": (sizes.width, sizes.height), "pixels": pixels, "flip": sizes.flip}


def _written(raw: Any) -> dict[str, Any]:
    """The metadata that the camera wrote, including makers' own tags."""
    other, taken = raw.other, raw.other.timestamp
    return {
        "taken": taken.isoformat(timespec="seconds") if taken.year > 1970 else None,
        "iso": round(other.iso_speed) or None,
        "aperture": round(other.aperture, 2) or None,
        "exposure": round(other.shutter_speed, 9) or None,
        "focal_length": round(other.focal_length, 2) or None,
        "lens": raw.lens.model or None,
    }


class _Errors:
    """Captures what C code writes to descriptor 2, since LibRaw reports missing samples there only."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as long as the process
        os.dup2(self._file.fileno(), 2)

    def drop(self) -> bytes:
        self._file.seek(0)
        found = self._file.read(1 << 16)
        self._file.seek(0)
        self._file.truncate()
        return found


_errors: _Errors


def _of_a_video(work: str) -> Callable[[File, dict[str, Any]], Answer]:
    """The function in ``video_frames.py``, in this folder, which is loaded for the first video."""

    def done(_: File, asked: dict[str, Any]) -> Answer:
        if _ROOT not in sys.path:
            sys.path.append(_ROOT)
        import av

        from retrieval.pictures import video_file, video_frames

        av.logging.set_level(None)
        try:
            answer: Answer = getattr(video_frames, work)(asked["path"], asked)
        except video_file.Unreadable as error:
            raise Unreadable(str(error)) from error
        except OSError as error:
            raise Unreadable(str(error.strerror or error).lower()) from error
        return answer

    return done


def _of_a_picture(work: str) -> Callable[[File, dict[str, Any]], Answer]:
    """The work of ``apart.py``, in this folder, which is loaded for the first such picture."""

    def done(file: File, asked: dict[str, Any]) -> Answer:
        if _ROOT not in sys.path:
            sys.path.append(_ROOT)
        from PIL import Image

        from retrieval.errors import UnreadableImage
        from retrieval.pictures.apart import AskedFor, answered

        Image.MAX_IMAGE_PIXELS = None  # one limit for all formats, in decoding.py, and this process may be ended
        data = Path(file).read_bytes() if isinstance(file, str) else file
        try:
            return answered(work, data, asked, AskedFor(_granted))
        except UnreadableImage as error:
            raise Unreadable(error.reason, error.hint) from error

    return done


def _granted(count: int) -> bool:
    """Ask for so many bytes of memory, and wait for them."""
    _out.write(json.dumps({"needs": count}).encode() + b"\n")
    _out.flush()
    if _line(_source) != b"yes\n":
        return False
    _limit_memory(MOST_MEMORY + count)
    return True


_ROOT = str(Path(__file__).parents[2])

_WORK: dict[str, Callable[[File, dict[str, Any]], Answer]] = {
    "raw preview": raw_preview,
    "raw decoded": raw_decoded,
    "svg": svg,
    "video": _of_a_video("sampled"),
    "video frame": _of_a_video("frame_at"),
    **{work: _of_a_picture(work) for work in ("picture", "whole", "cut out", "exif")},
}


def set_limits(seconds: int, memory: int) -> None:
    """Limit this process before each file: seconds of CPU time and bytes of address space. On systems without these
    limits, the caller's apply."""
    try:
        import resource
    except ImportError:
        return
    _limit_memory(memory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds)


def _limit_memory(memory: int) -> None:
    try:
        import resource
    except ImportError:
        return
    _limit(resource.RLIMIT_AS, memory)


def _is_short() -> bool:
    """Whether this process may use less memory than files may take: what fails is not the file's fault then."""
    try:
        import resource
    except ImportError:
        return False
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    return hard != resource.RLIM_INFINITY and hard < MOST_MEMORY


def _limit(kind: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    with suppress(ValueError, OSError):  # macOS has no limit on memory
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _is_first_to_go() -> None:
    """If the machine runs out of memory, the system ends this process and not the one that holds the work of hours."""
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")


def _waits(source: BinaryIO) -> bool:
    """Whether a request arrives before this process has been idle for too long."""
    if os.name == "nt":
        return True
    import select

    return bool(select.select([source], [], [], _IDLE_SECONDS)[0])


def _content(source: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = source.read(min(size, 1 << 20))
        if not part:
            raise SystemExit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _line(source: BinaryIO) -> bytes:
    """The next line; empty if the caller is gone."""
    line = b""
    while not line.endswith(b"\n"):
        part = source.read(1)
        if not part:
            return b""
        line += part
    return line


_source: BinaryIO
_out: BinaryIO


def main(memory: int) -> None:
    """Answer requests until the caller is gone, or no request comes for two minutes."""
    global _errors, _source, _out
    _source, _out = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    _errors = _Errors()
    os.dup2(2, 1)  # nothing that a library prints is an answer
    _is_first_to_go()
    while _waits(_source):
        line = _line(_source)
        if not line:
            return
        asked = json.loads(line)
        file = f"/proc/self/fd/{memory}" if memory >= 0 else _content(_source, asked["size"])
        set_limits(asked["seconds"], MOST_MEMORY)
        try:
            about, picture = _WORK[asked["work"]](file, asked)
        except Unreadable as error:
            reason, *hint = error.args
            about, picture = {"reason": str(reason), "hint": hint}, b""
        except MemoryError:
            about, picture = {"reason": NO_MEMORY if _is_short() else "the file asks for too much memory"}, b""
        except ImportError:
            about, picture = {"reason": NO_MEMORY if _is_short() else "missing"}, b""
        except Exception as error:
            about, picture = {"reason": f"damaged file ({type(error).__name__})"}, b""
        _out.write(json.dumps({**about, "bytes": len(picture)}).encode() + b"\n" + picture)
        _out.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    sys.exit(0)
