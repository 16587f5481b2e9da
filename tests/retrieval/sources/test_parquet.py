"""Rows of parquet files as pictures: names, order, damage, and files of many kinds of columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from retrieval.sources.archives import Archives
from retrieval.sources.parquet import column_of
from retrieval.sources.reading import read_anywhere, source_of
from tests.fakes import ColourEncoder
from tests.retrieval.sources.tars import jpeg
from tests.retrieval.states import check_agreement, failing, found, ids

RED, BLUE, GREEN = jpeg("red"), jpeg("blue"), jpeg("green")


def save(path: Path, pictures: Sequence[Any], name: str = "image", *, group: int = 3) -> Path:
    """Write a file with a column of pictures, in row groups of a few rows, beside other columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(pictures)
    table = pa.table({"label": [str(n) for n in range(count)], "mask": [b"mask"] * count, name: pictures})
    pq.write_table(table, path, row_group_size=group)
    return path


def names(path: Path) -> list[str]:
    listings = list(Archives().folders(str(path), lambda _folder, _name: True))
    assert [listing.problem for listing in listings] == [None] * len(listings)
    return [f"{listing.path.removeprefix(str(path))}/{entry.name}" for listing in listings for entry in listing.entries]


def test_rows_are_named_by_their_paths_or_by_their_numbers(tmp_path: Path) -> None:
    faces = [{"bytes": RED, "path": "train/1.jpg"}, {"bytes": BLUE, "path": "../2.jpg"}]
    assert names(save(tmp_path / "a.parquet", faces)) == ["/%2E%2E/2.jpg", "/train/1.jpg"]
    assert read_anywhere(f"{tmp_path}/a.parquet/%2E%2E/2.jpg", 1 << 20) == BLUE
    for pictures in ([RED, BLUE], [{"bytes": RED, "path": None}] * 2, [{"bytes": RED, "path": "same.jpg"}] * 2):
        path = save(tmp_path / "b.parquet", pictures)
        assert names(path) == ["/0000000", "/0000001"]
        assert read_anywhere(f"{path}/0000000", 1 << 20) == RED


def test_the_column_is_the_one_with_a_usual_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.parquet", [RED], "picture")
    assert column_of(pq.read_schema(path)).name == "picture"
    path = save(tmp_path / "a.parquet", ["text"], "image")
    assert column_of(pq.read_schema(path)).name == "mask"
    table = pa.table({"text": ["a"]})
    pq.write_table(table, path)
    (listing,) = Archives().folders(str(path), lambda _folder, _name: True)
    assert listing.problem == "none of its columns holds the bytes of pictures"


def test_rows_are_read_in_any_order(tmp_path: Path) -> None:
    pictures = [jpeg("red", n) for n in range(50)]
    path = save(tmp_path / "a.parquet", pictures, group=20)
    for row in (0, 1, 19, 20, 49, 21, 3, 2, 2, 49):
        assert read_anywhere(f"{path}/{row:07}", 1 << 20) == pictures[row]
    with pytest.raises(FileNotFoundError):
        read_anywhere(f"{path}/{50:07}", 1 << 20)
    with pytest.raises(OSError, match="larger"):
        read_anywhere(f"{path}/{0:07}", 10)


def test_a_parquet_file_is_indexed_like_a_folder(gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    path = save(tmp_path / "data" / "a.parquet", [RED, b"no picture", None, BLUE, b""])
    report = Indexer(gallery, encoder).run(path.parent, archives=True)
    assert (report.counts.added, report.counts.failed, report.problems) == (2, 3, [])
    assert set(ids(gallery, encoder, path)) == {"0000000", "0000003"}
    assert set(failing(gallery)) == {"0000001", "0000002", "0000004"}
    check_agreement(gallery, encoder)
    assert found(gallery, encoder, "blue", k=1) == ["0000003"]
    report = Indexer(gallery, encoder).run()
    assert (report.unchanged, report.encoded, report.counts.failed) == (5, 0, 0)
    with QueryEngine(gallery, encoder) as engine:
        (hit,) = engine.search(Query.text("red", k=1))
        assert (hit.image.on_disk(), hit.image.size) == ("same", len(RED))
        with hit.image.open() as file:
            assert file.read() == RED
    encoder.encoded = 0
    save(path, [GREEN, RED, BLUE])
    report = Indexer(gallery, encoder).run()
    assert (report.images, encoder.encoded, report.failures_known) == (3, 1, 0)
    check_agreement(gallery, encoder)
    assert hit.image.on_disk() == "changed"


def test_damage_is_one_error_and_keeps_the_pictures(gallery: Gallery, encoder: ColourEncoder, tmp_path: Path) -> None:
    path = save(tmp_path / "a.parquet", [RED, BLUE])
    Indexer(gallery, encoder).run(path)
    data = path.read_bytes()
    for broken in (b"", b"PAR1", data[:-9], data[:-4] + b"XXXX", data[: len(data) // 2] + data[-8:], b"x" * 5000):
        path.write_bytes(broken)
        report = Indexer(gallery, encoder).run()
        assert [(each.images_kept, each.reason[:29]) for each in report.problems] == [
            (2, "it is not a whole parquet fil")
        ]
    path.write_bytes(data[:200] + bytes(200) + data[400:])  # pages, not the list of them
    report = Indexer(gallery, encoder, workers=1).run()
    assert report.problems == []
    assert report.counts.failed > 0
    source = source_of(f"{path}/0000001")
    assert source is not None
    path.write_bytes(data)
    assert Indexer(gallery, encoder).run().images == 2


def test_a_column_of_something_else_gives_failures_not_faults(
    gallery: Gallery, encoder: ColourEncoder, tmp_path: Path
) -> None:
    report = Indexer(gallery, encoder).run(save(tmp_path / "a.parquet", [b"x", b"y"], "payload"))
    assert (report.counts.failed, report.counts.added) == (2, 0)
