"""Lists as the web makes them, at once or in parts, against the pages of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs photoseek[web]")

from indexes import IndexSpec
from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors
from indexes.exact import ExactIndex
from retrieval.encoders.base import unit
from retrieval.errors import RetrievalError
from retrieval.filters import Filter
from retrieval.search import ranking
from retrieval.search.calibration import calibration_of
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.orders import Orders
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term
from retrieval.search.ranked import Content, Recipe, make
from retrieval.search.ranking import MAX_DEPTH, IndexRanking, Neighbour, Steps
from retrieval.search.relevant import Relevant
from retrieval.web.search.models import ListFields
from tests.retrieval.lists.made import Row, WordEncoder, made_gallery

COUNT = 90
DAY = datetime(2024, 5, 1, 12)
THINGS = ("dog", "lake", "train")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryEngine]:
    """Ninety pictures: a third without a date, equal dates, names in both cases, equal vectors, bursts; no files."""
    encoder = WordEncoder()
    rng = np.random.default_rng(5)
    rows = []
    for number in range(COUNT):
        taken = None if number % 3 == 0 else (DAY + timedelta(minutes=int(rng.integers(0, 60)))).isoformat()
        vector = encoder.picture_of(THINGS[number % len(THINGS)], int(rng.integers(0, 2)))
        facts = {"taken_at": taken, "camera": ("One", None)[number % 2]}
        rows.append(Row(f"/photos/{number % 4}", f"{'aB'[number % 2]}{number % 7}-{number // 4}.jpg", vector, facts))
    gallery = made_gallery(tmp_path_factory.mktemp("making") / "gallery", encoder.spec, rows)
    with QueryEngine(gallery, encoder, remember_texts=False) as opened:
        yield opened


def recipe(engine: QueryEngine, words: str | None, left_out: tuple[int, ...] = (), **fields: Any) -> Recipe:
    asked = ListFields.model_validate(fields)
    where = asked.where()
    allowed = None if where.is_empty() else engine.selection(where).ids
    if words is None:
        return Recipe(asked, None, allowed, engine.encoder_row)
    direction = engine.direction(Query.text(words))
    ranked = IndexRanking(engine.index, direction, allowed, left_out, DEFAULT_EFFORT)
    relevant = Relevant(replace(ranked, allowed=None), calibration_of(engine), engine.encoder_row)
    return Recipe(asked, ranked, allowed, engine.encoder_row, relevant)


def whole(engine: QueryEngine, how: Recipe) -> Content:
    return make(how, engine.reader, Orders(), 200_000)


def answering(engine: QueryEngine, how: Recipe) -> set[int]:
    """The pictures that answer by the definition: every one judged."""
    assert how.relevant is not None and how.ranking is not None
    everything = [Neighbour(*pair) for pair in zip(*map(np.ndarray.tolist, how.ranking.nearest(COUNT)), strict=True)]
    judged = how.relevant.judge(everything, engine.reader)
    return {image_id for image_id, value in judged.items() if value >= how.relevant.cut}


def page(engine: QueryEngine, words: str, fields: dict[str, Any], leave_out: int | None = None) -> list[Hit]:
    where = Filter.from_mapping({"camera": fields["camera"]}) if "camera" in fields else None
    query = Query.text(words, k=COUNT, where=where)
    query = replace(query, min_score=fields.get("min_score"))
    names = ("sort", "reverse", "relevant", "group_minutes")
    listing = Listing(**{name: fields[name] for name in names if name in fields})
    return list(find_page(engine, query, listing, leave_out=leave_out).hits)


EVERY = [
    {"sort": sort, "reverse": reverse} | narrow | group | where
    for sort, reverse, narrow, group, where in product(
        ("score", "date", "name"),
        (False, True),
        ({}, {"relevant": True}, {"min_score": 0.1}, {"relevant": True, "min_score": 0.4}),
        ({}, {"group_minutes": 5}),
        ({}, {"camera": "one"}),
    )
]


def test_a_list_and_its_judge_search_the_index_once(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    how = recipe(engine, "dog")
    assert how.ranking is not None
    how = replace(how, relevant=Relevant(how.ranking, calibration_of(engine), engine.encoder_row))
    asked: list[int] = []

    def searched(index: ExactIndex, queries: Vectors, k: int, **more: Any) -> Neighbours:
        asked.append(k)
        return real(index, queries, k, **more)

    real = type(engine.index).search
    monkeypatch.setattr(type(engine.index), "search", searched)
    made = make(how, engine.reader, Orders(), 20)
    answers = answering(engine, how)
    assert len(asked) == 1 and 0 < len(answers) < COUNT
    assert made.ids[:7].tolist() == how.ranking.nearest(7)[0].tolist()
    assert how.ranking.nearest(COUNT)[0].tolist() == made.ids.tolist()
    assert len(asked) == 1


@pytest.mark.parametrize("fields", EVERY, ids=str)
def test_lists_are_those_of_the_command_line(engine: QueryEngine, fields: dict[str, Any]) -> None:
    how = recipe(engine, "dog", **fields)
    made = whole(engine, how)
    expected = page(engine, "dog", fields)
    if fields["sort"] != "score" or fields["reverse"]:
        # The page shows all of it, where the command line sorts what is relevant only: what answers comes first.
        answers = answering(engine, how)
        expected.sort(key=lambda hit: hit.image.id not in answers)
        assert made.relevant == len(set(made.ids.tolist()) & answers)
        assert set(made.ids[: made.relevant].tolist()) <= answers
    assert made.ids.tolist() == [hit.image.id for hit in expected]
    assert made.total == len(expected) and not made.is_capped
    if made.scores is not None:
        assert made.scores.tolist() == pytest.approx([hit.score for hit in expected])
    if fields.get("relevant"):
        assert made.relevance is not None
        assert made.relevance.tolist() == pytest.approx([hit.relevance for hit in expected])
        assert 0 < len(expected) < COUNT
    if "group_minutes" in fields:
        assert made.burst is not None
        assert made.burst.tolist() == [hit.burst for hit in expected]


def test_some_of_these_lists_hold_bursts(engine: QueryEngine) -> None:
    made = whole(engine, recipe(engine, "dog", group_minutes=5))
    assert made.burst is not None and made.burst.max() > 1 and made.total < COUNT


def test_nothing_relevant_tells_how_near_the_nearest_is(engine: QueryEngine) -> None:
    made = whole(engine, recipe(engine, "submarine", relevant=True))
    assert made.total == 0
    assert made.nearest == pytest.approx(engine.search(Query.text("submarine", k=1))[0].score)


def test_what_is_left_out_is_in_no_list(engine: QueryEngine) -> None:
    left_out = tuple(hit.image.id for hit in engine.search(Query.text("dog", k=3)))
    for fields in EVERY:
        all_of_it = recipe(engine, "dog", **fields)
        if all_of_it.fields.group_minutes is None:
            expected = [i for i in whole(engine, all_of_it).ids.tolist() if i not in left_out]
            made = whole(engine, recipe(engine, "dog", left_out, **fields))
            assert made.ids.tolist() == expected and made.total == len(expected)
    made = whole(engine, recipe(engine, "dog", left_out[:1], group_minutes=5))
    expected = page(engine, "dog", {"group_minutes": 5}, left_out[0])
    assert made.ids.tolist() == [hit.image.id for hit in expected]
    assert made.burst is not None
    assert made.burst.tolist() == [hit.burst for hit in expected]


def test_a_list_made_in_parts_is_the_whole_one(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(engine, recipe(engine, "lake"))
    monkeypatch.setattr(ranking, "FIRST", 7)
    how = recipe(engine, "lake")
    first = make(how, engine.reader, Orders(), 5)
    assert len(first.ids) == 7 and first.total == expected.total == COUNT
    rest = make(how, engine.reader, Orders(), 8, first)
    assert rest.ids.tolist() == expected.ids.tolist()
    assert rest.scores is not None and expected.scores is not None
    assert rest.scores.tolist() == expected.scores.tolist()


def test_steps_search_seldom_and_find_the_same(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, ranked = recipe(engine, "lake").ranking, recipe(engine, "lake").ranking
    assert expected is not None and ranked is not None
    ids, scores = expected.nearest(COUNT)
    asked: list[int] = []
    search = engine.index.search

    def counted(queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT) -> Neighbours:
        asked.append(k)
        return search(queries, k, allowed=allowed, effort=effort)

    monkeypatch.setattr(engine.index, "search", counted)
    monkeypatch.setattr(ranking, "_STEPS", (8, 32))
    steps = Steps(ranked, COUNT)
    for count in (1, 8, 9, 32, 33, 64, COUNT, 10 * COUNT):
        near, complete = steps.near(count)
        assert [hit.id for hit in near] == ids[:count].tolist()
        assert complete == (count >= COUNT)
    assert asked == [8, 32, COUNT]
    for lowest in (2.0, float(scores[4]), float(scores[40]), -1.0):
        found, _, capped = Steps(ranked, COUNT).not_below(lowest)
        assert found.tolist() == ids[scores >= lowest].tolist() and not capped
    found, _, capped = Steps(ranked, 20).not_below(-1.0)
    assert found.tolist() == ids[:20].tolist() and capped


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", [None, "date", "name"])
def test_without_a_query_every_picture_is_listed(engine: QueryEngine, sort: str | None, reverse: bool) -> None:
    fields = {"sort": sort or "date", "reverse": reverse, "min_score": -1.0}
    made = whole(engine, recipe(engine, None, sort=sort, reverse=reverse))
    assert made.ids.tolist() == [hit.image.id for hit in page(engine, "dog", fields)]
    assert made.scores is None and made.total == COUNT
    some = whole(engine, recipe(engine, None, sort=sort, reverse=reverse, camera=["one"]))
    assert some.ids.tolist() == [hit.image.id for hit in page(engine, "dog", fields | {"camera": "one"})]


class Approximate:
    """Finds what it has not looked at before only when it is asked for more."""

    spec = IndexSpec.parse("IVF16,Flat")

    def __init__(self, ids: Ids, scores: list[float]) -> None:
        self._ids, self._scores = ids, np.array(scores, np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort) -> Neighbours:
        seen = np.arange(len(self._ids)) % 2 == 0 if k <= 4 else np.ones(len(self._ids), bool)
        order = np.argsort(-self._scores[seen], kind="stable")[:k]
        return Neighbours(self._ids[seen][order][None], self._scores[seen][order][None])


def test_what_was_shown_of_an_approximate_list_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    index: Any = Approximate(np.arange(10), [1 - n / 20 for n in range(10)])
    monkeypatch.setattr(ranking, "FIRST", 4)
    how = Recipe(ListFields(), IndexRanking(index, np.ones((1, 2), np.float32), None, (), DEFAULT_EFFORT), None, None)  # type: ignore[arg-type]
    first = make(how, None, Orders(), 3)  # type: ignore[arg-type]
    assert first.ids.tolist() == [0, 2, 4, 6]
    rest = make(how, None, Orders(), 9, first)  # type: ignore[arg-type]
    assert rest.ids.tolist() == [0, 2, 4, 6, 1, 3, 5, 7, 8, 9]


@pytest.mark.parametrize(("spec", "limit"), [("Exact", 20_000), ("SQfp16", 20_000), ("IVF16,Flat", MAX_DEPTH)])
def test_how_much_is_listed_depends_on_the_index(spec: str, limit: int) -> None:
    index: Any = Approximate(np.arange(20_000), [0.0] * 20_000)
    index.spec = IndexSpec.parse(spec)
    assert IndexRanking(index, np.ones((1, 2), np.float32), None, (), DEFAULT_EFFORT).limit == limit


def test_an_index_that_is_closed_meanwhile_gives_no_half_answer() -> None:
    index = ExactIndex(IndexSpec.parse("Exact"), 4)
    index.add(np.arange(5), unit(np.eye(5, 4) + 0.1))
    direction = unit(np.ones((1, 4)))
    ranked = IndexRanking(index, direction, None, (), DEFAULT_EFFORT)
    search = index.search

    def closing(*args: Any, **more: Any) -> Neighbours:
        found = search(*args, **more)
        index.close()
        return found

    index.search = closing  # type: ignore[method-assign]
    with pytest.raises(RetrievalError, match="more to do"):
        ranked.nearest(3)


def test_scores_of_some_are_those_of_the_search(engine: QueryEngine) -> None:
    ranked = recipe(engine, "dog").ranking
    assert ranked is not None
    ids, scores = ranked.nearest(COUNT)
    known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    some = ids[3:40:5].tolist()
    assert ranked.scores_of(some) == {image_id: known[image_id] for image_id in some}
    assert ranked.scores_of([]) == {}


def test_orders_follow_the_catalog(engine: QueryEngine) -> None:
    orders = Orders()
    first = orders.of(engine.reader, "date", False)
    assert orders.of(engine.reader, "date", False) is first
    orders.clear()
    assert orders.of(engine.reader, "date", False) is not first


def test_more_and_less_move_a_query(engine: QueryEngine) -> None:
    from retrieval.search.feedback import Rocchio, rocchio
    from retrieval.web.search.models import QuestionFields
    from retrieval.web.search.question import direction_of, question_of

    stored = engine.reader.vectors([1, 2, 3, 4], engine.encoder_row)
    asked = question_of(QuestionFields(q=["dog"], more=[1, 2], less=[3]), ListFields())
    expected = rocchio(engine.direction(Query.text("dog")), stored[:2], stored[2:3])
    assert direction_of(engine, asked, {}) == pytest.approx(expected, abs=1e-6)
    assert asked.left_out == (3,) and not asked.is_words_only
    alone = question_of(QuestionFields(more=[1, 2], less=[4]), ListFields())
    expected = rocchio(stored[:1], stored[:2], stored[3:], Rocchio(query=0))
    assert direction_of(engine, alone, {}) == pytest.approx(expected, abs=1e-6)
    like = question_of(QuestionFields(like=["3"]), ListFields())
    assert direction_of(engine, like, {}) == pytest.approx(engine.direction(Query((Term("id", 3),))), abs=1e-6)
    assert like.left_out == (3,)
    both = question_of(QuestionFields(q=["dog"], like=["3"]), ListFields())
    assert both.left_out == () and not both.is_words_only
