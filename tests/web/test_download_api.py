"""Lists as CSV and originals as ZIP: whole, in order, with safe names, without what is not there any more."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs photoseek[web]")

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from retrieval.catalog.records import ImageRecord
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.pictures.images import content_hash
from retrieval.regular_files import change_time
from retrieval.web.search import download_api
from retrieval.web.search.archive import LEFT_OUT, packed, safe_names
from tests.conftest import EXAMPLES
from tests.web.conftest import client_of

EXPORT, DOWNLOAD = "/api/v1/export", "/api/v1/download"


def table(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def listed(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = client.get("/api/v1/search", params={"k": 500, **params}).json()["hits"]
    return hits


def record_of(path: Path, image_id: int = 1) -> ImageRecord:
    found = path.stat()
    facts: Any = ("JPEG", 4, 3, None, None, None, None, None, content_hash(path.read_bytes()))
    return ImageRecord(image_id, str(path), found.st_size, found.st_mtime_ns, *facts, ctime_ns=change_time(found))


def archive_of(records: Sequence[ImageRecord], unknown: Sequence[int] = ()) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(packed(records, unknown))))


@pytest.mark.parametrize("params", [{}, {"q": "a dog", "orientation": "portrait"}, {"q": "a dog", "sort": "name"}])
def test_a_list_as_csv(client: TestClient, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_api, "_ROWS", 50)  # several blocks
    answer = client.get(EXPORT, params=params)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="photoseek.csv"'
    rows, hits = table(answer.content), listed(client, **params)
    assert len(rows) > 20
    for name in ("id", "rank", "path", "score", "camera", "bytes", "on_disk"):
        assert [row[name] for row in rows] == ["" if hit[name] is None else str(hit[name]) for hit in hits], name
    assert table(client.post(EXPORT, json=params).content) == rows


def test_chosen_pictures_as_csv(client: TestClient) -> None:
    chosen = [hit["id"] for hit in listed(client, q="a boat", k=7)][::-1]
    rows = table(client.get(EXPORT, params={"ids": [*chosen, 10**9]}).content)
    assert [int(row["id"]) for row in rows] == chosen
    assert table(client.post(EXPORT, json={"ids": chosen}).content) == rows
    assert table(client.post(EXPORT, json={"ids": []}).content) == []
    assert rows[0]["score"] == ""


def test_a_weighted_query_as_csv(client: TestClient) -> None:
    asked = {"terms": [{"kind": "text", "value": "dog", "weight": 2}, {"kind": "text", "value": "sea", "weight": -1}]}
    hits = client.post("/api/v1/search", json={**asked, "k": 500}).json()["hits"]
    assert [int(row["id"]) for row in table(client.post(EXPORT, json=asked).content)] == [hit["id"] for hit in hits]


def test_problems_come_before_the_first_row(client: TestClient) -> None:
    for status, params in ((400, {"camera": "nobody's"}), (400, {"less": 1}), (404, {"like": 10**9}), (422, {"k": 3})):
        answer = client.get(EXPORT, params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert client.post(EXPORT, json={"ids": [-1]}).status_code == 422


def test_names_are_no_formulas(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(EXAMPLES / "animals" / "dog.jpg", tmp_path / "photos" / "=1+1,\n.jpg")
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    with client_of(gallery) as client:
        [row] = table(client.get(EXPORT).content)
    assert row["name"] == "'=1+1,\n.jpg"
    assert row["path"] == str(tmp_path / "photos" / "=1+1,\n.jpg")


def test_originals_as_zip(client: TestClient) -> None:
    hits = listed(client, q="an animal", k=9)
    answer = client.post(DOWNLOAD, json={"ids": [hit["id"] for hit in hits] * 2})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="photoseek.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert [entry.compress_type for entry in archive.infolist()] == [zipfile.ZIP_STORED] * 9
        for hit, name in zip(hits, archive.namelist(), strict=True):
            assert name == hit["name"]
            assert archive.read(name) == Path(hit["path"]).read_bytes()


def test_what_cannot_be_packed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    known = listed(client, k=1)[0]["id"]
    for status, body in (
        (404, {"ids": [10**9]}), (422, {"ids": []}), (422, {"ids": [1] * 501}), (422, {"ids": ["x"]}), (422, {}),
    ):  # fmt: skip
        answer = client.post(DOWNLOAD, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), body
    monkeypatch.setattr(download_api, "MOST_BYTES", 10)
    answer = client.post(DOWNLOAD, json={"ids": [known]})
    assert answer.status_code == 413 and "choose fewer" in answer.json()["detail"]


def test_what_is_not_there_any_more_is_left_out_and_named(tmp_path: Path) -> None:
    names = ("kept.jpg", "changed.jpg", "touched.jpg", "edited.jpg", "missing.jpg", "pipe.jpg")
    files = {name: tmp_path / name for name in names}
    for name, path in files.items():
        path.write_bytes(name.encode())
    records = [record_of(path) for path in files.values()]
    files["changed.jpg"].write_bytes(b"longer than it was before")
    os.utime(files["touched.jpg"], (1, 1))
    before = files["edited.jpg"].stat()  # as exiftool -P does: size and time of modification stay
    files["edited.jpg"].write_bytes(b"EDITED.jpg")
    os.utime(files["edited.jpg"], ns=(before.st_atime_ns, before.st_mtime_ns))
    files["missing.jpg"].unlink()
    files["pipe.jpg"].unlink()
    os.mkfifo(files["pipe.jpg"])
    with archive_of(records, unknown=[77]) as archive:
        assert archive.namelist() == ["kept.jpg", LEFT_OUT]
        assert archive.read("kept.jpg") == b"kept.jpg"
        lines = archive.read(LEFT_OUT).decode().splitlines()
    assert lines == [
        "picture 77\tnot in the gallery",
        f"{files['changed.jpg']}\tchanged since it was indexed",
        f"{files['touched.jpg']}\tchanged since it was indexed",
        f"{files['edited.jpg']}\tchanged since it was indexed",
        f"{files['missing.jpg']}\tmissing",
        f"{files['pipe.jpg']}\tchanged since it was indexed",
    ]


def test_a_file_that_shrinks_while_it_is_packed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "long.jpg"
    path.write_bytes(b"x" * (3 << 20))
    pieces = packed([record_of(path)], [])
    parts = [next(pieces)]
    os.truncate(path, 1 << 20)
    parts += pieces
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.testzip() is None
        assert "not whole" in archive.read(LEFT_OUT).decode()


def test_packing_holds_a_piece_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    pieces = packed([record_of(path)], [])
    tracemalloc.start()
    try:
        longest = total = 0
        for piece in pieces:
            longest, total = max(longest, len(piece)), total + len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 40 << 20 and longest < 2 << 20 and peak < 8 << 20


@pytest.mark.parametrize(("second", "year"), [(0, 1980), (1_700_000_000, 2023), (1 << 33, 2107)])
def test_times_that_a_zip_cannot_say(tmp_path: Path, second: int, year: int) -> None:
    path = tmp_path / "old.jpg"
    path.write_bytes(b"x")
    os.utime(path, (second, second))
    with archive_of([record_of(path)]) as archive:
        assert archive.infolist()[0].date_time[0] == year


NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40),
    st.sampled_from(["a.jpg", "A.JPG", "a-2.jpg", "con", "NUL.jpg", "..", "...jpg", "x" * 300 + ".jpg", LEFT_OUT,
                     "C:\\x.jpg", "a\nb.jpg", "caf\udce9.jpg", "\u202egpj.exe", "ä" * 120 + ".png", "-rf.jpg"]),
)  # fmt: skip


@given(st.lists(NAMES, max_size=20))
@settings(max_examples=150, deadline=None)
def test_names_in_an_archive_are_safe_and_differ(names: list[str]) -> None:
    made = safe_names([f"/photos/{name}" for name in names])
    assert len({name.casefold() for name in [*made, LEFT_OUT]}) == len(names) + 1
    for name in made:
        assert name.isprintable() and not set(name) & set('<>:"/\\|?*')
        assert name not in ("", ".", "..") and not name.endswith((" ", "."))
        assert len(name.encode()) <= 210
        assert name.partition(".")[0].lower() not in ("con", "nul", "prn", "aux", "com1", "lpt9")


def test_ordinary_names_stay_as_they_are() -> None:
    paths = ["/a/IMG_1.jpg", "/b/IMG_1.jpg", "/c/img_1.JPG", "/d/Ärger am See (2).png", "/e/.hidden.jpg"]
    names = ["IMG_1.jpg", "IMG_1-2.jpg", "img_1-3.JPG", "Ärger am See (2).png", "hidden.jpg"]
    assert safe_names(paths) == names
