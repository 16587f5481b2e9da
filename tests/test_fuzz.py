"""Files changed at random, from one of each kind: every reader ends with a result or with its own error.

``PHOTOSEEK_FUZZ`` (how many changes of each kind of file, 12 by default) and ``PHOTOSEEK_FUZZ_SEED`` make it longer; a
change that failed is named by its number and seed, and made again from them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from retrieval.duplicates.evidence import evidence_of
from retrieval.encoders.base import Preprocessing
from retrieval.errors import SettingsError, UnreadableImage
from retrieval.indexing.ignore import parse
from retrieval.labels.embedded import read_inside
from retrieval.labels.xmp import UnreadableXmp, parse_xmp
from retrieval.pictures.decoding import MAX_PIXELS, picture_in
from retrieval.pictures.doubtful import doubt_of, is_amplified
from retrieval.pictures.images import read_exif_of, read_picture
from retrieval.pictures.memory import Budget
from retrieval.pictures.raw_exif import read_raw_exif
from tests.hostile_pictures import amplified_exif, empty_scans, exif_segments, huge_avif, huge_webp, png_chunks
from tests.raw_files import dng, scene
from tests.retrieval.pictures.test_images import valid_files
from tests.retrieval.xmp_files import packet, with_xmp

CHANGES = int(os.environ.get("PHOTOSEEK_FUZZ", "12"))
SEED = int(os.environ.get("PHOTOSEEK_FUZZ_SEED", "1"))
SMALL = Preprocessing(32)


def corpus() -> dict[str, bytes]:
    """One small file of each kind."""
    files = valid_files()
    return files | {
        "empty scans": empty_scans(20, 64),
        "EXIF segments": exif_segments(4000),
        "amplified EXIF": amplified_exif(40),
        "chunks": png_chunks(4000),
        "huge WebP": huge_webp(300),
        "huge AVIF": huge_avif(300),
        "XMP": with_xmp(files["JPEG"], packet(["one", "two"], description="words")),
        "DNG": dng(scene(60, 40)),
        "sidecar": packet(["one", "two"], description="words"),
        "ignore": b"*.tmp\n!keep/**\n[a-z]?\\#\n/top/\n" * 3,
    }


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to four changes: bits, bytes, lengths, pieces lost, doubled, exchanged or cut off."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        size = max(len(content), 1)
        at, other = (int(place) for place in rng.integers(size, size=2))
        length = int(min(rng.integers(1, 64), size))
        kind = int(rng.integers(8))
        if kind == 0 and content:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and content:
            content[at] = int(rng.integers(256))
        elif kind == 2:
            content[at : at + length] = rng.bytes(length)
        elif kind == 3:
            content[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
        elif kind == 4:
            del content[at : at + length]
        elif kind == 5:
            content[at:at] = content[other : other + length] * int(rng.integers(1, 20))
        elif kind == 6:
            content[at : at + length] = content[other : other + length]
        else:
            del content[at:]
    return bytes(content)


def changes(name: str) -> Iterator[tuple[int, bytes]]:
    """(number, file); each from a generator of its own, so that one can be made alone."""
    data = corpus()[name]
    for number in range(CHANGES):
        yield number, changed(data, np.random.default_rng([SEED, number, sum(name.encode())]))


def _here(data: bytes) -> None:
    """In this process, if it would be decoded here."""
    if doubt_of(data) is None:
        picture_in(data, SMALL, MAX_PIXELS, Budget(1 << 30))


READERS: dict[str, tuple[Callable[[bytes], Any], tuple[type[Exception], ...]]] = {
    "doubt": (doubt_of, ()),
    "amplified": (is_amplified, ()),
    "picture": (_here, (UnreadableImage,)),
    "EXIF": (read_exif_of, ()),
    "EXIF of RAW": (read_raw_exif, ()),
    "XMP inside": (read_inside, (UnreadableXmp,)),
    "XMP": (parse_xmp, (UnreadableXmp,)),
    "evidence": (evidence_of, ()),
    "patterns": (lambda data: parse(data.decode("utf-8", "replace").splitlines(), "x"), (SettingsError,)),
}


@pytest.mark.parametrize("name", corpus())
def test_no_change_to_a_file_ends_in_a_fault(name: str) -> None:
    counts = dict.fromkeys(READERS, 0)
    for number, data in changes(name):
        for reader, (read, expected) in READERS.items():
            try:
                read(data)
                counts[reader] += 1
            except expected:
                pass
            except Exception as error:
                raise AssertionError(f"{reader}: change {number} of {name!r}, seed {SEED}") from error
    print(f"{name}: {CHANGES} changes, read without an error: {counts}")


@pytest.mark.parametrize("name", ["AVIF", "HEIF", "JPEG2000", "DNG", "chunks"])
def test_no_change_to_a_file_ends_the_process_that_asks(name: str) -> None:
    for number, data in changes(name):
        try:
            seen = read_picture(data, SMALL)
            assert seen.pixels.shape == (3, 32, 32)
        except UnreadableImage as error:
            assert error.reason and "\n" not in error.reason, f"change {number} of {name!r}, seed {SEED}"
