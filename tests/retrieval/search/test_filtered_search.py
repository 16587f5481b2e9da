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
from retrieval.catalog.faces import PictureFaces, SeenFace, set_persons, write_faces
from retrieval.catalog.labels import add_said
from retrieval.catalog.persons import insert_person
from retrieval.catalog.places import write_located
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.selection import select
from retrieval.catalog.texts import PictureText, TextLine, write_texts
from retrieval.errors import QueryError
from retrieval.filters import Filter, Near
from retrieval.filters.conditions import CONDITIONS, fields
from retrieval.filters.places import NearNamed
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.index_keeper import IndexKeeper
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from tests.retrieval.filter_oracle import GAZETTEER, LOCATED, Row, km_between, passes
from tests.retrieval.rows import encoder_spec, hash_of, image

N = 700
KINDS = ("Exact", "SQfp16", "PQ4x4fs,Refine(SQfp16)")
FOLDERS = ("/p", "/p/trip", "/p/trip/Raw", "/p/tripod", "/q")
CAMERAS = (None, "Canon EOS 5D", "Canon EOS R6", "NIKON D850", "Pixel 7")
LENSES = (None, "EF50mm f/1.8", "RF24-105mm")
FORMATS = ("JPEG", "PNG", "HEIF")
ALBUMS = ("Trip to Été", "best", "nothing")
TAGS = ("beach", "dog", "\u00e9t\u00e9")
TEXTS = ("INVOICE 2024\nTotal due: 12.50", "Total 2024, invoice", "入口\n発票 2024", "NO")
PLACES = (
    (48.858, 2.294), (48.86, 2.35), (51.5, -0.12), (-17.7, 179.9), (-17.5, -179.8), (89.9, 10.0), (89.8, -170.0),
    (-90.0, 0.0), (-89.95, 77.0), (0.0, 180.0), (0.01, -180.0), (0.0, 0.0),
)  # fmt: skip
START = datetime(2020, 1, 1)
SETTINGS = ("iso", "aperture", "exposure", "focal_length")


def drawn_rows(draw: random.Random) -> list[Row]:
    rows = []
    for number in range(1, N + 1):
        opinion = random.Random(number)  # drawn apart, so that the other columns stay as they are
        stars = {source: opinion.randint(-1, 5) for source in ("user", "xmp", "merged") if opinion.random() < 0.3}
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
                draw.choice((None, "", *TEXTS)),
                tuple(stars.items()),
                opinion.random() < 0.2,
                frozenset(opinion.sample(ALBUMS, opinion.choice((0, 0, 1, 2)))),
                opinion.choice((None, None, None, 5.0, 59.5, 90.0)),
                random.Random(number).choice((None, (), ("Anna",), ("Anna", "Ben Ö."), ("Anna", "Anna", "Ben Ö."))),
                opinion.random() < 0.15,
            )
        )
    return rows


def text_of(text: str | None) -> PictureText:
    """That of a row; of one that has none it could not be read."""
    if text is None:
        return PictureText("reader", "2024-01-01", reason="it took too long")
    return PictureText("reader", "2024-01-01", tuple(TextLine(line, 0.9, (0.0,) * 8) for line in text.splitlines()))


def faces_in(row: Row) -> PictureFaces:
    """Those of a row, from left to right; of one of which that is not known they could not be looked for."""
    if row.people is None:
        return PictureFaces("finder", "2024-01-01", reason="it took too long")
    boxes = [(at / 10, 0.2, 0.1, 0.1) for at in range(len(row.people))]
    return PictureFaces("finder", "2024-01-01", tuple(SeenFace(box, 1.0, np.eye(1, 128)[0]) for box in boxes))


