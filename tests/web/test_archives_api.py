"""Pictures inside a tar or a bucket on the page: as files are, but nothing shows them in a file manager."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.retrieval.sources.s3_server import s3_server
from tests.retrieval.sources.tars import jpeg, save_tar
from tests.web.conftest import client_of


def test_a_member_is_served_in_parts_and_small_until_its_archive_changes(tmp_path: Path) -> None:
    data = jpeg("red")
    tar = save_tar(tmp_path / "a.tar", [("other.jpg", jpeg("blue")), ("sub/red.jpg", data)])
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tar)
    with gallery.reader() as reader:
        ids = {record.path: record.id for record in reader.records(np.array([1, 2]).tolist())}
    at = f"/api/v1/images/{ids[f'{tar}/sub/red.jpg']}"
    with client_of(gallery) as client:
        answer = client.get(f"{at}/file")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, "image/jpeg")
        part = client.get(f"{at}/file", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, data[10:20])
        assert client.get(f"{at}/thumbnail").headers["content-type"] == "image/webp"
        assert client.get(at).json()["on_disk"] == "same"
        assert client.get(f"{at}/shown").json() == {"showable": False}
        assert client.post(f"{at}/shown").status_code in (403, 409)
        save_tar(tar, [("sub/red.jpg", jpeg("green"))])
        assert client.get(f"{at}/file").status_code == 410
        tar.unlink()
        assert client.get(f"{at}/file").status_code == 404
        assert client.get(f"{at}/thumbnail").status_code == 200, "what was made while it was there"


def test_an_object_is_served_in_parts_and_small_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg("red")
    gallery = Gallery(tmp_path / "gallery")
    with s3_server(monkeypatch) as s3:
        s3.put("sub/red.jpg", data)
        Indexer(gallery, load_encoder("builtin-224")).run(s3.root)
        with client_of(gallery) as client:
            at = "/api/v1/images/1"
            answer = client.get(f"{at}/file")
            assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, "image/jpeg")
            part = client.get(f"{at}/file", headers={"Range": "bytes=10-19"})
            assert (part.status_code, part.content) == (206, data[10:20])
            assert client.get(f"{at}/thumbnail").headers["content-type"] == "image/webp"
            assert client.get(at).json()["path"] == f"{s3.root}/sub/red.jpg"
            assert client.get(f"{at}/shown").json() == {"showable": False}
            roots = client.get("/api/v1/folders").json()
            assert [node["path"] for node in roots["folders"]] == [s3.root]
            s3.put("sub/red.jpg", jpeg("green"))
            assert client.get(f"{at}/file").status_code == 410
            s3.stop()
            assert client.get(f"{at}/file").status_code == 404
            assert client.get(f"{at}/thumbnail").status_code == 200, "what was made while it was there"
            s3.start()
