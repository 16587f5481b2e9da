"""The last run in ``info``: its outcome, and its time in the local time zone."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import Pixels
from retrieval.errors import GalleryLocked, RuntimeUnavailable
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.overview import write_overview
from tests.fakes import ColourEncoder


def last_run(gallery: Gallery) -> str:
    out = io.StringIO()
    with gallery.reader() as reader:
        write_overview(gallery, reader, out)
    line = next(line for line in out.getvalue().splitlines() if line.startswith("last run"))
    return line.removeprefix("last run").strip()


@pytest.fixture(params=["UTC", "XYZ-05:30", "XYZ+11"])
def hours(request: pytest.FixtureRequest) -> Iterator[float]:
    """The hours that this machine's clock is ahead."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield {"UTC": 0.0, "XYZ-05:30": 5.5, "XYZ+11": -11.0}[request.param]
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_its_time_is_that_of_who_asks(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.catalog.runs.utc_now", lambda: "2024-02-28T20:00:00+00:00")
    Indexer(gallery, encoder).run(photos)
    shown = {0.0: "2024-02-28 20:00:00", 5.5: "2024-02-29 01:30:00", -11.0: "2024-02-28 09:00:00"}[hours]
    assert last_run(gallery).startswith(f"{shown}: complete, 6 encoded in ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeUnavailable("no engine runs here", "install one"), "failed: no engine runs here"),
        (OSError(28, "No space left on device"), "failed: the disk is full"),
        (ZeroDivisionError("division by zero"), "failed: a fault in the program: ZeroDivisionError"),
    ],
)
def test_a_run_that_ended_by_an_error_failed(
    error: Exception, said: str, gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ColourEncoder):
        def encode_images(self, pixels: Pixels) -> None:  # type: ignore[override]
            raise error

    with pytest.raises(type(error)):
        Indexer(gallery, Broken()).run(photos)
    assert last_run(gallery).endswith(said)


def test_a_run_that_is_refused_says_nothing_of_the_last_one(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = last_run(indexed)
    with indexed.writer(), pytest.raises(GalleryLocked):
        Indexer(indexed, encoder).run(photos)
    assert last_run(indexed) == before
    assert ": complete, 6 encoded" in before


def test_a_run_that_was_killed_was_cut_off(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalog, "finish_run", lambda *_: None)
    Indexer(indexed, encoder).run(photos)
    assert "interrupted (killed or crashed)" in last_run(indexed)
    with indexed.writer():
        assert last_run(indexed).endswith("still running")
