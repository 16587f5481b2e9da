"""A gallery's places are named while it is indexed, can be searched by name, and are removed when unused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.forgetting import forget
from retrieval.catalog.places import all_places, place_names, unlocated, unnamed_count
from retrieval.catalog.selection import check_names
from retrieval.catalog.writer import Catalog
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.places import locating
from retrieval.places.locating import can_name_places, name_places
from tests.page_damage import spoil_the_schema
from tests.retrieval.rows import encoder_spec, image

needs_names = pytest.mark.skipif(not can_name_places(), reason="needs photoseek[places]")

SPOTS = {
    "eiffel": (48.8584, 2.2945), "texas": (33.6609, -95.5555), "oslo": (59.9139, 10.7522), "sea": (30.0, -30.0),
    "tbilisi": (41.7151, 44.8271), "atlanta": (33.749, -84.388), "sahara": (25.0, 10.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Named by a gazetteer that is loaded as it is in use."""
    gallery = Gallery(tmp_path_factory.mktemp("places"))
    with gallery.writer() as catalog:
        encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos", is_root=True)
        batch = [image(folder, name, latitude=at[0], longitude=at[1]) for name, at in SPOTS.items()]
        batch.append(image(folder, "nowhere"))
        catalog.commit(Batch(indexed=batch), encoder)
        catalog.activate_encoder(encoder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LC_MESSAGES", "en_US.UTF-8")
            assert name_places(catalog) == len(SPOTS)
        assert name_places(catalog) == 0
    return gallery


def found(gallery: Gallery, **conditions: Any) -> set[str]:
    with gallery.reader() as reader:
        where = Filter(**conditions)
        check_names(reader, where, None)
        return {Path(record.path).name for record in reader.records(reader.select(where).tolist())}


@needs_names
@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({"place": "Paris, Texas"}, {"texas"}),
        ({"place": "paris , FRANCE"}, {"eiffel"}),
        ({"place": "Paris, United States"}, {"texas"}),
        ({"place": "Paris, Île-de-France, France"}, {"eiffel"}),
        ({"place": "Île-de-France"}, {"eiffel"}),
        ({"place": "Algeria"}, {"sahara"}),
        ({"place": ["Oslo", "Lutetia"]}, {"oslo", "eiffel"}),
        ({"country": "Norwegen"}, {"oslo"}),
        ({"country": "Georgia"}, {"tbilisi"}),
        ({"place": "Georgia"}, {"tbilisi"}),
        ({"country": "Vereinigte Staaten"}, {"texas", "atlanta"}),
        ({"place": "Georgia, United States"}, {"atlanta"}),
        ({"no_country": ["Norway", "Georgia", "France"]}, {"texas", "atlanta", "sahara", "sea", "nowhere"}),
        ({"near": "Oslo,3km"}, {"oslo"}),
        ({"near": "Paris, France, 20km"}, {"eiffel"}),
        ({"no_near": "Oslo,3km"}, {*SPOTS, "nowhere"} - {"oslo"}),
    ],
)
def test_pictures_are_found_by_where_they_were_taken(
    located: Gallery, conditions: dict[str, Any], names: set[str]
) -> None:
    assert found(located, **conditions) == names


@needs_names
@pytest.mark.parametrize(
    ("conditions", "words", "offered"),
    [
        ({"place": "Paris"}, "several places of this gallery are called 'Paris'", "Paris, Texas, United States"),
        ({"near": "Paris,5km"}, "several places of this gallery are called 'Paris'", "Paris, Île-de-France, France"),
        ({"place": "Osloo"}, "no picture in this gallery has the place 'Osloo'", "did you mean Oslo, Norway"),
        ({"country": "Oslo"}, "no picture in this gallery has the country 'Oslo'", "it has: "),
        ({"near": "France,5km"}, "has the town 'France'", "did you mean Paris"),
        ({"no_place": "Berlin"}, "has the place 'Berlin'", "; "),
        ({"place": "a,b,c,d,e"}, "has the place 'a, b, c, d, e'", "it has: "),
    ],
)
def test_what_is_not_there_or_means_several_is_told(
    located: Gallery, conditions: dict[str, Any], words: str, offered: str
) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        found(located, **conditions)
    assert offered in str(caught.value.hint)


