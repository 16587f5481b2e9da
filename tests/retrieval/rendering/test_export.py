"""Exports: smaller pictures that keep their date and lose what they should, and lists of what is known."""

from __future__ import annotations

import csv
import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD

from retrieval.catalog.records import ImageRecord
from retrieval.errors import SettingsError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.albums import create_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import labels_of
from retrieval.pictures.exif import read_exif
from retrieval.rendering.copies import place_hits
from retrieval.rendering.export import Export, ExportReport, export_hits
from retrieval.rendering.html_page import write_html
from retrieval.rendering.resized import Resize
from retrieval.search.hits import Hit
from tests.fakes import ColourEncoder


@pytest.fixture
def taken(tmp_path: Path, gallery: Gallery, encoder: ColourEncoder) -> Gallery:
    """A picture from a camera that lay on its side, with a place, a profile and a comment nobody should get."""
    folder = tmp_path / "camera"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Canon", "Canon EOS R6", 6
    exif.get_ifd(IFD.Exif).update(
        {0x9003: "2023:05:06 07:08:09", 0x9011: "+02:00", 0x8827: 400, 0x829D: 2.8, 0x829A: 0.004, 0x920A: 50.0}
    )
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (48.0, 51.0, 30.25), 3: "W", 4: (2.0, 17.0, 40.5)})
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, :200] = (200, 30, 30)
    pixels[:, 200:] = (30, 30, 200)
    Image.fromarray(pixels).save(folder / "IMG 1.jpg", quality=95, exif=exif, comment=b"secret")
    Image.fromarray(pixels[:40, :60]).save(folder / "small.png")
    Indexer(gallery, encoder).run(folder)
    return gallery


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hits_of(gallery: Gallery) -> list[Hit]:
    with gallery.reader() as reader:
        records = reader.records(reader.select(Filter()).tolist())
    return [Hit(rank, 0.5, record) for rank, record in enumerate(records, 1)]


def export(gallery: Gallery, folder: Path, asked: Export) -> ExportReport:
    hits = hits_of(gallery)
    with gallery.reader() as reader:
        said = {each.image.id: each for each in labels_of(reader, [hit.image.id for hit in hits])}
    return export_hits(hits, said, folder, asked, {"query": "a dog"})


def test_a_smaller_picture_is_upright_and_keeps_what_the_camera_said(taken: Gallery, tmp_path: Path) -> None:
    report = export(taken, tmp_path / "out", Export("resized", Resize(200)))
    assert (report.new, report.failed) == (2, 0)
    with Image.open(tmp_path / "out" / "IMG 1.jpg") as made:
        assert made.format == "JPEG" and made.size == (150, 200), "turned"
        exif = read_exif(made)
        pixels = np.asarray(made).astype(int)
        assert "icc_profile" not in made.info and made.getexif().get_ifd(IFD.Exif)[0xA001] == 1
    assert (exif.taken_at, exif.offset_minutes, exif.orientation) == (datetime(2023, 5, 6, 7, 8, 9), 120, 1)
    assert (exif.camera, exif.iso, exif.aperture, exif.exposure, exif.focal_length) == (
        "Canon EOS R6", 400, 2.8, 0.004, 50.0,
    )  # fmt: skip
    assert exif.latitude == pytest.approx(48.858403, abs=1e-6) and exif.longitude == pytest.approx(-2.294583, abs=1e-6)
    assert np.abs(pixels[20, 75] - (200, 30, 30)).max() < 12 and np.abs(pixels[180, 75] - (30, 30, 200)).max() < 12
    assert b"secret" not in (tmp_path / "out" / "IMG 1.jpg").read_bytes()
    with Image.open(tmp_path / "out" / "small.jpg") as small:
        assert small.size == (60, 40), "never enlarged"


def test_without_a_location_nothing_tells_it(taken: Gallery, tmp_path: Path) -> None:
    export(taken, tmp_path / "out", Export("resized", Resize(200, location=False)))
    with Image.open(tmp_path / "out" / "IMG 1.jpg") as made:
        exif = read_exif(made)
        assert exif.latitude is None and exif.taken_at is not None and not made.getexif().get_ifd(IFD.GPSInfo)
    listed = (tmp_path / "out" / "pictures.json").read_text() + (tmp_path / "out" / "pictures.csv").read_text()
    assert "48.85" not in listed and "latitude" not in listed and "place" not in listed
    for form in ("copies", "links"):
        with pytest.raises(SettingsError, match="where they were taken"):
            Export(form, Resize(location=False))


@pytest.mark.parametrize("form", ["copies", "links", "resized"])
def test_again_nothing_is_written_but_what_is_missing(taken: Gallery, tmp_path: Path, form: str) -> None:
    folder, asked = tmp_path / "out", Export(form, Resize(100))
    planned = export(taken, folder, Export(form, Resize(100), dry_run=True))
    assert planned.new == 2 and not folder.exists()
    assert export(taken, folder, asked).new == 2
    before = {path.name: os.lstat(path).st_mtime_ns for path in folder.iterdir() if path.suffix in (".jpg", ".png")}
    assert len(before) == 2
    again = export(taken, folder, asked)
    assert (again.new, again.there) == (0, 2)
    assert {name: os.lstat(folder / name).st_mtime_ns for name in before} == before
    (folder / next(iter(before))).unlink()
    assert export(taken, folder, Export(form, Resize(100), dry_run=True)).new == 1
    again = export(taken, folder, asked)
    assert (again.new, again.there) == (1, 1)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "pictures.csv", "pictures.json"])


