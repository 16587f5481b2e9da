"""Filters: all conditions compared with plain Python, text like SQL, folder names that look like patterns."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord
from retrieval.catalog.selection import check_names
from retrieval.catalog.writer import Catalog
from retrieval.errors import QueryError
from retrieval.filters import Filter, parse_date, parse_filter
from retrieval.paths import is_below
from tests.retrieval.rows import encoder_spec, image

FOLDERS = (
    "/a/b",
    "/a/b/deep/er",
    "/a/bc",
    "/a/b%",
    "/a/b_",
    "/a/B",
    "/a/b'; DROP TABLE images; --",
    "/a/caf\u00e9",
    os.fsdecode(b"/a/b/caf\xe9"),
    os.fsdecode(b"/a/caf\xe9\xff"),
)
CAMERAS = ("Canon EOS 5D", "NIKON D850", "iPhone 12", "100% _real_ cam'era", None)
FORMATS = ("JPEG", "PNG", "HEIF")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogReader]:
    """300 images with metadata drawn at random, every seventh of them retired."""
    path, draw = tmp_path_factory.mktemp("filters") / "catalog.sqlite", random.Random(4)
    with closing(Catalog(path)) as catalog:
        encoder = catalog.register_encoder(encoder_spec())
        at = [catalog.folder_id(folder) for folder in FOLDERS]
        rows = []
        for number in range(300):
            taken = datetime(draw.randint(2019, 2024), draw.randint(1, 12), draw.randint(1, 28), draw.randint(0, 23))
            facts = {
                "format": draw.choice(FORMATS),
                "width": draw.choice((30, 40)),
                "height": draw.choice((30, 40)),
                "taken_at": draw.choice((None, taken.isoformat())),
                "camera": draw.choice(CAMERAS),
            }
            rows.append(image(draw.choice(at), f"{number}.jpg", **facts))
        catalog.commit(Batch(indexed=rows), encoder)
        catalog.commit(Batch(retired=list(range(7, 300, 7))), encoder)
    with closing(CatalogReader(path)) as opened:
        yield opened


def matching(reader: CatalogReader, passes: Callable[[ImageRecord], bool]) -> list[int]:
    return [record.id for record in reader.records(list(range(1, 301))) if passes(record)]


def under(*folders: str) -> Callable[[ImageRecord], bool]:
    return lambda r: any(is_below(os.path.dirname(r.path), folder) for folder in folders)


def taken(record: ImageRecord) -> datetime:
    return record.taken_at or datetime(1, 1, 1)


NOON = datetime(2021, 6, 1, 12)
CASES: list[tuple[Filter, Callable[[ImageRecord], bool]]] = [
    (Filter(), lambda r: True),
    *((Filter(under=(Path(folder),)), under(folder)) for folder in ("/", "/a", *FOLDERS)),
    (Filter(under=(Path("/a/b/"), Path("/a/bc"))), under("/a/b", "/a/bc")),
    (Filter(under=(Path("/a/bc/../b"),)), under("/a/b")),
    (Filter(after=NOON), lambda r: r.taken_at is not None and taken(r) >= NOON),
    (Filter(before=NOON), lambda r: r.taken_at is not None and taken(r) < NOON),
    (Filter(after=datetime(2020, 1, 1), before=NOON), lambda r: datetime(2020, 1, 1) <= taken(r) < NOON),
    (Filter(camera="canon"), lambda r: r.camera == CAMERAS[0]),
    (Filter(camera="EOS 5d"), lambda r: r.camera == CAMERAS[0]),
    (Filter(camera="%"), lambda r: "%" in (r.camera or "")),
    (Filter(camera="_"), lambda r: "_" in (r.camera or "")),
    (Filter(camera="cam'era"), lambda r: r.camera == CAMERAS[3]),
    (Filter(orientation="portrait"), lambda r: r.height > r.width),
    (Filter(orientation="landscape"), lambda r: r.width > r.height),
    (Filter(orientation="square"), lambda r: r.width == r.height),
    (Filter(format=("jpeg", "PnG")), lambda r: r.format in ("JPEG", "PNG")),
    (
        Filter(under=(Path("/a/b"),), camera="i", format=("heif",), orientation="square"),
        lambda r: under("/a/b")(r) and "i" in (r.camera or "").lower() and r.format == "HEIF" and r.width == r.height,
    ),
]


@pytest.mark.parametrize(("where", "passes"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_a_filter_selects_what_plain_python_selects(
    reader: CatalogReader, where: Filter, passes: Callable[[ImageRecord], bool]
) -> None:
    expected = matching(reader, passes)
    assert reader.select(where).tolist() == expected
    assert expected, "a condition that nothing passes tests nothing"


def test_conditions_together_against_plain_python(reader: CatalogReader) -> None:
    draw, found = random.Random(9), 0
    for _ in range(60):
        year = draw.randint(2018, 2023)
        folder, camera = draw.choice(("/a", "/a/b", *FOLDERS)), draw.choice(("", "o", "D8", "zzz"))
        after, before = datetime(year, 1, 1), datetime(year + draw.randint(1, 4), 3, 4, 5)
        where = Filter(under=(Path(folder),), after=after, before=before, camera=camera or None)

        def passes(
            record: ImageRecord, folder: str = folder, camera: str = camera, a: datetime = after, b: datetime = before
        ) -> bool:
            has_camera = not camera or (record.camera is not None and camera.lower() in record.camera.lower())
            return under(folder)(record) and a <= taken(record) < b and has_camera

        expected = matching(reader, passes)
        found += len(expected)
        assert reader.select(where).tolist() == expected
    assert found > 100


@pytest.mark.parametrize("text", ["' OR 1=1 --", "'; DROP TABLE images; --", '" OR ""="', "?", ":x", "\\", "\0"])
def test_text_is_never_sql(reader: CatalogReader, text: str) -> None:
    assert reader.select(Filter(camera=text)).tolist() == []
    assert reader.select(Filter(format=(text,))).tolist() == []
    if "\0" not in text:
        assert reader.select(Filter(under=(Path("/", text),))).tolist() == []
    assert reader.count() > 200


def test_a_relative_or_linked_folder_means_the_real_one(
    reader: CatalogReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("/a/b")
    monkeypatch.chdir(tmp_path)
    assert reader.select(Filter(under=(Path("link"),))).tolist() == matching(reader, under("/a/b"))


def test_what_people_write_becomes_a_filter() -> None:
    assert parse_filter() == Filter() and parse_filter().is_empty()
    given = parse_filter(after="2020", before="2021-05", camera="nikon", orientation="square", format=["png"])
    expected = {"after": datetime(2020, 1, 1), "before": datetime(2021, 5, 1), "camera": "nikon"}
    assert given == Filter(**expected, orientation="square", format=("png",))
    assert not given.is_empty()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023", (2023, 1, 1)),
        ("2023-06", (2023, 6, 1)),
        ("2023-6-9", (2023, 6, 9)),
        (" 2023-06-01 18:30 ", (2023, 6, 1, 18, 30)),
        ("2023-06-01T08:30:59", (2023, 6, 1, 8, 30, 59)),
        ("2024-02-29", (2024, 2, 29)),
    ],
)
def test_a_date_is_its_first_moment(text: str, moment: tuple[int, ...]) -> None:
    assert parse_date(text) == datetime(*moment)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    "text", ["", "23", "2023-13", "2023-00", "2023-01-00", "2023-02-29", "2023-06-01 25:00", "0000", "soon", "2023-"]
)
def test_what_is_no_date_is_refused_with_examples(text: str) -> None:
    with pytest.raises(QueryError, match="is not a date") as caught:
        parse_date(text)
    assert "2023-06" in caught.value.hint


def test_filters_that_nothing_can_pass_are_refused() -> None:
    with pytest.raises(QueryError, match="no photo can be taken"):
        Filter(after=datetime(2021, 1, 1), before=datetime(2021, 1, 1))
    with pytest.raises(QueryError, match="unknown orientation 'diagonal'"):
        parse_filter(orientation="diagonal")
    with pytest.raises(QueryError, match="no time zone"):
        Filter(after=datetime(2021, 1, 1, tzinfo=UTC), before=datetime(2022, 1, 1))


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        (Filter(camera="cannon"), "the camera 'cannon'", "did you mean Canon EOS 5D?"),
        (Filter(camera=("nikon", "iphnoe")), "'iphnoe'", "iPhone 12"),
        (Filter(no_camera="nikn"), "'nikn'", "NIKON D850"),
        (Filter(camera="qqqq"), "'qqqq'", "it has: "),
        (Filter(lens="50mm"), "has a lens", "leave that condition out"),
        (Filter(format="jepg"), "the format 'JEPG'", "did you mean JPEG?"),
        (Filter(tag="Beech"), "the tag 'beech'", "did you mean beach?"),
        (Filter(tag="beach", no_tag="dgo"), "the tag 'dgo'", "did you mean dog?"),
    ],
)
def test_names_that_the_gallery_does_not_hold(
    tmp_path: Path, reader: CatalogReader, where: Filter, message: str, hint: str
) -> None:
    labelled = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(labelled)) as copy:
        reader._connection.backup(copy)
    with closing(sqlite3.connect(labelled)) as connection, connection:
        connection.execute("INSERT INTO tags(image_id, tag, source) VALUES (1, 'beach', 'user'), (7, 'dgo', 'user')")
        sql = "INSERT INTO predicted_tags(encoder_id, image_id, tag, probability) VALUES (1, 2, 'dog', 0.5)"
        connection.execute(sql)
    with closing(CatalogReader(labelled)) as opened, pytest.raises(QueryError) as caught:
        check_names(opened, where, 1)
    assert message in caught.value.message and hint in caught.value.hint


def test_names_that_it_holds_are_taken_in_any_case(reader: CatalogReader) -> None:
    check_names(reader, Filter(camera=("CANON", "d850"), format="heic", no_format="png"), 1)
