"""Filtered search against brute force: random filters over a random gallery, for every kind of index we recommend."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.selection import select
from retrieval.errors import QueryError
from retrieval.filters import Filter, Near
from retrieval.filters.conditions import CONDITIONS, fields
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from retrieval.sync import IndexKeeper
from tests.retrieval.filter_oracle import Row, km_between, passes
from tests.retrieval.rows import encoder_spec, image

N = 700
KINDS = ("Exact", "SQfp16", "PQ4x4fs,Refine(SQfp16)")
FOLDERS = ("/p", "/p/trip", "/p/trip/Raw", "/p/tripod", "/q")
CAMERAS = (None, "Canon EOS 5D", "Canon EOS R6", "NIKON D850", "Pixel 7")
LENSES = (None, "EF50mm f/1.8", "RF24-105mm")
FORMATS = ("JPEG", "PNG", "HEIF")
TAGS = ("beach", "dog", "\u00e9t\u00e9")
PLACES = (
    (48.858, 2.294), (48.86, 2.35), (51.5, -0.12), (-17.7, 179.9), (-17.5, -179.8), (89.9, 10.0), (89.8, -170.0),
    (-90.0, 0.0), (-89.95, 77.0), (0.0, 180.0), (0.01, -180.0), (0.0, 0.0),
)  # fmt: skip
START = datetime(2020, 1, 1)
SETTINGS = ("iso", "aperture", "exposure", "focal_length")


def drawn_rows(draw: random.Random) -> list[Row]:
    rows = []
    for number in range(1, N + 1):
        ending = draw.choice((".jpg", ".JPG", ".png", ".heic"))
        name = f"{draw.choice(('beach', 'IMG', 'x['))}-{number}{ending}"
        rows.append(
            Row(
                number,
                f"{draw.choice(FOLDERS)}/{name}",
                draw.choice(FORMATS),
                draw.choice((30, 40)),
                draw.choice((30, 40)),
                draw.choice((None, START + timedelta(days=draw.randrange(1000)))),
                datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=draw.randrange(100)),
                draw.choice(CAMERAS),
                draw.choice(LENSES),
                draw.choice((None, *PLACES)),
                frozenset(draw.sample(TAGS, draw.choice((0, 0, 1, 2)))),
                frozenset(draw.sample(TAGS, draw.choice((0, 1)))),
                len(name),
                draw.choice((None, 100, 400, 6400)),
                draw.choice((None, 1.78, 2.83, 8.0)),
                draw.choice((None, 1 / 250, 1 / 59, 2.0)),
                draw.choice((None, 4.25, 35.0, 50.0)),
            )
        )
    return rows


def fill(gallery: Gallery, rows: list[Row], retired: set[int]) -> None:
    with gallery.writer() as catalog:
        encoder, other = (catalog.register_encoder(encoder_spec(name)) for name in ("one", "two"))
        at = {folder: catalog.folder_id(folder) for folder in FOLDERS}
        batch = []
        for row in rows:
            folder, _, name = row.path.rpartition("/")
            latitude, longitude = row.place or (None, None)
            facts = {name: getattr(row, name) for name in ("format", "width", "height", "camera", "lens", *SETTINGS)}
            taken = row.taken_at and row.taken_at.isoformat()
            batch.append(image(at[folder], name, taken_at=taken, latitude=latitude, longitude=longitude, **facts))
        catalog.commit(Batch(indexed=batch), encoder)
        catalog.activate_encoder(encoder)
        catalog.commit(Batch(retired=sorted(retired)), encoder)
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        added = [(row.added_at.isoformat(timespec="seconds"), row.id) for row in rows]
        connection.executemany("UPDATE images SET added_at = ? WHERE id = ?", added)
        said = [(row.id, tag, source) for row in rows for tag in row.tags for source in ("user", "xmp")[row.id % 2 :]]
        connection.executemany("INSERT INTO tags(image_id, tag, source) VALUES (?, ?, ?)", said)
        believed = [(encoder, row.id, tag) for row in rows for tag in row.predicted]
        believed += [(other, row.id, tag) for row in rows for tag in TAGS]  # of a model that is not searched with
        sql = "INSERT INTO predicted_tags(encoder_id, image_id, tag, probability) VALUES (?, ?, ?, 0.5)"
        connection.executemany(sql, believed)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return drawn_rows(random.Random(7))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Gallery:
    gallery = Gallery(tmp_path_factory.mktemp("filtered"))
    fill(gallery, rows, RETIRED)
    return gallery


RETIRED = set(range(5, N, 11))


@pytest.fixture(scope="module")
def reader(gallery: Gallery) -> Iterator[CatalogReader]:
    with gallery.reader() as opened:
        yield opened


@pytest.fixture(scope="module", params=KINDS)
def engine(gallery: Gallery, request: pytest.FixtureRequest) -> Iterator[QueryEngine]:
    """Over an index of one kind."""
    with gallery.writer() as catalog:
        catalog.set_index_spec(request.param)
    with gallery.reader() as reader:
        row = gallery.active_encoder(reader)
        IndexKeeper(gallery.index_path(row.fingerprint), reader, row).finish()
    with pytest.MonkeyPatch.context() as patch, QueryEngine(gallery, check_files=False) as opened:
        patch.setattr("indexes.faiss_index._SCAN_ROWS", 50)  # so that larger selections go faiss's way
        assert str(opened.index.spec) == request.param
        yield opened


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    return st.lists(values, max_size=2)


NEARS = st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(0.01, 21000)) | st.builds(
    lambda place, km: Near(*place, km), st.sampled_from(PLACES), st.sampled_from((0.5, 5.0, 50.0, 400.0, 12000.0))
)
EACH = {
    "under": st.sampled_from(("/", "/p", "/p/trip", "/q", "/none")).map(Path),
    "camera": st.sampled_from(("canon", "EOS r6", "nikon", "7", "o")),
    "lens": st.sampled_from(("ef", "RF24", "mm")),
    "iso": st.sampled_from(("100", "ISO 400", "100-400", ">=400", ">400", "<=100", "<400", "5000-7000", "401")),
    "aperture": st.sampled_from(("f/1.8", "f/2.8", "f/1.4-f/4", "<=f/2.8", ">2.8", "<f8", ">=8", "f/16")),
    "exposure": st.sampled_from(("1/60", "1/250s", "1/500-1/60", ">=2s", ">2s", "<1/250", "<= 1/30", "30s")),
    "focal_length": st.sampled_from(("35mm", "35-50mm", ">=50", "<50mm", ">35 mm", "<=4mm", "85mm")),
    "near": NEARS,
    "glob": st.sampled_from(
        (
            "*.jpg",
            "*.PNG",
            "beach*",
            "trip/*.jpg",
            "trip/*/*",
            "/p/*/*",
            "[!b]*",
            "x[[]*",
            "tri?/*",
            "*.[ph]*",
            "t*d/*9.*",
        )
    ),
    "orientation": st.sampled_from(("portrait", "landscape", "square")),
    "format": st.sampled_from(("jpg", "PNG", "heic")),
    "tag": st.sampled_from((*TAGS, "\u00c9T\u00c9")),
}
DATES = st.none() | st.integers(-50, 1050).map(lambda days: START + timedelta(days=days))
ONE: dict[str, st.SearchStrategy[object]] = {
    "after": DATES,
    "before": DATES,
    "added_after": st.integers(-5, 105).map(lambda days: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)),
    "min_width": st.sampled_from((None, 1, 31, 40)),
    "max_width": st.sampled_from((None, 29, 30, 40)),
    "min_height": st.sampled_from((None, 35, 41)),
    "max_height": st.sampled_from((None, 30, 39)),
    "min_bytes": st.sampled_from((None, 1, 11, 13, 100)),
    "max_bytes": st.sampled_from((None, 3, 11, 12, 100)),
    "untagged": st.booleans(),
}
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        name: some(EACH[condition.name]) if condition.is_several else ONE[condition.name]
        for name, condition in fields()
    },
)
OFTEN = settings(
    max_examples=120, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip


def made(values: dict[str, object]) -> Filter:
    """A filter, unless its conditions contradict each other or a place lies just on a circle."""
    try:
        where = Filter(**values)  # type: ignore[arg-type]
    except QueryError:
        assume(False)
    circles = (*where.near, *where.no_near)
    assume(all(abs(km_between(place, (c.latitude, c.longitude)) - c.km) > 1e-6 for c in circles for place in PLACES))
    return where


@OFTEN
@given(values=FILTERS)
def test_a_filter_selects_what_plain_python_selects(
    reader: CatalogReader, rows: list[Row], values: dict[str, object]
) -> None:
    where = made(values)
    verdicts = {row.id: passes(row, where) for row in rows if row.id not in RETIRED}
    found = select(reader, where)
    assert found.ids.tolist() == [id_ for id_, verdict in verdicts.items() if verdict]
    assert found.unknown == sum(verdict is None for verdict in verdicts.values())


@OFTEN
@given(values=FILTERS, like=st.integers(1, N), k=st.sampled_from((1, 10, 60, N)))
def test_filtered_search_is_brute_force_over_the_filtered_set(
    engine: QueryEngine, rows: list[Row], values: dict[str, object], like: int, k: int
) -> None:
    where = made(values)
    assume(like not in RETIRED)
    if "/none" in map(str, (*where.under, *where.no_under)):
        with pytest.raises(QueryError, match="/none is not in the gallery"):
            engine.search(Query((Term("id", like),), where=where, k=k))
        return
    allowed = [row.id for row in rows if row.id not in RETIRED and passes(row, where)]
    hits = engine.search(Query((Term("id", like),), where=where, k=k))
    ids = [hit.image.id for hit in hits]
    assert len(set(ids)) == len(ids) == min(k, len(allowed)) and set(ids) <= set(allowed)
    if not allowed:
        return
    reader, row = engine.reader, engine.encoder_row
    query = reader.vectors([like], row)[0].astype(np.float64)
    cosine = dict(zip(allowed, (reader.vectors(allowed, row).astype(np.float64) @ query).tolist(), strict=True))
    best = sorted(cosine.values(), reverse=True)[: len(hits)]
    exactly = 2e-6 if engine.index.spec.is_exact else 1e-3  # float16 vectors move a cosine by less than that
    np.testing.assert_allclose([hit.score for hit in hits], [cosine[id_] for id_ in ids], atol=exactly)
    np.testing.assert_allclose([hit.score for hit in hits], best, atol=exactly)


MEETS: dict[str, object] = {
    "after": datetime(2021, 1, 1), "before": datetime(2021, 1, 1), "added_after": datetime(2024, 2, 1, tzinfo=UTC),
    "under": "/p", "camera": "canon", "lens": "ef", "near": Near(-17.6, 180, 50),
    "iso": "100-400", "aperture": "f/2.8", "exposure": "1/60", "focal_length": ">35mm", "glob": "trip/*.jpg",
    "orientation": "square", "format": "heic", "tag": "dog", "untagged": True, "min_width": 31, "max_width": 39,
    "min_height": 35, "max_height": 35, "min_bytes": 12, "max_bytes": 11,
}  # fmt: skip
"""A value of each condition that some pictures pass."""


def test_the_random_filters_find_something_and_not_everything(reader: CatalogReader) -> None:
    """The strategies above would prove nothing if their conditions never met a picture."""
    present = reader.count()
    for condition in CONDITIONS:
        name, values = condition.name, MEETS[condition.name]
        found = select(reader, Filter(**{name: values}))
        assert 0 < len(found.ids) < present, name
        if condition.is_several:
            kept = select(reader, Filter(**{condition.twin: values}))
            assert 0 < len(kept.ids) < present, condition.twin
            assert len(kept.ids) == present - len(found.ids), "what is not known stays when a value is left out"
