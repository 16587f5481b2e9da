"""The thumbnail cache: its content, its size limit, and its behaviour when damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.rendering import thumbnail_store
from retrieval.rendering.thumbnail_store import FILE_NAME, ThumbnailStore
from tests.page_damage import spoil_the_schema
from tests.retrieval.rows import hash_of

ROOT = Path(__file__).parents[3]
LARGE = 1 << 30


def content(number: int, size: int = 5000) -> bytes:
    return hash_of(str(number)) * (size // 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ThumbnailStore]:
    made = ThumbnailStore(tmp_path, LARGE)
    yield made
    made.close()


def rows(folder: Path, sql: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return connection.execute(sql).fetchall()


def test_what_was_added_is_found_by_hash_and_size_also_by_the_next_process(
    store: ThumbnailStore, tmp_path: Path
) -> None:
    assert store.find(hash_of("a"), 240) is None
    assert not (tmp_path / FILE_NAME).exists()  # looking makes nothing
    store.add(hash_of("a"), 240, b"small")
    store.add(hash_of("a"), 1024, b"large")
    store.add(hash_of("a"), 240, b"made twice at once")
    found = [store.find(hash_of(name), side) for name, side in (("a", 240), ("a", 1024), ("a", 480), ("b", 240))]
    assert found == [b"small", b"large", None, None]
    store.close()
    other = ThumbnailStore(tmp_path, LARGE)
    assert other.find(hash_of("a"), 1024) == b"large"
    other.close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_another_form_of_thumbnails_is_not_found(store: ThumbnailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(hash_of("a"), 240, b"old")
    monkeypatch.setattr(thumbnail_store, "FORM", thumbnail_store.FORM + 1)
    assert store.find(hash_of("a"), 240) is None
    store.add(hash_of("a"), 240, b"new")
    assert store.find(hash_of("a"), 240) == b"new"


def test_the_bound_holds_and_what_was_used_least_recently_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 1_000_000
    store = ThumbnailStore(tmp_path, bound)
    for number in range(100):
        store.add(hash_of(str(number)), 240, content(number))
    later = thumbnail_store._now() + 1
    monkeypatch.setattr(thumbnail_store, "_now", lambda: later)
    used = [number for number in range(100) if number % 5 == 0]
    for number in used:
        assert store.find(hash_of(str(number)), 240) == content(number)
    for number in range(100, 160):
        store.add(hash_of(str(number)), 240, content(number))
        taken = rows(tmp_path, "SELECT (SELECT * FROM pragma_page_count) - (SELECT * FROM pragma_freelist_count)")
        assert taken[0][0] * 8192 <= bound
    kept = {number for number in range(160) if store.find(hash_of(str(number)), 240) is not None}
    assert kept >= {*used, 159}
    assert 75 <= len(kept) < 130
    assert min(kept - set(used)) > 20  # the older of the unused ones are gone
    assert rows(tmp_path, "SELECT count(*) FROM pictures") == rows(tmp_path, "SELECT count(*) FROM thumbnails")
    store.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound


def test_a_bound_that_one_thumbnail_fills_keeps_none(tmp_path: Path) -> None:
    store = ThumbnailStore(tmp_path, 1000)
    store.add(hash_of("a"), 240, content(1))
    assert store.find(hash_of("a"), 240) is None
    store.close()


def test_looking_writes_nothing_until_something_is_added_or_the_store_is_closed(
    store: ThumbnailStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        store.add(hash_of(name), 240, name.encode())
    start = thumbnail_store._now()
    uses = "SELECT used FROM thumbnails ORDER BY id"
    monkeypatch.setattr(thumbnail_store, "_now", lambda: start + 7)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as watching:
        before = watching.execute("PRAGMA data_version").fetchone()
        for _ in range(50):
            assert store.find(hash_of("a"), 240) == b"a"
        assert watching.execute("PRAGMA data_version").fetchone() == before
    assert rows(tmp_path, uses) == [(start,), (start,)]
    store.add(hash_of("c"), 240, b"c")
    assert rows(tmp_path, uses) == [(start + 7,), (start,), (start + 7,)]
    store.find(hash_of("b"), 240)
    store.close()
    assert rows(tmp_path, uses) == [(start + 7,)] * 3


@pytest.mark.parametrize("damage", ["text", "cut", "scrambled", "empty", "foreign", "older", "schema"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    file = tmp_path / FILE_NAME
    first = ThumbnailStore(tmp_path, LARGE)
    for number in range(40):
        first.add(hash_of(str(number)), 240, content(number))
    first.close()
    data = file.read_bytes()
    if damage == "schema":
        spoil_the_schema(file)
    elif damage in ("foreign", "older"):
        file.unlink()
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE photos (id)")
            connection.execute(f"PRAGMA user_version = {1 if damage == 'foreign' else -1}")
    else:
        file.write_bytes(
            {
                "text": b"no database " * 1000,
                "cut": data[: len(data) // 3],
                "scrambled": data[:100] + bytes(byte ^ 0x5A for byte in data[100:]),
                "empty": b"",
            }[damage]
        )
    store = ThumbnailStore(tmp_path, LARGE)
    for _ in range(2):
        for number in range(40):
            assert store.find(hash_of(str(number)), 240) in (None, content(number))
            store.add(hash_of(str(number)), 240, content(number))
    assert [store.find(hash_of(str(number)), 240) for number in range(40)] == [content(n) for n in range(40)]
    store.close()


def test_a_thumbnail_that_is_not_what_was_stored_is_never_given_out(store: ThumbnailStore, tmp_path: Path) -> None:
    store.add(hash_of("a"), 240, b"what was stored")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE pictures SET data = x'00112233'")
    assert store.find(hash_of("a"), 240) is None
    store.add(hash_of("a"), 240, b"made again")
    assert store.find(hash_of("a"), 240) == b"made again"


def test_a_newer_programs_file_is_left_to_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE better (id)")
        connection.execute("PRAGMA user_version = 1000")
    store = ThumbnailStore(tmp_path, LARGE)
    store.add(hash_of("a"), 240, b"a")
    assert store.find(hash_of("a"), 240) is None
    store.close()
    assert rows(tmp_path, "SELECT count(*) FROM better") == [(0,)]


def test_a_file_that_is_deleted_under_way_is_made_anew(store: ThumbnailStore, tmp_path: Path) -> None:
    store.add(hash_of("a"), 240, b"a")
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    assert store.find(hash_of("a"), 240) is None
    store.add(hash_of("b"), 240, b"b")
    other = ThumbnailStore(tmp_path, LARGE)
    assert (store.find(hash_of("b"), 240), other.find(hash_of("b"), 240)) == (b"b", b"b")
    other.close()


def test_a_folder_that_cannot_be_written_has_no_thumbnails_and_no_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = ThumbnailStore(tmp_path / "file", LARGE)
    store.add(hash_of("a"), 240, b"a")
    assert store.find(hash_of("a"), 240) is None
    store.close()


def test_many_threads_share_it(store: ThumbnailStore) -> None:
    def work(number: int) -> bool:
        store.add(hash_of(str(number % 25)), 240, content(number % 25))
        return store.find(hash_of(str(number % 25)), 240) == content(number % 25)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


def test_a_closed_store_finds_nothing_and_opens_nothing(store: ThumbnailStore) -> None:
    store.add(hash_of("a"), 240, b"a")
    store.close()
    store.add(hash_of("b"), 240, b"b")
    assert store.find(hash_of("a"), 240) is None


def test_what_is_not_in_the_catalog_can_be_removed_without_a_trace(store: ThumbnailStore, tmp_path: Path) -> None:
    secret = b"a face that was to be forgotten " * 1000
    store.add(hash_of("kept.jpg"), 240, b"kept")
    store.add(hash_of("gone.jpg"), 240, secret)
    store.keep_only([hash_of("kept.jpg")])
    assert (store.find(hash_of("kept.jpg"), 240), store.find(hash_of("gone.jpg"), 240)) == (b"kept", None)
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        assert secret[:64] not in path.read_bytes()


CHILD = """
import sys
from pathlib import Path
from retrieval.rendering.thumbnail_store import ThumbnailStore
from tests.retrieval.rendering.test_thumbnail_store import content
from tests.retrieval.rows import hash_of
store = ThumbnailStore(Path(sys.argv[1]), 2_000_000)
number = int(sys.argv[2])
print("ready", flush=True)
while number < int(sys.argv[3]):
    store.add(hash_of(str(number)), 240, content(number))
    found = store.find(hash_of(str(number)), 240)
    assert found in (None, content(number))
    number += 1
store.close()
"""


def child(folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), str(first), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_several_processes_use_it_and_one_that_is_killed_harms_nothing(tmp_path: Path) -> None:
    workers = [child(tmp_path, 0, 200), child(tmp_path, 100, 300), child(tmp_path, 0, 10**9)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    assert [workers[0].wait(600), workers[1].wait(600)] == [0, 0]
    workers[2].send_signal(signal.SIGKILL)
    workers[2].wait(600)
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.close()
    store = ThumbnailStore(tmp_path, 2_000_000)
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    store.add(hash_of("after"), 240, b"after")
    assert store.find(hash_of("after"), 240) == b"after"
    store.close()
