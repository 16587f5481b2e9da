"""The part of a picture that a portrait shows."""

from __future__ import annotations

import pytest

from retrieval.rendering.portraits import around


def test_a_square_around_the_face() -> None:
    assert around((0.4, 0.4, 0.2, 0.2), 1000, 1000) == (320, 320, 680, 680)
    assert around((0.45, 0.4, 0.1, 0.2), 1000, 1000) == (320, 320, 680, 680), "by its longer side"


def test_it_ends_where_the_picture_ends() -> None:
    assert around((0.0, 0.0, 0.2, 0.2), 1000, 500) == (0, 0, 280, 230)
    assert around((0.8, 0.8, 0.2, 0.2), 1000, 500) == (720, 270, 1000, 500)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0)])
def test_there_is_always_a_pixel(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = around(box, 3, 2)
    assert 0 <= left < right <= 3 and 0 <= top < bottom <= 2
