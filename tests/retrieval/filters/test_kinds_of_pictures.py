"""Photos, videos, screenshots and documents: told by what the catalog knows of any picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CatalogReader
from retrieval.filters import Filter
from retrieval.filters.screens import _BEGINNINGS
from retrieval.folding import fold
from tests.retrieval.rows import filled, image

PICTURES = {
    "IMG_1.jpg": ({"camera": "Apple iPhone 14", "width": 2532, "height": 1170}, "photo"),
    "IMG_2.PNG": ({"format": "PNG", "width": 1170, "height": 2532}, "screenshot"),
    "IMG_3.PNG": ({"format": "PNG", "width": 1000, "height": 700}, "photo"),
    "wallpaper.jpg": ({"width": 1920, "height": 1080}, "photo"),
    "Screenshot_2024-05-06.jpg": ({"width": 900, "height": 700}, "screenshot"),
    "Screenshot taken by a camera.jpg": ({"camera": "Canon EOS 5D"}, "photo"),
    "Bildschirmfoto 2024-05-06 um 07.08.09.png": ({"format": "PNG"}, "screenshot"),
    "Capture d’écran 2024-05-06.png": ({"format": "PNG"}, "screenshot"),
    "Skärmavbild 2024-05-06.png": ({"format": "PNG"}, "screenshot"),
    "スクリーンショット 2024-05-06.png": ({"format": "PNG"}, "screenshot"),
    "scan.png": ({"format": "PNG", "is_page": True}, "document"),
    "Screenshot of a page.png": ({"format": "PNG", "is_page": True}, "screenshot"),
    "photo.png": ({"format": "PNG", "is_page": False}, "photo"),
    "clip.mp4": ({"format": "MP4", "duration_s": 12.0, "still_s": 0.0}, "video"),
    "Screenshot.mp4": ({"format": "MP4", "duration_s": 90.0, "still_s": 0.0}, "video"),
}


@pytest.fixture
def reader(tmp_path: Path) -> CatalogReader:
    catalog, folder, encoder = filled(tmp_path / "catalog.sqlite", [])
    rows = [image(folder, name, **facts) for name, (facts, _) in PICTURES.items()]
    catalog.commit(Batch(indexed=rows), encoder)
    catalog.close()
    return CatalogReader(tmp_path / "catalog.sqlite")


def passing(reader: CatalogReader, where: Filter) -> set[str]:
    return {Path(record.path).name for record in reader.records(reader.select(where).tolist())}


def test_kinds(reader: CatalogReader) -> None:
    for kind in ("photo", "video", "screenshot", "document"):
        expected = {name for name, (_, told) in PICTURES.items() if told == kind}
        assert passing(reader, Filter(kind=kind)) == expected
        assert passing(reader, Filter(no_kind=kind)) == PICTURES.keys() - expected
    reader.close()


def test_durations_are_those_of_videos(reader: CatalogReader) -> None:
    assert passing(reader, Filter(duration=">=10s")) == {"clip.mp4", "Screenshot.mp4"}
    assert passing(reader, Filter(duration="<1:30")) == {"clip.mp4"}
    assert passing(reader, Filter(no_duration="<1:30")) == PICTURES.keys() - {"clip.mp4"}
    reader.close()


def test_the_names_are_folded_as_names_are() -> None:
    assert [fold(name) for name in _BEGINNINGS] == list(_BEGINNINGS)
