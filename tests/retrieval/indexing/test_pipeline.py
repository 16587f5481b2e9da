"""From files to rows: both schedules, order, bounded look-ahead, stopping, and everything that can go wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from indexes.base import Vectors
from retrieval.catalog.batch import Batch, FailedImage, IndexedImage
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import Pixels
from retrieval.errors import EncoderError, WeightsUnavailable
from retrieval.indexing import candidates as candidates_module
from retrieval.indexing import pipeline as pipeline_module
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.known_bytes import KnownBytes
from retrieval.indexing.pipeline import Pipeline, Results
from retrieval.indexing.schedules import BATCHES, LOOKAHEAD
from retrieval.pictures.images import content_hash
from tests.fakes import ColourEncoder
from tests.pictures import save_picture

SCHEDULES = [pytest.param(2, id="cpu"), pytest.param(1, id="gpu")]
COLOURS = ("red", "green", "blue", "yellow")


def pipeline(encoder: ColourEncoder, catalog: Path, **given: Any) -> Pipeline:
    """One that looks bytes up in this catalog, for its first encoder."""
    return Pipeline(encoder, KnownBytes(partial(CatalogReader, catalog), 1), **given)


class PoisonedEncoder(ColourEncoder):
    """Fails for every batch with an almost white picture in it."""

    error: Exception = EncoderError("the encoder returned a zero or non-finite embedding", "")

    def encode_images(self, pixels: Pixels) -> Vectors:
        if (pixels.mean(axis=(1, 2, 3)) > 225).any():
            raise self.error
        return super().encode_images(pixels)


def left_after(before: list[threading.Thread]) -> list[threading.Thread]:
    """Threads that came since, and do not end."""
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(600)
    return [thread for thread in new if thread.is_alive()]


@pytest.fixture
def catalog_path(tmp_path: Path) -> Path:
    Catalog(tmp_path / "catalog.sqlite").close()
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def many(tmp_path: Path) -> list[Candidate]:
    """50 pictures; every seventh file is broken in one of several ways."""
    folder = tmp_path / "many"
    for number in range(50):
        path = save_picture(folder / f"{number:02}.png", COLOURS[number % 4], seed=number)
        if number % 7 == 3:
            data = path.read_bytes()
            path.write_bytes((b"", b"text", data[: len(data) // 2])[number % 3])
        if number == 20:
            path.unlink()
    return candidates(folder, [f"{number:02}.png" for number in range(50)])


def candidates(folder: Path, names: list[str]) -> list[Candidate]:
    rows = []
    for name in names:
        found = (folder / name).stat() if (folder / name).exists() else None
        size, mtime = (found.st_size, found.st_mtime_ns) if found else (1, 1)
        rows.append(Candidate(1, str(folder), name, size, mtime))
    return rows


def run(encoder: ColourEncoder, path: Path, files: list[Candidate], workers: int = 2) -> list[Results]:
    return list(pipeline(encoder, path, workers=workers).run(files, stop=lambda: False))


def outcomes(results: list[Results]) -> list[IndexedImage | FailedImage]:
    return [outcome for result in results for outcome in result.outcomes]


@pytest.mark.parametrize("streams", SCHEDULES)
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_rows_come_in_the_order_of_the_files_with_failures_between(
    catalog_path: Path, many: list[Candidate], streams: int, batch_size: int
) -> None:
    encoder = ColourEncoder(streams=streams, batch_size=batch_size)
    results = run(encoder, catalog_path, many)
    rows = outcomes(results)
    assert [row.name for row in rows] == [candidate.name for candidate in many]
    failed = {int(row.name[:2]): row.reason for row in rows if isinstance(row, FailedImage)}
    assert set(failed) == {3, 10, 17, 20, 24, 31, 38, 45}
    assert failed[3] == "empty file" and failed[10].startswith("not an image") and failed[17].startswith("truncated, ")
    assert failed[20] == "no such file or directory"
    assert {row.name for row in rows if isinstance(row, FailedImage) and row.is_transient} == {"20.png"}
    assert sum(result.encoded for result in results) == encoder.encoded == 42


def test_both_schedules_and_any_number_of_workers_give_the_same_rows(catalog_path: Path, many: list[Candidate]) -> None:
    wanted = outcomes(run(ColourEncoder(streams=2, batch_size=1), catalog_path, many, workers=1))
    for streams, batch_size, workers in ((2, 4, 3), (1, 4, 1), (1, 16, 3), (1, 100, 2)):
        encoder = ColourEncoder(streams=streams, batch_size=batch_size)
        assert outcomes(run(encoder, catalog_path, many, workers=workers)) == wanted


def test_a_row_holds_what_the_file_holds(catalog_path: Path, tmp_path: Path, encoder: ColourEncoder) -> None:
    path = save_picture(tmp_path / "p" / "a.jpg", "red", size=(60, 20))
    (row,) = outcomes(run(encoder, catalog_path, candidates(path.parent, ["a.jpg"])))
    assert isinstance(row, IndexedImage) and not row.is_reused
    assert (row.metadata.format, row.metadata.width, row.metadata.height) == ("JPEG", 60, 20)
    assert (row.size, row.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert row.content_hash == content_hash(path.read_bytes())
    assert len(row.vector) == 2 * encoder.spec.dim


@pytest.mark.parametrize("streams", SCHEDULES)
def test_known_bytes_are_neither_decoded_nor_encoded(
    catalog_path: Path, tmp_path: Path, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ColourEncoder(streams=streams)
    save_picture(tmp_path / "p/a.jpg", "red")
    with closing(Catalog(catalog_path)) as catalog:
        assert catalog.register_encoder(encoder.spec) == catalog.folder_id(str(tmp_path / "p")) == 1
        (row,) = outcomes(run(encoder, catalog_path, candidates(tmp_path / "p", ["a.jpg"])))
        assert isinstance(row, IndexedImage)
        catalog.commit(Batch(indexed=[row]), 1)
    (tmp_path / "p/a.jpg").rename(tmp_path / "p/b.jpg")
    monkeypatch.setattr(pipeline_module, "read_picture", None)
    (again,) = outcomes(run(encoder, catalog_path, candidates(tmp_path / "p", ["b.jpg"])))
    assert isinstance(again, IndexedImage) and again.is_reused and again.name == "b.jpg"
    assert (again.vector, again.metadata) == (row.vector, row.metadata)
    assert encoder.encoded == 1


@pytest.mark.parametrize("streams", SCHEDULES)
def test_only_so_many_files_are_taken_ahead_of_the_results(
    catalog_path: Path, many: list[Candidate], streams: int
) -> None:
    encoder, taken = ColourEncoder(streams=streams, batch_size=4), 0

    def files() -> Iterator[Candidate]:
        nonlocal taken
        for _ in range(20):
            for candidate in many:
                taken += 1
                yield candidate

    running = pipeline(encoder, catalog_path, workers=2).run(files(), stop=lambda: False)
    bound = 4 * (2 * LOOKAHEAD if streams > 1 else BATCHES)
    given = most = 0
    for results in running:
        most = max(most, taken - given)
        given += len(results.outcomes)
    assert given == taken == 1000
    assert most <= bound


@pytest.mark.parametrize("streams", SCHEDULES)
def test_a_quiet_walk_does_not_hold_back_a_batch_that_is_not_full(
    catalog_path: Path, many: list[Candidate], streams: int
) -> None:
    rows: list[IndexedImage | FailedImage] = []
    arrived = 0

    def files() -> Iterator[Candidate | None]:
        nonlocal arrived
        yield from many[:3]
        deadline = time.monotonic() + 600
        while len(rows) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
            yield None
        arrived = len(rows)
        yield from many[3:]

    encoder = ColourEncoder(streams=streams, batch_size=64)
    for results in pipeline(encoder, catalog_path, workers=2).run(files(), stop=lambda: False):
        rows += results.outcomes
    assert arrived == 3
    assert [row.name for row in rows] == [candidate.name for candidate in many]


def test_a_slow_walk_does_not_hold_back_a_batch_for_long(
    many: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0

    def files() -> Iterator[Candidate]:
        nonlocal seconds
        for candidate in many[:20]:
            seconds += 0.3 * candidates_module.PATIENCE_SECONDS
            yield candidate
            seconds += 9 * candidates_module.PATIENCE_SECONDS  # by whoever takes the chunks: no fault of the walk

    monkeypatch.setattr(candidates_module, "time", SimpleNamespace(perf_counter=lambda: seconds))
    walk = iter(files())
    chunks = list(candidates_module.in_chunks(walk, 64))
    assert [len(chunk) for chunk in chunks] == [2] * 10
    seconds = 0.0
    fast = list(candidates_module.in_chunks(iter(many), 20))
    assert [len(chunk) for chunk in fast] == [20, 20, 10]


@pytest.mark.parametrize("streams", SCHEDULES)
def test_known_files_fill_batches_too(catalog_path: Path, tmp_path: Path, streams: int) -> None:
    """Nothing of them goes to the encoder, so a batch that waited for pictures would wait for the whole folder."""
    encoder, taken, given = ColourEncoder(streams=streams, batch_size=4), 0, 0
    save_picture(tmp_path / "p/a.jpg", "red")
    with closing(Catalog(catalog_path)) as catalog:
        assert catalog.register_encoder(encoder.spec) == catalog.folder_id(str(tmp_path / "p")) == 1
        (row,) = outcomes(run(encoder, catalog_path, candidates(tmp_path / "p", ["a.jpg"])))
        assert isinstance(row, IndexedImage)
        catalog.commit(Batch(indexed=[row]), 1)

    def files() -> Iterator[Candidate]:
        nonlocal taken
        for candidate in candidates(tmp_path / "p", ["a.jpg"]) * 100:
            taken += 1
            yield candidate

    for results in pipeline(encoder, catalog_path, workers=2).run(files(), stop=lambda: False):
        assert taken - given <= 4 * 2 * LOOKAHEAD
        given += len(results.outcomes)
    assert given == 100 and encoder.encoded == 1


@pytest.mark.parametrize("streams", SCHEDULES)
def test_stopping_drains_what_is_in_flight_in_order(catalog_path: Path, many: list[Candidate], streams: int) -> None:
    encoder = ColourEncoder(streams=streams, batch_size=4)
    stopped = threading.Event()
    files = many * 10
    rows: list[IndexedImage | FailedImage] = []
    for results in pipeline(encoder, catalog_path, workers=2).run(files, stop=stopped.is_set):
        rows += results.outcomes
        if len(rows) >= 20:
            stopped.set()
    assert 20 <= len(rows) < 120
    assert [row.name for row in rows] == [candidate.name for candidate in files[: len(rows)]]
    assert list(pipeline(encoder, catalog_path).run(many, stop=lambda: True)) == []


@pytest.mark.parametrize("streams", SCHEDULES)
def test_one_picture_that_upsets_the_model_fails_alone(catalog_path: Path, tmp_path: Path, streams: int) -> None:
    folder = tmp_path / "p"
    for number in range(10):
        save_picture(folder / f"{number}.png", "white" if number in (2, 7) else "blue", seed=number)
    encoder = PoisonedEncoder(streams=streams, batch_size=8)
    rows = outcomes(run(encoder, catalog_path, candidates(folder, [f"{number}.png" for number in range(10)])))
    failed = [(row.name, row.reason) for row in rows if isinstance(row, FailedImage)]
    assert failed == [(name, PoisonedEncoder.error.args[0]) for name in ("2.png", "7.png")]
    assert [row.name for row in rows] == [f"{number}.png" for number in range(10)]


@pytest.mark.parametrize("streams", SCHEDULES)
@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), WeightsUnavailable("model.onnx is gone", ""), KeyboardInterrupt()]
)
def test_what_is_no_pictures_fault_ends_the_run_and_does_not_hang(
    catalog_path: Path, many: list[Candidate], tmp_path: Path, streams: int, error: BaseException
) -> None:
    save_picture(tmp_path / "p/w.png", "white")
    files = many[:9] + candidates(tmp_path / "p", ["w.png"]) + many * 5
    encoder = PoisonedEncoder(streams=streams, batch_size=4)
    encoder.error = error  # type: ignore[assignment]
    before = threading.enumerate()
    with pytest.raises(type(error)):
        run(encoder, catalog_path, files)
    assert left_after(before) == []


@pytest.mark.parametrize("streams", SCHEDULES)
def test_a_consumer_that_leaves_early_leaves_no_threads(
    catalog_path: Path, many: list[Candidate], streams: int
) -> None:
    before = threading.enumerate()
    running = pipeline(ColourEncoder(streams=streams), catalog_path, workers=2).run(many, stop=lambda: False)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert left_after(before) == []


def test_a_walk_that_fails_ends_the_run(catalog_path: Path, many: list[Candidate], encoder: ColourEncoder) -> None:
    def files() -> Iterator[Candidate]:
        yield from many
        raise LookupError("the walk broke")

    with pytest.raises(LookupError, match="the walk broke"):
        list(pipeline(encoder, catalog_path).run(files(), stop=lambda: False))


def test_a_file_that_is_too_large_is_not_read(
    catalog_path: Path, many: list[Candidate], encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates_module, "MAX_FILE_BYTES", many[0].size - 1)
    row = outcomes(run(encoder, catalog_path, many[:1]))[0]
    assert isinstance(row, FailedImage) and "limit is" in row.reason and not row.is_transient


def test_the_row_has_the_size_and_time_of_the_bytes_that_were_read(
    catalog_path: Path, tmp_path: Path, encoder: ColourEncoder
) -> None:
    path = save_picture(tmp_path / "p/a.png", "red")
    old = candidates(path.parent, ["a.png"])
    save_picture(path, "green", size=(64, 64))
    os.utime(path, ns=(99, 99))
    (row,) = outcomes(run(encoder, catalog_path, old))
    assert isinstance(row, IndexedImage)
    assert (row.size, row.mtime_ns) == (path.stat().st_size, 99) != (old[0].size, old[0].mtime_ns)


@pytest.mark.parametrize("grows", [True, False])
def test_a_file_that_changes_while_it_is_read_is_tried_again_next_time(
    catalog_path: Path, tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    path = save_picture(tmp_path / "p/a.png", "red")
    real = os.fstat

    def fstat(number: int) -> os.stat_result:
        found = real(number)
        if grows:
            with path.open("ab") as file:
                file.write(b"more")
        else:
            os.utime(path, ns=(found.st_mtime_ns + 5, found.st_mtime_ns + 5))
        return found

    monkeypatch.setattr(pipeline_module.os, "fstat", fstat)
    (row,) = outcomes(run(encoder, catalog_path, candidates(path.parent, ["a.png"])))
    assert isinstance(row, FailedImage) and row.is_transient and row.reason == "changed while it was read"


@pytest.mark.parametrize("streams", SCHEDULES)
def test_ctrl_c_while_a_thread_starts_closes_no_connection_under_it(
    catalog_path: Path, many: list[Candidate], streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool does not know that thread then. Closing the connection that it asks through crashes the process."""
    asking, asked, closed_while_asking = threading.Event(), threading.Event(), []
    start, close, find = threading.Thread.start, CatalogReader.close, CatalogReader.embedding_of

    def interrupted_start(thread: threading.Thread) -> None:
        start(thread)
        if "worker" in thread.name or "decode" in thread.name:
            assert asking.wait(600)
            raise KeyboardInterrupt

    def slow_find(reader: CatalogReader, digest: bytes, encoder_id: int) -> object:
        asking.set()
        time.sleep(0.2)
        found = find(reader, digest, encoder_id)
        asked.set()
        return found

    def noticed_close(reader: CatalogReader) -> None:
        closed_while_asking.append(not asked.is_set())
        close(reader)

    monkeypatch.setattr(CatalogReader, "embedding_of", slow_find)
    monkeypatch.setattr(CatalogReader, "close", noticed_close)
    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        run(ColourEncoder(streams=streams), catalog_path, many)
    assert closed_while_asking == [False]
    assert left_after(before) == []


def test_timings_are_added_up_per_stage(catalog_path: Path, many: list[Candidate], encoder: ColourEncoder) -> None:
    timings = [result.timings for result in run(encoder, catalog_path, many)]
    for stage in ("read", "decode", "encode"):
        assert np.sum([getattr(timing, stage) for timing in timings]) > 0
