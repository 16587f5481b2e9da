"""XMP and IIM inside picture files of every format, sidecars of raw files, and what is taken over from them."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.embedded import read_embedded, read_inside
from retrieval.labels.reading import ImageLabels, labels_of
from retrieval.labels.sidecars import import_xmp
from retrieval.labels.xmp import UnreadableXmp, parse_xmp
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.xmp_files import packet

NAMESPACES = """xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
 xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" """


def said(attributes: str = "", elements: str = "", subject: tuple[str, ...] = ()) -> bytes:
    return (
        packet(subject)
        .replace(b'rdf:about=""', f'rdf:about="" {NAMESPACES} {attributes}'.encode())
        .replace(b"<dc:title>", f"{elements}<dc:title>".encode())
    )


def jpeg(**options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 20, 20)).save(out, "JPEG", **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def iim(*records: tuple[int, int, bytes]) -> bytes:
    data = b"".join(b"\x1c" + bytes((r, n)) + len(raw).to_bytes(2, "big") + raw for r, n, raw in records)
    data += b"\0" * (len(data) % 2)
    other = b"8BIM\x03\xed\x00\x00\x00\x00\x00\x02ab"
    return segment(0xED, b"Photoshop 3.0\0" + other + b"8BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data)


def with_segments(*segments: bytes) -> bytes:
    whole = jpeg()
    return whole[:2] + b"".join(segments) + whole[2:]


def app1(xmp: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)


def extended() -> bytes:
    long = packet([f"word {n}" for n in range(1200)])
    digest = hashlib.md5(long, usedforsecurity=False).hexdigest().upper().encode()
    parts = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + digest + len(long).to_bytes(4, "big") + start.to_bytes(4, "big") + long[start : start + 30_000],
        )
        for start in range(0, len(long), 30_000)
    ]  # fmt: skip
    first = said(f'xmpNote:HasExtendedXMP="{digest.decode()}"')
    return with_segments(app1(first), *reversed(parts))


def png(body: bytes, *, is_packed: bool = False, is_late: bool = False) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "PNG", pnginfo=PngInfo())
    text = b"XML:com.adobe.xmp\0" + (b"\1" if is_packed else b"\0") + b"\0\0\0"
    chunk = b"iTXt" + text + (zlib.compress(body) if is_packed else body)
    whole = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    at = -12 if is_late else 33
    return out.getvalue()[:at] + whole + out.getvalue()[at:]


def webp(body: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "WEBP", xmp=body)
    return out.getvalue()


