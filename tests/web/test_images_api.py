"""Pictures over HTTP: metadata, thumbnails, the files themselves, and everything that must not come out."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from starlette.testclient import TestClient

from retrieval.catalog.records import ImageRecord
from retrieval.catalog.texts import PictureText, TextLine, write_texts
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.rendering.thumbnail_store import FILE_NAME
from retrieval.web.pictures import thumbnails
from tests.pictures import picture, replace_picture, save_picture
from tests.web.conftest import client_of

API = "/api/v1/images"
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def marked(width: int = 400, height: int = 300) -> Image.Image:
    """White, the upper left quarter red, the upper right one blue."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(BLUE, (width // 2, 0, width, height // 2))
    return image


def save_kinds(folder: Path) -> None:
    """A picture of each kind that needs care, under telling names."""
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F], exif[0x0110] = "Maker", "Model"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0)})
    # Stored lying, shown standing: the quarter turn brings the blue corner from the right to the lower right.
    marked().save(folder / "turned.jpg", exif=exif, quality=92)
    marked(2500, 1500).save(folder / "large.png")
    marked().convert("CMYK").save(folder / "inks.jpg", quality=95)
    marked().convert("CMYK").save(folder / "inks.tif")
    grey = np.tile(np.linspace(0, 65535, 300).astype(np.uint16), (200, 1))
    Image.fromarray(grey).save(folder / "deep.png")
    frames = [Image.new("RGB", (60, 40), colour) for colour in (RED, BLUE)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:], duration=50)
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    clear = Image.new("RGBA", (80, 60), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 40, 60))
    clear.save(folder / "clear.png")
    pillow_heif.from_pillow(marked(300, 200)).save(folder / "phone.heic", quality=90)
    marked(120, 80).save(folder / "map.avif")
    marked(120, 80).save(folder / "scan.jp2")
    marked(120, 80).save(folder / "plain.ppm")
    marked(120, 80).save(folder / "old.bmp")
    (folder / 'Größe "50%" ; a\\b\n.png').write_bytes((folder / "clear.png").read_bytes())
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes((folder / "deep.png").read_bytes())
    # Says that it is a page, and is a picture that begins like one would wish.
    out = io.BytesIO()
    picture("red").save(out, "GIF", comment=b"<html><script>alert(1)</script>")
    (folder / "page.html.gif").write_bytes(out.getvalue())


class Served:
    """A client of a gallery of these pictures."""

    def __init__(self, client: TestClient, gallery: Gallery, folder: Path) -> None:
        self.client, self.gallery, self.folder = client, gallery, folder
        with gallery.reader() as reader:
            rows = reader.rows("SELECT id FROM images WHERE NOT is_retired")
            self.records = {Path(r.path).name: r for r in reader.records([row[0] for row in rows])}

    def at(self, name: str, what: str = "") -> str:
        return f"{API}/{self.records[name].id}{what}"

    def get(self, name: str, what: str = "", **headers: str) -> Any:
        return self.client.get(self.at(name, what), headers={k.replace("_", "-"): v for k, v in headers.items()})

    def shown(self, name: str, what: str = "/thumbnail") -> Image.Image:
        answer = self.get(name, what)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp"), answer.text
        image = Image.open(io.BytesIO(answer.content))
        image.load()
        return image


