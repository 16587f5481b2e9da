"""Frames of a video file, read in a decoder process: only key frames, if there are enough of them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from retrieval.pictures.hdr import HLG, PQ, standard

LOOK_EVERY = 1.0
"""Seconds between sampled frames; more for long recordings (see ``MOST_LOOKED``)."""

MOST_LOOKED = 1200
"""Maximum number of decoded frames per file: recordings of more than 20 minutes are sampled at equal distances."""

SPARSE = 10.0
"""Seconds between key frames above which other frames are decoded, too ..."""

LONGEST = 366 * 86_400.0
"""Seconds; a file that declares more is damaged."""

_BETWEEN = 5.0  # ... one per this number of seconds ...
_SPARSE_SHARE = 0.5  # ... within this share of the CPU time allowed for a file.

_SIGNATURE = (64, 36)
_MOST_SIDE = 16_384
_BUFFER = 1 << 18
_LATE = 1e-3  # tolerance for rounded times, in seconds
_NOT_TV = 4.0  # a larger aspect ratio of pixels is a sign of damage

_DEMUXERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,dv,m4v"
_NAMES = {"matroska": "MKV", "mpegts": "MPEGTS", "mpegvideo": "MPEG", "asf": "WMV", "mov": "MP4"}
_CONTAINER_TIME = 1_000_000  # FFmpeg's AV_TIME_BASE

_BT709, _BT601, _BT2020 = 1, 5, 9  # swscale's numbers of matrices
_HIGH_DEFINITION = 720  # without a declared matrix, videos with at least this number of lines have BT.709's
_FULL_RANGE = 2
_BICUBIC, _AREA = 4, 0x20


class Unreadable(Exception):
    """Its argument is the reason."""


class VideoFile:
    """An open file."""

    def __init__(self, path: str, asked: dict[str, Any]) -> None:
        self._path, self._asked = path, asked
        self._file = _regular(path, asked)
        self._began, self._seconds = time.process_time(), asked["seconds"] * _SPARSE_SHARE
        self._small, self._large = VideoReformatter(), VideoReformatter()
        self._most_pixels = asked["max_pixels"]
        self._size: tuple[int, int] | None = None
        self._last = 0.0
        try:
            self._container = av.open(
                self._file,
                "r",
                options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
                metadata_errors="replace",
                buffer_size=_BUFFER,
            )
        except (av.error.FFmpegError, ValueError) as error:
            self._file.close()
            raise Unreadable(_reason(error)) from error
        streams = [s for s in self._container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            self.__exit__()
            raise Unreadable("no video in it, sound at most")
        self._stream = stream = max(streams, key=lambda s: (bool(s.disposition.default), s.width * s.height))
        for other in self._container.streams:
            if other is not stream:
                other.discard = type(other.discard).all
        stream.codec_context.thread_count = 1
        self._base = float(stream.time_base or 0) or 1 / 90_000
        start = self._container.start_time
        self._start = start / _CONTAINER_TIME if start is not None else (stream.start_time or 0) * self._base
        if stream.width * stream.height > self._most_pixels or max(stream.width, stream.height) > _MOST_SIDE:
            self.__exit__()
            raise Unreadable("too many pixels")

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()
        self._file.close()

    def duration(self) -> float | None:
        """Duration in seconds as stored in the file, or None if that is nothing or cannot be."""
        container, stream = self._container.duration or 0, self._stream.duration or 0
        return plausible(container / _CONTAINER_TIME) or plausible(stream * self._base)

    # Frames

    def looked(self) -> Iterator[tuple[float, Any]]:
        """Sampled frames: (seconds from the start, frame), ascending."""
        long = self.duration()
        step = LOOK_EVERY if long is None else max(LOOK_EVERY, long / MOST_LOOKED)
        if step > LOOK_EVERY and long is not None:
            yield from self._at_steps(step, long)
            return
        before: float | None = None
        for looked, (at, frame) in enumerate(self._key_frames(step), 1):
            if before is not None and at - before > SPARSE:
                yield from self._between(before, at)
            before = at
            yield at, frame
            if looked >= MOST_LOOKED:
                return
        end = self._last if long is None else long
        if end - (before or 0.0) > SPARSE:
            yield from self._between(before or 0.0, end)

    def _key_frames(self, step: float) -> Iterator[tuple[float, Any]]:
        self._stream.codec_context.skip_frame = "NONKEY"
        following = -np.inf
        for packet in self._packets():
            if packet is not None:
                at = self._at(packet.pts if packet.pts is not None else packet.dts)
                self._last = max(self._last, at)
                if not packet.is_keyframe or at < following:
                    continue
                following = at + step - _LATE
            yield from self._decoded(packet)

    def _between(self, first: float, last: float) -> Iterator[tuple[float, Any]]:
        """Frames between two distant key frames, until the time limit."""
        # Seeking would disturb the reading of key frames, so a second reader of the same file is used.
        with VideoFile(self._path, self._asked) as other:
            other._stream.codec_context.skip_frame = "NONREF"
            other._seek(first)
            following = first + _BETWEEN
            for packet in other._packets():
                if time.process_time() - self._began > self._seconds:
                    return
                for at, frame in other._decoded(packet):
                    if at >= last - _LATE:
                        return
                    if at >= following:
                        following = at + _BETWEEN
                        yield at, frame

    def _at_steps(self, step: float, end: float) -> Iterator[tuple[float, Any]]:
        """The key frames at or before equally spaced times."""
        self._stream.codec_context.skip_frame = "NONKEY"
        last = -np.inf
        for wanted in np.arange(0.0, end, step).tolist():
            self._seek(wanted)
            for at, frame in self._first():
                if at > last + LOOK_EVERY - _LATE:
                    last = at
                    yield at, frame
            if time.process_time() - self._began > self._seconds:
                return

    def _first(self) -> Iterator[tuple[float, Any]]:
        """The next key frame."""
        for packet in self._packets():
            if packet is None or packet.is_keyframe:
                found = list(self._decoded(packet)) or list(self._decoded(None))
                self._stream.codec_context.flush_buffers()
                yield from found[:1]
                return

    def frame_at(self, at: float) -> Any:
        """The frame displayed at a time; the last frame if the time is after the end; None if there are no frames."""
        last = None
        if at > _LATE:
            self._seek(at)
        for packet in self._packets():
            for shown_at, frame in self._decoded(packet):
                if abs(shown_at - at) <= _LATE:
                    return frame
                if shown_at > at:
                    return frame if last is None else last
                last = frame
        return last

    def _seek(self, at: float) -> None:
        try:
            self._container.seek(int((at + self._start + _LATE) / self._base), stream=self._stream)
        except av.error.FFmpegError:  # not seekable: continue at the current position
            return

    def _packets(self) -> Iterator[Any]:
        """Packets of the video, then None; an error of reading ends them."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except av.error.FFmpegError:
            pass
        yield None

    def _decoded(self, packet: Any) -> Iterator[tuple[float, Any]]:
        try:
            for frame in self._stream.codec_context.decode(packet):
                if frame.width * frame.height <= self._most_pixels:
                    yield self._at(frame.pts), frame
        except av.error.FFmpegError:  # a damaged packet; later ones may be intact
            return

    def _at(self, pts: int | None) -> float:
        return 0.0 if pts is None else max(0.0, pts * self._base - self._start)

    # Pixels of frames

    def signature(self, frame: Any) -> NDArray[np.float32]:
        """(36, 64, 3) float32: brightness and colour differences of a small copy, 0 to 255."""
        small = self._small.reformat(frame, *_SIGNATURE, format="yuv444p", interpolation=_AREA, threads=1)
        return small.to_ndarray().reshape(3, _SIGNATURE[1], _SIGNATURE[0]).transpose(1, 2, 0).astype(np.float32)

    def picture(self, frame: Any, side: int, *, longer: bool = False) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, sRGB, upright, square pixels; its shorter side at most ``side`` pixels.

        Args:
            longer: limit the longer side instead.
        """
        width, height = self._square(frame)
        self._size = self._size or _turned(width, height, frame.rotation)
        scale = min(1.0, side / (max if longer else min)(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        is_hdr = frame.color_trc in (PQ, HLG)
        matrix = frame.colorspace if frame.colorspace not in (0, 2, 3) else None
        if matrix is None and not frame.format.is_rgb:
            matrix = _BT2020 if is_hdr else _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
        seen = self._large.reformat(
            frame,
            *size,
            format="rgb48le" if is_hdr else "rgb24",
            src_colorspace=_BT2020 if matrix == 10 else matrix,
            dst_color_range=_FULL_RANGE,
            interpolation=_BICUBIC,
            threads=1,
        ).to_ndarray()
        shown = standard(seen, frame.color_trc) if is_hdr else seen
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(shown, turns))

    def _square(self, frame: Any) -> tuple[int, int]:
        """Width and height in square pixels, as stored."""
        ratio = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        pixel = float(ratio) if ratio else 1.0
        if not 1 / _NOT_TV <= pixel <= _NOT_TV:
            pixel = 1.0
        return max(1, round(frame.width * pixel)), frame.height

    # Metadata

    def about(self) -> dict[str, Any]:
        """Metadata: displayed size, duration in seconds, format, codec, and texts."""
        name = self._container.format.name.split(",")[0]
        form = _NAMES.get(name, name.upper())
        texts = {**self._stream.metadata, **self._container.metadata}
        if name == "mov" and texts.get("major_brand", "").startswith("qt"):
            form = "MOV"
        if name == "matroska":
            self._file.seek(0)
            form = "WEBM" if b"webm" in self._file.read(64) else form
        long = self.duration()
        return {
            "form": "FRAMES",
            "shown": self._size,
            "duration": round((plausible(self._last) or 0.0) if long is None else long, 3),
            "format": form,
            "codec": self._stream.codec_context.name,
            "texts": {str(k).lower(): str(v)[:200] for k, v in list(texts.items())[:100]},
        }

    def why_nothing(self) -> str:
        """The reason to report if no frame could be decoded."""
        return f"no frame of it can be decoded ({self._stream.codec_context.name})"


def plausible(seconds: float) -> float | None:
    """A duration as it was stored, or None: files are untrusted, and damaged ones have any number."""
    return seconds if 0 < seconds <= LONGEST else None


def _regular(path: str, asked: dict[str, Any]) -> Any:
    """Open the file; refuse it if it is not a regular file with the expected size and modification time."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns) != (asked["bytes"], asked["mtime_ns"]):
        file.close()
        raise Unreadable("changed while it was read")
    return file


def _reason(error: Exception) -> str:
    text = str(error)
    if "Invalid data" in text:
        return "damaged or truncated video"
    if "End of file" in text:
        return "truncated video"
    return "not a video of a kind that is read"


def _turned(width: int, height: int, rotation: int) -> tuple[int, int]:
    return (height, width) if round(rotation / 90) % 2 else (width, height)