def gif(body: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("P", (40, 30)).save(out, "GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return out.getvalue()[:-1] + b"\x21\xff\x0bXMP DataXMP" + body + trailer + b"\x3b"


def tiff(body: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "TIFF", tiffinfo={700: body})
    return out.getvalue()


def heif(body: bytes) -> bytes:
    import pillow_heif

    out = io.BytesIO()
    pillow_heif.encode("RGB", (40, 30), bytes(3600), out, xmp=body)
    return out.getvalue()


def avif(body: bytes) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "AVIF", xmp=body)
    return out.getvalue()


BODY = packet(["inside", "Été"], description="What it is.")


@pytest.mark.parametrize(
    "data",
    [
        with_segments(app1(BODY)),
        with_segments(b"\xff\xff", app1(BODY)),
        png(BODY), png(BODY, is_packed=True), png(BODY, is_late=True),
        webp(BODY), gif(BODY), tiff(BODY), heif(BODY), avif(BODY),
    ],
    ids=["jpeg", "fill bytes", "png", "packed png", "late png", "webp", "gif", "tiff", "heif", "avif"],
)  # fmt: skip
def test_xmp_of_every_format(data: bytes, tmp_path: Path) -> None:
    found = read_inside(data)
    assert (found.tags, found.caption) == (("inside", "été"), "What it is.")
    (tmp_path / "picture").write_bytes(data)
    assert read_embedded(tmp_path / "picture") == found


def test_xmp_that_was_too_long_for_a_segment() -> None:
    assert len(read_inside(extended()).tags) == 1200


def test_iim_says_what_xmp_does_not() -> None:
    words = ((2, 25, b"iim two"), (2, 25, b"iimword"), (2, 120, b"A caption"))
    records = iim(*words, (2, 55, b"20030201"), (2, 60, b"101112+0100"))
    found = read_inside(with_segments(records))
    assert (found.tags, found.caption) == (("iim two", "iimword"), "A caption")
    assert found.taken is not None
    assert (found.taken.at, found.taken.offset_minutes) == (datetime(2003, 2, 1, 10, 11, 12), 60)
    both = read_inside(with_segments(app1(packet(["from xmp"])), records))
    assert (both.tags, both.caption) == (("from xmp",), "A caption")
    for raw, coding in ((b"\xc3\xa9t\xc3\xa9", b"\x1b%G"), (b"\xc3\xa9t\xc3\xa9", b""), (b"\xe9t\xe9", b"")):
        assert read_inside(with_segments(iim((1, 90, coding), (2, 25, raw)))).tags == ("été",)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", jpeg(), b"\x89PNG", b"RIFF\0\0\0\0WEBP", b"GIF89a", iim()[:30]])
def test_nothing_is_empty(data: bytes) -> None:
    assert read_inside(data).tags == ()


def test_a_packed_text_may_not_grow_without_bound() -> None:
    with pytest.raises(UnreadableXmp):
        read_inside(png(b" " * (17 << 20), is_packed=True))


@pytest.mark.parametrize(
    ("attributes", "elements", "rating"),
    [
        ('xmp:Rating="5"', "", 5), ("", "<xmp:Rating>3</xmp:Rating>", 3), ('xmp:Rating="-1"', "", -1),
        ('xmp:Rating="4.0"', "", 4), ('xmp:Rating="9"', "", None), ('MicrosoftPhoto:Rating="75"', "", 4),
        ('MicrosoftPhoto:Rating="1"', "", 1), ('xmp:Rating="x" MicrosoftPhoto:Rating="99"', "", 5), ("", "", None),
        ('xmp:Rating="nan"', "", None),
    ],
)  # fmt: skip
def test_ratings(attributes: str, elements: str, rating: int | None) -> None:
    assert parse_xmp(said(attributes, elements)).rating == rating


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ('exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,17.6E"', (48.85833333, 2.29333333)),
        ('exif:GPSLatitude="48,51,30S" exif:GPSLongitude="2,17,36W"', (-48.85833333, -2.29333333)),
        ('exif:GPSLatitude="48,51.5N"', None),
        ('exif:GPSLatitude="98,51.5N" exif:GPSLongitude="2,17.6E"', None),
        ('exif:GPSLatitude="48,51.5E" exif:GPSLongitude="2,17.6E"', None),
        ('exif:GPSLatitude="0,0N" exif:GPSLongitude="0,0E"', None),
    ],
)
def test_places(attributes: str, place: tuple[float, float] | None) -> None:
    assert parse_xmp(said(attributes)).place == place


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "photos").mkdir()
    yield tmp_path / "photos"


def known(photos: Path, *, imported: bool = True) -> dict[str, ImageLabels]:
    gallery = Gallery(photos.parent / "gallery")
    Indexer(gallery, ColourEncoder()).run(photos)
    if imported:
        import_xmp(gallery)
    with gallery.reader() as reader:
        ids = [row[0] for row in reader.rows("SELECT id FROM images WHERE NOT is_retired")]
        return {Path(labels.image.path).name: labels for labels in labels_of(reader, ids)}


def tags(labels: ImageLabels) -> list[str]:
    return [each.text for each in labels.tags]


@pytest.mark.parametrize(
    ("raw", "sidecar", "attributes", "expected"),
    [
        ("IMG.CR2", "IMG.xmp", 'photoshop:SidecarForExtension="CR2"', ["fromjpeg"]),
        (None, "IMG.xmp", 'photoshop:SidecarForExtension="cr2"', ["fromjpeg"]),
        ("IMG.CR2", "IMG.xmp", 'crs:RawFileName="IMG.CR2"', ["fromjpeg"]),
        ("IMG.CR2", "IMG.xmp", "", ["fromjpeg"]),
        ("img.nef", "IMG.xmp", "", ["fromjpeg"]),
        ("IMG.CR2", "IMG.CR2.xmp", "", ["fromjpeg"]),
        ("IMG.CR2", "IMG.xmp", 'photoshop:SidecarForExtension="JPG"', ["fromraw"]),
        ("IMG.CR2", "IMG.xmp", 'photoshop:SidecarForExtension="jpeg"', ["fromraw"]),
        ("IMG.CR2", "IMG.jpg.xmp", "", ["fromraw"]),
        (None, "IMG.xmp", "", ["fromraw"]),
        ("OTHER.CR2", "IMG.xmp", "", ["fromraw"]),
    ],
)
def test_a_sidecar_of_a_raw_file_is_not_the_pictures(
    photos: Path, raw: str | None, sidecar: str, attributes: str, expected: list[str]
) -> None:
    (photos / "IMG.jpg").write_bytes(with_segments(app1(packet(["fromjpeg"]))))
    (photos / sidecar).write_bytes(said(attributes, subject=("fromraw",)))
    if raw:
        (photos / raw).write_bytes(b"II*\0raw")
    assert tags(known(photos)["IMG.jpg"]) == expected


