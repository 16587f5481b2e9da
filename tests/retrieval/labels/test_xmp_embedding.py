"""Labels written into pictures: only metadata changes, the picture stays known, undo gives the same file."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retrieval.catalog.texts import PictureText, TextLine, texts_of, write_texts
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.embedded import read_inside
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.reading import labels_of
from retrieval.labels.xmp import UnreadableXmp
from retrieval.labels.xmp_embedding import embed_xmp
from retrieval.labels.xmp_packets import applied, inverse, packet_edits, packet_in
from retrieval.labels.xmp_writing import edited
from tests.fakes import ColourEncoder
from tests.pictures import picture
from tests.retrieval.states import ids, rows

KINDS = {"a.jpg": ("JPEG", {}), "b.png": ("PNG", {}), "c.webp": ("WEBP", {}), "d.webp": ("WEBP", {"lossless": True})}
FOREIGN = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:o="urn:other" xmp:Rating="2" '
    b'o:kept="yes"><xmpNote:x xmlns:xmpNote="http://ns.adobe.com/xmp/note/">1</xmpNote:x></rdf:Description></rdf:RDF>'
    b"</x:xmpmeta>"
)


def stored(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    if form == "PNG" and "xmp" in options:
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", str(options.pop("xmp"), "utf-8"), zip=True)  # type: ignore[arg-type]
        options["pnginfo"] = text
    picture("red", seed=3, size=(90, 60)).save(out, form, **options)
    return out.getvalue()


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes() + image.mode.encode()


def compressed(data: bytes) -> list[bytes]:
    """The parts of a file that hold the picture, as they are stored."""
    if data[:2] == b"\xff\xd8":
        at, kept = 2, []
        while data[at + 1] != 0xDA:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] not in (0xE1,):
                kept.append(data[at:end])
            at = end
        return [*kept, data[at:]]
    little = data[:4] == b"RIFF"
    at, kept = (12 if little else 8), []
    while at < len(data):
        head = data[at : at + 8]
        length = int.from_bytes(head[4:] if little else head[:4], "little" if little else "big")
        kind = head[:4] if little else head[4:]
        if kind in (b"VP8 ", b"VP8L", b"ALPH", b"IHDR", b"IDAT", b"PLTE", b"IEND"):
            kept.append(kind + data[at + 8 : at + 8 + length])
        at += 8 + length + (length % 2 if little else 4)
    return kept


@pytest.mark.parametrize("options", [{}, {"xmp": FOREIGN}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}])
@pytest.mark.parametrize("kind", KINDS.values())
def test_only_metadata_changes_and_it_can_be_undone(kind: tuple[str, dict], options: dict) -> None:  # type: ignore[type-arg]
    form, own = kind
    data = stored(form, **own, **options)
    packet = packet_in(data, form)
    assert (packet == b"") is ("xmp" not in options)
    from retrieval.labels.xmp import Xmp

    made, _ = edited(packet, Xmp(("beach", "sea"), "A day.", 4), "x.jpg")
    assert made
    edits = packet_edits(data, form, made)
    new = applied(data, edits)
    said = read_inside(new)
    assert (set(said.tags), said.caption, said.rating) == ({"beach", "sea"}, "A day.", 4)
    assert packet_in(new, form) == made
    if packet:
        assert b"urn:other" in new and b"xmpNote" in new
    assert compressed(new) == compressed(data) and pixels(new) == pixels(data)
    with Image.open(io.BytesIO(new)) as image:
        image.load()
        if "exif" in options:
            assert image.info["exif"]
    assert applied(new, inverse(data, edits)) == data
    # Another packet, longer and shorter, and none.
    for tags in (("one",), tuple(f"tag{n}" for n in range(200))):
        again, _ = edited(made, Xmp(tags), "x.jpg")
        assert again
        later = applied(new, packet_edits(new, form, again))
        assert set(read_inside(later).tags) == set(tags) and compressed(later) == compressed(data)
    bare = applied(new, packet_edits(new, form, b""))
    assert packet_in(bare, form) == b"" and pixels(bare) == pixels(data)


def test_extended_xmp_stays(tmp_path: Path) -> None:
    head = FOREIGN.replace(
        b'o:kept="yes"', b'o:kept="yes" xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="' + b"A" * 32 + b'"'
    )
    data = stored("JPEG", xmp=head)
    body = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + (10).to_bytes(4, "big") + bytes(4) + b"0123456789"
    at = data.index(b"\xff\xe1") + 2 + int.from_bytes(data[data.index(b"\xff\xe1") + 2 :][:2], "big")
    data = data[:at] + b"\xff\xe1" + (2 + len(body)).to_bytes(2, "big") + body + data[at:]
    from retrieval.labels.xmp import Xmp

    made, _ = edited(packet_in(data, "JPEG"), Xmp(("beach",)), "x.jpg")
    assert made is not None and b"HasExtendedXMP" in made
    assert body in applied(data, packet_edits(data, "JPEG", made))


def test_what_cannot_be_written_safely_is_refused() -> None:
    data = stored("JPEG")
    with pytest.raises(UnreadableXmp, match="64 kB"):
        packet_edits(data, "JPEG", b"x" * 66_000)
    for form in ("JPEG", "PNG", "WEBP"):
        whole = stored(form)
        for end in (0, 4, 12, 20):
            with pytest.raises(UnreadableXmp):
                packet_edits(whole[:end], form, b"<x/>")
    several = data[:2] + b"\xff\xe2\0\x08MPF\0\0\0" + data[2:]
    marked = applied(several, packet_edits(several, "JPEG", FOREIGN))
    assert marked.index(b"MPF\0") > marked.index(b"ns.adobe.com/xap")  # before the directory, whose places stay right
    behind = (
        several[:12]
        + b"\xff\xe1"
        + (2 + 29 + len(FOREIGN)).to_bytes(2, "big")
        + b"http://ns.adobe.com/xap/1.0/\0"
        + FOREIGN
        + several[12:]
    )
    with pytest.raises(UnreadableXmp, match="several pictures"):
        packet_edits(behind, "JPEG", FOREIGN + b" ")


@pytest.fixture
def own(tmp_path: Path, gallery: Gallery, encoder: ColourEncoder) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, (form, options) in KINDS.items():
        (folder / name).write_bytes(stored(form, **options))
    picture("blue", seed=9).save(folder / "e.bmp")
    (folder / "a.jpg").chmod(0o640)
    os.utime(folder / "a.jpg", ns=(10**18, 10**18 + 123))
    Indexer(gallery, encoder).run(folder)
    edit_labels(gallery, [folder], LabelEdit(tags=("beach",), caption="A day.", rating=4))
    return folder


def test_a_gallery_is_written_known_and_undone(own: Path, gallery: Gallery, encoder: ColourEncoder) -> None:
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    known = ids(gallery, encoder, own)
    with gallery.reader() as reader:
        digest = reader.records([known["a.jpg"]])[0].content_hash
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        line = TextLine("words in it", 0.9, (0, 0, 1, 0, 1, 1, 0, 1))
        write_texts(transaction, [(digest, PictureText("m", "2024-01-01T00:00:00+00:00", (line,)))])
    vectors = rows(gallery, "SELECT image_id, vector FROM embeddings ORDER BY 1")

    planned = embed_xmp(gallery, dry_run=True)
    assert len(planned.written) == 4 and {path.name: path.read_bytes() for path in own.iterdir()} == before
    report = embed_xmp(gallery)
    assert [each.outcome for each in report.written] == ["changed"] * 4 and not report.problems
    assert report.refused == {"BMP": 1}
    assert (own / "e.bmp").read_bytes() == before["e.bmp"] and len(list(own.iterdir())) == len(before)
    for name in KINDS:
        assert read_inside((own / name).read_bytes()).tags == ("beach",)
    found = (own / "a.jpg").stat()
    assert found.st_mode & 0o777 == 0o640 and found.st_mtime_ns == 10**18 + 123
    assert embed_xmp(gallery).written == [], "nothing is written twice"

    # The same pictures to the gallery: nothing is encoded or read again.
    again = Indexer(gallery, encoder).run(own)
    assert again.encoded == 0 and not any(vars(again.counts).values())
    assert ids(gallery, encoder, own) == known
    assert rows(gallery, "SELECT image_id, vector FROM embeddings ORDER BY 1") == vectors
    with gallery.reader() as reader:
        assert [line.text for line in texts_of(reader, [known["a.jpg"]])[known["a.jpg"]].lines] == ["words in it"]
        assert [image for image, _ in reader.images_with_text("words")] == [known["a.jpg"]]
        (labels,) = labels_of(reader, [known["a.jpg"]])
        assert [(said.text, said.source) for said in labels.tags] == [("beach", "user")]
        assert all(record.on_disk() == "same" for record in reader.records(list(known.values())))

    # A second change, and both are undone at once.
    edit_labels(gallery, [own], LabelEdit(tags=("sea",)))
    assert len(embed_xmp(gallery).written) == 4
    undone = embed_xmp(gallery, undo=True)
    assert [each.outcome for each in undone.written] == ["removed"] * 4 and not undone.problems
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    assert rows(gallery, "SELECT count(*) FROM embedded_xmp") == [(0,)]
    assert Indexer(gallery, encoder).run(own).encoded == 0
    assert embed_xmp(gallery, undo=True).written == []


def test_who_is_left_alone(own: Path, gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    (own / "a.jpg.xmp").write_bytes(FOREIGN)
    os.link(own / "b.png", tmp_path / "another-name.png")
    (own / "c.webp").write_bytes(stored("WEBP", quality=5))
    report = embed_xmp(gallery)
    assert [Path(each.picture).name for each in report.written] == ["d.webp"]
    told = {Path(path).name: why for path, why in report.problems.items()}
    assert "sidecar" in told["a.jpg"] and "hard links" in told["b.png"] and "changed since" in told["c.webp"]


def test_what_another_program_changed_is_not_undone(own: Path, gallery: Gallery, encoder: ColourEncoder) -> None:
    embed_xmp(gallery, [own / "a.jpg"])
    edited_by_others = (own / "a.jpg").read_bytes() + b"trailer"
    (own / "a.jpg").write_bytes(edited_by_others)
    assert "a.jpg" in str(embed_xmp(gallery, undo=True).problems)
    Indexer(gallery, encoder).run(own)
    assert embed_xmp(gallery, undo=True).written == []
    assert (own / "a.jpg").read_bytes() == edited_by_others


def test_a_cut_between_the_file_and_the_catalog_loses_nothing(
    own: Path, gallery: Gallery, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.labels import xmp_embedding

    before = (own / "a.jpg").read_bytes()

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(xmp_embedding, "set_bytes", cut)
    with pytest.raises(KeyboardInterrupt):
        embed_xmp(gallery, [own / "a.jpg"])
    monkeypatch.undo()
    assert (own / "a.jpg").read_bytes() != before
    Indexer(gallery, encoder).run(own)  # an edited file, as any other: labels stay
    with gallery.reader() as reader:
        (labels,) = labels_of(reader, [ids(gallery, encoder, own)["a.jpg"]])
        assert [said.text for said in labels.tags] == ["beach"]
    embed_xmp(gallery, undo=True)
    assert (own / "a.jpg").read_bytes() == before


def test_who_shares_a_content_can_still_be_undone(own: Path, gallery: Gallery, encoder: ColourEncoder) -> None:
    (own / "copy.jpg").write_bytes((own / "a.jpg").read_bytes())
    Indexer(gallery, encoder).run(own)
    before = (own / "a.jpg").read_bytes()
    both = [own / "a.jpg", own / "copy.jpg"]
    for tag in ("one", "two"):
        edit_labels(gallery, both, LabelEdit(tags=(tag, "beach"), caption="A day.", rating=4))
        embed_xmp(gallery, both)
    forget_paths(gallery, [own / "b.png"], purge=True)  # what others were in between is not forgotten with it
    embed_xmp(gallery, [own / "a.jpg"], undo=True)
    assert (own / "a.jpg").read_bytes() == before != (own / "copy.jpg").read_bytes()
    embed_xmp(gallery, [own / "copy.jpg"], undo=True)
    assert (own / "copy.jpg").read_bytes() == before


def test_a_purge_forgets_what_was_replaced(own: Path, gallery: Gallery) -> None:
    embed_xmp(gallery)
    assert rows(gallery, "SELECT count(*) FROM embedded_xmp") == [(4,)]
    forget_paths(gallery, [own], purge=True)
    assert rows(gallery, "SELECT count(*) FROM embedded_xmp") == [(0,)]
