"""Videos: representative frames and metadata of the container, from the decoder process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.dates import Moment, parse_moment
from retrieval.pictures.decoders import Decoded, MissingDecoder, shared
from retrieval.pictures.decoding import FILTERS, MAX_PIXELS, cropped
from retrieval.pictures.exif import Exif, camera_name, plain_text
from retrieval.pictures.geometry import fit
from retrieval.pictures.motion import content_identifier
from retrieval.pictures.optional import EXTRA_OF

FRAMES_PER_MINUTE = 10
"""Maximum number of embedded frames per minute; default of :func:`read_video`."""

MOST_FRAMES = 300
"""Maximum number of frames per file."""

MOST_SECONDS = 180
"""Limit of CPU time per file."""

_WIDEST = 8  # maximum ratio of the sides; of longer frames only the middle is used
_FIRST_CLOCK = datetime(1971, 1, 1)  # earlier times come from clocks that were never set
_QUICKTIME = "com.apple.quicktime."
_LOCATION = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)(?:[+-]\d+(?:\.\d+)?)?(?:CRS.*)?/?\s*\Z")


class Video(NamedTuple):
    """What is stored about a video.

    Args:
        pixels: frames as expected by the encoder, each (3, size, size) uint8.
        times: time of each frame, in seconds from the beginning.
        still: index of the frame that represents the video.
        width, height: displayed size in pixels.
        format: container format: ``MP4``, ``MOV``, ``MKV``, ``WEBM``, ``AVI``, ...
        duration: seconds.
        exif: date, place and camera from the container.
        colour: 0xRRGGBB, the average of the frame ``still``.
    """

    pixels: list[NDArray[np.uint8]]
    times: list[float]
    still: int
    width: int
    height: int
    format: str
    duration: float
    exif: Exif
    colour: int


def read_video(
    path: str, found: tuple[int, int], preprocessing: Preprocessing, *, per_minute: int = FRAMES_PER_MINUTE
) -> Video:
    """Decode the representative frames of a video.

    Args:
        found: expected size in bytes and modification time in nanoseconds; any other file is refused.
        preprocessing: that of the encoder.
        per_minute: maximum number of frames per minute.

    Raises:
        UnreadableImage: the file cannot be used, for any reason.
    """
    asked = {"side": preprocessing.scaled, "per_minute": per_minute, "most": MOST_FRAMES}
    decoded = _ask("video", path, *found, asked)
    about = decoded.about
    width, height = about["size"]
    frames = np.frombuffer(decoded.picture, np.uint8).reshape(-1, height, width, 3)
    still = frames[about["still"]]
    red, green, blue = (round(float(value)) for value in still.reshape(-1, 3).mean(axis=0))
    return Video(
        [_seen(frame, preprocessing) for frame in frames],
        about["times"],
        about["still"],
        about["shown"][0],
        about["shown"][1],
        about["format"],
        about["duration"],
        exif_of_container(about["texts"]),
        red << 16 | green << 8 | blue,
    )


def read_frame(path: str, size: int, mtime_ns: int, at: float, side: int) -> Image.Image:
    """A frame for display: upright, in sRGB, its longer side at most ``side`` pixels, never enlarged.

    Args:
        size, mtime_ns: expected size (bytes) and modification time of the file.
        at: seconds from the beginning.

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    return _ask("video frame", path, size, mtime_ns, {"at": at, "side": side}).image()


def _ask(work: str, path: str, size: int, mtime_ns: int, asked: Mapping[str, Any]) -> Decoded:
    limits = {"max_pixels": MAX_PIXELS, "bytes": size, "mtime_ns": mtime_ns}
    try:
        return shared.decode(work, b"", "video", seconds=MOST_SECONDS, path=os.path.abspath(path), **limits, **asked)
    except MissingDecoder:
        raise UnreadableImage("no decoder for video", EXTRA_OF[".mp4"].install) from None


def _seen(frame: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A frame, (height, width, 3), in the form expected by the encoder."""
    height, width = frame.shape[:2]
    if width > _WIDEST * height:
        frame = frame[:, (width - _WIDEST * height) // 2 :][:, : _WIDEST * height]
    elif height > _WIDEST * width:
        frame = frame[(height - _WIDEST * width) // 2 :][: _WIDEST * width]
    image = Image.fromarray(np.ascontiguousarray(frame))
    plan = fit(*image.size, preprocessing)
    return cropped(image.resize(plan[:2], FILTERS[preprocessing.interpolation]), plan, preprocessing.size)


def exif_of_container(texts: Mapping[str, str]) -> Exif:
    """Date, place, camera and a live photo's identifier from a container's metadata (names in lower case).

    QuickTime's own keys take precedence, because they have the local time. ``creation_time`` is in UTC. References:
    QuickTime File Format, "Metadata keys"; ISO 6709 for places.
    """
    moment = _moment(texts.get(_QUICKTIME + "creationdate")) or _moment(texts.get("creation_time") or texts.get("date"))
    latitude, longitude = _position(texts.get(_QUICKTIME + "location.iso6709") or texts.get("location"))
    make = _first(texts, _QUICKTIME + "make", "make", "com.android.manufacturer", "manufacturer")
    model = _first(texts, _QUICKTIME + "model", "model", "com.android.model")
    return Exif(
        taken_at=None if moment is None else moment.at,
        offset_minutes=None if moment is None else moment.offset_minutes,
        precision=None if moment is None else moment.precision,
        microsecond=0 if moment is None else moment.microsecond,
        camera=camera_name(plain_text(make), plain_text(model)),
        latitude=latitude,
        longitude=longitude,
        content_id=content_identifier(texts.get(_QUICKTIME + "content.identifier")),
    )


def _first(texts: Mapping[str, str], *names: str) -> str | None:
    return next((texts[name] for name in names if texts.get(name)), None)


def _moment(text: str | None) -> Moment | None:
    found = parse_moment(text)
    return None if found is None or found.at < _FIRST_CLOCK else found


def _position(text: str | None) -> tuple[float | None, float | None]:
    found = _LOCATION.match(text or "")
    if found is None:
        return None, None
    latitude, longitude = float(found[1]), float(found[2])
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


@cache
def can_read() -> bool:
    """Whether the library that reads videos is installed."""
    return EXTRA_OF[".mp4"].is_installed()
