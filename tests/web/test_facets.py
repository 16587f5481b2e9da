"""Facets against plain Python over plain rows, and that they keep step with the catalog."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from retrieval.catalog.batch import Batch
from retrieval.catalog.labels import add_said
from retrieval.catalog.reader import CatalogReader
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from tests.retrieval.filter_oracle import GAZETTEER, Row, chain, passes
from tests.retrieval.rows import encoder_spec, image
from tests.retrieval.search.test_filtered_search import FILTERS, OFTEN, RETIRED, drawn_rows, fill, made

pytest.importorskip("pydantic", reason="needs photoseek[web]")

from retrieval.web.facets.counting import GROUPS, Facets
from retrieval.web.facets.models import FacetCounts


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return drawn_rows(random.Random(3))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Iterator[CatalogReader]:
    gallery = Gallery(tmp_path_factory.mktemp("facets"))
    fill(gallery, rows, RETIRED)
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        connection.execute("UPDATE folders SET is_root = 1 WHERE path IN ('/p', '/p/trip', '/q')")
    with gallery.reader() as opened:
        yield opened


@pytest.fixture(scope="module")
def facets() -> Facets:
    return Facets()


def shape(row: Row) -> str:
    return "square" if row.width == row.height else "landscape" if row.width > row.height else "portrait"


def folder(row: Row) -> str:
    return row.path.rpartition("/")[0]


def counted(rows: list[Row], where: Filter, group: str, value: Callable[[Row], Any]) -> Counter[Any]:
    """How often each value is there under all conditions but those of one group; None is not counted."""
    other = replace(where, **{name: getattr(Filter(), name) for name in GROUPS.get(group, ())})
    found: Counter[Any] = Counter()
    for row in rows:
        if row.id not in RETIRED and passes(row, other) and (other.hidden or not row.is_hidden):
            given = value(row)
            found.update([given] if isinstance(given, str | int) else given or [])
    return found


def values(facet: Any) -> dict[str, int]:
    return {each.value: each.count for each in facet}


@settings(OFTEN, max_examples=40)
@given(values_=FILTERS)
def test_each_facet_is_counted_under_all_other_conditions(
    facets: Facets, reader: CatalogReader, rows: list[Row], values_: dict[str, object]
) -> None:
    where = made(values_)
    found = facets.count(reader, where)
    assert found.total == counted(rows, where, "", lambda row: "all").total()
    assert values(found.cameras) == counted(rows, where, "camera", lambda row: row.camera)
    assert values(found.lenses) == counted(rows, where, "lens", lambda row: row.lens)
    assert values(found.formats) == counted(rows, where, "format", lambda row: row.format)
    assert values(found.isos) == counted(rows, where, "iso", lambda row: row.iso and str(row.iso))
    said = counted(rows, where, "rating", lambda row: {-1: "rejected", 0: None}.get(row.rating, str(row.rating)))
    assert values(found.ratings) == said
    in_albums = counted(rows, where, "album", lambda row: row.albums - {"nothing"})
    assert values(found.albums) == in_albums
    assert values(found.persons) == counted(rows, where, "person", lambda row: set(row.people or ()))
    assert values(found.kinds) == counted(rows, where, "kind", lambda row: row.kind)
    assert values(found.orientations) == counted(rows, where, "orientation", shape)
    months = counted(rows, where, "date", lambda row: row.taken_at and f"{row.taken_at:%Y-%m}")
    assert [(each.month, each.count) for each in found.months] == sorted(months.items())
    years = counted(rows, where, "date", lambda row: row.taken_at and row.taken_at.year)
    assert [(each.year, each.count) for each in found.years] == sorted(years.items())
    assert found.undated == counted(rows, where, "date", lambda row: None if row.taken_at else "none").total()
    for source, name in (("people", "tags"), ("predicted", "predicted")):
        tags = counted(rows, where, "tag", lambda row, name=name: getattr(row, name))  # type: ignore[misc]
        assert {each.tag: each.count for each in found.tags if each.source == source} == tags
    placed = counted(rows, where, "place", lambda row: "somewhere" if row.place else None).total()
    named = counted(rows, where, "place", lambda row: row.place and [place.full_name for place in chain(row.place)])
    assert {each.place: each.count for each in found.named_places} == named
    assert found.places.count == placed == sum(cell.count for cell in found.places.cells)


@settings(OFTEN, max_examples=40)
@given(values_=FILTERS)
def test_folders_are_counted_one_level_below_what_was_asked_for(
    facets: Facets, reader: CatalogReader, rows: list[Row], values_: dict[str, object]
) -> None:
    where = made(values_)
    tops = [str(top) for top in where.under] or ["/p", "/q"]  # the other root lies in /p
    found = facets.count(reader, where)

    def children(row: Row) -> set[str]:
        parts = [folder(row).removeprefix(top.rstrip("/")).split("/")[1:2] for top in tops if within(row, top)]
        roots = [top.rstrip("/") for top in tops if within(row, top)]
        return {f"{root}/{part[0]}" for root, part in zip(roots, parts, strict=True) if part and part[0]}

    def within(row: Row, top: str) -> bool:
        return f"{folder(row)}/".startswith(f"{top.rstrip('/')}/")

    told = {each.path: each.count for each in found.folders}
    assert told == counted(rows, where, "folder", children) and list(told) == sorted(told)
    assert all(each.name == each.path.rpartition("/")[2] for each in found.folders)
    above = counted(rows, where, "folder", lambda row: [top for top in tops if within(row, top)])
    assert [(each.path, each.count) for each in found.parents] == [(top, above[top]) for top in tops]


def test_named_places_are_a_tree(facets: Facets, reader: CatalogReader) -> None:
    found = {each.place: each for each in facets.count(reader, Filter()).named_places}
    assert found["France"].parent is None and found["France"].kind == "country"
    assert found["Île-de-France, France"].parent == "France"
    assert found["Paris, Île-de-France, France"].parent == "Île-de-France, France"
    assert found["London, England, United Kingdom"].parent == "United Kingdom"
    assert set(found) <= {place.full_name for place in GAZETTEER.values()}


def test_only_the_most_frequent_values_are_told(facets: Facets, reader: CatalogReader) -> None:
    whole, short = facets.count(reader, Filter()), facets.count(reader, Filter(), most=2)
    assert whole.cameras == sorted(whole.cameras, key=lambda each: (-each.count, each.value))
    assert short.cameras == whole.cameras[:2] and len(whole.cameras) > 2
    assert [tag.source for tag in short.tags] == ["people"] * 2 + ["predicted"] * 2
    assert short.months == whole.months and short.total == whole.total


def test_cells_are_for_the_box_that_is_looked_at(facets: Facets, reader: CatalogReader, rows: list[Row]) -> None:
    paris = facets.count(reader, Filter(), box=(48.0, 2.0, 49.0, 3.0)).places
    inside = [
        row
        for row in rows
        if row.place in ((48.858, 2.294), (48.86, 2.35)) and row.id not in RETIRED and not row.is_hidden
    ]
    assert sum(cell.count for cell in paris.cells) == len(inside) > 0
    assert sorted((cell.lat, cell.lon) for cell in paris.cells) == [(48.858, 2.294), (48.86, 2.35)]
    assert paris.count > len(inside), "all places are counted beside it"


# In step with the catalog


@pytest.fixture
def changing(tmp_path: Path) -> Gallery:
    gallery = Gallery(tmp_path / "changing")
    with gallery.writer() as catalog:
        encoder, at = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos", is_root=True)
        first = [image(at, f"{n}.jpg", camera="A", taken_at=f"2020-0{n}-01T00:00:00") for n in (1, 2, 3)]
        catalog.commit(Batch(indexed=first), encoder)
    return gallery


def commit(gallery: Gallery, batch: Callable[[int], Batch]) -> None:
    with gallery.writer() as catalog:
        catalog.commit(batch(catalog.folder_id("/photos", is_root=True)), catalog.register_encoder(encoder_spec()))


def test_facets_follow_what_is_committed(changing: Gallery) -> None:
    facets = Facets()
    with changing.reader() as one, changing.reader() as other:

        def now() -> FacetCounts:
            found = facets.count(one, Filter())
            assert facets.count(other, Filter()) == found == Facets().count(other, Filter())
            return found

        assert values(now().cameras) == {"A": 3}
        commit(changing, lambda at: Batch(indexed=[image(at, "4.jpg", camera="B", latitude=1.0, longitude=2.0)]))
        found = now()
        assert values(found.cameras) == {"A": 3, "B": 1} and found.undated == 1 and found.places.count == 1
        commit(changing, lambda at: Batch(retired=[1], indexed=[image(at, "2.jpg", "edited", camera="B")]))
        found = now()
        assert values(found.cameras) == {"A": 1, "B": 2} and found.total == 3
        assert [month.month for month in found.months] == ["2020-03"]
        commit(changing, lambda at: Batch(restored=[1]))
        assert values(now().cameras) == {"A": 2, "B": 2}


def test_new_tags_are_seen_although_they_are_no_change_of_the_index(changing: Gallery) -> None:
    facets = Facets()
    with changing.reader() as reader:
        change = reader.change()
        assert facets.count(reader, Filter()).tags == []
        with changing.writer() as catalog, catalog.transaction() as transaction:
            add_said(transaction, "tags", [(1, "x", "user"), (1, "x", "xmp")])
        assert [(tag.tag, tag.count) for tag in facets.count(reader, Filter()).tags] == [("x", 1)]
        assert facets.count(reader, Filter(tag=("x",))).total == 1 and reader.change() == change


def test_an_answer_is_remembered_until_something_is_committed(changing: Gallery) -> None:
    facets = Facets()
    with changing.reader() as reader:
        where = Filter(camera=("a",))
        first = facets.count(reader, where)
        assert facets.count(reader, Filter(camera=("a",))) is first
        assert facets.count(reader, Filter(after=datetime(2020, 2, 1))) is not first
        commit(changing, lambda at: Batch(retired=[1]))
        assert facets.count(reader, where).total == first.total - 1


def test_another_catalog_at_the_same_place_is_read_anew(changing: Gallery, tmp_path: Path) -> None:
    facets = Facets()
    with changing.reader() as reader:
        assert facets.count(reader, Filter()).total == 3
    other = Gallery(tmp_path / "other")
    with other.writer() as catalog:
        encoder, at = catalog.register_encoder(encoder_spec()), catalog.folder_id("/elsewhere", is_root=True)
        catalog.commit(Batch(indexed=[image(at, "9.jpg", camera="C")]), encoder)
    with other.reader() as reader:
        found = facets.count(reader, Filter())
        assert values(found.cameras) == {"C": 1} and found.months == [] and found.parents[0].path == "/elsewhere"


def test_an_empty_gallery_has_facets_without_values(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "empty")
    with gallery.writer():
        pass
    with gallery.reader() as reader:
        for where in (Filter(), Filter(camera=("x",), tag=("y",), untagged=False)):
            found = Facets().count(reader, where)
            assert found.total == found.undated == found.places.count == 0 and found.places.box is None
            assert not [*found.cameras, *found.months, *found.years, *found.tags, *found.folders, *found.parents]


def test_a_folder_whose_name_is_no_text_is_told_as_text(changing: Gallery) -> None:
    with changing.writer() as catalog:
        at = catalog.folder_id("/photos/caf\udce9")
        catalog.commit(Batch(indexed=[image(at, "5.jpg")]), catalog.register_encoder(encoder_spec()))
    with changing.reader() as reader:
        found = Facets().count(reader, Filter())
    assert [(each.path, each.name, each.count) for each in found.folders] == [("/photos/caf\ufffd", "caf\ufffd", 1)]
    assert found.model_dump_json()
