"""Objects that are fetched before their turn: the same bytes, the same errors, and nothing for plain files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.indexing.candidates import Candidate, read_candidate
from retrieval.indexing.reading_ahead import AT_ONCE, MOST_BYTES, Ahead, reading_ahead
from tests.retrieval.sources.s3_server import S3, s3_server


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with s3_server(monkeypatch) as server:
        yield server


def go_on() -> None:
    pass


def test_objects_come_in_any_order_with_what_belongs_to_their_bytes(s3: S3) -> None:
    count = 2 * AT_ONCE + 3
    chunk = [Candidate(1, s3.root, f"{n:02}.jpg", 3, 0) for n in range(count)]
    for n in range(count):
        s3.put(f"{n:02}.jpg", f"{n:03}".encode())
    s3.delete("07.jpg")
    with reading_ahead(chunk, go_on) as ahead:
        for candidate in [*chunk[:6], *reversed(chunk[8:])]:
            taken = ahead.take(candidate) or read_candidate(candidate)
            assert taken == read_candidate(candidate)
        with pytest.raises(FileNotFoundError, match="no such object"):
            ahead.take(chunk[7])
        assert ahead.take(chunk[0]) is None, "each is taken once"


def test_plain_files_large_objects_and_single_ones_are_read_at_their_turn(s3: S3, tmp_path: Path) -> None:
    plain = [Candidate(1, str(tmp_path), f"{n}.jpg", 3, 0) for n in range(3)]
    large = [Candidate(1, s3.root, f"{n}.jpg", MOST_BYTES + 1, 0) for n in range(3)]
    for chunk in (plain, large, [Candidate(1, s3.root, "a.jpg", 3, 0)]):
        with reading_ahead(chunk, go_on) as ahead:
            assert [ahead.take(each) for each in chunk] == [None] * len(chunk)


def test_a_chunk_that_is_given_up_does_not_wait_for_its_store(s3: S3) -> None:
    class GivenUp(Exception):
        pass

    def given_up() -> None:
        raise GivenUp

    chunk = [Candidate(1, s3.root, f"{n}.jpg", 3, 0) for n in range(4)]
    s3.stop()
    ahead = Ahead(chunk, given_up)
    with pytest.raises(GivenUp):
        ahead.take(chunk[0])
    ahead.close()
    s3.start()
