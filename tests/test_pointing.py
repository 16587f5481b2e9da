"""The pointing benchmark: boxes are where things were pasted, and a map hits by its largest value."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.pointing import interval, points_at, scenes


def test_things_lie_in_their_boxes_one_in_each_half() -> None:
    (pixels, (left, right)), (again, _) = next(scenes(1, 224, 3, [])), next(scenes(1, 224, 3, []))
    np.testing.assert_array_equal(pixels, again)
    assert pixels.shape == (3, 224, 224) and left.text != right.text
    assert 0 <= left.box[0] < left.box[2] <= 112 <= right.box[0] < right.box[2] <= 224
    for each in (left, right):
        x0, y0, x1, y1 = each.box
        assert 74 <= max(x1 - x0, y1 - y0) <= 112
        inside, around = pixels[:, y0:y1, x0:x1].std(), pixels.std()
        assert inside > 0.5 * around


@pytest.mark.parametrize(("at", "hit"), [((0, 0), False), ((2, 3), True), ((3, 2), False)])
def test_the_largest_value_decides(at: tuple[int, int], hit: bool) -> None:
    values = np.zeros((4, 4))
    values[at] = 1
    assert points_at(values, (60, 40, 80, 60), 80) is hit  # the box is the cell of row 2, column 3


def test_the_interval_is_around_the_mean() -> None:
    hits = np.repeat([[1.0, 0.0], [1.0, 1.0]], 50, axis=0)
    low, high = interval(hits)
    assert low < 0.75 < high and high - low < 0.15
    assert interval(np.ones((5, 2))) == (1.0, 1.0)
