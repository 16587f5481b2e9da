"""Sidecars are written so that all of other programs stays, an import finds nothing new, and all can be undone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels, find_images
from retrieval.labels.reading import ImageLabels, labels_of
from retrieval.labels.sidecars import import_xmp
from retrieval.labels.xmp import UnreadableXmp, Xmp, parse_xmp, read_sidecar
from retrieval.labels.xmp_document import XmpDocument
from retrieval.labels.xmp_writing import edited, new_sidecar, write_xmp
from tests.fakes import ColourEncoder
from tests.retrieval.states import rows
from tests.retrieval.xmp_files import packet

FOREIGN = """<?xml version="1.0" encoding="UTF-8"?>
<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    crs:Note="one&#10;two&#9;&quot;3&quot;"
    xmlns:xap="http://ns.adobe.com/xap/1.0/" xap:Rating="2" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">
   <!-- keep me -->
   <d:subject xmlns:d="http://purl.org/dc/elements/1.1/"><r:Bag><r:li>Farm</r:li></r:Bag></d:subject>
   <lr:hierarchicalSubject><r:Bag><r:li>Animals|Horse</r:li></r:Bag></lr:hierarchicalSubject>
   <crs:Look><r:Description crs:Name="A &lt; B" xmlns:mystery="urn:x"><mystery:Odd/></r:Description></crs:Look>
  </r:Description>
  <r:Description r:about="" xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/">
   <MicrosoftPhoto:Rating>25</MicrosoftPhoto:Rating>
   <dc:description xmlns:dc="http://purl.org/dc/elements/1.1/"><r:Alt><r:li xml:lang="de">Ein Pferd</r:li>
     <r:li xml:lang="x-default">Old words.</r:li></r:Alt></dc:description>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end='w'?>