def fill(gallery: Gallery, rows: list[Row], retired: set[int]) -> None:
    with gallery.writer() as catalog:
        encoder, other = (catalog.register_encoder(encoder_spec(name)) for name in ("one", "two"))
        at = {folder: catalog.folder_id(folder) for folder in FOLDERS}
        batch = []
        for row in rows:
            folder, _, name = row.path.rpartition("/")
            latitude, longitude = row.place or (None, None)
            facts = {name: getattr(row, name) for name in ("format", "width", "height", "camera", "lens", *SETTINGS)}
            facts |= {"duration_s": row.duration_s, "still_s": row.duration_s and 0.0}
            taken = row.taken_at and row.taken_at.isoformat()
            batch.append(image(at[folder], name, taken_at=taken, latitude=latitude, longitude=longitude, **facts))
        catalog.commit(Batch(indexed=batch), encoder)
        catalog.activate_encoder(encoder)
        catalog.commit(Batch(retired=sorted(retired)), encoder)
        with catalog.transaction() as transaction:
            write_located(transaction, GAZETTEER.values(), LOCATED)
            add_said(transaction, "captions", [(row.id, row.text, "user") for row in rows if row.text])
            write_texts(transaction, [(hash_of(Path(row.path).name), text_of(row.text)) for row in rows])
            write_faces(
                transaction,
                [(hash_of(Path(row.path).name), faces_in(row)) for row in rows if row.people is not None or row.id % 2],
            )
            persons = {name: insert_person(transaction, name) for name in ("Anna", "Ben Ö.")}
            for row in rows:
                seen = transaction.rows(
                    "SELECT id FROM faces WHERE content_hash = :hash ORDER BY x", {"hash": hash_of(Path(row.path).name)}
                )
                pairs = zip(seen, row.people or (), strict=True)
                set_persons(transaction, [(face, persons[name]) for (face,), name in pairs])
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        added = [(row.added_at.isoformat(timespec="seconds"), row.id) for row in rows]
        connection.executemany("UPDATE images SET added_at = ? WHERE id = ?", added)
        said = [(row.id, tag, source) for row in rows for tag in row.tags for source in ("user", "xmp")[row.id % 2 :]]
        connection.executemany("INSERT INTO tags(image_id, tag, source) VALUES (?, ?, ?)", said)
        stars = [(row.id, stars, source) for row in rows for source, stars in row.stars]
        connection.executemany("INSERT INTO ratings(image_id, rating, source) VALUES (?, ?, ?)", stars)
        liked = [(row.id,) for row in rows if row.is_favourite]
        connection.executemany("INSERT INTO favourites(image_id, favourite, source) VALUES (?, 1, 'user')", liked)
        hidden = [(row.id,) for row in rows if row.is_hidden]
        connection.executemany("INSERT INTO hidden(image_id, hidden, source) VALUES (?, 1, 'user')", hidden)
        for number, name in enumerate(ALBUMS, 1):
            gone = "2024-01-01" if name == "nothing" else None  # a deleted one holds nothing
            made = (number, name, fold(name), "2024-01-01", gone)
            sql = "INSERT INTO albums(id, name, name_key, created_at, deleted_at) VALUES (?, ?, ?, ?, ?)"
            connection.execute(sql, made)
            for row in rows:
                if name in row.albums:
                    sql = "INSERT INTO album_entries(album_id, position) VALUES (?, ?) RETURNING id"
                    ((entry,),) = connection.execute(sql, (number, row.id)).fetchall()
                    sql = "INSERT INTO memberships(image_id, entry_id, source) VALUES (?, ?, 'user')"
                    connection.execute(sql, (row.id, entry))
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
NAMED = st.sampled_from(("Paris", "PARIS, France", "paris,île-de-france, france", "巴黎", "London", "Fiji", "France"))
EACH = {
    "under": st.sampled_from(("/", "/p", "/p/trip", "/q", "/none")).map(Path),
    "camera": st.sampled_from(("canon", "EOS r6", "nikon", "7", "o")),
    "lens": st.sampled_from(("ef", "RF24", "mm")),
    "iso": st.sampled_from(("100", "ISO 400", "100-400", ">=400", ">400", "<=100", "<400", "5000-7000", "401")),
    "aperture": st.sampled_from(("f/1.8", "f/2.8", "f/1.4-f/4", "<=f/2.8", ">2.8", "<f8", ">=8", "f/16")),
    "exposure": st.sampled_from(("1/60", "1/250s", "1/500-1/60", ">=2s", ">2s", "<1/250", "<= 1/30", "30s")),
    "focal_length": st.sampled_from(("35mm", "35-50mm", ">=50", "<50mm", ">35 mm", "<=4mm", "85mm")),
    "near": NEARS | st.sampled_from((NearNamed("Paris", 4.5), NearNamed("london, united kingdom", 900.0))),
    "place": NAMED,
    "country": st.sampled_from(("France", "FRANKREICH", "fiji")),
    "text": st.sampled_from(
        ("invoice", "TOTAL 2024", '"invoice 2024"', '"total due"', "12.50", "発票", "票", "no", "to", "2024 入", "xyz")
    ),
    "name": st.sampled_from(("beach", "Beach", "img 7", "trip", "trip raw", "raw trip", "p", "7", "jpg", "xyz")),
    "caption": st.sampled_from(("Invoice", "due", "total due", "2024 total", "12", "no", "xyz")),
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
    "day": st.integers(0, 365).map(lambda days: f"{datetime(2000, 1, 1) + timedelta(days=days):%m-%d}"),
    "orientation": st.sampled_from(("portrait", "landscape", "square")),
    "kind": st.sampled_from(("photo", "video", "screenshot", "document")),
    "duration": st.sampled_from(("5s", "10-60s", ">=1:30", "<1min", ">5", "1h")),
    "format": st.sampled_from(("jpg", "PNG", "heic")),
    "tag": st.sampled_from((*TAGS, "\u00c9T\u00c9")),
    "person": st.sampled_from(("anna", "BEN Ö.", "Anna")),
    "people": st.sampled_from(("1", "2", "1-2", ">=2", "<1", "3+", ">3")),
    "album": st.sampled_from(("best", "TRIP TO \u00c9T\u00c9")),
    "rating": st.sampled_from(("rejected", "Rejected", 0, "1", 3, "5")),
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
    "undated": st.booleans(),
    "unplaced": st.booleans(),
    "min_rating": st.sampled_from((None, 1, "3", 5)),
    "favourite": st.booleans(),
    "hidden": st.booleans(),
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
    circles = [circle for circle in (*where.near, *where.no_near) if isinstance(circle, Near)]
    assume(all(abs(km_between(place, (c.latitude, c.longitude)) - c.km) > 1e-6 for c in circles for place in PLACES))
    return where


def is_listed(row: Row, where: Filter) -> bool:
    """Hidden pictures are in no list that does not ask for them."""
    return where.hidden or not row.is_hidden


@OFTEN
@given(values=FILTERS)
def test_a_filter_selects_what_plain_python_selects(
    reader: CatalogReader, rows: list[Row], values: dict[str, object]
) -> None:
    where = made(values)
    verdicts = {row.id: passes(row, where) for row in rows if row.id not in RETIRED}
    listed = {row.id: verdicts[row.id] for row in rows if row.id in verdicts and is_listed(row, where)}
    for found, expected in ((select(reader, where), verdicts), (select(reader, where, for_list=True), listed)):
        assert found.ids.tolist() == [id_ for id_, verdict in expected.items() if verdict]
        assert found.unknown == sum(verdict is None for verdict in expected.values())


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
    allowed = [row.id for row in rows if row.id not in RETIRED and is_listed(row, where) and passes(row, where)]
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
    "under": "/p", "camera": "canon", "lens": "ef", "near": Near(-17.6, 180, 50), "place": "Paris", "country": "fiji",
    "iso": "100-400", "aperture": "f/2.8", "exposure": "1/60", "focal_length": ">35mm", "glob": "trip/*.jpg",
    "orientation": "square", "format": "heic", "tag": "dog", "untagged": True, "min_width": 31, "max_width": 39,
    "min_height": 35, "max_height": 35, "min_bytes": 12, "max_bytes": 11,
    "text": "invoice", "name": "beach", "caption": "total due", "kind": "video", "duration": ">=1:00",
    "rating": "4", "min_rating": 3, "favourite": True, "hidden": True, "album": "Best", "day": "03-05", "undated": True,
    "unplaced": True,
    "person": "ben ö.", "people": "2+",
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
