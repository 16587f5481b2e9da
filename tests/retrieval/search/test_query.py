"""Terms and their weights: what may be asked, how people write it, and the arithmetic of combining."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.paths import parse_picture
from retrieval.search.query import Query, Term, combine, parse_term
from tests.retrieval.rows import vector_of

WEIGHTS = st.floats(-1e6, 1e6).filter(lambda weight: abs(weight) > 1e-3)


@given(st.lists(WEIGHTS, min_size=1, max_size=5), st.floats(1e-290, 1e290))
def test_the_combination_has_length_one_and_does_not_depend_on_the_scale(weights: list[float], scale: float) -> None:
    vectors = np.stack([vector_of(str(number)) for number in range(len(weights))])
    try:
        combined = combine(vectors, weights)
    except QueryError:
        assume(False)
    assert combined.shape == (1, 8) and combined.dtype == np.float32
    assert abs(float(np.linalg.norm(combined)) - 1) < 1e-6
    np.testing.assert_allclose(combine(vectors, [weight * scale for weight in weights]), combined, atol=1e-5)


def test_the_combination_by_hand() -> None:
    x, y = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(combine(np.stack([x, y]), [3, 4]), [[0.6, 0.8]], atol=1e-7)
    np.testing.assert_allclose(combine(np.stack([x, y]), [3, -4]), [[0.6, -0.8]], atol=1e-7)
    np.testing.assert_allclose(combine(np.stack([x, x]), [2, -1]), [[1, 0]], atol=1e-7)
    np.testing.assert_allclose(combine(np.stack([x, y]), [1e308, 1e308]), [[0.5**0.5] * 2], atol=1e-7)


def test_terms_that_cancel_are_refused_but_nearly_equal_ones_are_not() -> None:
    vector = vector_of("a")
    for weights in ([1.0, -1.0], [1e-9, -1e-9], [1e200, -1e200]):
        with pytest.raises(QueryError, match="cancel"):
            combine(np.stack([vector, vector]), weights)
    with pytest.raises(QueryError, match="cancel"):
        combine(np.stack([vector, -vector]), [1.0, 1.0])
    other = vector + np.float32(1e-3) * vector_of("b")
    near = (other / np.linalg.norm(other)).astype(np.float32)
    assert abs(float(np.linalg.norm(combine(np.stack([vector, near]), [1, -1]))) - 1) < 1e-6


def test_queries_that_say_nothing_are_refused() -> None:
    with pytest.raises(QueryError, match="empty"):
        Query(())
    with pytest.raises(QueryError, match="empty"):
        Query.text("  ")
    with pytest.raises(QueryError, match="only excludes things"):
        Query((Term("text", "snow", -1), Term("image", "a.jpg", -2)))
    for k in (0, -3):
        with pytest.raises(QueryError, match="cannot return"):
            Query.text("red", k=k)
    for weight in (0.0, float("nan"), float("inf")):
        with pytest.raises(QueryError, match="has no effect"):
            Term("text", "red", weight)


def test_texts_make_a_query() -> None:
    query = Query.text("red", "bird", k=3, where=Filter(camera="x"))
    assert query.terms == (Term("text", "red"), Term("text", "bird"))
    assert (query.k, query.where, query.min_score) == (3, Filter(camera="x"), None)


@pytest.mark.parametrize(
    ("written", "value", "weight"),
    [
        ("beach", "beach", 1.0),
        ("2:beach", "beach", 2.0),
        ("0.5:a b:c", "a b:c", 0.5),
        ("1:9:30 train", "9:30 train", 1.0),
        ("a:2", "a:2", 1.0),
        (":x", ":x", 1.0),
        ("2:", "2:", 1.0),
        ("-1:x", "-1:x", 1.0),
        ("2:two\nlines", "two\nlines", 2.0),
    ],
)
def test_a_weight_may_stand_before_the_words(written: str, value: str, weight: float) -> None:
    assert parse_term("text", written) == Term("text", value, weight)
    assert parse_term("text", written, sign=-1) == Term("text", value, -weight)


@pytest.mark.parametrize("written", ["0:beach", "0.0:beach", "9" * 400 + ":beach", "2:  "])
def test_a_weight_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(QueryError):
        parse_term("text", written)


def test_pictures_are_paths_or_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_picture("id:12") == 12
    assert parse_picture("~/a.jpg") == Path("/home/me/a.jpg")
    for path in ("id:", "id:x", "id:-1", "id:" + "9" * 19, "ID:1"):
        assert parse_picture(path) == Path(path)
    assert parse_term("image", "3:id:7", sign=-1) == Term("id", 7, -3.0)
    assert parse_term("image", "2:a.jpg") == Term("image", Path("a.jpg"), 2.0)