""".encode()

OURS = Xmp(("brown", "horse", "été"), 'New & "bold"\nwords <here>.', 5)


def labels(gallery: Gallery, picture: Path) -> ImageLabels:
    with gallery.reader() as reader:
        return labels_of(reader, find_images(reader, [picture]))[0]


def items(data: bytes, name: str, namespace: str = "http://ns.adobe.com/lightroom/1.0/") -> list[str]:
    return XmpDocument(data).items(namespace, name)


def test_what_others_wrote_stays_as_it_is() -> None:
    made, what = edited(FOREIGN, OURS, "/p/horse.jpg")
    assert made is not None and what == "+brown, +été, +horse, caption, rating 5"
    text = made.decode()
    for kept in (
        "<?xml version=", "xpacket begin='\ufeff'", "<!-- keep me -->", 'crs:Note="one&#10;two&#9;&quot;3&quot;"',
        "<mystery:Odd/>", 'crs:Name="A &lt; B"', "<r:li>Farm</r:li>", ">Ein Pferd<", "Animals|Horse",
    ):  # fmt: skip
        assert kept in text, kept
    said = parse_xmp(made)
    assert said.tags == ("animals", "brown", "farm", "horse", "été") and said.rating == 5
    assert said.caption == OURS.caption and said.ours == Xmp(("brown", "horse", "été"), OURS.caption, 5)
    assert "<MicrosoftPhoto:Rating>99</MicrosoftPhoto:Rating>" in text and text.count("Rating=") == 2
    assert items(made, "subject", "http://purl.org/dc/elements/1.1/") == ["Farm", "brown", "été", "horse"]
    assert items(made, "hierarchicalSubject") == ["Animals|Horse", "brown", "été"], "Horse is there, below Animals"
    assert edited(made, OURS, "/p/horse.jpg") == (None, ""), "a second time there is nothing to write"


def test_what_is_taken_back_is_taken_out_and_nothing_else() -> None:
    made, _ = edited(FOREIGN, OURS, "/p/horse.jpg")
    fewer, what = edited(made or b"", Xmp(("été",), None, None), "/p/horse.jpg")
    assert fewer is not None and what == "-brown, -horse, -caption, -rating"
    said = parse_xmp(fewer)
    assert said.tags == ("animals", "farm", "horse", "été") and said.ours == Xmp(("été",))
    assert said.caption == "Ein Pferd" and said.rating is None
    assert items(fewer, "hierarchicalSubject") == ["Animals|Horse", "été"]


def test_what_another_program_wrote_since_is_left() -> None:
    made, _ = edited(packet(["one"]), Xmp(("two",), "Ours.", 3), "/p/a.jpg")
    theirs = (made or b"").replace(b">Ours.<", b">Theirs.<").replace(b'xmp:Rating="3" photo', b'xmp:Rating="1" photo')
    assert parse_xmp(theirs).caption == "Theirs."
    after, what = edited(theirs, Xmp(), "/p/a.jpg")
    said = parse_xmp(after or b"")
    assert "caption left as it is" in what and said.caption == "Theirs." and said.tags == ("one",) and said.ours is None


@pytest.mark.parametrize(
    "form",
    [
        packet(rating=2),
        packet().replace(b'about=""', b'about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="2"'),
        packet(description="Old.", rating=2),
        packet(digikam=["Places/Paris"], rating=2),
        packet(["Paris"], rating=2).decode().encode("utf-16"),
        packet(rating=2, head="") + b"\0" * 2000,
    ],
)
def test_every_form_of_a_property_is_edited(form: bytes) -> None:
    assert parse_xmp(form).rating == 2
    wanted = Xmp(("paris", "sea"), "New.", -1)
    made, _ = edited(form, wanted, "/p/a.jpg")
    said = parse_xmp(made or b"")
    assert {"paris", "sea"} <= set(said.tags) and (said.caption, said.rating) == ("New.", -1)
    back, _ = edited(made or b"", Xmp(), "/p/a.jpg", parse_xmp(form))
    assert parse_xmp(back or b"") == parse_xmp(form)
    digikam = items(made or b"", "TagsList", "http://www.digikam.org/ns/1.0/")
    assert digikam in ([], ["Places/Paris", "sea"])


def test_a_short_description_is_edited_where_it_stands() -> None:
    form = packet(rating=1).replace(b'rdf:about=""', b'rdf:about="" dc:description="Short."')
    made, _ = edited(form, Xmp((), "Longer.", None), "/p/a.jpg")
    assert b'dc:description="Longer."' in (made or b"") and parse_xmp(made or b"").caption == "Longer."


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">&b;</rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BOMB, "document type"),
        (b"<x/>", "no RDF"),
        (b"<broken", "not well-formed"),
        (packet(["x"]) + b" " * (5 << 20), "not edited"),
    ],
)
def test_what_is_not_edited(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableXmp, match=reason):
        edited(data, OURS, "/p/a.jpg")


def test_where_a_new_sidecar_goes() -> None:
    assert new_sidecar("/p/a.jpg") == "/p/a.jpg.xmp" and new_sidecar("/p/a.b.CR3") == "/p/a.b.xmp"
    made, _ = edited(b"", Xmp(("x",)), "/p/a.NEF")
    assert parse_xmp(made or b"").belongs_to == "NEF"


@pytest.fixture
def labelled(indexed: Gallery, photos: Path) -> Gallery:
    """``green`` with a sidecar of another program, ``red-1`` without one."""
    (photos / "green.jpg.xmp").write_bytes(FOREIGN)
    (photos / "green.jpg.xmp").chmod(0o640)
    import_xmp(indexed)
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(tags=OURS.tags, caption=OURS.caption, rating=5))
    edit_labels(indexed, [photos / "red-1.jpg"], LabelEdit(tags=("beach",), favourite=True))
    return indexed


def test_a_gallery_is_written_read_and_undone(labelled: Gallery, photos: Path) -> None:
    pictures = {path: (path.read_bytes(), path.stat()) for path in photos.rglob("*.jpg")}
    planned = write_xmp(labelled, dry_run=True)
    assert sorted((Path(w.sidecar).name, w.outcome) for w in planned.written) == [
        ("green.jpg.xmp", "changed"), ("red-1.jpg.xmp", "new"),
    ]  # fmt: skip
    assert (photos / "green.jpg.xmp").read_bytes() == FOREIGN and not (photos / "red-1.jpg.xmp").exists()
    report = write_xmp(labelled)
    assert report.written == planned.written and report.pictures == 6 and not report.problems
    assert read_sidecar(photos / "red-1.jpg.xmp").tags == ("beach",)
    assert stat.S_IMODE((photos / "green.jpg.xmp").stat().st_mode) == 0o640
    assert (photos / "green.jpg.xmp.orig").read_bytes() == FOREIGN
    assert write_xmp(labelled).written == [], "nothing is written twice"
    state = rows(labelled, "SELECT image_id, tag, source FROM tags ORDER BY 1, 2, 3")
    assert import_xmp(labelled).changed == 0
    assert rows(labelled, "SELECT image_id, tag, source FROM tags ORDER BY 1, 2, 3") == state
    green = labels(labelled, photos / "green.jpg")
    assert [(c.text, c.source) for c in green.captions] == [(OURS.caption, "user")] and green.ratings == {"user": 5}
    undone = write_xmp(labelled, undo=True)
    assert sorted(w.outcome for w in undone.written) == ["changed", "removed"]
    assert (photos / "green.jpg.xmp").read_bytes() == FOREIGN, "byte for byte"
    assert sorted(path.name for path in photos.rglob("*.xmp*")) == ["green.jpg.xmp"]
    assert labels(labelled, photos / "green.jpg").ratings == {"user": 5, "xmp": 2}
    for path, (data, before) in pictures.items():
        after = path.stat()
        assert path.read_bytes() == data
        assert (after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (
            before.st_mtime_ns, before.st_ctime_ns, before.st_mode,
        )  # fmt: skip


def test_a_new_gallery_takes_over_what_we_wrote(
    labelled: Gallery, photos: Path, tmp_path: Path, encoder: ColourEncoder
) -> None:
    write_xmp(labelled)
    other = Gallery(tmp_path / "other")
    Indexer(other, encoder).run(photos)
    import_xmp(other)
    green = labels(other, photos / "green.jpg")
    assert {tag.text for tag in green.tags} >= set(OURS.tags) and green.rating == 5
    assert [caption.text for caption in green.captions] == [OURS.caption]


def test_the_first_form_is_kept_once(labelled: Gallery, photos: Path) -> None:
    write_xmp(labelled)
    for rating in (1, 2):
        edit_labels(labelled, [photos / "green.jpg"], LabelEdit(rating=rating))
        assert [w.outcome for w in write_xmp(labelled, [photos / "green.jpg"]).written] == ["changed"]
    assert (photos / "green.jpg.xmp.orig").read_bytes() == FOREIGN
    (photos / "red-1.jpg.xmp").unlink()
    edit_labels(labelled, [photos / "red-1.jpg"], LabelEdit(without_tags=("beach",)))
    assert write_xmp(labelled, [photos / "red-1.jpg"]).written == [], "nothing to say makes no file"


def test_what_cannot_be_written_is_told_and_stops_nothing(labelled: Gallery, photos: Path, tmp_path: Path) -> None:
    (photos / "green.jpg.xmp").write_bytes(BOMB)
    (tmp_path / "elsewhere.xmp").write_bytes(packet(["x"]))
    (photos / "trip" / "blue-1.jpg.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    edit_labels(labelled, [photos / "trip" / "blue-1.jpg"], LabelEdit(tags=("sky",)))
    report = write_xmp(labelled)
    assert {Path(path).name for path in report.problems} == {"green.jpg.xmp", "blue-1.jpg.xmp"}
    assert [Path(w.sidecar).name for w in report.written] == ["red-1.jpg.xmp"]
    assert (photos / "green.jpg.xmp").read_bytes() == BOMB
    assert (tmp_path / "elsewhere.xmp").read_bytes() == packet(["x"])
    assert not [name for folder in (photos, photos / "trip") for name in os.listdir(folder) if name.endswith(".part")]  # noqa: PTH208


def test_a_raw_file_and_its_jpeg_have_their_own(indexed: Gallery, photos: Path) -> None:
    """``green.xmp`` belongs to the raw file beside the JPEG: the JPEG's words go into a sidecar of its own."""
    (photos / "green.cr2").write_bytes(b"not indexed")
    theirs = packet(["raw"])
    (photos / "green.xmp").write_bytes(theirs)
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(tags=("leaf",)))
    (written,) = write_xmp(indexed, [photos / "green.jpg"]).written
    assert written.sidecar == str(photos / "green.jpg.xmp") and (photos / "green.xmp").read_bytes() == theirs
