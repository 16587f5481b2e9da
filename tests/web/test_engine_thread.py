"""The engine's thread: texts are embedded together, work is bounded, answers are of what is there now."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from indexes.base import Vectors
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.registry import load_encoder
from retrieval.errors import Busy, GalleryNotFound, QueryError, TextNotSupported, UnknownEncoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from retrieval.server.engine_thread import EngineThread
from retrieval.server.job_queue import Stopping
from retrieval.web.settings import Settings
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder

T = TypeVar("T")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each call of the text tower from now on."""
    made: list[list[str]] = []
    real = OnnxEncoder.encode_texts

    def counted(self: OnnxEncoder, texts: Sequence[str]) -> Vectors:
        made.append(list(texts))
        return real(self, texts)

    monkeypatch.setattr(OnnxEncoder, "encode_texts", counted)
    return made


@contextmanager
def engine_thread_of(gallery: Gallery, **settings: Any) -> Iterator[EngineThread]:
    engine_thread = EngineThread(gallery, Settings(**settings))
    try:
        yield engine_thread
    finally:
        assert engine_thread.close(600)


async def behind(engine_thread: EngineThread, *asked: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The outcomes of questions that all came while the engine thread was at work on something else, in their order."""
    begun, go_on = threading.Event(), threading.Event()

    def work(_engine: QueryEngine) -> None:
        begun.set()
        assert go_on.wait(600)

    first = asyncio.ensure_future(engine_thread.run(work))
    await asyncio.to_thread(begun.wait, 600)
    waiting = [asyncio.ensure_future(each()) for each in asked]
    await asyncio.sleep(0.01)  # each of them is in the line
    go_on.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    await first
    return outcomes


def searched(engine_thread: EngineThread, text: str) -> Callable[[], Awaitable[list[int]]]:
    """A search by words as a handler makes it; the ids it finds."""
    query = Query.text(text, k=3)
    return lambda: engine_thread.run(lambda engine: [hit.image.id for hit in engine.search(query)], texts=[text])


def test_what_waits_is_embedded_in_one_call(own_gallery: Gallery, calls: list[list[str]]) -> None:
    texts = [f"a dog number {n}" for n in range(20)]
    with engine_thread_of(own_gallery) as engine_thread:
        found = asyncio.run(behind(engine_thread, *(searched(engine_thread, text) for text in texts)))
    assert [call for call in calls if call != ["warm"]] == [texts]
    with QueryEngine(own_gallery, remember_texts=False) as engine:
        assert found == [[hit.image.id for hit in engine.search(Query.text(text, k=3))] for text in texts]


def test_one_call_takes_so_many_and_the_same_text_once(own_gallery: Gallery, calls: list[list[str]]) -> None:
    texts = [f"a cat number {n % 10}" for n in range(40)]
    with engine_thread_of(own_gallery, texts_at_once=4) as engine_thread:
        asyncio.run(behind(engine_thread, *(searched(engine_thread, text) for text in texts)))
    sizes = [len(call) for call in calls if call != ["warm"]]
    assert sizes == [4, 4, 2]


def test_a_text_is_embedded_once(own_gallery: Gallery, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOSEEK_NO_CACHE", "1")  # else the gallery's file would remember it, too

    async def asked(engine_thread: EngineThread) -> list[Vectors]:
        return [
            await engine_thread.texts(["a horse"]),
            await engine_thread.texts(["two horses", "a horse"]),
            await engine_thread.texts(["a horse"]),
        ]

    with engine_thread_of(own_gallery) as engine_thread:
        first, both, again = asyncio.run(asked(engine_thread))
    assert [call for call in calls if call != ["warm"]] == [["a horse"], ["two horses"]]
    assert first.shape == (1, 384) and both.shape == (2, 384)
    assert np.array_equal(first[0], both[1]) and np.array_equal(first, again)


def test_the_oldest_text_is_forgotten(
    own_gallery: Gallery, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOSEEK_NO_CACHE", "1")

    async def asked(engine_thread: EngineThread) -> None:
        for text in ("one", "two", "one", "three", "one", "two"):
            await engine_thread.texts([text])

    with engine_thread_of(own_gallery, texts_remembered=2) as engine_thread:
        asyncio.run(asked(engine_thread))
    assert [call for call in calls if call != ["warm"]] == [["one"], ["two"], ["three"], ["two"]]


def test_jobs_are_done_in_their_order(own_gallery: Gallery) -> None:
    done: list[int] = []
    with engine_thread_of(own_gallery) as engine_thread:
        asks = [
            lambda n=n: engine_thread.run(lambda _engine: done.append(n), texts=[f"text {n % 3}"]) for n in range(30)
        ]
        asyncio.run(behind(engine_thread, *asks))
    assert done == list(range(30))


def test_one_too_many_is_refused_and_the_others_are_answered(own_gallery: Gallery) -> None:
    with engine_thread_of(own_gallery, max_waiting=3) as engine_thread:
        outcomes = asyncio.run(behind(engine_thread, *[searched(engine_thread, "a bird")] * 5))
        assert [isinstance(outcome, Busy) for outcome in outcomes] == [False, False, False, True, True]
        assert len(asyncio.run(searched(engine_thread, "a bird")())) == 3  # and afterwards it takes on more


def test_one_bad_question_is_no_one_elses_trouble(own_gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    real = OnnxEncoder.encode_texts

    def broken(self: OnnxEncoder, texts: Sequence[str]) -> Vectors:
        if "bad" in texts:
            raise QueryError("bad", "")
        return real(self, texts)

    monkeypatch.setattr(OnnxEncoder, "encode_texts", broken)
    with engine_thread_of(own_gallery) as engine_thread:
        good, bad, also_good = asyncio.run(
            behind(engine_thread, *(searched(engine_thread, text) for text in ("a lion", "bad", "a tiger")))
        )
    assert isinstance(bad, QueryError)
    assert len(good) == len(also_good) == 3


def test_who_has_left_is_not_worked_for(own_gallery: Gallery) -> None:
    done: list[str] = []

    async def asked(engine_thread: EngineThread) -> None:
        async def impatient() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await engine_thread.run(lambda _engine: done.append("impatient"))

        await behind(engine_thread, impatient, lambda: engine_thread.run(lambda _engine: done.append("patient")))

    with engine_thread_of(own_gallery) as engine_thread:
        asyncio.run(asked(engine_thread))
    assert done == ["patient"]


def test_the_event_loop_goes_on_meanwhile(own_gallery: Gallery) -> None:
    async def asked(engine_thread: EngineThread) -> str:
        go_on = threading.Event()
        working = asyncio.ensure_future(engine_thread.run(lambda _engine: go_on.wait(600)))
        await asyncio.sleep(0.01)
        go_on.set()  # would never be reached if the job ran here
        assert await working
        return await engine_thread.run(lambda _engine: threading.current_thread().name)

    with engine_thread_of(own_gallery) as engine_thread:
        assert asyncio.run(asked(engine_thread)).startswith("engine")


def test_an_engine_of_one_thread(own_gallery: Gallery) -> None:
    with engine_thread_of(own_gallery) as engine_thread:
        asked = [lambda: engine_thread.run(lambda engine: (threading.get_ident(), id(engine)))] * 10
        assert len(set(asyncio.run(behind(engine_thread, *asked)))) == 1


# What is there now


def photos_of(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "some photos"
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(EXAMPLES / name, folder)
    return folder


def count(engine_thread: EngineThread) -> int:
    return asyncio.run(engine_thread.run(lambda engine: len(engine.index)))


def test_nothing_is_there_yet_and_then_there_is(gallery: Gallery, tmp_path: Path) -> None:
    with engine_thread_of(gallery) as engine_thread:
        for _ in range(2):
            with pytest.raises(GalleryNotFound):
                count(engine_thread)
        Indexer(gallery, load_encoder("builtin-224")).run(photos_of(tmp_path, "animals/dog.jpg", "animals/cow.jpg"))
        assert count(engine_thread) == 2
        Indexer(gallery, load_encoder("builtin-224")).run(photos_of(tmp_path, "animals/fox.jpg"))
        assert count(engine_thread) == 3


def test_another_catalog_at_the_same_place(gallery: Gallery, tmp_path: Path, own_gallery: Gallery) -> None:
    Indexer(gallery, load_encoder("builtin-224")).run(photos_of(tmp_path, "animals/dog.jpg"))
    with engine_thread_of(gallery) as engine_thread:
        assert count(engine_thread) == 1
        shutil.rmtree(gallery.path)
        with pytest.raises(GalleryNotFound):
            count(engine_thread)
        shutil.copytree(own_gallery.path, gallery.path)
        assert count(engine_thread) > 50


def test_another_model_becomes_active(gallery: Gallery, photos: Path) -> None:
    Indexer(gallery, ColourEncoder(has_text=False)).run(photos)
    with engine_thread_of(gallery) as engine_thread:
        assert asyncio.run(engine_thread.run(lambda engine: engine.encoder_row.name)) == "colour"
        Indexer(gallery, load_encoder("builtin-224")).run(photos)
        assert asyncio.run(engine_thread.run(lambda engine: engine.encoder_row.name)) == "builtin-224"
        assert asyncio.run(engine_thread.texts(["a dog"])).shape == (1, 384)


def test_a_named_model_stays(gallery: Gallery, photos: Path) -> None:
    Indexer(gallery, ColourEncoder()).run(photos)
    Indexer(gallery, load_encoder("builtin-224")).run(photos)
    with engine_thread_of(gallery, model="colour") as engine_thread:
        assert asyncio.run(engine_thread.run(lambda engine: engine.encoder_row.name)) == "colour"
    with engine_thread_of(gallery, model="colours") as engine_thread, pytest.raises(UnknownEncoder):
        count(engine_thread)


def test_vectors_of_one_model_are_not_taken_for_anothers(gallery: Gallery, photos: Path, tmp_path: Path) -> None:
    Indexer(gallery, load_encoder("builtin-224")).run(photos)
    with engine_thread_of(gallery) as engine_thread:
        assert asyncio.run(engine_thread.texts(["red"])).shape == (1, 384)
        shutil.rmtree(gallery.path)
        Indexer(gallery, ColourEncoder(has_text=False)).run(photos)
        with pytest.raises(Exception) as caught:  # whatever it is, it is not the other model's vector
            asyncio.run(engine_thread.texts(["red"]))
    assert isinstance(caught.value, TextNotSupported) or "colour" in str(caught.value)


def test_an_engine_thread_that_closes(own_gallery: Gallery) -> None:
    async def asked() -> list[Any]:
        engine_thread = EngineThread(own_gallery, Settings())
        begun, go_on = threading.Event(), threading.Event()

        def work(_engine: QueryEngine) -> str:
            begun.set()
            assert go_on.wait(600)
            return "finished"

        running = asyncio.ensure_future(engine_thread.run(work))
        await asyncio.to_thread(begun.wait, 600)
        waiting = asyncio.ensure_future(engine_thread.texts(["a dog"]))
        await asyncio.sleep(0.01)
        assert not engine_thread.close(0.01)  # it still runs
        go_on.set()
        assert engine_thread.close(600)
        outcomes = await asyncio.gather(running, waiting, engine_thread.texts(["a cat"]), return_exceptions=True)
        return list(outcomes)

    finished, refused, too_late = asyncio.run(asked())
    assert finished == "finished"
    assert isinstance(refused, Stopping) and isinstance(too_late, Stopping)
