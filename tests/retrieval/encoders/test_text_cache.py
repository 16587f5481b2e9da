"""Cached texts: when no text tower is needed, what is stored, and that no state of the file causes an error."""

from __future__ import annotations

import logging
import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from indexes.base import Vectors
from retrieval.encoders import cache as cache_module
from retrieval.encoders.cache import CACHE_NAME, CachedText, TextCache, TextMemory
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.page_damage import spoil_the_schema

FINGERPRINT = "f" * 64


class CountingEncoder(ColourEncoder):
    """Notes every text that its tower and its tokenizer see."""

    def __init__(self, name: str = "colour") -> None:
        super().__init__(name=name)
        self.texts: list[str] = []
        self.tokenized: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return super().encode_texts(texts)

    def is_cut(self, text: str) -> bool:
        self.tokenized.append(text)
        return super().is_cut(text)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TextCache]:
    opened = TextCache(tmp_path / CACHE_NAME, FINGERPRINT, 8)
    yield opened
    opened.close()


def entry(seed: int, *, is_cut: bool = False) -> CachedText:
    vector = np.random.default_rng(seed).standard_normal(8)
    return CachedText((vector / np.linalg.norm(vector)).astype(np.float32), is_cut)


def search_in_new_engine(gallery: Gallery, text: str) -> tuple[list[tuple[int, float]], CountingEncoder]:
    encoder = CountingEncoder()
    with QueryEngine(gallery, encoder) as engine:
        return [(hit.image.id, hit.score) for hit in engine.search(Query.text(text))], encoder


def test_a_repeated_query_wakes_neither_tower_nor_tokenizer(indexed: Gallery) -> None:
    first, encoder = search_in_new_engine(indexed, "red bird")
    assert encoder.texts == encoder.tokenized == ["red bird"]
    second, encoder = search_in_new_engine(indexed, "red bird")
    assert second == first
    assert encoder.texts == encoder.tokenized == []
    third, encoder = search_in_new_engine(indexed, "red bird ")
    assert encoder.texts == ["red bird "], "the exact text is the key"
    assert third == first


def test_only_new_texts_of_a_query_are_encoded(indexed: Gallery) -> None:
    search_in_new_engine(indexed, "red")
    encoder = CountingEncoder()
    with QueryEngine(indexed, encoder) as engine:
        engine.search(Query.text("red", "blue", "red"))
    assert encoder.texts == ["blue"]


def test_a_cut_text_is_reported_again(indexed: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "photoseek"):
            _, encoder = search_in_new_engine(indexed, "red " * 20)
        assert "longer than the model reads" in caplog.text
    assert encoder.tokenized == []


