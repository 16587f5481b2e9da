"""Rocchio's formula against the textbook's, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.encoders.base import unit
from retrieval.errors import QueryError
from retrieval.search.feedback import USUAL, Rocchio, rocchio

RNG = np.random.default_rng(6)


def some(count: int) -> np.ndarray:
    return unit(RNG.normal(size=(count, 24)))


def test_it_is_the_formula() -> None:
    q, good, bad = some(1), some(3), some(5)
    wanted = q[0].astype(float) + 0.75 * good.astype(float).mean(0) - 0.15 * bad.astype(float).mean(0)
    found = rocchio(q, good, bad)
    assert found.shape == (1, 24) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], wanted / np.linalg.norm(wanted), atol=1e-6)
    other = rocchio(q, good, bad, Rocchio(0.2, 1.0, 0.5))
    wanted = 0.2 * q[0] + good.mean(0) - 0.5 * bad.mean(0)
    np.testing.assert_allclose(other[0], wanted / np.linalg.norm(wanted), atol=1e-6)


def test_without_judgements_it_is_the_query() -> None:
    q = some(1)
    for nothing in (None, np.empty((0, 24), np.float32)):
        np.testing.assert_allclose(rocchio(q, nothing, nothing), q, atol=1e-7)


def test_it_moves_towards_the_relevant_and_away_from_the_others() -> None:
    q, good, bad = some(1), some(2), some(2)
    moved = rocchio(q, good, bad)
    assert (moved @ good.T > q @ good.T).all()
    assert (moved @ bad.T).mean() < (rocchio(q, good) @ bad.T).mean()
    assert USUAL.relevant > USUAL.not_relevant


def test_what_cannot_be() -> None:
    q = some(1)
    with pytest.raises(QueryError, match="cancel"):
        rocchio(q, None, q, Rocchio(1.0, 0.75, 1.0))
    with pytest.raises(QueryError, match="no positive example"):
        rocchio(q, None, some(1), Rocchio(query=0))
    for weights in ((-1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (float("nan"), 1.0, 1.0)):
        with pytest.raises(QueryError, match="no direction"):
            Rocchio(*weights)
