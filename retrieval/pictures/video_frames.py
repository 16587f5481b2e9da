"""Choice of the representative frames of a video; runs in a decoder process (``decoder_program.py``).

Each sampled frame is compared with the last one kept, by the colours of a small copy (PySceneDetect's content
measure, in Y'CbCr). Of the frames that differ enough, the most different ones of each minute are kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.pictures.video_file import Unreadable, VideoFile

NEW_SCENE = 12.0
"""Minimum weighted mean difference (0 to 255) between a scene's first frame and the last frame kept."""

_FLAT = 6.0  # a frame with a lower standard deviation of brightness is uniformly black, white or grey
_WEIGHTS = np.array([0.5, 0.25, 0.25], np.float32)


class _Looked(NamedTuple):
    at: float
    difference: float
    is_flat: bool
    picture: NDArray[np.uint8]  # (height, width, 3) sRGB, upright


def sampled(path: str, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The representative frames of a video, and its metadata.

    Args:
        asked: ``side``, pixels of a frame's shorter side; ``per_minute`` and ``most``, maximum number of frames per
            minute and per file; ``bytes`` and ``mtime_ns``, as expected of the file; ``max_pixels``; ``seconds``.
    """
    with VideoFile(path, asked) as video:
        kept: list[_Looked] = []
        minute: list[_Looked] = []
        last: NDArray[np.float32] | None = None
        for at, frame in video.looked():
            signature = video.signature(frame)
            difference = np.inf if last is None else _difference(signature, last)
            if difference < NEW_SCENE:
                continue
            if minute and at >= minute[0].at + 60:
                kept += _most_different(minute, asked["per_minute"])
                minute = []
            last = signature
            is_flat = bool(signature[..., 0].std() < _FLAT)
            minute.append(_Looked(at, float(difference), is_flat, video.picture(frame, asked["side"])))
            minute = _most_different(minute, 4 * asked["per_minute"])
        kept = _most_different(kept + _most_different(minute, asked["per_minute"]), asked["most"])
        if not kept:
            raise Unreadable(video.why_nothing())
        about = video.about()
        first = kept[0].picture.shape
        kept = [each for each in kept if each.picture.shape == first]  # the frame size of a stream may change
        still = _still(kept, about["duration"])
        about |= {"times": [round(each.at, 3) for each in kept], "still": still, "size": (first[1], first[0])}
        return about, b"".join(each.picture.tobytes() for each in kept)


def frame_at(path: str, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The frame at a time (``at``, seconds), its longer side at most ``side`` pixels, never enlarged."""
    with VideoFile(path, asked) as video:
        frame = video.frame_at(asked["at"])
        if frame is None:
            raise Unreadable(video.why_nothing())
        picture = video.picture(frame, asked["side"], longer=True)
        return {"form": "RGB", "size": (picture.shape[1], picture.shape[0])}, picture.tobytes()


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).mean(axis=(0, 1)) @ _WEIGHTS)


def _most_different(looked: list[_Looked], most: int) -> list[_Looked]:
    """The ``most`` frames with the largest differences, in order of time; the first frame is always kept."""
    if len(looked) <= most:
        return looked
    chosen = sorted(looked, key=lambda each: (-each.difference, each.at))[:most]
    return sorted(chosen, key=lambda each: each.at)


def _still(kept: list[_Looked], duration: float) -> int:
    """Index of the frame that represents the video: that of the longest scene that is not uniform."""
    ends = [*(each.at for each in kept[1:]), max(duration, kept[-1].at)]
    lengths = [end - each.at for each, end in zip(kept, ends, strict=True)]
    return max(range(len(kept)), key=lambda n: (not kept[n].is_flat, lengths[n], -n))