def test_it_can_be_turned_off(indexed: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    with QueryEngine(indexed, CountingEncoder(), remember_texts=False) as engine:
        engine.search(Query.text("red"))
    monkeypatch.setenv("PHOTOSEEK_NO_CACHE", "1")
    search_in_new_engine(indexed, "red")
    assert not (indexed.path / CACHE_NAME).exists()
    monkeypatch.setenv("PHOTOSEEK_NO_CACHE", "0")
    search_in_new_engine(indexed, "red")
    assert (indexed.path / CACHE_NAME).exists()


def test_words_are_not_stored_and_the_file_is_the_owners(indexed: Gallery) -> None:
    search_in_new_engine(indexed, "red secret words")
    file = indexed.path / CACHE_NAME
    assert b"secret" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_comes_back_is_what_was_put_in(cache: TextCache) -> None:
    texts = ["a", "b\0c", "\udcff", "é"]
    entries = [entry(seed, is_cut=seed == 2) for seed in range(4)]
    cache.add(texts, entries)
    found = cache.find([*texts, "unknown"])
    assert list(found) != [] and set(found) == set(texts)
    for text, put in zip(texts, entries, strict=True):
        assert np.array_equal(found[text].vector, put.vector)
        assert found[text].is_cut == put.is_cut


def test_encoders_do_not_see_each_others_texts(cache: TextCache, tmp_path: Path) -> None:
    cache.add(["a"], [entry(0)])
    other = TextCache(tmp_path / CACHE_NAME, "e" * 64, 8)
    assert other.find(["a"]) == {}
    other.close()
    wider = TextCache(tmp_path / CACHE_NAME, FINGERPRINT, 16)
    assert wider.find(["a"]) == {}
    wider.close()


def test_the_oldest_are_forgotten(cache: TextCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAX_ENTRIES", 3)
    for number in range(5):
        cache.add([str(number)], [entry(number)])
    cache.add(["4"], [entry(4)])
    assert set(cache.find(map(str, range(5)))) == {"2", "3", "4"}
    with sqlite3.connect(tmp_path / CACHE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM texts").fetchone() == (3,)
    connection.close()


def test_more_texts_than_one_statement_takes(cache: TextCache) -> None:
    texts = [f"text {number}" for number in range(2000)]
    cache.add(texts, [entry(0)] * len(texts))
    assert set(cache.find(texts)) == set(texts)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_no_error_and_is_replaced(indexed: Gallery, content: bytes) -> None:
    (indexed.path / CACHE_NAME).write_bytes(content)
    first, encoder = search_in_new_engine(indexed, "red")
    assert len(first) == 6 and encoder.texts == ["red"]
    search_in_new_engine(indexed, "red")
    assert search_in_new_engine(indexed, "red")[1].texts == []


def test_a_damaged_schema_is_no_error_and_is_replaced(indexed: Gallery) -> None:
    search_in_new_engine(indexed, "red")
    spoil_the_schema(indexed.path / CACHE_NAME)
    first, encoder = search_in_new_engine(indexed, "red")
    assert len(first) == 6 and encoder.texts == ["red"]
    search_in_new_engine(indexed, "red")
    assert search_in_new_engine(indexed, "red")[1].texts == []


def test_rows_that_cannot_be_vectors_are_not_used(cache: TextCache, tmp_path: Path) -> None:
    cache.add(["zero", "nan", "short", "good"], [entry(seed) for seed in range(4)])
    bad = {"zero": bytes(32), "nan": b"\xff" * 32, "short": b"abc"}
    with sqlite3.connect(tmp_path / CACHE_NAME) as connection:
        for text, blob in bad.items():
            connection.execute("UPDATE texts SET vector = ? WHERE key = ?", [blob, cache._key(text)])
    connection.close()
    assert set(cache.find([*bad, "good"])) == {"good"}


@pytest.mark.parametrize("column", ["vector", "is_cut", "digest", "key"])
def test_a_row_with_a_flipped_bit_is_not_used_and_is_written_anew(
    cache: TextCache, tmp_path: Path, column: str
) -> None:
    """Above all a bit of the fraction, which leaves a vector of length 1 that is another query's."""
    texts, entries = ["one", "two"], [entry(1), entry(2, is_cut=True)]
    cache.add(texts, entries)
    with closing(sqlite3.connect(tmp_path / CACHE_NAME)) as connection, connection:
        value = connection.execute(f"SELECT {column} FROM texts WHERE number = 1").fetchone()[0]
        flipped = 1 - value if column == "is_cut" else value[:5] + bytes([value[5] ^ 1]) + value[6:]
        connection.execute(f"UPDATE texts SET {column} = ? WHERE number = 1", [flipped])
    assert cache.find(texts).keys() == {"two"}
    cache.add(texts[:1], entries[:1])
    again = cache.find(texts)
    assert (again["one"].vector == entries[0].vector).all() and not again["one"].is_cut


def test_rows_under_each_others_key_are_not_used(cache: TextCache, tmp_path: Path) -> None:
    cache.add(["one", "two"], [entry(1), entry(2)])
    with closing(sqlite3.connect(tmp_path / CACHE_NAME)) as connection, connection:
        (first,), (second,) = connection.execute("SELECT vector FROM texts ORDER BY number").fetchall()
        connection.execute("UPDATE texts SET vector = CASE number WHEN 1 THEN ? ELSE ? END", [second, first])
    assert cache.find(["one", "two"]) == {}


def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / CACHE_NAME)) as connection, connection:
        connection.execute(
            "CREATE TABLE texts (number INTEGER PRIMARY KEY, key BLOB UNIQUE, vector BLOB, is_cut INTEGER)"
        )
        key = blake3(f"{FINGERPRINT}\nold".encode()).digest()
        row = (key, entry(2).vector.astype("<f4").tobytes(), 1)
        connection.execute("INSERT INTO texts (key, vector, is_cut) VALUES (?, ?, ?)", row)
        connection.execute("PRAGMA user_version = 1")
    with closing(TextCache(tmp_path / CACHE_NAME, FINGERPRINT, 8)) as cache:
        kept = cache.find(["old", "one"])
        assert list(kept) == ["old"] and kept["old"].is_cut and np.array_equal(kept["old"].vector, entry(2).vector)
        cache.add(["one"], [entry(1)])
        assert cache.find(["one"]).keys() == {"one"}


def test_no_flipped_bit_of_the_file_changes_an_answer(indexed: Gallery) -> None:
    wanted, _ = search_in_new_engine(indexed, "red")
    path = indexed.path / CACHE_NAME
    whole = path.read_bytes()
    rng = np.random.default_rng(8)
    places = [*range(0, 100, 7), *rng.integers(len(whole), size=40).tolist(), *range(len(whole) - 300, len(whole), 9)]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
        assert search_in_new_engine(indexed, "red")[0] == wanted, place


def test_a_locked_file_is_no_cache(indexed: Gallery) -> None:
    search_in_new_engine(indexed, "red")
    other = sqlite3.connect(indexed.path / CACHE_NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        hits, encoder = search_in_new_engine(indexed, "red")
    finally:
        other.close()
    assert len(hits) == 6 and encoder.texts == ["red"]
    assert search_in_new_engine(indexed, "red")[1].texts == []


def test_a_newer_version_is_left_alone(indexed: Gallery) -> None:
    file = indexed.path / CACHE_NAME
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE texts (other)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file.read_bytes()
    assert len(search_in_new_engine(indexed, "red")[0]) == 6
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_no_cache(tmp_path: Path) -> None:
    absent = TextCache(tmp_path / "not there" / CACHE_NAME, FINGERPRINT, 8)
    absent.add(["a"], [entry(0)])
    assert absent.find(["a"]) == {}
    absent.close()
    (tmp_path / "taken").mkdir()
    folder = TextCache(tmp_path / "taken", FINGERPRINT, 8)
    folder.add(["a"], [entry(0)])
    assert folder.find(["a"]) == {}
    folder.close()


def test_many_add_at_once(tmp_path: Path) -> None:
    def work(worker: int) -> None:
        own = TextCache(tmp_path / CACHE_NAME, FINGERPRINT, 8)
        for number in range(20):
            own.add([f"{worker} {number}"], [entry(number)])
            assert own.find(["no such text"]) == {}
        own.close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = TextCache(tmp_path / CACHE_NAME, FINGERPRINT, 8)
    found = last.find([f"{worker} {number}" for worker in range(4) for number in range(20)])
    last.close()
    # A worker that waited too long for the others goes on without; what was written is whole.
    assert found
    for text, one in found.items():
        assert np.array_equal(one.vector, entry(int(text.split()[1])).vector)


def test_memory_forgets_what_was_not_asked_for_the_longest() -> None:
    memory = TextMemory(2)
    entries = {text: CachedText(np.full(3, number, np.float32), False) for number, text in enumerate("abc")}
    for text in "ab":
        memory.add([text], [entries[text]])
    assert memory.find(["a", "z"]) == {"a": entries["a"]}  # and so "b" is the older one now
    memory.add(["c"], [entries["c"]])
    assert memory.find("abc") == {"a": entries["a"], "c": entries["c"]}
    memory.add("ab", [entries["a"], entries["b"]])
    assert list(memory.find("abc")) == ["a", "b"]


def test_a_memory_of_nothing_remembers_nothing() -> None:
    memory = TextMemory(0)
    memory.add(["a"], [CachedText(np.zeros(3, np.float32), False)])
    assert memory.find(["a"]) == {}
