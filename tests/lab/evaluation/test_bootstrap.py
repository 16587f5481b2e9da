"""Intervals: seeded, over groups, and as wide as theory says."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.errors import QueryError
from retrieval.lab.evaluation import bootstrap as module
from retrieval.lab.evaluation.bootstrap import bootstrap


def test_the_value_is_that_of_the_data() -> None:
    values = np.array([0.0, 1.0, 1.0, 1.0, 7.0])
    assert bootstrap(values).value == 2
    assert bootstrap(values, statistic="median").value == 1


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values) != bootstrap(values, seed=1)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_no_spread_no_interval(statistic: str) -> None:
    assert bootstrap(np.full(9, 0.25), statistic=statistic) == (0.25, 0.25, 0.25)  # type: ignore[arg-type]


def test_as_wide_as_the_normal_law_says() -> None:
    values = (np.arange(400) < 120).astype(float)
    found = bootstrap(values, resamples=4000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert found.low == pytest.approx(0.3 - half, abs=0.006)
    assert found.high == pytest.approx(0.3 + half, abs=0.006)


def test_captions_of_a_picture_are_one_observation() -> None:
    """Five equal captions a picture: the interval is that of the pictures, not narrower by the square root of five."""
    pictures = np.random.default_rng(2).integers(0, 2, size=100).astype(float)
    captions, groups = np.repeat(pictures, 5), np.repeat(np.arange(100), 5) * 10 + 3
    for statistic in ("mean", "median"):
        alone = bootstrap(pictures, statistic=statistic)  # type: ignore[arg-type]
        assert bootstrap(captions, groups, statistic=statistic) == alone  # type: ignore[arg-type]
    single = bootstrap(captions)
    assert single.high - single.low < 0.6 * (bootstrap(pictures).high - bootstrap(pictures).low)


def test_groups_of_different_sizes_count_by_their_values() -> None:
    values, groups = np.array([1.0, 1.0, 1.0, 0.0]), np.array([8, 8, 8, 2])
    found = bootstrap(values, groups)
    assert found.value == 0.75
    assert (found.low, found.high) == (0, 1)  # one group alone, drawn twice
    assert bootstrap(values, groups, statistic="median") == (1, 0, 1)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = np.random.default_rng(4).normal(size=60), np.arange(60) // 3
    whole = [bootstrap(values, groups), bootstrap(values, groups, statistic="median")]
    monkeypatch.setattr(module, "_AT_ONCE", 70)
    assert [bootstrap(values, groups), bootstrap(values, groups, statistic="median")] == whole


def test_nothing_has_no_mean() -> None:
    with pytest.raises(QueryError):
        bootstrap(np.array([]))
