"""One folding for all names: case, composition and letters that fold to several, wherever names are compared."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.batch import Batch
from retrieval.catalog.labels import tag_counts
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.selection import check_names
from retrieval.catalog.writer import Catalog
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.folding import fold, fold_each
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import labels_of
from retrieval.labels.sidecars import import_xmp
from tests.retrieval.rows import encoder_spec, image
from tests.retrieval.xmp_files import packet

ALIKE = [
    ("Фото", "фОТО"),
    ("Straße", "STRASSE"),
    ("Straße", "STRAẞE"),
    ("Θάλασσας", "ΘΆΛΑΣΣΑΣ"),
    ("İstanbul", "istanbul"),
    ("İSTANBUL", "i\u0307stanbul"),
    ("Été", "e\u0301te\u0301"),
    ("한국", unicodedata.normalize("NFD", "한국")),
    ("Ångström", "A\u030angstro\u0308m"),
    ("ﬁlm", "FILM"),
    ("ǅ", "ǆ"),
    ("ᾳ", "ΑΙ"),
    ("ვაშლი", "ᲕᲐᲨᲚᲘ"),
    ("ậ", "a\u0302\u0323"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_is_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    assert fold(one) == unicodedata.normalize("NFC", fold(one))


@pytest.mark.parametrize(("one", "other"), [("é", "e"), ("ı", "l"), ("ñ", "n"), ("Σ", "S"), ("й", "и"), ("ö", "oe")])
def test_what_is_not(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text())
def test_folding_again_changes_nothing_and_composition_does_not_count(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text) == fold(unicodedata.normalize("NFC", text))
    assert len(fold_each(text)) <= len(unicodedata.normalize("NFC", text))


NAMES = {
    "cyrillic": "Фото.jpg",
    "sharp": "Straße.jpg",
    "greek": "Θάλασσας.jpg",
    "dotted": "İstanbul.jpg",
    "composed": "Été.jpg",
    "apart": unicodedata.normalize("NFD", "Märchen.jpg"),
    "hangul": unicodedata.normalize("NFD", "한국.jpg"),
    "ascii": "IMG_1.JPG",
    "bytes": "caf\udce9.jpg",
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogReader]:
    with closing(gallery_of_names(tmp_path_factory.mktemp("names"))) as opened:
        yield opened


def gallery_of_names(place: Path) -> CatalogReader:
    """A picture for each name, its camera and lens are called like the file; in folders of both compositions."""
    catalog = Catalog(place / "catalog.sqlite")
    encoder = catalog.register_encoder(encoder_spec())
    for folder in ("/Ünder", "/Ünder/" + unicodedata.normalize("NFD", "Größe")):
        rows = []
        for name in NAMES.values():
            said = name[:-4].encode("utf-8", "replace").decode()
            rows.append(image(catalog.folder_id(folder), name, ascii(folder + name), camera=f"The {said} 5", lens=said))
        catalog.commit(Batch(indexed=rows), encoder)
    catalog.activate_encoder(encoder)
    catalog.close()
    return CatalogReader(place / "catalog.sqlite")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("Фото*", ["cyrillic"]),
        ("фото*", ["cyrillic"]),
        ("ФОТО.JPG", ["cyrillic"]),
        ("Фот?.jpg", ["cyrillic"]),
        ("[Т-Ф]ото*", ["cyrillic"]),
        ("[!т-ф]*", ["ascii", "bytes", "dotted", "composed", "apart", "greek", "hangul", "sharp"]),
        ("STRASSE.*", ["sharp"]),
        ("stra?e.jpg", ["sharp"]),
        ("stra[ß]e.jpg", ["sharp"]),
        ("stra[s]e.jpg", []),
        ("ΘΆΛΑΣΣΑΣ*", ["greek"]),
        ("istanbul*", ["dotted"]),
        ("?STANBUL.jpg", ["dotted"]),
        ("ÉTÉ*", ["composed"]),
        ("e\u0301te\u0301*", ["composed"]),
        ("MÄRCHEN*", ["apart"]),
        ("m?rchen.jpg", ["apart"]),
        ("m[ä]rchen.jpg", ["apart"]),
        ("한국*", ["hangul"]),
        ("??.jpg", ["hangul"]),
        ("img_1.jpg", ["ascii"]),
        ("caf?.jpg", ["bytes"]),
        ("größe/фото*", ["cyrillic"]),
        ("GRÖSSE/фото*", ["cyrillic"]),
        ("gr?ße/фото*", ["cyrillic"]),
        ("gro\u0308?e/фото*", ["cyrillic"]),
        ("grosse/фото*", []),
    ],
)
def test_patterns_for_files_and_what_is_left_out_by_them(reader: CatalogReader, pattern: str, found: list[str]) -> None:
    folders = 1 if "/" in pattern else 2
    everything = {record.id: Path(record.path).name for record in reader.records(reader.select(Filter()).tolist())}
    ids = reader.select(Filter(glob=(pattern,))).tolist()
    assert sorted(everything[id_] for id_ in ids) == sorted([NAMES[key] for key in found] * folders)
    without = reader.select(Filter(no_glob=(pattern,))).tolist()
    assert sorted([*ids, *without]) == sorted(everything)


@pytest.mark.parametrize("what", ["camera", "lens"])
@pytest.mark.parametrize(("one", "other"), [("Фото", "ФОТО"), ("Straße", "strasse"), ("한국", "한국"), ("été", "ÉTÉ")])
def test_cameras_and_lenses_in_any_case_and_composition(reader: CatalogReader, what: str, one: str, other: str) -> None:
    for asked in (one, other, unicodedata.normalize("NFD", one), f" {other.swapcase()}"):
        where = Filter(**{what: (asked,)})  # type: ignore[arg-type]
        check_names(reader, where, 1)
        assert len(reader.select(where)) == 2, asked
        assert len(reader.select(Filter(**{f"no_{what}": (asked,)}))) == 2 * len(NAMES) - 2  # type: ignore[arg-type]


def test_a_folder_is_found_in_another_composition_or_case_if_there_is_none_of_that_name(reader: CatalogReader) -> None:
    each = len(NAMES)
    for folder, count in [
        ("/Ünder", 2 * each),
        (unicodedata.normalize("NFD", "/Ünder"), 2 * each),
        ("/ünder", 2 * each),
        ("/Ünder/Größe", each),
        ("/ÜNDER/GRÖSSE", each),
        ("/Unter", 0),
        ("/Ünder/Größe/x", 0),
    ]:
        assert len(reader.select(Filter(under=(Path(folder),)))) == count, folder
        assert len(reader.select(Filter(no_under=(Path(folder),)))) == 2 * each - count, folder


def test_of_folders_that_differ_in_case_the_one_that_is_named_is_meant(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    encoder = catalog.register_encoder(encoder_spec())
    rows = [image(catalog.folder_id(folder), "a.jpg", folder) for folder in ("/p/Birds", "/p/birds", "/p/birds/far")]
    catalog.commit(Batch(indexed=rows), encoder)
    catalog.activate_encoder(encoder)
    catalog.close()
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        counts = {name: len(reader.select(Filter(under=(Path("/p", name),)))) for name in ("Birds", "birds", "BIRDS")}
    assert counts == {"Birds": 1, "birds": 2, "BIRDS": 3}


def test_contradictions_are_seen_through_case_and_composition() -> None:
    for values in (
        {"camera": ("STRASSE 5",), "no_camera": ("straße",)},
        {"tag": ("Ψυχές",), "no_tag": ("ΨΥΧΈΣ",)},
        {"glob": ("É*",), "no_glob": ("e\u0301*",)},
    ):
        with pytest.raises(QueryError):
            Filter(**values)  # type: ignore[arg-type]


def labelled(tmp_path: Path, names: list[str]) -> Gallery:
    folder = tmp_path / "photos"
    folder.mkdir()
    gallery = Gallery(tmp_path / "gallery")
    with gallery.writer() as catalog:
        encoder = catalog.register_encoder(encoder_spec())
        at = catalog.folder_id(str(folder))
        for name in names:
            (folder / name).write_bytes(b"\xff\xd8" + name.encode())
        catalog.commit(Batch(indexed=[image(at, name) for name in names]), encoder)
        catalog.activate_encoder(encoder)
    return gallery


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_tag_is_one_tag_however_it_is_written(tmp_path: Path, one: str, other: str) -> None:
    gallery = labelled(tmp_path, ["a.jpg", "b.jpg"])
    edit_labels(gallery, [1, 2], LabelEdit(tags=(one,)))
    report = edit_labels(gallery, [1], LabelEdit(tags=(other,)))
    assert report.tags_added == 0
    with gallery.reader() as reader:
        assert list(tag_counts(reader).values()) == [2]
        for asked in (one, other):
            assert reader.select(Filter(tag=(asked,))).tolist() == [1, 2]
            assert reader.select(Filter(no_tag=(asked,))).tolist() == []
            check_names(reader, Filter(tag=(asked,)), 1)
    assert edit_labels(gallery, [1], LabelEdit(without_tags=(other,))).tags_removed == 1
    with pytest.raises(QueryError):
        LabelEdit(tags=(one,), without_tags=(other,))


def test_a_tag_is_shown_as_it_was_written_first_as_long_as_anything_carries_it(tmp_path: Path) -> None:
    gallery = labelled(tmp_path, ["a.jpg", "b.jpg"])

    def tags() -> list[str]:
        with gallery.reader() as reader:
            return [said.text for labels in labels_of(reader, [1, 2]) for said in labels.tags]

    edit_labels(gallery, [1], LabelEdit(tags=("strasse",)))
    edit_labels(gallery, [2], LabelEdit(tags=("Straße",)))
    assert tags() == ["strasse", "strasse"]
    edit_labels(gallery, [1, 2], LabelEdit(without_tags=("STRASSE",)))
    edit_labels(gallery, [2], LabelEdit(tags=("Straße",)))
    assert tags() == ["straße"]


def test_sidecars_are_paired_by_folded_names(tmp_path: Path) -> None:
    names = [NAMES[key] for key in ("cyrillic", "sharp", "composed", "hangul")]
    gallery = labelled(tmp_path, names)
    for name in names:
        beside = tmp_path / "photos" / f"{unicodedata.normalize('NFD', name.removesuffix('.jpg').upper())}.XMP"
        beside.write_bytes(packet([f"of {name[0]}"]))
    report = import_xmp(gallery)
    assert (report.sidecars, report.changed) == (4, 4)
