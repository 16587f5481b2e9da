"""Hits in a folder: nothing is overwritten, a second time changes nothing, and names may be anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.rendering.copies import place_hits
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.pictures import save_picture


def search(gallery: Gallery, encoder: ColourEncoder, k: int = 10) -> list[Hit]:
    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        return engine.search(Query.text("red", k=k))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def hits(indexed: Gallery, encoder: ColourEncoder) -> list[Hit]:
    return search(indexed, encoder, 3)


@pytest.mark.parametrize("link", [False, True])
def test_hits_arrive_once(hits: list[Hit], tmp_path: Path, link: bool) -> None:
    folder = tmp_path / "new" / "folder"
    placed = list(place_hits(hits, folder, link=link))
    assert [(one.path, one.result) for one in placed] == [(hit.image.path, "new") for hit in hits]
    for one in placed:
        assert one.place is not None and one.place.read_bytes() == Path(one.path).read_bytes()
        assert one.place.is_symlink() == link and one.place.name == Path(one.path).name
        assert one.place.stat().st_mtime_ns == Path(one.path).stat().st_mtime_ns
    before = sorted(folder.iterdir())
    assert {one.result for one in place_hits(hits, folder, link=link)} == {"there"}
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_overwritten(hits: list[Hit], tmp_path: Path, link: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    name = Path(hits[0].image.path)
    (folder / name.name).write_bytes(b"mine")
    (folder / f"{name.stem}-2{name.suffix}").symlink_to("nowhere")  # a dangling link is taken, and not followed
    first, *_ = place_hits(hits, folder, link=link)
    assert first.place == folder / f"{name.stem}-3{name.suffix}"
    assert (folder / name.name).read_bytes() == b"mine" and not (tmp_path / "nowhere").exists()
    assert not (folder / "nowhere").exists()


def test_ranks_before_the_names(hits: list[Hit], tmp_path: Path) -> None:
    list(place_hits(hits, tmp_path / "f", numbered=True))
    assert names(tmp_path / "f") == [f"00{hit.rank}-{Path(hit.image.path).name}" for hit in hits]


def test_pictures_of_one_name_from_two_folders(gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    for number, folder in enumerate("ab"):
        save_picture(tmp_path / "p" / folder / "x.jpg", "red", seed=number)
    Indexer(gallery, encoder).run(tmp_path / "p")
    list(place_hits(search(gallery, encoder), tmp_path / "f"))
    assert names(tmp_path / "f") == ["x-2.jpg", "x.jpg"]


def test_a_missing_drive_is_left_out(hits: list[Hit], tmp_path: Path) -> None:
    Path(hits[1].image.path).unlink()
    assert [one.result for one in place_hits(hits, tmp_path / "f")] == ["new", "missing", "new"]


def test_names_that_are_not_text(gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    odd = os.fsdecode(b"-r \x1b[31m\xff.png")
    save_picture(tmp_path / "p" / "x.png", "red")
    (tmp_path / "p" / "x.png").rename(tmp_path / "p" / odd)
    Indexer(gallery, encoder).run(tmp_path / "p")
    found = search(gallery, encoder)
    for link in (False, True):
        (one,) = place_hits(found, tmp_path / f"f{link}", link=link)
        assert one.result == "new"
        assert names(tmp_path / f"f{link}") == [odd]


def test_a_copy_that_fails_leaves_nothing(hits: list[Hit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retrieval.rendering.copies.shutil.copyfileobj", full)
    placed = list(place_hits(hits, tmp_path / "f"))
    assert {(one.result, one.reason) for one in placed} == {("failed", "No space left on device")}
    assert list((tmp_path / "f").iterdir()) == []


def test_a_file_is_no_folder(hits: list[Hit], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot write .*/file: File exists"):
        list(place_hits(hits, tmp_path / "file"))
