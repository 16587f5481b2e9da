"""The video inside a picture file: found where it is, whatever the numbers in the file say; nothing else is taken."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("av")

from retrieval.pictures.images import read_exif_of
from retrieval.pictures.motion import apple_identifier, content_identifier, find_motion, media_type_of_motion
from tests import motion_files
from tests.motion_files import IDENTIFIER


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return motion_files.clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("made", [motion_files.micro_video, motion_files.motion_photo, motion_files.samsung])
def test_the_video_in_a_jpeg_is_found(made: object, moving: bytes) -> None:
    data = made(moving)  # type: ignore[operator]
    found = find_motion(data, "JPEG")
    assert found is not None
    assert data[found.offset : found.offset + found.length] == moving
    assert media_type_of_motion(moving) == "video/mp4"


def test_the_video_in_a_heif_is_found(moving: bytes) -> None:
    data = motion_files.heif_with_video(moving)
    found = find_motion(data, "HEIF")
    assert found is not None and data[found.offset :] == moving
    assert find_motion(data[: -len(moving) - 8], "HEIF") is None


def test_an_offset_that_became_wrong_does_no_harm(moving: bytes) -> None:
    data = motion_files.micro_video(moving, wrong=17)
    found = find_motion(data, "JPEG")
    assert found is not None and data[found.offset :] == moving
    longer = find_motion(data + b"a trailer of another program", "JPEG")
    assert longer == found


def test_a_video_without_its_end_is_none(moving: bytes) -> None:
    for made in (motion_files.micro_video, motion_files.motion_photo, motion_files.samsung):
        whole = made(moving)
        start = whole.index(moving)
        for kept in (0, 4, 20, len(moving) // 2, len(moving) - 1):
            assert find_motion(whole[: start + kept], "JPEG") is None


def test_what_is_not_declared_is_none(moving: bytes) -> None:
    assert find_motion(motion_files.still(), "JPEG") is None
    assert find_motion(motion_files.still() + moving, "JPEG") is None
    assert find_motion(motion_files.micro_video(moving, declared=0), "JPEG") is None
    assert find_motion(motion_files.micro_video(b""), "JPEG") is None
    assert find_motion(motion_files.micro_video(moving), "PNG") is None
    assert find_motion(b"", "JPEG") is None


def test_damaged_files_never_raise_and_give_only_stretches_of_the_file(moving: bytes) -> None:
    chance = random.Random(5)
    for made in (motion_files.samsung, motion_files.motion_photo, motion_files.heif_with_video):
        whole = made(moving)
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(20):
                data[chance.randrange(len(data))] = chance.randrange(256)
            found = find_motion(bytes(data), "HEIF" if made is motion_files.heif_with_video else "JPEG")
            assert found is None or 0 < found.offset < found.offset + found.length <= len(data)


def test_apples_identifier_is_read(tmp_path: Path) -> None:
    picture = motion_files.live_still(tmp_path / "IMG_1.JPG")
    assert read_exif_of(picture.read_bytes()).content_id == IDENTIFIER
    assert read_exif_of(motion_files.still()).content_id is None


def test_damaged_maker_notes_are_none() -> None:
    note = motion_files.apple_note()
    assert apple_identifier(note) == IDENTIFIER
    for end in range(len(note) - 30):
        assert apple_identifier(note[:end]) is None
    chance = random.Random(3)
    for _ in range(300):
        damaged = bytes(byte if chance.random() < 0.9 else chance.randrange(256) for byte in note)
        found = apple_identifier(damaged)
        assert found is None or found.isascii()
    assert apple_identifier("text") is None and content_identifier("x y") is None and content_identifier(None) is None