def test_another_size_is_another_picture_and_what_others_made_stays(taken: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "IMG 1.jpg").write_bytes(b"not a picture")
    (folder / "pictures.csv").write_text("mine\n")
    (folder / "pictures.json").write_text("{}")
    for size in (100, 120):
        export(taken, folder, Export("resized", Resize(size)))
    assert (folder / "IMG 1.jpg").read_bytes() == b"not a picture"
    assert (folder / "pictures.csv").read_text() == "mine\n" and (folder / "pictures.json").read_text() == "{}"
    for name, size in (("IMG 1-2.jpg", 100), ("IMG 1-3.jpg", 120)):
        with Image.open(folder / name) as made:
            assert max(made.size) == size
    assert json.loads((folder / "pictures-2.json").read_text())["pictures"][0]["files"] == ["IMG 1-3.jpg"]
    assert not (folder / "pictures-3.csv").exists(), "ours are written anew"


def test_what_others_put_there_neither_blocks_nor_fails(taken: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    os.mkfifo(folder / "IMG 1.jpg")
    exif = Image.Exif()
    exif[0x0110] = "camera " * 40
    Image.new("RGB", (8, 8)).save(folder / "small.jpg", exif=exif.tobytes()[:40])
    (folder / "small-2.jpg").mkdir()
    report = export(taken, folder, Export("resized", Resize(100)))
    assert (report.new, report.failed) == (2, 0)
    assert (folder / "IMG 1-2.jpg").is_file() and (folder / "small-3.jpg").is_file()


@pytest.mark.parametrize("page", [False, True])
def test_nothing_is_written_through_what_was_prepared(taken: Gallery, tmp_path: Path, page: bool) -> None:
    folder, mine = tmp_path / "out", tmp_path / "mine.txt"
    folder.mkdir()
    mine.write_text("mine")
    for name in ("pictures.csv", "page.html"):
        (folder / f".{name}.part").symlink_to(mine)
    (folder / ".pictures.json.part").write_text("mine")
    if page:
        write_html(["<p>"], folder / "page.html")
    else:
        export(taken, folder, Export("none"))
    assert mine.read_text() == (folder / ".pictures.json.part").read_text() == "mine"
    assert len(names(folder)) == (4 if page else 5) and (folder / ".pictures.csv.part").is_symlink()


def test_the_lists_say_what_is_known(taken: Gallery, tmp_path: Path) -> None:
    first = hits_of(taken)[0].image
    edit = LabelEdit(tags=("sea", "=2+2"), caption="At the sea.", rating=4, favourite=True)
    edit_labels(taken, [first.id], edit)
    create_album(taken, "Trip", [first.id])
    export(taken, tmp_path / "out", Export("none"))
    told = json.loads((tmp_path / "out" / "pictures.json").read_text())
    row = told["pictures"][0]
    assert told["made_by"] == "photoseek export" and told["query"] == "a dog" and row["files"] == []
    assert row["tags"] == ["=2+2", "sea"] and row["captions"] == ["At the sea."] and row["albums"] == ["Trip"]
    assert (row["rating"], row["favourite"], row["score"]) == (4, True, 0.5)
    with (tmp_path / "out" / "pictures.csv").open(newline="", encoding="utf-8") as file:
        line = next(csv.DictReader(file))
    assert line["tags"] == "'=2+2; sea" and line["rating"] == "4" and line["taken_at"] == "2023-05-06T07:08:09+02:00"
    assert names(tmp_path / "out") == ["pictures.csv", "pictures.json"]


@pytest.mark.parametrize(
    ("precision", "written"),
    [("year", "2023:  :     :  :  "), ("day", "2023:05:06   :  :  "), (None, "2023:05:06 07:08:09")],
)
def test_a_date_says_no_more_than_is_known(taken: Gallery, precision: str | None, written: str) -> None:
    import io
    from dataclasses import replace

    record: ImageRecord = replace(hits_of(taken)[0].image, taken_precision=precision)
    with Image.open(io.BytesIO(Resize(50).jpeg(record))) as made:
        assert made.getexif().get_ifd(IFD.Exif)[0x9003] == written
        assert read_exif(made).precision == precision


def test_what_cannot_be_made_is_told_and_leaves_nothing(taken: Gallery, tmp_path: Path) -> None:
    hits = hits_of(taken)
    Path(hits[0].image.path).write_bytes(b"no picture any more")
    placed = list(place_hits(hits, tmp_path / "out", resize=Resize(50)))
    assert [one.result for one in placed] == ["failed", "new"] and "changed" in placed[0].reason
    assert names(tmp_path / "out") == ["small.jpg"]


@pytest.mark.parametrize("wrong", [{"size": 1}, {"size": 100_000}, {"quality": 0}, {"quality": 101}])
def test_sizes_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        Resize(**wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="cannot export"):
        Export("paper")


def test_a_file_system_without_hard_links_does_as_well(
    taken: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert export(taken, tmp_path / "out", Export("copies")).new == 2
    assert names(tmp_path / "out") == ["IMG 1.jpg", "pictures.csv", "pictures.json", "small.png"]
