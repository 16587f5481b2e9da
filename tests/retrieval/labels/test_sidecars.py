"""XMP taken over into the catalog: what it says now, beside what the user said, without touching a picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retrieval.errors import UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import labels_of
from retrieval.labels.sidecars import import_xmp
from tests.fakes import ColourEncoder
from tests.retrieval.states import opened_below, rows
from tests.retrieval.xmp_files import packet, with_xmp


def said(gallery: Gallery) -> dict[str, list[str]]:
    """File name -> "text (source)" of tags and captions."""
    with gallery.reader() as reader:
        found = labels_of(reader, reader.select(Filter()).tolist())
    return {
        Path(x.image.path).name: [f"{s.text} ({s.source})" for s in (*x.tags, *x.captions)]
        for x in found
        if x.tags or x.captions
    }


def test_both_names_of_a_sidecar_are_known_and_the_longer_one_wins(indexed: Gallery, photos: Path) -> None:
    (photos / "green.xmp").write_bytes(packet(["short"]))
    (photos / "red-1.JPG.XMP").write_bytes(packet(["upper"]))
    (photos / "trip" / "blue-1.xmp").write_bytes(packet(["short"]))
    (photos / "trip" / "blue-1.jpg.xmp").write_bytes(packet(["long"], description="Sea."))
    with opened_below(photos) as opened:
        report = import_xmp(indexed, [photos / "green.jpg", photos / "red-1.jpg", photos / "trip" / "blue-1.jpg"])
    assert {Path(path).suffix.lower() for path in opened} == {".xmp"}
    assert (report.pictures, report.sidecars, report.embedded, report.changed) == (3, 3, 0, 3)
    assert said(indexed) == {
        "green.jpg": ["short (xmp)"],
        "red-1.jpg": ["upper (xmp)"],
        "blue-1.jpg": ["long (xmp)", "Sea. (xmp)"],
    }


def test_a_later_import_replaces_what_xmp_said_and_never_what_the_user_said(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    sidecar = photos / "green.jpg.xmp"
    sidecar.write_bytes(packet(["one", "both"], description="From the file."))
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(tags=("both", "mine"), caption="Mine."))
    import_xmp(indexed)
    edited = ["both (user)", "both (xmp)", "mine (user)", "one (xmp)", "From the file. (xmp)", "Mine. (user)"]
    assert said(indexed) == {"green.jpg": edited}
    state = rows(indexed, "SELECT * FROM tags")
    assert import_xmp(indexed).changed == 0
    assert rows(indexed, "SELECT * FROM tags") == state  # not even new rows
    encoder.encoded = 0
    sidecar.write_bytes(packet(["two"]))
    assert Indexer(indexed, encoder).run(photos).unchanged == 6
    assert import_xmp(indexed).changed == 1
    assert encoder.encoded == 0
    assert said(indexed) == {"green.jpg": ["both (user)", "mine (user)", "two (xmp)", "Mine. (user)"]}
    sidecar.unlink()
    assert import_xmp(indexed).changed == 1
    assert said(indexed) == {"green.jpg": ["both (user)", "mine (user)", "Mine. (user)"]}


def test_xmp_inside_a_jpeg_is_taken_unless_there_is_a_sidecar(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    path = photos / "green.jpg"
    path.write_bytes(with_xmp(path.read_bytes(), packet(["inside"])))
    Indexer(indexed, encoder).run(photos)
    report = import_xmp(indexed)
    assert (report.embedded, report.problems, said(indexed)) == (1, {}, {"green.jpg": ["inside (xmp)"]})
    (photos / "green.xmp").write_bytes(packet())
    import_xmp(indexed)
    assert said(indexed) == {}  # taken away in the program that writes sidecars


def test_what_cannot_be_read_keeps_what_was_known(indexed: Gallery, photos: Path) -> None:
    for name in ("green.jpg", "trip/blue-1.jpg", "red-1.jpg"):
        (photos / f"{name}.xmp").write_bytes(packet(["old"]))
    import_xmp(indexed)
    (photos / "green.jpg.xmp").write_bytes(b'<!DOCTYPE x [<!ENTITY a "b">]>' + packet(["new"], head=""))
    (photos / "red-1.jpg.xmp").write_bytes(packet(["new"]))
    shutil.move(photos / "trip", photos.parent / "unplugged")
    report = import_xmp(indexed)
    assert report.problems == {
        str(photos / "green.jpg.xmp"): "it declares a document type or entities",
        str(photos / "trip"): "the folder is out of reach",
        str(photos / "trip" / "day two"): "the folder is out of reach",
    }
    assert said(indexed) == {"green.jpg": ["old (xmp)"], "blue-1.jpg": ["old (xmp)"], "red-1.jpg": ["new (xmp)"]}
    (photos / "trip").mkdir()  # an empty mount point
    assert str(photos / "trip" / "blue-1.jpg") in import_xmp(indexed).problems
    assert said(indexed)["blue-1.jpg"] == ["old (xmp)"]


def test_only_what_was_asked_for_is_looked_at(indexed: Gallery, photos: Path) -> None:
    (photos / "green.jpg.xmp").write_bytes(packet(["a"]))
    (photos / "trip" / "blue-1.jpg.xmp").write_bytes(packet(["b"]))
    seen: list[tuple[int, int]] = []
    report = import_xmp(indexed, [photos / "trip"], on_progress=lambda *now: seen.append(now))
    assert (report.pictures, seen, said(indexed)) == (3, [(3, 3)], {"blue-1.jpg": ["b (xmp)"]})
    with pytest.raises(UnknownImage):
        import_xmp(indexed, ["nowhere.jpg"])
