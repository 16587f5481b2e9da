"""The same day in every year; and pictures of which neither the date nor the place is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CatalogReader
from retrieval.filters import Filter
from tests.retrieval.rows import filled, image

PICTURES = {
    "eve.jpg": {"taken_at": "2021-12-24T18:30:00"},
    "older.jpg": {"taken_at": "1998-12-24T00:00:00", "taken_precision": "day", "latitude": 0.0, "longitude": 0.0},
    "later.jpg": {"taken_at": "2021-12-25T00:00:00"},
    "january.jpg": {"taken_at": "2021-01-01T09:00:00"},
    "some-day.jpg": {"taken_at": "2021-01-01T00:00:00", "taken_precision": "year"},
    "some-january.jpg": {"taken_at": "2021-01-01T00:00:00", "taken_precision": "month"},
    "undated.jpg": {},
}


@pytest.fixture
def reader(tmp_path: Path) -> CatalogReader:
    catalog, folder, encoder = filled(tmp_path / "catalog.sqlite", [])
    catalog.commit(Batch(indexed=[image(folder, name, **facts) for name, facts in PICTURES.items()]), encoder)
    catalog.close()
    return CatalogReader(tmp_path / "catalog.sqlite")


def passing(reader: CatalogReader, where: Filter) -> set[str]:
    return {Path(record.path).name for record in reader.records(reader.select(where).tolist())}


def test_a_day_is_that_of_every_year_if_the_day_is_known(reader: CatalogReader) -> None:
    assert passing(reader, Filter(day="12-24")) == {"eve.jpg", "older.jpg"}
    assert passing(reader, Filter(day="01-01")) == {"january.jpg"}
    assert passing(reader, Filter(day=("12-24", "12-25"))) == {"eve.jpg", "older.jpg", "later.jpg"}
    assert passing(reader, Filter(no_day="12-24")) == PICTURES.keys() - {"eve.jpg", "older.jpg"}
    assert passing(reader, Filter(day="12-24", before="2020")) == {"older.jpg"}
    reader.close()


def test_what_is_not_known(reader: CatalogReader) -> None:
    assert passing(reader, Filter(undated=True)) == {"undated.jpg"}
    assert passing(reader, Filter(unplaced=True)) == PICTURES.keys() - {"older.jpg"}
    assert passing(reader, Filter(undated=True, after="1900")) == set()
    reader.close()
