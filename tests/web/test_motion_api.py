"""The short video of a picture over HTTP: the stretch of the file that it is, and not a byte more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("av")

from starlette.testclient import TestClient

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests import motion_files
from tests.web.conftest import client_of

API = "/api/v1/images"


class Phone(NamedTuple):
    client: TestClient
    folder: Path
    moving: bytes

    def id(self, name: str) -> int:
        hits = self.client.get("/api/v1/search").json()["hits"]
        return int(next(hit["id"] for hit in hits if hit["name"] == name))


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    folder = tmp_path / "phone"
    folder.mkdir()
    moving = motion_files.clip(tmp_path)
    (folder / "PXL.jpg").write_bytes(motion_files.motion_photo(moving) + b"a trailer")
    motion_files.live_still(folder / "IMG_1.JPG")
    motion_files.live_clip(folder / "IMG_1.MOV")
    (folder / "still.jpg").write_bytes(motion_files.still())
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(folder)
    with client_of(gallery) as client:
        yield Phone(client, folder, moving)


def test_the_video_inside_a_file_is_sent_alone(phone: Phone) -> None:
    at = f"{API}/{phone.id('PXL.jpg')}"
    told = phone.client.get(at).json()
    assert told["motion"] == "inside" and told["urls"]["motion"].endswith("/motion")
    whole = phone.client.get(f"{at}/motion")
    assert whole.status_code == 200 and whole.content == phone.moving
    assert whole.headers["content-type"] == "video/mp4" and whole.headers["accept-ranges"] == "bytes"
    size = len(phone.moving)
    for asked, part in (("bytes=0-9", slice(0, 10)), ("bytes=5-", slice(5, None)), ("bytes=-7", slice(-7, None)),
                        (f"bytes=0-{10 * size}", slice(0, None))):  # fmt: skip
        answer = phone.client.get(f"{at}/motion", headers={"Range": asked})
        assert answer.content == phone.moving[part]
        assert len(answer.content) == size or answer.headers["content-range"].endswith(f"/{size}")
    assert phone.client.get(f"{at}/motion", headers={"Range": f"bytes={size}-"}).status_code == 416
    tag = whole.headers["etag"]
    assert phone.client.get(f"{at}/motion", headers={"If-None-Match": tag}).status_code == 304
    assert tag != phone.client.get(f"{at}/file").headers["etag"]
    assert phone.client.head(f"{at}/motion").headers["content-length"] == str(size)


def test_the_video_of_a_live_photo_is_the_file_beside_it(phone: Phone) -> None:
    at = f"{API}/{phone.id('IMG_1.JPG')}"
    told = phone.client.get(at).json()
    assert told["motion"] == "beside" and [mate["name"] for mate in told["mates"]] == ["IMG_1.MOV"]
    answer = phone.client.get(f"{at}/motion")
    assert answer.content == (phone.folder / "IMG_1.MOV").read_bytes()
    assert answer.headers["content-type"] == "video/quicktime"


def test_lists_say_which_pictures_have_one(phone: Phone) -> None:
    hits = phone.client.get("/api/v1/search").json()["hits"]
    assert {hit["name"]: hit["motion"] for hit in hits} == {
        "PXL.jpg": "inside",
        "IMG_1.JPG": "beside",
        "still.jpg": None,
    }


def test_without_one_and_after_a_change_there_is_nothing(phone: Phone) -> None:
    assert phone.client.get(f"{API}/{phone.id('still.jpg')}/motion").status_code == 404
    assert phone.client.get(f"{API}/999/motion").status_code == 404
    of_google, of_apple = phone.id("PXL.jpg"), phone.id("IMG_1.JPG")
    (phone.folder / "PXL.jpg").write_bytes(b"something else")
    (phone.folder / "IMG_1.MOV").unlink()
    assert phone.client.get(f"{API}/{of_google}/motion").status_code == 410
    assert phone.client.get(f"{API}/{of_apple}/motion").status_code == 404
