"""Runs that are stopped, interrupted or get in each other's way: what is done stays done, the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect

from indexes.base import Ids, Vectors
from indexes.exact import ExactIndex
from retrieval.catalog.transaction import Transaction
from retrieval.encoders.base import Pixels
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery
from retrieval.indexing import indexer as indexer_module
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement, embedded, found, opened_below, present, settled

MANY = 40


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder with ``MANY`` pictures and three bad files."""
    folder = tmp_path / "many"
    for number in range(MANY):
        colour = ("red", "green", "blue")[number % 3]
        save_picture(folder / str(number // 10) / f"{number:02}.png", colour, seed=number, size=(12, 12))
    for number in (3, 14, 33):
        (folder / str(number // 10) / f"{number}-bad.png").write_bytes(b"?")
    return folder


@pytest.fixture
def whole(many: Path, tmp_path: Path) -> dict[str, tuple[bytes, bytes | None]]:
    """What an uninterrupted run makes of ``many``."""
    gallery, encoder = Gallery(tmp_path / "whole"), ColourEncoder()
    Indexer(gallery, encoder).run(many)
    return embedded(gallery, encoder)


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("after", [0, 1, 17, MANY])
def test_a_stopped_run_keeps_what_was_encoded_and_the_next_one_goes_on(
    gallery: Gallery, many: Path, whole: dict[str, tuple[bytes, bytes | None]], streams: int, after: int
) -> None:
    encoder = ColourEncoder(streams=streams, batch_size=4)
    report = Indexer(gallery, encoder).run(many, stop=lambda: encoder.encoded >= after)
    assert report.interrupted
    assert report.images == report.counts.added == report.encoded == encoder.encoded >= after
    with gallery.reader() as reader:
        run = reader.last_run()
    assert run is not None
    assert run["outcome"] == "interrupted"
    assert embedded(gallery, encoder).items() <= whole.items()
    check_agreement(gallery, encoder)

    done, encoder.encoded = encoder.encoded, 0
    report = Indexer(gallery, encoder).run(many)
    assert not report.interrupted
    assert encoder.encoded == MANY - done
    assert settled(report) == MANY + 3
    assert embedded(gallery, encoder) == whole
    check_agreement(gallery, encoder)


class Slow(ColourEncoder):
    def encode_images(self, pixels: Pixels) -> Vectors:
        time.sleep(0.02)
        return super().encode_images(pixels)


def test_a_stop_finishes_the_chunks_in_flight_and_starts_no_other(gallery: Gallery, many: Path) -> None:
    encoder = Slow(streams=3, batch_size=1)
    at_stop: list[int] = []

    def stop() -> bool:
        if encoder.encoded >= 5:
            at_stop.append(encoder.encoded)
        return bool(at_stop)

    report = Indexer(gallery, encoder).run(many, stop=stop)
    # One chunk per worker in flight; one more each, should it be taken in the moment of the stop.
    assert report.encoded == encoder.encoded <= at_stop[0] + 6


def test_a_stopped_run_retires_nothing_that_it_did_not_look_for(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = present(indexed, encoder)
    for name in ("green.jpg", "trip/blue-1.jpg", "trip/day two/yellow.jpg"):
        (photos / name).unlink()
    report = Indexer(indexed, encoder).run(photos, stop=lambda: True)
    assert (report.interrupted, report.counts.retired) == (True, 0)
    assert present(indexed, encoder) == before
    assert Indexer(indexed, encoder).run(photos).counts.retired == 3


def test_a_stop_is_heard_in_a_walk_that_finds_nothing_new(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 2

    report = Indexer(indexed, encoder).run(photos, stop=stop)
    assert report.interrupted
    assert settled(report) < len(PHOTOS)


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("after", [1, 9, 30])
def test_ctrl_c_keeps_what_was_committed_and_leaves_a_gallery_in_order(
    gallery: Gallery,
    many: Path,
    whole: dict[str, tuple[bytes, bytes | None]],
    monkeypatch: pytest.MonkeyPatch,
    streams: int,
    after: int,
) -> None:
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", 3)
    main = threading.get_ident()

    class Interrupting(ColourEncoder):
        sent = False

        def encode_images(self, pixels: Pixels) -> Vectors:
            vectors = super().encode_images(pixels)
            if self.encoded >= after and not self.sent:
                self.sent = True
                signal.pthread_kill(main, signal.SIGINT)
            return vectors

    encoder = Interrupting(streams=streams, batch_size=1)
    report = Indexer(gallery, encoder).run(many)
    assert report.interrupted
    assert report.images == len(embedded(gallery, encoder))
    assert embedded(gallery, encoder).items() <= whole.items()
    if report.images:
        check_agreement(gallery, encoder)
    report = Indexer(gallery, encoder).run(many)
    assert not report.interrupted
    assert embedded(gallery, encoder) == whole
    check_agreement(gallery, encoder)


@pytest.mark.parametrize(
    "statement", ["BEGIN", "SELECT", "INSERT INTO images", "INSERT INTO embeddings", "UPDATE state SET"]
)
def test_ctrl_c_in_the_middle_of_a_transaction(
    gallery: Gallery,
    many: Path,
    whole: dict[str, tuple[bytes, bytes | None]],
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", 5)
    before: list[str] = []

    def interrupting(execute: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*given: Any) -> Any:
            done = execute(*given)
            text = next(each for each in given if isinstance(each, str))
            # Once, after a transaction with images, whose last statement is about the catalog's version.
            if text.startswith(statement) and "end" in before and "interrupt" not in before:
                before.append("interrupt")
                raise KeyboardInterrupt
            if text.startswith("INSERT INTO images"):
                before.append("images")
            elif text.startswith("UPDATE state SET version") and "images" in before:
                before.append("end")
            return done

        return interrupted

    with monkeypatch.context() as patch:
        # SQLAlchemy begins and ends a transaction; its statements go to the driver.
        for home, name in ((DefaultDialect, "do_execute"), (Transaction, "rows"), (Transaction, "_executed")):
            patch.setattr(home, name, interrupting(getattr(home, name)))
        report = Indexer(gallery, encoder).run(many)
    assert report.interrupted
    assert report.images == len(embedded(gallery, encoder)) > 0
    check_agreement(gallery, encoder)
    Indexer(gallery, encoder).run(many)
    assert embedded(gallery, encoder) == whole


@pytest.mark.parametrize("call", range(1, 6))
def test_ctrl_c_in_the_middle_of_an_index_update(
    gallery: Gallery,
    many: Path,
    whole: dict[str, tuple[bytes, bytes | None]],
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", 5)
    add, calls = ExactIndex.add, []

    def interrupted(self: ExactIndex, ids: Ids, vectors: Vectors) -> None:
        add(self, ids, vectors)
        calls.append(len(ids))
        if len(calls) == call:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ExactIndex, "add", interrupted)
        report = Indexer(gallery, encoder).run(many)
    assert report.interrupted
    check_agreement(gallery, encoder)
    Indexer(gallery, encoder).run(many)
    assert embedded(gallery, encoder) == whole
    check_agreement(gallery, encoder)


def test_an_encoder_that_breaks_loses_nothing_that_was_committed(
    gallery: Gallery, many: Path, whole: dict[str, tuple[bytes, bytes | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", 1)

    class Breaking(ColourEncoder):
        def encode_images(self, pixels: Pixels) -> Vectors:
            if self.encoded >= 20:
                raise ZeroDivisionError("a bug")
            return super().encode_images(pixels)

    with pytest.raises(ZeroDivisionError):
        Indexer(gallery, Breaking(batch_size=2)).run(many)
    encoder = ColourEncoder()
    committed = len(embedded(gallery, encoder))
    assert committed > 0
    Indexer(gallery, encoder).run(many)
    assert encoder.encoded == MANY - committed
    assert embedded(gallery, encoder) == whole


# The child indexes with an encoder that says when it starts and then waits for a line.
CHILD = """
import sys
from tests.fakes import ColourEncoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer

class Waiting(ColourEncoder):
    def encode_images(self, pixels):
        if not self.encoded:
            print("encoding", flush=True)
            sys.stdin.readline()
        return super().encode_images(pixels)

print(Indexer(Gallery(sys.argv[1]), Waiting(batch_size=1), workers=1).run(sys.argv[2]).counts.added)
"""


def test_one_process_writes_and_others_search_meanwhile(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    save_picture(photos / "new.jpg", "white")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, indexed.path, photos],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "encoding\n"
        encoder.encoded = 0
        with opened_below(photos) as opened, pytest.raises(GalleryLocked, match=rf"process {child.pid}\b") as raised:
            Indexer(indexed, encoder).run(photos)
        assert raised.value.hint
        assert (opened, encoder.encoded) == ([], 0)
        assert set(found(indexed, encoder, "red", k=2)) == {"red-1.jpg", "red-2.png"}
        assert "new.jpg" not in found(indexed, encoder)
        answer, _ = child.communicate("go on\n", timeout=600)
    assert (child.returncode, answer) == (0, "1\n")
    assert found(indexed, encoder, "white", k=1) == ["new.jpg"]
    assert Indexer(indexed, encoder).run(photos).unchanged == len(PHOTOS) + 1


def test_a_killed_writer_does_not_keep_the_lock(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    save_picture(photos / "new.jpg", "white")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, indexed.path, photos],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "encoding\n"
        os.kill(child.pid, signal.SIGKILL)
    assert Indexer(indexed, encoder).run(photos).counts.added == 1
    assert not (indexed.path / "writer.json").exists()


def test_a_transaction_that_was_left_open_does_not_lock_the_writer_out(gallery: Gallery) -> None:
    with gallery.writer() as catalog:
        left = catalog._engine.connect()
        left.exec_driver_sql("UPDATE state SET index_spec = 'HNSW'")
        catalog.roll_back()
        catalog.activate_encoder(catalog.register_encoder(ColourEncoder().spec))
        left.close()
    with gallery.reader() as reader:
        assert reader.index_spec() is None
        assert reader.active_encoder() is not None
