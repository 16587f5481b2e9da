"""Colour words, numbers and "without", measured with the built-in model on the example photos."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from PIL import Image  # noqa: E402

from retrieval.encoders.registry import load_encoder  # noqa: E402
from retrieval.lab.training.builtin.judge import embedded_pictures, judge_folder, judging  # noqa: E402
from retrieval.lab.training.builtin.wording import _told_apart, copies, counts, hues, negations  # noqa: E402
from tests.conftest import EXAMPLES  # noqa: E402

pytestmark = pytest.mark.torch


def test_copies_are_as_many_as_asked_and_lie_apart() -> None:
    picture = Image.new("RGB", (64, 64), (255, 255, 255))
    picture.paste((200, 0, 0), (16, 16, 48, 48))
    for count in range(1, 5):
        made = np.asarray(copies(picture, count, np.random.default_rng(count)))
        assert made.shape == (64, 64, 3) and (made[0, 0] > 250).all()
        quarters = [made[y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]
        red = [int((quarter[..., 1] < 100).sum()) for quarter in quarters]
        assert sum(area > 200 for area in red) == count and sum(area == 0 for area in red) == 4 - count


def test_both_directions_are_counted() -> None:
    images = torch.eye(3)[None]
    texts = torch.eye(3)[[0, 1, 1]][None]  # the third word says what the second does
    found = _told_apart("hues", images, texts)
    assert found["hues"] == pytest.approx(2 / 3) and found["hues_found"] == pytest.approx(2 / 3)
    assert found["hues_chance"] == pytest.approx(1 / 3) and found["hues_pictures"] == 1


def test_the_builtin_model_is_measured_on_a_bounded_sample() -> None:
    encoder = load_encoder("builtin-224")
    judge = judging(EXAMPLES, background=("town",), most=30)
    assert len(judge.files) == 30 and judge.files == judging(EXAMPLES, background=("town",), most=30).files
    colours, numbers = hues(encoder, judge, 4), counts(encoder, judge, 3)
    assert colours["hues_pictures"] == 4 and numbers["counts_pictures"] == 3
    assert all(0 <= value <= 1 for key, value in (colours | numbers).items() if not key.endswith("pictures"))
    images, labels = embedded_pictures(encoder, judge)
    assert images.shape == (30, 384) and (labels == judge.labels).all()
    figures = judge_folder(encoder, judge, images, labels) | negations(encoder, judge, images, labels)
    assert figures["p10"] > 0.1 and figures["p10_with"] > 0.1 and figures["pictures"] == 30