@needs_names
def test_records_say_where(located: Gallery) -> None:
    with located.reader() as reader:
        said = {Path(record.path).name: record.place for record in reader.records(range(1, 20))}
    assert said["oslo"] == "Oslo, Oslo, Norway" and said["sahara"] == "Algeria"
    assert said["sea"] is None and said["nowhere"] is None


@needs_names
def test_a_purged_picture_leaves_no_place_behind(tmp_path: Path) -> None:
    with Gallery(tmp_path).writer() as catalog:
        fill(catalog)
        name_places(catalog)
        with catalog.transaction() as transaction:
            assert "Oslo, Oslo, Norway" in place_names(transaction)
            forget(transaction, ["/photos/oslo"], purge=True)
            names = {place.full_name for place in all_places(transaction)}
            assert not any("Norway" in name for name in names) and "France" in names
            assert len(transaction.rows("SELECT * FROM located")) == len(SPOTS) - 1


@needs_names
def test_a_run_that_is_stopped_goes_on_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locating, "_AT_ONCE", 3)
    with Gallery(tmp_path).writer() as catalog:
        fill(catalog)
        asked = iter((False, False, True))
        assert name_places(catalog, lambda: next(asked)) == 3
        assert name_places(catalog) == len(SPOTS) - 3


@needs_names
def test_a_damaged_list_of_towns_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from retrieval.places import world

    monkeypatch.setattr(world, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    with Gallery(tmp_path / "gallery").writer() as catalog:
        fill(catalog)
        path = world._path()
        path.parent.mkdir()
        path.write_bytes(b"SQLite format 3\0" + b"\0" * 5000)
        assert name_places(catalog) == 0
        assert "made anew" in caplog.text and not path.exists()
        assert name_places(catalog) == len(SPOTS)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Gallery(tmp_path / "another").writer() as catalog:
        fill(catalog)
        path.chmod(0o600)
        spoil_the_schema(path)
        assert name_places(catalog) == 0 and not path.exists()
        assert name_places(catalog) == len(SPOTS)


@needs_names
def test_a_cache_that_cannot_be_written_to_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retrieval.places import world

    (tmp_path / "cache").write_text("a file, not a folder")
    monkeypatch.setattr(world, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    with Gallery(tmp_path / "gallery").writer() as catalog:
        fill(catalog)
        assert name_places(catalog) == len(SPOTS)


def test_without_the_packages_nothing_is_lost_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locating, "can_name_places", lambda: False)
    gallery = Gallery(tmp_path)
    with gallery.writer() as catalog:
        fill(catalog)
        assert name_places(catalog) == 0
        with catalog.transaction() as transaction:
            assert len(unlocated(transaction)) == unnamed_count(transaction) == len(SPOTS)
    for conditions in ({"place": "Oslo"}, {"country": "Norway"}, {"near": "Oslo,5km"}):
        with pytest.raises(QueryError, match="have no names yet") as caught:
            found(gallery, **conditions)
        assert "photoseek[places]" in str(caught.value.hint)


def test_a_gallery_without_coordinates_has_no_places(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    with gallery.writer() as catalog:
        catalog.commit(Batch(indexed=[image(catalog.folder_id("/p"), "a")]), catalog.register_encoder(encoder_spec()))
        assert name_places(catalog) == 0
    with pytest.raises(QueryError, match="no picture in this gallery has a known place"):
        found(gallery, place="Oslo")


def fill(catalog: Catalog) -> None:
    encoder, folder = catalog.register_encoder(encoder_spec()), catalog.folder_id("/photos", is_root=True)
    batch = [image(folder, name, latitude=at[0], longitude=at[1]) for name, at in SPOTS.items()]
    catalog.commit(Batch(indexed=batch), encoder)
    catalog.activate_encoder(encoder)
