"""Frames of videos: which ones, when, upright and in the right colours; files that are none are told, with a reason."""

from __future__ import annotations

import os
import struct
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.video import Video, exif_of_container, read_frame, read_video

pytest.importorskip("av")

from retrieval.pictures.video_file import plausible
from tests.video_files import sound, video

SEEN = Preprocessing(size=32)
NEAR = 12  # of 255: videos are compressed


def read(path: Path, **how: int) -> Video:
    found = path.stat()
    return read_video(str(path), (found.st_size, found.st_mtime_ns), SEEN, **how)


def frame(path: Path, at: float, side: int = 200) -> np.ndarray:
    found = path.stat()
    return np.asarray(read_frame(str(path), found.st_size, found.st_mtime_ns, at, side), np.int16)


def colour(pixels: np.ndarray) -> str:
    """Which of red, green and blue a (3, h, w) picture is most."""
    return ("red", "green", "blue")[int(pixels.reshape(3, -1).mean(axis=1).argmax())]


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("a.mp4", "libx264", "MP4"),
        ("a.mov", "libx264", "MOV"),
        ("a.mp4", "mpeg4", "MP4"),
        ("a.mkv", "libx264", "MKV"),
        ("a.webm", "libvpx-vp9", "WEBM"),
        ("a.avi", "mpeg4", "AVI"),
        ("a.ts", "libx264", "MPEGTS"),
        ("a.mp4", "libx265", "MP4"),
        ("a.mp4", "libsvtav1", "MP4"),
    ],
)
def test_one_frame_of_each_scene(tmp_path: Path, name: str, codec: str, form: str) -> None:
    options = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"svtav1-params": "keyint=10"}}
    found = read(video(tmp_path / name, codec=codec, options=options.get(codec)))
    assert [colour(pixels) for pixels in found.pixels] == ["red", "green", "blue"]
    assert found.times == pytest.approx([0, 2, 4], abs=0.15)
    assert (found.width, found.height, found.format) == (160, 120, form)
    assert found.duration == pytest.approx(6, abs=0.3)


def test_never_more_than_so_many_a_minute_and_always_one(tmp_path: Path) -> None:
    scenes = [(("red", "green", "blue")[n % 3], 1) for n in range(12)]
    path = video(tmp_path / "a.mp4", scenes)
    assert len(read(path).times) == 10
    assert len(read(path, per_minute=4).times) == 4
    [only] = read(video(tmp_path / "b.mp4", [("red", 5)])).times
    assert only == 0