WRITTEN = (
    'exif:DateTimeOriginal="2003-02-01T10:11:12+01:00" exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,17.6E" '
    'xmp:Rating="5"'
)


def facts(labels: ImageLabels) -> tuple[Any, ...]:
    image = labels.image
    return image.taken_text(), image.latitude, image.longitude


SAID = ("2003-02-01T10:11:12+01:00", 48.85833333, 2.29333333)


def test_date_and_place_from_a_sidecar_or_from_inside_when_a_picture_is_indexed(photos: Path) -> None:
    save_picture(photos / "a.jpg", "red", seed=1)
    (photos / "a.jpg.xmp").write_bytes(said(WRITTEN))
    (photos / "b.jpg").write_bytes(with_segments(app1(said(WRITTEN))))
    found = known(photos, imported=False)
    assert {name: facts(labels) for name, labels in found.items()} == {"a.jpg": SAID, "b.jpg": SAID}


def test_date_place_and_rating_by_a_later_import_and_gone_with_the_sidecar(photos: Path) -> None:
    save_picture(photos / "a.jpg", "red")
    assert facts(known(photos)["a.jpg"]) == (None, None, None)
    (photos / "a.xmp").write_bytes(said(WRITTEN))
    found = known(photos)["a.jpg"]
    assert (*facts(found), found.rating) == (*SAID, 5)
    (photos / "a.xmp").write_bytes(said('xmp:Rating="2"'))
    found = known(photos)["a.jpg"]
    assert (*facts(found), found.rating) == (None, None, None, 2)


def test_a_rating_is_kept_by_content_like_other_labels(photos: Path) -> None:
    """After ``forget``, and where another picture lies at the path meanwhile; a purge deletes it."""
    gallery, encoder = Gallery(photos.parent / "gallery"), ColourEncoder()
    save_picture(photos / "a.jpg", "red", seed=1)
    save_picture(photos / "b.jpg", "green", seed=3)  # a folder that is suddenly empty would not be believed
    (photos / "a.xmp").write_bytes(said('xmp:Rating="4"'))
    assert known(photos)["a.jpg"].rating == 4
    (photos / "a.xmp").unlink()

    elsewhere = photos.parent / "elsewhere"
    elsewhere.mkdir()
    (photos / "a.jpg").rename(elsewhere / "moved.jpg")
    Indexer(gallery, encoder).run(photos)
    save_picture(photos / "a.jpg", "blue", seed=2)
    Indexer(gallery, encoder).run(photos)
    assert ratings(gallery) == {"a.jpg": None, "b.jpg": None}
    Indexer(gallery, encoder).run(elsewhere)
    assert ratings(gallery) == {"a.jpg": None, "b.jpg": None, "moved.jpg": 4}

    forget_paths(gallery, [elsewhere])
    assert ratings(gallery) == {"a.jpg": None, "b.jpg": None}
    (elsewhere / "moved.jpg").rename(elsewhere / "again.jpg")
    Indexer(gallery, encoder).run(elsewhere)
    assert ratings(gallery) == {"a.jpg": None, "b.jpg": None, "again.jpg": 4}

    forget_paths(gallery, [elsewhere], purge=True)
    third = photos.parent / "third"
    elsewhere.rename(third)
    Indexer(gallery, encoder).run(third)
    assert ratings(gallery) == {"a.jpg": None, "b.jpg": None, "again.jpg": None}


def ratings(gallery: Gallery) -> dict[str, int | None]:
    with gallery.reader() as reader:
        found = labels_of(reader, reader.select(Filter()).tolist())
    return {Path(labels.image.path).name: labels.rating for labels in found}


def test_what_the_picture_says_itself_stays_and_a_copy_elsewhere_takes_nothing_along(photos: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    (photos / "a.jpg").write_bytes(jpeg(exif=exif.tobytes()))
    save_picture(photos / "one" / "b.jpg", "blue")
    for name in ("a.xmp", "one/b.xmp"):
        (photos / name).write_bytes(said(WRITTEN))
    known(photos)
    (photos / "two").mkdir()
    (photos / "two" / "c.jpg").write_bytes((photos / "one" / "b.jpg").read_bytes())
    found = known(photos)
    assert facts(found["a.jpg"]) == ("2020-01-02T03:04:05", *SAID[1:])
    assert facts(found["b.jpg"]) == SAID
    assert facts(found["c.jpg"]) == (None, None, None)


def test_a_second_import_changes_nothing(photos: Path) -> None:
    save_picture(photos / "a.jpg", "red")
    (photos / "a.xmp").write_bytes(said(WRITTEN, subject=("Straße", "STRASSE")))
    known(photos)
    gallery = Gallery(photos.parent / "gallery")
    os.utime(photos / "a.xmp")
    assert import_xmp(gallery).changed == 0
