"""Runs with files that take very long: good files go past them, a stop does not wait, a killed run is remembered."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.doubtful_notes import KILLED
from retrieval.indexing.indexer import Indexer
from retrieval.pictures import images
from retrieval.pictures.decoders import Decoders
from tests.fakes import ColourEncoder
from tests.hostile_pictures import empty_scans, png_chunks
from tests.pictures import save_picture

GOOD = 20
PATIENCE = 600.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good pictures, and one that takes minutes among the first."""
    folder = tmp_path / "photos"
    for number in range(GOOD):
        save_picture(folder / f"{number:02}.png", ("red", "green", "blue")[number % 3], seed=number)
    (folder / "01-slow.jpg").write_bytes(empty_scans())
    return folder


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    made = Decoders(seconds=6000)
    monkeypatch.setattr(images, "shared", made)
    yield made
    made.close()


@pytest.mark.parametrize("streams", [1, 2])
def test_good_files_are_committed_past_a_slow_one_and_a_stop_does_not_wait_for_it(
    gallery: Gallery, folder: Path, streams: int, patient: Decoders
) -> None:
    committed = 0

    def stop() -> bool:
        nonlocal committed
        committed = _present(gallery)
        return committed == GOOD

    report = Indexer(gallery, ColourEncoder(streams=streams, batch_size=4)).run(folder, stop=stop)
    assert committed == GOOD and report.interrupted
    assert (report.images, report.failures_known) == (GOOD, 0), "the slow file is neither indexed nor a failure"
    assert patient._idle == []


def _present(gallery: Gallery) -> int:
    with gallery.reader() as reader:
        encoder = reader.active_encoder()
        return 0 if encoder is None else reader.count(encoder.id)


def test_a_slow_file_that_ends_is_indexed_behind_the_others(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(GOOD):
        save_picture(folder / f"{number:02}.png", "red", seed=number)
    (folder / "01-late.jpg").write_bytes(empty_scans(70, 1600))
    report = Indexer(gallery, ColourEncoder(streams=2, batch_size=4)).run(folder)
    assert (report.images, report.failures_known, report.interrupted) == (GOOD + 1, 0, False)


def test_a_file_beyond_the_deadline_is_a_failure(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Decoders(seconds=3)
    monkeypatch.setattr(images, "shared", impatient)
    report = Indexer(gallery, ColourEncoder(streams=2)).run(folder)
    assert (report.images, report.failures_known, report.failures_passing) == (GOOD, 1, 0)
    with gallery.reader() as reader:
        (failure,) = reader.failures()
    assert failure.reason == "it took more than 3 s to decode"
    impatient.close()


_RUN = """
import sys
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.interrupts import stop_on_interrupt
from tests.fakes import ColourEncoder
with stop_on_interrupt(lambda: None) as stop:
    report = Indexer(Gallery(sys.argv[1]), ColourEncoder(streams=2)).run(sys.argv[2], stop=stop)
print(report.interrupted, report.images)
"""


def _started(gallery: Gallery, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _RUN, str(gallery.path), str(folder)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True)


def _until_noted(gallery: Gallery, process: subprocess.Popen[str]) -> None:
    """Wait until it reads a dangerous file."""
    end = time.monotonic() + PATIENCE
    while not (gallery.doubtful_path.is_dir() and any(gallery.doubtful_path.iterdir())):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_what_a_killed_run_was_reading_is_passed_over_by_the_next_one(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "01-slow.jpg").unlink()
    danger = folder / "00-danger.png"
    danger.write_bytes(png_chunks())
    process = _started(gallery, folder)
    _until_noted(gallery, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    report = Indexer(gallery, ColourEncoder(streams=2)).run(folder)
    assert (report.images, report.failures_known, report.failures_passing) == (GOOD, 1, 0)
    assert [record.getMessage() for record in caplog.records] == [f"passed over {danger}: {KILLED}"]
    with gallery.reader() as reader:
        assert [failure.reason for failure in reader.failures()] == [KILLED]
    assert not gallery.doubtful_path.exists()
    assert Indexer(gallery, ColourEncoder()).run(folder).unchanged == GOOD + 1

    impatient = Decoders(seconds=1)
    monkeypatch.setattr(images, "shared", impatient)
    report = Indexer(gallery, ColourEncoder()).run(folder, retry_failures=True)
    with gallery.reader() as reader:
        assert [failure.reason for failure in reader.failures()] == ["it took more than 1 s to decode"]
    impatient.close()


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_ends_a_run_that_reads_a_slow_file(
    gallery: Gallery, folder: Path, number: signal.Signals
) -> None:
    (folder / "00-danger.png").write_bytes(png_chunks())
    process = _started(gallery, folder)
    _until_noted(gallery, process)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and printed.startswith("True ")
    assert not any(gallery.doubtful_path.iterdir()), "it was given up, which is not the file's fault"
