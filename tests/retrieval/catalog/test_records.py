"""Plain values of the catalog: vectors, moments, paths, and which bytes are which format."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog.batch import Batch, Counts
from retrieval.catalog.records import FileChanged, ImageRecord, pack_vector, taken_at, unpack_vectors
from retrieval.errors import UnreadableImage
from retrieval.paths import decode_path, encode_path, is_below
from retrieval.pictures.formats import IMAGE_EXTENSIONS, open_image, sniff
from tests.pictures import picture


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_any_file_name_survives_the_catalog(name: bytes) -> None:
    text = os.fsdecode(name)
    stored = encode_path(text)
    assert decode_path(stored) == text
    assert os.fsencode(decode_path(stored)) == name
    try:
        name.decode()
    except UnicodeDecodeError:
        assert stored == name
    else:
        assert stored == text


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b/c", "/a/b", True),
        ("/a/bc", "/a/b", False),
        ("/a", "/a/b", False),
        ("/a", "/", True),
        ("/", "/", True),
    ],
)
def test_below_means_whole_names(path: str, folder: str, below: bool) -> None:
    assert is_below(path, folder) is below


def test_vectors_keep_their_direction_and_come_back_with_length_one() -> None:
    rows = np.random.default_rng(3).standard_normal((50, 512)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    blobs = [pack_vector(row) for row in rows]
    assert {len(blob) for blob in blobs} == {1024}
    back = unpack_vectors(blobs, 512)
    assert back.dtype == np.float32 and back.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    assert (rows * back).sum(axis=1).min() > 1 - 5e-7
    assert unpack_vectors([], 512).shape == (0, 512)


def test_a_moment_has_an_offset_only_where_the_camera_said_one() -> None:
    assert taken_at(None, None) is None
    assert taken_at("2023-06-01T18:30:00", None) == datetime(2023, 6, 1, 18, 30)
    moment = taken_at("2023-06-01T18:30:00", -210)
    assert moment is not None and moment.isoformat() == "2023-06-01T18:30:00-03:30"
    assert moment == datetime(2023, 6, 1, 22, 0, tzinfo=timezone(timedelta(0)))


def test_a_record_compares_itself_with_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(7, 7))
    record = ImageRecord(1, str(path), 5, 7, "JPEG", 1, 1, None, None, None, None, None, b"")
    assert record.on_disk() == "same"
    os.utime(path, ns=(7, 8))
    assert record.on_disk() == "changed"
    path.write_bytes(b"1234")
    os.utime(path, ns=(7, 7))
    assert record.on_disk() == "changed"
    path.unlink()
    assert record.on_disk() == "missing"


def test_a_record_opens_the_file_that_was_indexed_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(7, 7))
    record = ImageRecord(1, str(path), 5, 7, "JPEG", 1, 1, None, None, None, None, None, b"")
    with record.open() as file:
        path.unlink()
        path.write_bytes(b"other")  # put at its path while it is open
        assert file.read() == b"12345"
    with pytest.raises(FileChanged):
        record.open()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        record.open()
    path.mkdir()
    with pytest.raises(OSError, match=r"a\.jpg"):
        record.open()
    path.rmdir()
    os.mkfifo(path)  # nobody ever writes to it: whoever opens it as usual waits forever
    with pytest.raises(FileChanged):
        record.open()


def test_counts_add_up_and_a_batch_is_as_long_as_what_it_holds() -> None:
    counts = Counts(added=1, retired=2)
    counts += Counts(added=3, failed=4)
    assert counts == Counts(added=4, retired=2, failed=4)
    assert len(Batch()) == 0
    assert len(Batch(restored=[1], retired=[2, 3], resolved=[4])) == 4


FORMATS = {"JPEG": "jpeg", "PNG": "png", "GIF": "gif", "BMP": "bmp", "TIFF": "tiff", "WEBP": "webp", "PPM": "ppm"}


@pytest.mark.parametrize("name", [*FORMATS, "JPEG2000", "AVIF"])
def test_content_says_what_a_file_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "picture.bin"
    picture("red", size=(24, 16)).save(path, format=name)
    data = path.read_bytes()
    assert sniff(data) == name
    opened = open_image(data, name)
    assert opened.size == (24, 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"%PDF-1.7 and more", r"not an image \(a PDF document\)"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08", r"an unknown format\)"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isom", "not an image"),
        (b"RIFF\x00\x00\x00\x00WAVE", "not an image"),
        (b"P7\n", "not an image"),
    ],
)
def test_what_is_no_picture_is_named_by_its_opening(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        sniff(data)


@given(st.binary(max_size=64))
def test_sniffing_any_bytes_gives_a_format_or_a_reason(data: bytes) -> None:
    try:
        assert isinstance(sniff(data), str)
    except UnreadableImage as error:
        assert error.reason and "\n" not in error.reason and error.reason.isprintable()


def test_extensions_are_lower_case_with_the_dot() -> None:
    assert all(extension == extension.lower() and extension.startswith(".") for extension in IMAGE_EXTENSIONS)
    usual = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".pnm", ".pbm", ".pgm", ".ppm"}
    assert usual | {".heic", ".heif", ".avif"} <= IMAGE_EXTENSIONS