def test_the_longest_scene_stands_for_it_unless_it_is_plain(tmp_path: Path) -> None:
    found = read(video(tmp_path / "a.mp4", [((0, 0, 0), 4), ("red", 1), ("green", 3)]))
    assert found.times[found.still] == pytest.approx(5, abs=0.1)
    red, green, blue = found.colour >> 16, found.colour >> 8 & 255, found.colour & 255
    assert green > 100 > max(red, blue)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation(tmp_path: Path, rotation: int) -> None:
    path = video(tmp_path / "a.mp4", [("red", 1)], rotation=rotation)
    found = read(path)
    assert (found.width, found.height) == ((160, 120) if rotation == 180 else (120, 160))
    seen = frame(path, 0)[:, :, 0]
    height, width = seen.shape
    assert (width, height) == (found.width, found.height)
    quarters = {
        "upper left": seen[: height // 3, : width // 3],
        "upper right": seen[: height // 3, -width // 3 :],
        "lower left": seen[-height // 3 :, : width // 3],
        "lower right": seen[-height // 3 :, -width // 3 :],
    }
    darkest = min(quarters, key=lambda name: quarters[name].mean())
    assert darkest == {90: "lower left", 180: "lower right", -90: "upper right"}[rotation]


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [("red", 1)], pixel=Fraction(4, 3))
    found = read(path)
    assert (found.width, found.height) == (213, 120)
    assert frame(path, 0).shape == (113, 200, 3)


def test_colours(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [((200, 60, 30), 0.5)], size=(320, 240))
    assert np.abs(frame(path, 0)[100, 180] - (200, 60, 30)).max() <= NEAR


def test_times_of_frames_that_come_irregularly(tmp_path: Path) -> None:
    found = read(video(tmp_path / "a.mkv", [("red", 3), ("green", 5), ("blue", 4)], steps=(1, 7), key_every=1))
    assert found.times[0] == 0 and 3.2 <= found.times[1] <= 4.2 and 8.8 <= found.times[2] <= 9.8
    assert [colour(pixels) for pixels in found.pixels] == ["red", "green", "blue"]


def test_one_key_frame_in_a_long_video(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", [("red", 15), ("green", 15), ("blue", 15)], key_every=10_000)
    found = read(path)
    assert [colour(pixels) for pixels in found.pixels] == ["red", "green", "blue"]
    assert found.times[0] == 0 and 15 <= found.times[1] <= 21 and 30 <= found.times[2] <= 36
    assert frame(path, found.times[2])[100, 100].argmax() == 2


def test_a_recording_of_hours_is_looked_at_in_steps(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", [("red", 9000), ("green", 9000)], steps=(100,), key_every=1, size=(32, 32))
    found = read(path)
    assert [colour(pixels) for pixels in found.pixels] == ["red", "green"]
    assert found.times[1] == pytest.approx(9000, abs=20)


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_shown_as_it_was_meant(tmp_path: Path, transfer: int) -> None:
    signal = {16: (0.4236, 0.5807, 0.75), 18: (0.45, 0.75, 1.0)}[transfer]  # grey, white (203 nits), highlights
    seen = np.zeros((120, 180, 3), np.uint16)
    for n, value in enumerate(signal):
        seen[:, 60 * n : 60 * n + 60] = round(value * 65535)
    path = video(
        tmp_path / "a.mp4", [(seen, 0.5)], size=(180, 120), codec="libx265", pixels="yuv420p10le", transfer=transfer,
        options={"x265-params": f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"},
    )  # fmt: skip
    grey, white, light = (frame(path, 0)[60, 30 + 60 * n] for n in range(3))
    assert 100 < grey.mean() < 180 and 225 < white.mean() < 250 and 240 < light.mean() <= 255
    assert all(np.ptp(each) <= NEAR for each in (grey, white, light))


def test_a_frame_at_any_time(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    for at, expected in ((0, 0), (1.95, 0), (2.5, 1), (5.9, 2), (100, 2)):
        assert frame(path, at)[100, 150].argmax() == expected
    assert frame(path, 3, side=40).shape == (30, 40, 3)


def test_what_the_container_says(tmp_path: Path) -> None:
    told = {
        "com.apple.quicktime.creationdate": "2023-05-06T07:08:09+0200",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 14",
        "com.apple.quicktime.location.ISO6709": "+48.8577-002.2950+035.1/",
    }
    exif = read(video(tmp_path / "a.mov", metadata=told, container={"movflags": "use_metadata_tags"})).exif
    assert (exif.taken_at, exif.offset_minutes) == (datetime(2023, 5, 6, 7, 8, 9), 120)
    assert (exif.camera, exif.latitude, exif.longitude) == ("Apple iPhone 14", 48.8577, -2.295)
    plain = read(video(tmp_path / "b.mp4", metadata={"creation_time": "2023-05-06T07:08:09.000000Z"})).exif
    assert (plain.taken_at, plain.offset_minutes) == (datetime(2023, 5, 6, 7, 8, 9), 0)
    unset = exif_of_container({"creation_time": "1970-01-01T00:00:05Z", "location": "+00.0000+000.0000/"})
    assert (unset.taken_at, unset.latitude) == (None, None)
    assert exif_of_container({"location": "+99+10/"}).latitude is None


@pytest.mark.parametrize("kind", ["empty", "noise", "no index", "sound", "playlist", "text"])
def test_what_is_no_video_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "sound":
        sound(path)
    elif kind == "no index":
        path.write_bytes(video(tmp_path / "b.mp4").read_bytes()[:3000])
    else:
        secret = video(tmp_path / "secret.ts")
        path.write_bytes({
            "empty": b"", "noise": os.urandom(20_000), "text": b"hello\n" * 100,
            "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{secret}\n#EXT-X-ENDLIST\n".encode(),
        }[kind])  # fmt: skip
    with pytest.raises(UnreadableImage) as told:
        read(path)
    assert "\n" not in told.value.reason and str(tmp_path) not in told.value.reason
    if kind == "sound":
        assert told.value.reason == "no video in it, sound at most"


def test_what_is_there_of_a_file_that_breaks_off_is_read(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    assert read(tmp_path / "b.mkv").times[0] == 0


def test_bytes_that_are_damaged_end_nothing(tmp_path: Path) -> None:
    whole = bytearray(video(tmp_path / "a.mp4").read_bytes())
    places = np.random.default_rng(0)
    for _ in range(40):
        for at in places.integers(0, len(whole), 20).tolist():
            whole[at] = 255 - whole[at]
        (tmp_path / "b.mp4").write_bytes(whole)
        try:
            assert read(tmp_path / "b.mp4").times
        except UnreadableImage as told:
            assert told.reason
    assert read(tmp_path / "a.mp4").times


def test_another_file_at_its_path_is_refused(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    with pytest.raises(UnreadableImage, match="changed while it was read"):
        read_frame(str(path), path.stat().st_size + 1, path.stat().st_mtime_ns, 0, 100)


@pytest.mark.parametrize("stored", [-5e6, 1e17, float("nan"), float("inf")])
def test_a_duration_that_cannot_be_is_not_believed(tmp_path: Path, stored: float) -> None:
    data = video(tmp_path / "a.mkv").read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a float64 in milliseconds
    (tmp_path / "b.mkv").write_bytes(data[:at] + struct.pack(">d", stored) + data[at + 8 :])
    assert 0 <= read(tmp_path / "b.mkv").duration <= 10
    assert [plausible(seconds) for seconds in (stored, stored * 1e-3, -1, 0, 3.5)] == [None] * 4 + [3.5]
