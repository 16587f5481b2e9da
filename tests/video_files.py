"""Small videos, made by the library that reads them: scenes of one colour each, with what containers may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.fakes import COLOURS

TENTH = Fraction(1, 10)


def picture(colour: str | tuple[int, int, int], width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): that colour, the upper left quarter half as bright."""
    named = COLOURS.get(colour) if isinstance(colour, str) else None
    red, green, blue = colour if not isinstance(colour, str) else (220 * c for c in named or (0, 0, 0))
    seen = np.empty((height, width, 3), np.uint8)
    seen[:] = red, green, blue
    seen[: height // 2, : width // 2] //= 2
    return seen


def in_its_own_thread(write: Callable[..., Path]) -> Callable[..., Path]:
    """Call ``write`` in a thread that ends with it.

    As root, SVT-AV1 gives the thread that calls it real-time priority over everything else on the machine, and whatever
    is started from there inherits it.
    """

    @wraps(write)
    def called(*arguments: Any, **settings: Any) -> Path:
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(write, *arguments, **settings).result()

    return called


@in_its_own_thread
def video(
    path: Path,
    scenes: Sequence[tuple[Any, float]] = (("red", 2), ("green", 2), ("blue", 2)),
    *,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    key_every: int = 10,
    rotation: int = 0,
    pixel: Fraction | None = None,
    pixels: str = "yuv420p",
    steps: Sequence[int] = (1,),
    transfer: int | None = None,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> Path:
    """Write a video of some scenes (colour, seconds) at ten frames a second.

    Args:
        key_every: frames from one key frame to the next.
        rotation: degrees counterclockwise, of the display matrix.
        pixel: how much wider than high a pixel is.
        steps: tenths of a second from frame to frame, again and again.
        transfer: of the light, by its number; frames are then (height, width, 3) uint16.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=dict(container or {})) as file:
        for name, text in (metadata or {}).items():
            file.metadata[name] = text
        stream = file.add_stream(codec, rate=10, options=dict(options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.gop_size = key_every
        stream.codec_context.time_base = TENTH
        if codec == "libx264":
            stream.options = {"sc_threshold": "0", "forced-idr": "1", **dict(options or {})}
        if rotation:
            stream.set_display_rotation(rotation)
        if pixel is not None:
            stream.codec_context.sample_aspect_ratio = pixel
        if transfer is not None:
            stream.codec_context.color_trc = transfer
            stream.codec_context.color_primaries = 9
            stream.codec_context.colorspace = 9
        at = frame_number = 0
        for colour, seconds in scenes:
            seen = colour if isinstance(colour, np.ndarray) else picture(colour, *size)
            end = at + round(10 * seconds)
            while at < end:
                frame = av.VideoFrame.from_ndarray(seen, format="rgb48le" if seen.dtype == np.uint16 else "rgb24")
                if transfer is not None:
                    frame = frame.reformat(format=pixels, dst_colorspace=9)
                    frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
                frame.pts, frame.time_base = at, TENTH
                for packet in stream.encode(frame):
                    file.mux(packet)
                at += steps[frame_number % len(steps)]
                frame_number += 1
        for packet in stream.encode():
            file.mux(packet)
    return path


def sound(path: Path) -> Path:
    """Write a second of silence in a container that may hold a video."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        for packet in (*stream.encode(frame), *stream.encode()):
            file.mux(packet)
    return path
