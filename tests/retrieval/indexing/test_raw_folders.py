"""Folders with RAW files: indexed with and without the library that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.pictures import optional
from tests.fakes import ColourEncoder
from tests.raw_files import dng, jpeg, scene
from tests.retrieval.states import failing, ids

pytest.importorskip("rawpy")


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A folder of RAW files: one good, one broken."""
    folder = tmp_path / "camera"
    folder.mkdir()
    seen = scene(120, 80)
    (folder / "IMG_1.DNG").write_bytes(dng(seen, preview=jpeg(seen)))
    (folder / "IMG_2.NEF").write_bytes(b"MM\0*" + bytes(5000))
    (folder / "IMG_3.cr3").write_bytes(b"\0\0\0\x18ftypcrx " + bytes(5000))
    return folder


def test_raw_files_are_indexed_and_bad_ones_counted(gallery: Gallery, camera: Path, encoder: ColourEncoder) -> None:
    report = Indexer(gallery, encoder).run(camera)
    assert (report.counts.added, report.counts.failed) == (1, 2)
    assert ids(gallery, encoder, camera).keys() == {"IMG_1.DNG"}
    assert all("\n" not in reason for reason in failing(gallery).values())
    with gallery.reader() as reader:
        [image] = reader.records([1])
    assert (image.format, image.width, image.height, image.camera) == ("RAW", 120, 80, "Testmaker One")
    again = Indexer(gallery, encoder).run(camera)
    assert (again.unchanged, again.counts.added) == (3, 0)


def test_without_the_library_they_are_counted_and_known_ones_stay(
    gallery: Gallery, camera: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Indexer(gallery, encoder).run(camera)
    monkeypatch.setattr(optional.Extra, "is_installed", lambda self: False)
    seen = scene(120, 80)
    (camera / "IMG_4.DNG").write_bytes(dng(seen, preview=jpeg(seen)))
    report = Indexer(gallery, encoder).run(camera)
    assert report.passed_over == {"RAW": {"dng": 2, "cr3": 1, "nef": 1}}
    assert report.counts.retired == 0 and ids(gallery, encoder, camera).keys() == {"IMG_1.DNG"}
    monkeypatch.undo()
    assert Indexer(gallery, encoder).run(camera).counts.added == 1