def serve(place: Path) -> Iterator[Served]:
    save_kinds(place / "photos")
    gallery = Gallery(place / "gallery")
    report = Indexer(gallery, load_encoder("builtin-224")).run(place / "photos")
    assert report.counts.failed == 0
    with client_of(gallery) as client:
        yield Served(client, gallery, place / "photos")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Shared: change nothing."""
    yield from serve(tmp_path_factory.mktemp("kinds"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """One picture that may be changed, and its server."""
    save_picture(tmp_path / "photos/a.jpg", "red", size=(300, 200))
    save_picture(tmp_path / "photos/b.png", "blue", seed=1, size=(300, 200))
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    with client_of(gallery) as client:
        yield Served(client, gallery, tmp_path / "photos")


def problem(answer: Any, status: int) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    title: str = answer.json()["title"]
    return title


def near(image: Image.Image, x: float, y: float, colour: tuple[int, int, int]) -> bool:
    """True if the pixel at these parts of width and height has about this colour."""
    pixel = image.convert("RGB").getpixel((int(image.width * x), int(image.height * y)))
    return bool(np.abs(np.subtract(pixel, colour)).max() < 45)


# What is known of a picture


def test_details_hold_everything_that_the_catalog_knows(served: Served) -> None:
    record = served.records["turned.jpg"]
    found = served.get("turned.jpg").json()
    key = record.content_hash.hex()[:16]
    assert found.pop("added_at").startswith("20")
    assert found.pop("modified_at").startswith("20")
    assert re.fullmatch("#[0-9a-f]{6}", found.pop("colour"))
    assert found.pop("latitude") == pytest.approx(1.034167, abs=1e-5)
    assert found.pop("longitude") == pytest.approx(4.085, abs=1e-5)
    assert found == {
        "text": None, "motion": None,
        "id": record.id, "name": "turned.jpg", "path": record.path, "folder": str(served.folder), "hash": key,
        "format": "JPEG", "drawable": True, "playable": False, "duration_s": None, "time_s": None,
        "bytes": record.size, "width": 300, "height": 400,
        "taken_at": "2020-01-02T03:04:05", "camera": "Maker Model", "lens": None, "place": None, "mates": [],
        **dict.fromkeys(("iso", "aperture", "exposure", "focal_length")), "on_disk": "same",
        "tags": [], "captions": [], "predicted": [], "rating": None, "favourite": False, "hidden": False, "albums": [],
        "urls": {
            "thumbnail": f"{API}/{record.id}/thumbnail?v={key}",
            "file": f"{API}/{record.id}/file",
            "view": f"{API}/{record.id}/view?v={key}",
            "motion": None,
        },
    }  # fmt: skip


def test_details_hold_the_words_in_a_picture_and_where_those_stand_that_are_asked_for(own: Served) -> None:
    record = own.records["a.jpg"]
    line = TextLine("Invoice 2024", 0.9, (0.1, 0.2, 0.9, 0.2, 0.9, 0.3, 0.1, 0.3), tuple(n / 12 for n in range(1, 13)))
    with own.gallery.writer() as catalog, catalog.transaction() as transaction:
        write_texts(transaction, [(record.content_hash, PictureText("m1", "2024-05-01", (line,)))])
    found = own.client.get(f"{API}/{record.id}", params={"words": ["invoice", '"no phrase of it"']}).json()["text"]
    assert (found["model"], found["failed"]) == ("m1", None)
    (shown,) = found["lines"]
    assert (shown["text"], shown["corners"]) == ("Invoice 2024", [0.1, 0.2, 0.9, 0.2, 0.9, 0.3, 0.1, 0.3])
    assert shown["marks"] == [pytest.approx([0.0, 7 / 12], abs=0.01)]
    assert own.client.get(f"{API}/{record.id}").json()["text"]["lines"][0]["marks"] == []
    assert own.client.get(f"{API}/{record.id}", params={"words": "x" * 2000}).status_code == 422


def test_details_keep_apart_what_people_say_and_what_the_model_believes(own: Served) -> None:
    record = own.records["a.jpg"]
    edit_labels(own.gallery, [record.id], LabelEdit(tags=("harbour",), caption="At the sea."))
    with own.gallery.writer() as catalog, catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql(
            "INSERT INTO predicted_tags (encoder_id, image_id, tag, probability) VALUES (1, ?, 'ship', 0.75)",
            (record.id,),
        )
    found = own.get("a.jpg").json()
    assert found["tags"] == [{"tag": "harbour", "source": "user"}]
    assert found["captions"] == [{"text": "At the sea.", "source": "user"}]
    assert found["predicted"] == [{"tag": "ship", "probability": 0.75}]


def test_names_that_are_not_text_can_be_told(served: Served) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    found = served.get(name)
    assert (found.status_code, found.json()["name"]) == (200, "caf�.png")
    assert served.get(name, "/file").headers["content-disposition"] == (
        "inline; filename=\"caf_.png\"; filename*=UTF-8''caf%EF%BF%BD.png"
    )


# Thumbnails


def test_thumbnails_are_upright_small_and_carry_no_metadata(served: Served) -> None:
    for size, expected in ((240, (180, 240)), (480, (300, 400)), (1024, (300, 400))):
        image = served.shown("turned.jpg", f"/thumbnail?size={size}")
        assert (image.size, image.format) == (expected, "WEBP")
        assert not {"exif", "icc_profile", "xmp"} & set(image.info)
        assert near(image, 0.75, 0.25, RED) and near(image, 0.75, 0.75, BLUE) and near(image, 0.25, 0.5, WHITE)
    assert served.shown("large.png", "/thumbnail?size=1024").size == (1024, 614)
    assert served.shown("large.png", "/view").size == (2048, 1229)
    assert served.shown("large.png").size == (240, 144)


@pytest.mark.parametrize("name", ["inks.jpg", "inks.tif", "phone.heic", "map.avif", "scan.jp2", "plain.ppm", "old.bmp"])
def test_every_format_has_a_thumbnail_and_a_view_that_browsers_draw(served: Served, name: str) -> None:
    for what in ("/thumbnail", "/view"):
        image = served.shown(name, what)
        assert near(image, 0.25, 0.25, RED) and near(image, 0.75, 0.25, BLUE) and near(image, 0.5, 0.75, WHITE)


def test_odd_pictures_look_as_they_should(served: Served) -> None:
    deep = np.asarray(served.shown("deep.png").convert("L"), np.float32)[50]
    assert np.abs(deep - np.linspace(0, 255, deep.size)).max() < 8
    for name in ("moving.gif", "moving.webp"):
        assert near(served.shown(name), 0.5, 0.5, RED)
        assert getattr(served.shown(name), "n_frames", 1) == 1
    clear = served.shown("clear.png")
    assert clear.mode == "RGB" and near(clear, 0.2, 0.5, BLUE) and near(clear, 0.8, 0.5, WHITE)


def test_what_may_be_kept_forever_and_what_is_asked_again(served: Served) -> None:
    key = served.records["large.png"].content_hash.hex()[:16]
    forever = "private, max-age=31536000, immutable"
    assert served.get("large.png", f"/thumbnail?v={key}").headers["cache-control"] == forever
    assert served.get("large.png", f"/view?v={key}").headers["cache-control"] == forever
    for what in ("/thumbnail", f"/thumbnail?v={key[:-1]}", "/thumbnail?v=", "/thumbnail?v=0000000000000000"):
        assert served.get("large.png", what).headers["cache-control"] == "private, no-cache"
    tags = {served.get("large.png", what).headers["etag"] for what in ("/thumbnail", "/thumbnail?size=480", "/view")}
    assert len(tags) == 3


@pytest.mark.parametrize("what", ["/thumbnail", "/thumbnail?size=1024", "/view", "/file"])
def test_what_is_known_is_not_sent_again(served: Served, what: str) -> None:
    tag = served.get("large.png", what).headers["etag"]
    for condition in (tag, f'"other", {tag}', f"W/{tag.removeprefix('W/')}", "*"):
        again = served.get("large.png", what, if_none_match=condition)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert served.get("large.png", what, if_none_match='"other"').status_code == 200


def test_identical_requests_at_once_decode_once(own: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look_at = thumbnails.look_at

    def counted(image: ImageRecord, side: int) -> Image.Image:
        looks.append(image.id)
        return look_at(image, side)

    monkeypatch.setattr(thumbnails, "look_at", counted)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: own.get("a.jpg", "/thumbnail"), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(looks) == 1


def test_a_damaged_file_of_thumbnails_is_made_anew(own: Served) -> None:
    first = own.get("a.jpg", "/thumbnail").content
    (own.gallery.path / FILE_NAME).write_bytes(b"damage" * 5000)
    for _ in range(3):
        assert own.get("a.jpg", "/thumbnail").content == first


def test_a_thumbnail_outlives_its_file_and_not_its_place_in_the_gallery(own: Served) -> None:
    first = own.get("a.jpg", "/thumbnail").content
    (own.folder / "a.jpg").unlink()  # or its drive was taken away
    assert own.get("a.jpg", "/thumbnail").content == first
    larger = own.get("a.jpg", "/thumbnail?size=480")
    assert larger.content == first and larger.headers["cache-control"] == "no-store", "better a small one than none"
    assert own.get("a.jpg").json()["on_disk"] == "missing"
    forget_paths(own.gallery, [own.folder])
    for what in ("", "/thumbnail", "/view", "/file"):
        assert "there is no image" in problem(own.get("a.jpg", what), 404)


# The file


def test_files_come_byte_for_byte_under_their_type(served: Served) -> None:
    types = {
        "turned.jpg": "image/jpeg", "large.png": "image/png", "inks.tif": "image/tiff", "moving.gif": "image/gif",
        "moving.webp": "image/webp", "phone.heic": "image/heic", "map.avif": "image/avif", "scan.jp2": "image/jp2",
        "plain.ppm": "image/x-portable-anymap", "old.bmp": "image/bmp", "page.html.gif": "image/gif",
    }  # fmt: skip
    drawn = {"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp"}
    for name, media_type in types.items():
        answer = served.get(name, "/file")
        assert answer.content == (served.folder / name).read_bytes()
        headers = answer.headers
        assert headers["content-type"] == media_type
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        kind = "inline" if media_type in drawn else "attachment"
        assert headers["content-disposition"] == f'{kind}; filename="{name}"'
        assert served.get(name).json()["drawable"] == (kind == "inline")


def test_no_name_can_end_a_header(served: Served) -> None:
    name = 'Größe "50%" ; a\\b\n.png'
    found = served.get(name, "/file").headers["content-disposition"]
    assert found == (
        'inline; filename="Gr__e _50__ ; a_b_.png"; '
        "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%2250%25%22%20%3B%20a%5Cb%0A.png"
    )


def test_head_says_what_get_would_send(served: Served) -> None:
    for what in ("/file", "/thumbnail", "/view"):
        got, head = served.get("large.png", what), served.client.head(served.at("large.png", what))
        assert (head.status_code, head.content) == (200, b"")
        assert {k: v for k, v in head.headers.items() if k != "date"} == dict(got.headers)
        assert int(head.headers["content-length"]) == len(got.content)
    assert served.client.head(f"{API}/999999/file").status_code == 404


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-5", slice(5, 6)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-20", slice(-20, None)),
        ("Bytes = 0-9", None),
        ("bytes=0-99999999999", None),
        ("bytes=9-3", None),
        ("bytes=0-1,5-6", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("lines=0-9", None),
        ("bytes=0-" + "9" * 4000, None),
    ],
)
def test_parts_of_a_file(served: Served, asked: str, part: slice | None) -> None:
    data = (served.folder / "large.png").read_bytes()
    answer = served.get("large.png", "/file", range=asked)
    if part is None or len(data[part]) == len(data):
        assert (answer.status_code, answer.content) == (200, data)
        return
    start, end, _ = part.indices(len(data))
    assert (answer.status_code, answer.content) == (206, data[part])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(data)}"
    assert answer.headers["content-length"] == str(end - start)


def test_parts_that_are_not_there_and_parts_of_another_version(served: Served) -> None:
    whole = served.get("large.png", "/file")
    for asked in (f"bytes={len(whole.content)}-", "bytes=-0", "bytes=99999999999-99999999999"):
        answer = served.get("large.png", "/file", range=asked)
        problem(answer, 416)
        assert answer.headers["content-range"] == f"bytes */{len(whole.content)}"
    for version in (whole.headers["etag"], whole.headers["last-modified"]):
        assert served.get("large.png", "/file", range="bytes=0-9", if_range=version).status_code == 206
    for version in ('"other"', f"W/{whole.headers['etag']}", "Mon, 01 Jan 2001 00:00:00 GMT"):
        assert served.get("large.png", "/file", range="bytes=0-9", if_range=version).status_code == 200
    head = served.client.head(served.at("large.png", "/file"), headers={"range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole.content)))


def test_a_file_that_changed_is_not_shown(own: Served) -> None:
    replace_picture(own.folder / "a.jpg", "green", size=(300, 200))
    assert "changed" in problem(own.get("a.jpg", "/file"), 410)
    assert "changed" in problem(own.get("a.jpg", "/thumbnail"), 410)
    assert "changed" in problem(own.get("a.jpg", "/view"), 410)
    assert own.get("a.jpg").json()["on_disk"] == "changed"
    assert own.get("b.png", "/file").status_code == 200


def test_what_was_put_in_a_files_place_does_not_come_out(own: Served, tmp_path: Path) -> None:
    record, path = own.records["a.jpg"], own.folder / "a.jpg"
    secret = tmp_path / "secret.html"
    secret.write_bytes(b"<script>alert(1)</script>".ljust(record.size, b" "))
    os.utime(secret, ns=(record.mtime_ns, record.mtime_ns))
    path.unlink()
    path.symlink_to(secret)  # of the same length and time
    for what in ("/file", "/thumbnail"):
        answer = own.get("a.jpg", what)
        assert answer.status_code in (410, 415)
        assert b"alert" not in answer.content
    path.unlink()
    os.mkfifo(path)
    assert own.get("a.jpg", "/file").status_code == 410  # and nobody waits for a writer
    path.unlink()
    path.mkdir()
    assert own.get("a.jpg", "/file").status_code == 410
    path.rmdir()
    assert own.get("a.jpg", "/file").status_code == 404


def test_a_picture_that_is_retired_is_not_there_any_more(own: Served) -> None:
    own.get("a.jpg", "/thumbnail")
    (own.folder / "a.jpg").unlink()
    Indexer(own.gallery, load_encoder("builtin-224")).run(own.folder)
    for what in ("", "/thumbnail", "/view", "/file"):
        problem(own.get("a.jpg", what), 404)
        assert own.get("b.png", what).status_code == 200


# What else may be asked


@pytest.mark.parametrize("what", ["", "/thumbnail", "/view", "/file"])
@pytest.mark.parametrize(
    "id_", ["0", "-1", "9223372036854775808", "9" * 400, "1e3", "x", "1;2", "%00", "null", "1%2F2"]
)
def test_ids_that_cannot_be(served: Served, id_: str, what: str) -> None:
    answer = served.client.get(f"{API}/{id_}{what}")
    assert answer.status_code in (404, 422)
    problem(answer, answer.status_code)


@pytest.mark.parametrize("what", ["", "/thumbnail", "/view", "/file"])
def test_ids_that_are_not_there(served: Served, what: str) -> None:
    assert "there is no image" in problem(served.client.get(f"{API}/9223372036854775807{what}"), 404)


@pytest.mark.parametrize("size", ["0", "-240", "241", "99999999999999999999", "large", "", "240,480"])
def test_sizes_that_are_not_made(served: Served, size: str) -> None:
    problem(served.get("large.png", f"/thumbnail?size={size}"), 422)


@pytest.mark.parametrize(
    "path",
    ["1/../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "1/file/../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
     "1/file%00.png", "1/thumbnail/x", "1/file/large.png", "//etc/passwd", "1\\..\\file"],
)  # fmt: skip
def test_no_path_leads_to_a_file(served: Served, path: str) -> None:
    answer = served.client.get(f"{API}/{path}")
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


def test_other_methods_are_refused(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for what in ("/file", "/thumbnail", "/view"):
            answer = served.client.request(method, served.at("large.png", what))
            problem(answer, 405)
            assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_every_answer_is_in_the_documentation(served: Served) -> None:
    paths = served.client.get("/api/v1/openapi.json").json()["paths"]
    for what in ("/thumbnail", "/view", "/file"):
        for method in ("get", "head"):
            responses = paths[f"{API}/{{id}}{what}"][method]["responses"]
            assert {"200", "304", "default"} <= set(responses)
            assert all(name.startswith(("image/", "video/", "application/mxf")) for name in responses["200"]["content"])
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(names) == len(set(names))
