"""Albums that are saved searches: they hold what the search finds now, in every command that filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.errors import GalleryError, QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.labels.albums import add_to_album, create_album, delete_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.search.album_lists import album_hits, album_values, resolved_in
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from retrieval.search.saved_search import SavedSearch
from tests.fakes import ColourEncoder


@pytest.fixture
def engine(indexed: Gallery, encoder: ColourEncoder) -> Iterator[QueryEngine]:
    with QueryEngine(indexed, encoder) as opened:
        yield opened


def save(gallery: Gallery, name: str, query: str = "", limit: int | None = None, **given: object) -> SavedSearch:
    made = SavedSearch.typed(query, given, limit=limit, min_score=None, relevant=False)
    create_album(gallery, name, recipe=made.to_text())
    return made


def names(engine: QueryEngine, where: Filter) -> list[str]:
    return sorted(Path(r.path).name for r in engine.reader.records(engine.selection(where).ids.tolist()))


def test_it_finds_what_is_there_now(engine: QueryEngine, indexed: Gallery, photos: Path) -> None:
    save(indexed, "Good", min_rating=4)
    save(indexed, "Reddest", "red", limit=2)
    assert names(engine, Filter(album="good")) == []
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(rating=4))
    assert names(engine, Filter(album="GOOD")) == ["green.jpg"]
    edit_labels(indexed, [photos / "red-1.jpg"], LabelEdit(rating=5))
    assert names(engine, Filter(album="good", no_album="Reddest")) == ["green.jpg"]
    hits = engine.search(Query((Term("text", "red"),), where=Filter(album=("Good",)), k=9))
    assert [Path(hit.image.path).name for hit in hits] == ["red-1.jpg", "green.jpg"]
    assert [Path(hit.image.path).name for hit in album_hits(engine, "Reddest", 1)] == ["red-1.jpg"]
    assert len(album_hits(engine, "Good", 9)) == 2
    delete_album(indexed, "Good")
    with pytest.raises(QueryError, match="no album 'Good'"):
        engine.selection(Filter(album="Good"))


def test_missing_files_are_in_no_list(engine: QueryEngine, indexed: Gallery, photos: Path) -> None:
    save(indexed, "Red", "red", limit=1)
    create_album(indexed, "Some", [photos / "red-1.jpg", photos / "green.jpg"])
    (photos / "red-1.jpg").unlink()
    assert [Path(hit.image.path).name for hit in album_hits(engine, "Some", 5)] == ["green.jpg"]
    assert "red-1.jpg" not in names(engine, Filter(album="Red"))


def test_one_looks_in_albums_of_pictures_only(engine: QueryEngine, indexed: Gallery, photos: Path) -> None:
    create_album(indexed, "Trip", [photos / "trip"])
    save(indexed, "Blue", "blue", limit=1, album=["Trip"])
    assert names(engine, Filter(album="Blue")) == ["blue-1.jpg"]
    save(indexed, "Nested", "blue", limit=1, album=["Blue"])
    with pytest.raises(QueryError, match="a saved search, too"):
        engine.selection(Filter(album="Nested"))
    with pytest.raises(QueryError, match="is a saved search"):
        add_to_album(indexed, "Blue", [photos / "green.jpg"])


def test_who_has_no_engine_gets_the_same(indexed: Gallery, photos: Path) -> None:
    create_album(indexed, "Trip", [photos / "trip"])
    save(indexed, "Good", min_rating=4)
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(rating=4))
    by_hand = Filter(album="Trip")
    assert resolved_in(indexed, by_hand) is by_hand and resolved_in(indexed, None) is None
    found = resolved_in(indexed, Filter(album="Good", format="JPEG"))
    assert found is not None and str(found.album[0]) == "Good"
    with indexed.reader() as reader:
        assert len(reader.select(found)) == 1
    assert found.to_mapping() == {"album": ["Good"], "format": ["JPEG"]}


def test_dates_in_words_stay_words() -> None:
    made = SavedSearch.typed("", {"after": "3 weeks ago", "tag": ["a,b"]}, limit=None, min_score=None, relevant=False)
    assert made.filter == {"after": "3 weeks ago", "tag": ["a", "b"]}
    assert SavedSearch.from_text(made.to_text()) == made
    assert made.words() == "--after '3 weeks ago' --tag a --tag b"


@pytest.mark.parametrize("text", ["[]", "none", '{"colour": 1}', "[" * 200_000])
def test_damaged_ones_are_told(text: str) -> None:
    with pytest.raises(GalleryError, match="cannot be read"):
        SavedSearch.from_text(text)


def test_words_without_a_limit_mean_the_relevant_pictures() -> None:
    plain = SavedSearch.typed("a dog - people", {}, limit=None, min_score=None, relevant=False)
    assert plain.relevant and plain.words() == '"a dog - people" --relevant'
    assert not SavedSearch.typed("a dog", {}, limit=5, min_score=None, relevant=False).relevant
    assert not SavedSearch.typed("a dog", {}, limit=None, min_score=0.2, relevant=False).relevant


@pytest.mark.parametrize(
    ("query", "given", "limit", "message"),
    [
        ("", {}, None, "looks for nothing"),
        ("", {"format": ["png"]}, 5, "no.* rank|nothing has a rank"),
        ("img:id:1", {}, None, "every picture has a score"),
        ("img:/some/file.jpg", {}, 5, "no files"),
        ("- dog", {"format": ["nonsense", ""]}, 5, "format"),
    ],
)
def test_what_is_no_saved_search(query: str, given: dict[str, object], limit: int | None, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        SavedSearch.typed(query, given, limit=limit, min_score=None, relevant=False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"querry": "x"}', '{"query": 5, "limit": 1}', "null"])
def test_a_damaged_recipe_is_told(text: str) -> None:
    with pytest.raises(GalleryError, match="cannot be read"):
        SavedSearch.from_text(text)


def test_albums_as_values(engine: QueryEngine, indexed: Gallery, photos: Path) -> None:
    from retrieval.catalog.albums import all_albums

    save(indexed, "Reddest", "red", limit=2)
    create_album(indexed, "Blue", [photos / "trip"])
    blue, reddest = album_values(engine.reader, all_albums(engine.reader))
    assert (blue["name"], blue["kind"], blue["pictures"], blue["search"]) == ("Blue", "pictures", 3, None)
    assert blue["cover"] is not None and Path(blue["cover"]).parent == photos / "trip"
    assert (reddest["kind"], reddest["pictures"], reddest["search"]) == ("search", None, '"red" --limit 2')
