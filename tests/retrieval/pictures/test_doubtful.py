"""Files that may take very long: recognised from their structure, decoded in a process that can be ended."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.duplicates.evidence import Evidence, evidence_of
from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.free_memory import NO_MEMORY
from retrieval.labels.embedded import read_inside
from retrieval.pictures import decoders, images, memory
from retrieval.pictures.decoders import Abandoned, Abandonment, Decoders, abandonable
from retrieval.pictures.decoding import MAX_PIXELS, exif_in, picture_in, whole_in
from retrieval.pictures.doubtful import COMPLEX, doubt_of, is_amplified
from retrieval.pictures.formats import sniff
from retrieval.pictures.images import read_exif_of, read_picture, read_whole
from retrieval.pictures.memory import Budget
from tests.hostile_pictures import (
    amplified_exif,
    empty_scans,
    exif_segments,
    huge_avif,
    huge_webp,
    jpeg,
    png_chunks,
    sparse_jpeg,
)
from tests.retrieval.pictures.test_images import valid_files

SMALL = Preprocessing(32)
HOSTILE: dict[str, Any] = {
    "empty scans": empty_scans,
    "EXIF segments": exif_segments,
    "the same EXIF again and again": amplified_exif,
    "PNG chunks": png_chunks,
    "WebP": huge_webp,
    "AVIF": huge_avif,
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    """Decoder processes that give a file a second; one is running."""
    made = Decoders(seconds=1)
    monkeypatch.setattr(images, "shared", made)
    assert read_picture(valid_files()["JPEG2000"], SMALL).width == 61
    yield made
    made.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_costs_much_is_known_before_it_is_decoded(name: str) -> None:
    data = HOSTILE[name]()
    doubt = doubt_of(data)
    assert doubt is not None and not doubt.reason.startswith("any ")
    assert doubt.is_dangerous == (name != "empty scans")
    if doubt.is_dangerous:
        assert evidence_of(data) == Evidence(), "the steps over its parts are not made either"


@pytest.mark.parametrize("name", valid_files())
def test_ordinary_files_are_decoded_here(name: str) -> None:
    data = valid_files()[name]
    doubt = doubt_of(data)
    if sniff(data) in COMPLEX:
        assert doubt is not None and doubt.reason.startswith("any ") and not doubt.is_dangerous
    else:
        assert doubt is None


@pytest.mark.parametrize("name", [name for name, data in valid_files().items() if sniff(data) in COMPLEX])
def test_a_picture_from_the_other_process_is_the_same(name: str) -> None:
    data, budget = valid_files()[name], Budget()
    here, there = picture_in(data, SMALL, MAX_PIXELS, budget), read_picture(data, SMALL)
    assert there._replace(pixels=here.pixels) == here
    assert (there.pixels == here.pixels).all()
    assert read_whole(data, 20).tobytes() == whole_in(data, 20, MAX_PIXELS, budget).tobytes()
    assert images.read_cut_out(data).mode == "RGBA"
    assert read_exif_of(data) == exif_in(data, budget)
    broken = data[: len(data) // 2]
    reasons = []
    for read in (lambda: picture_in(broken, SMALL, MAX_PIXELS, budget), lambda: read_picture(broken, SMALL)):
        try:
            reasons.append(str(read().pixels.sum()))
        except UnreadableImage as error:
            reasons.append(f"{error.reason} {error.hint}")
    assert reasons[0] == reasons[1]


@pytest.mark.parametrize("name", ["empty scans", "PNG chunks"])
def test_what_takes_too_long_is_an_unreadable_file(name: str, impatient: Decoders) -> None:
    with pytest.raises(UnreadableImage, match="more than 1 s to decode"):
        read_picture(HOSTILE[name](), SMALL)
    assert read_picture(valid_files()["JPEG2000"], SMALL).width == 61


def test_a_sparse_file_has_a_deadline_too(tmp_path: Path, impatient: Decoders) -> None:
    sparse_jpeg(tmp_path / "sparse.jpg", 80 << 20)
    data = (tmp_path / "sparse.jpg").read_bytes()
    doubt = doubt_of(data)
    assert doubt is not None and doubt.reason == "a file of 80 MiB"
    with pytest.raises(UnreadableImage, match="more than 1 s to decode"):
        read_picture(data, SMALL)


def test_a_picture_in_the_other_process_counts_like_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header states 25 million pixels, for which 34 bytes of WebP need 600 MB."""
    data = huge_webp(5000)
    monkeypatch.setattr(memory, "shared", Budget(100 << 20))
    with pytest.raises(UnreadableImage) as caught:
        read_picture(data, SMALL)
    assert caught.value.reason.startswith(f"{NO_MEMORY}: decoding takes up to 0.")
    assert "close other programs" in caught.value.hint
    monkeypatch.setattr(memory, "shared", budget := Budget(2 << 30))
    seen = read_picture(data, SMALL)
    assert (seen.width, seen.height, len(np.unique(seen.pixels))) == (5000, 5000, 1)
    assert budget._taken == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes")
def test_a_file_that_nobody_waits_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Decoders(seconds=600)
    monkeypatch.setattr(images, "shared", made)
    given_up, begun, found = Abandonment(), threading.Event(), []
    ask = decoders._Process.ask

    def noticed(process: decoders._Process, *given: Any) -> Any:
        begun.set()
        return ask(process, *given)

    monkeypatch.setattr(decoders._Process, "ask", noticed)

    def work() -> None:
        with abandonable(given_up):
            try:
                read_picture(empty_scans(), SMALL)
            except Abandoned as error:
                found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(600)
    given_up.set()
    thread.join(600)
    assert len(found) == 1 and not thread.is_alive()
    assert made._idle == [], "its process was ended"
    with abandonable(given_up), pytest.raises(Abandoned):
        read_picture(valid_files()["JPEG2000"], SMALL)
    assert read_picture(valid_files()["JPEG2000"], SMALL).width == 61, "others are not concerned"
    made.close()


def test_directories_that_copy_the_same_bytes_are_found() -> None:
    assert is_amplified(amplified_exif()[12:])
    assert not is_amplified(b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x10F, 2, 60, 26) + b"\0" * 64)
    endless = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 8)  # a directory that is its own subdirectory
    assert is_amplified(endless + bytes(4))


def test_xmp_is_searched_once_and_chunks_are_counted() -> None:
    begins = b"8BPS" + b"<x:xmpmeta " * 200_000
    assert read_inside(begins).tags == ()
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    assert read_inside(b"8BPS" + packet + b"</x:xmpmeta >").tags == ()
    assert read_inside(png_chunks(3 << 20)).tags == ()
    assert read_inside(jpeg()[:2] + b"\xff" * (5 << 20) + jpeg()[2:]).tags == ()
