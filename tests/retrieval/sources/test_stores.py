"""Objects of S3 as files, against a real endpoint; addresses, and what must never be said."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.registry import _registry

from retrieval.errors import SettingsError
from retrieval.paths import is_remote
from retrieval.sources import stores
from retrieval.sources.addresses import spelled
from retrieval.sources.reading import is_gone, open_anywhere, read_anywhere, source_of, why_not_written
from retrieval.sources.stores import STORES
from tests.retrieval.sources.s3_server import S3, s3_server


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with s3_server(monkeypatch) as server:
        yield server


def listed(root: str) -> dict[str, list[str]]:
    found = {}
    for listing in STORES.folders(root, lambda _folder, name: name != "left-out"):
        assert listing.problem is None, listing.problem
        found[listing.path] = [entry.name for entry in listing.entries]
    return found


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("s3://bucket/a//b/", "s3://bucket/a/b"),
        (Path("s3://bucket/a/b"), "s3://bucket/a/b"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/a b/ü", "az://container/a b/ü"),
        ("/home/me/s3:/bucket", "/home/me/s3:/bucket"),
        (Path("/s3:/bucket"), "/s3:/bucket"),
        ("photos", "photos"),
    ],
)
def test_an_address_has_one_spelling_and_is_no_path(given: str | Path, path: str) -> None:
    assert spelled(given) == path
    assert is_remote(path) == (":" in path[:3])


@pytest.mark.parametrize("bad", ["s3://me:secret@bucket/a", "s3://secret@bucket", "s3://", "s3:///a", "s3://b_/../c"])
def test_addresses_with_keys_or_without_a_bucket_are_refused_and_not_repeated(bad: str) -> None:
    if bad == "s3:///a":
        assert spelled(bad) == bad  # no address: a path that does not exist
        return
    with pytest.raises(SettingsError) as told:
        spelled(bad)
    assert "secret" not in str(told.value) + told.value.message + (told.value.hint or "")


def test_objects_are_listed_and_read_with_ranges(s3: S3) -> None:
    for key in ("a.jpg", "sub/b.jpg", "sub/deeper/c.jpg", "left-out/d.jpg", "sub/", "odd//e.jpg", "sub-2/f.jpg"):
        s3.put(key, key.encode() * 100)
    assert listed(s3.root) == {
        s3.root: ["a.jpg"],
        f"{s3.root}/odd": [],
        f"{s3.root}/sub": ["b.jpg"],
        f"{s3.root}/sub/deeper": ["c.jpg"],
        f"{s3.root}/sub-2": ["f.jpg"],
    }
    assert list(listed(f"{s3.root}/sub")) == [f"{s3.root}/sub", f"{s3.root}/sub/deeper"]
    assert read_anywhere(f"{s3.root}/sub/b.jpg", 1000) == b"sub/b.jpg" * 100
    with open_anywhere(f"{s3.root}/a.jpg") as file:
        file.seek(-5, io.SEEK_END)
        assert (file.read(3), file.read(), file.read()) == (b"a.j", b"pg", b"")
    with pytest.raises(OSError, match="larger"):
        read_anywhere(f"{s3.root}/a.jpg", 10)
    with pytest.raises(FileNotFoundError, match="no such object"):
        open_anywhere(f"{s3.root}/gone.jpg")
    assert is_gone(f"{s3.root}/gone.jpg")
    assert not is_gone(f"{s3.root}/a.jpg")
    assert why_not_written(f"{s3.root}/a.jpg") == "it is in an object store, which photoseek only reads"


def test_an_object_that_changes_while_it_is_read_is_an_error(s3: S3) -> None:
    at = s3.put("a.jpg", b"one" * 2_000_000)
    opened = STORES.open(at)
    assert opened.file.read(3) == b"one"
    s3.put("a.jpg", b"two" * 2_000_000)
    with pytest.raises(InterruptedError, match="changed"):
        opened.file.read()
    opened.file.close()
    assert STORES.state(at, opened.found, b"") == "same", "a search does not ask"
    assert STORES.state(at, opened.found, b"", asks=True) == "changed"
    s3.delete("a.jpg")
    assert STORES.state(at, opened.found, b"", asks=True) == "missing"


def test_the_same_size_in_the_same_second_is_another_version(s3: S3) -> None:
    at = s3.put("a.jpg", b"one")
    before = STORES.look(at)
    assert before.size == 3
    s3.put("a.jpg", b"two")
    assert STORES.look(at).ctime_ns != before.ctime_ns
    s3.put("a.jpg", b"one")
    assert STORES.look(at).ctime_ns == before.ctime_ns


def test_a_store_out_of_reach_is_no_missing_object_and_says_no_key(
    s3: S3, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stores, "PATIENCE_S", 0.3)
    at = s3.put("a.jpg", b"one")
    known = STORES.look(at)
    s3.stop()
    with pytest.raises(OSError, match=stores.UNREACHABLE):
        read_anywhere(at, 100)
    assert not is_gone(at)
    with pytest.raises(OSError, match=stores.UNREACHABLE):
        STORES.state(at, known, b"", asks=True)
    (listing,) = STORES.folders(s3.root, lambda _folder, _name: True)
    assert listing.problem == stores.UNREACHABLE
    s3.start()
    assert read_anywhere(at, 100) == b"one"
    said = capfd.readouterr()
    assert "secret" not in said.out + said.err


def test_a_reader_that_waits_goes_on_when_the_store_is_back(s3: S3) -> None:
    at = s3.put("a.jpg", b"one")
    source = source_of(at)
    assert source is not None
    s3.stop()
    asked = []

    def between() -> None:
        asked.append(1)
        if len(asked) == 2:
            s3.start()

    with source.open(at, between).file as file:
        assert file.read() == b"one"
    assert len(asked) >= 2


def test_nothing_at_an_address_and_packages_that_are_missing_are_told(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("s3://no-such-bucket", f"{s3.root}/no/such/prefix"):
        with pytest.raises(SettingsError, match="there is nothing at"):
            STORES.check(address)
        (listing,) = STORES.folders(address, lambda _folder, _name: True)
        assert listing.problem == "there is nothing at this address, or its bucket is gone"
    monkeypatch.delitem(_registry, "gs", raising=False)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(SettingsError, match="not installed") as told:
        STORES.check("gs://bucket")
    assert told.value.hint == "run: pip install 'photoseek[gs]'"
