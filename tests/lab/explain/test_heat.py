"""Heat maps: an encoder with known behaviour, formulas compared with loops, and the messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from indexes.base import Vectors
from retrieval.encoders.base import Pixels, unit
from retrieval.encoders.registry import load_encoder
from retrieval.errors import SettingsError, TextNotSupported
from retrieval.lab.explain.families import timm_shape
from retrieval.lab.explain.heat import make_heat
from retrieval.lab.explain.occlusion import occlusion_map
from retrieval.lab.explain.rollout import rollout, rollout_map
from retrieval.lab.explain.shape import VisionShape
from tests.fakes import ColourEncoder


class Eye:
    """An encoder that looks at one square of the picture, and at nothing else: how red it is against how blue."""

    streams, batch_size, device = 1, 5, "cpu"

    def __init__(self, top: int, left: int, side: int) -> None:
        self.spec = replace(ColourEncoder().spec, preprocessing=replace(ColourEncoder().spec.preprocessing, size=64))
        self.at = (slice(top, top + side), slice(left, left + side))

    def encode_images(self, pixels: Pixels) -> Vectors:
        means = pixels[:, :, self.at[0], self.at[1]].astype(np.float64).mean(axis=(2, 3))
        return unit(means[:, [0, 2]] + 1e-3)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return unit(np.array([[1.0, 0.0] if text == "red" else [0.0, 1.0] for text in texts]))

    def is_cut(self, text: str) -> bool:
        return False


def red_in_blue(top: int, left: int, side: int) -> Pixels:
    pixels = np.zeros((3, 64, 64), np.uint8)
    pixels[2] = 255
    pixels[:, top : top + side, left : left + side] = np.array([255, 0, 0], np.uint8)[:, None, None]
    return pixels


@pytest.mark.parametrize(("top", "left"), [(0, 0), (24, 40), (56, 56)])
def test_occlusion_finds_where_the_encoder_looks(top: int, left: int) -> None:
    eye, pixels = Eye(top, left, 8), red_in_blue(top, left, 8)
    target = eye.encode_texts(["red"])[0]
    found = occlusion_map(eye, pixels, target, text="red", grid=8)
    assert found.values.shape == (8, 8)
    assert np.unravel_index(found.values.argmax(), (8, 8)) == (top // 8, left // 8)
    assert found.score == pytest.approx(1.0, abs=1e-4)
    # A cell two squares away is never covered together with the one that counts.
    far = (top // 8 + 4) % 8, (left // 8 + 4) % 8
    assert found.values[far] == pytest.approx(0, abs=1e-6)
    against = occlusion_map(eye, pixels, eye.encode_texts(["blue"])[0], text="blue", grid=8)
    assert against.values[top // 8, left // 8] < -0.1 and not against.shares().any()


def test_occlusion_without_a_text_compares_with_the_picture() -> None:
    eye, pixels = Eye(16, 16, 8), red_in_blue(16, 16, 8)
    found = occlusion_map(eye, pixels, None, grid=8)
    assert found.score is None and found.values.argmax() == 2 * 8 + 2
    assert found.values.min() >= -1e-6  # nothing is nearer to the picture than itself


@pytest.mark.parametrize(("grid", "cells"), [(None, 8), (4, 8), (8, 8), (14, 14), (24, 14)])
def test_cells_of_occlusion(grid: int | None, cells: int) -> None:
    assert occlusion_map(Eye(0, 0, 8), red_in_blue(0, 0, 8), None, grid=grid).values.shape == (cells, cells)


def random_attention(shape: tuple[int, ...], seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).random(shape).astype(np.float32) ** 4
    return raw / raw.sum(axis=-1, keepdims=True)


def test_rollout_is_the_product_of_the_papers_formula() -> None:
    blocks = [random_attention((3, 5, 5), seed) for seed in range(4)]
    expected = np.eye(5)
    for block in blocks:
        step = np.zeros((5, 5))
        for i in range(5):
            for j in range(5):
                step[i, j] = 0.5 * block[:, i, j].mean() + (0.5 if i == j else 0)
        expected = step @ expected
    found = rollout(blocks)
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(found.sum(axis=1), 1)


TINY = VisionShape(size=32, patch=16, width=64, layers=2, heads=2, hidden=128)


@pytest.mark.parametrize("pool", ["cls", "mean", "map"])
def test_rollout_follows_the_pooling(pool: str) -> None:
    shape = replace(TINY, pool=pool, class_token=pool == "cls", registers=1)
    t = shape.tokens
    blocks = [random_attention((2, t, t), seed) for seed in range(2)]
    pooling = random_attention((2, 1, t), 9)
    mixed = rollout(blocks)
    rows = {"cls": mixed[0], "mean": mixed[1:].mean(axis=0), "map": pooling.mean(axis=0)[0] @ mixed}
    seen = [*blocks, pooling] if pool == "map" else blocks
    found = rollout_map(seen, shape, "tiny")
    assert np.allclose(found.values.ravel(), rows[pool][shape.prefix :])
    with pytest.raises(SettingsError):
        rollout_map(seen[1:], shape, "tiny")
    with pytest.raises(SettingsError):
        rollout_map(seen, replace(shape, size=48), "tiny")


def test_what_does_not_go_together() -> None:
    encoder, pixels = load_encoder("builtin-224"), red_in_blue(0, 0, 8)
    with pytest.raises(SettingsError, match="no heat map"):
        make_heat(encoder, pixels, method="magic")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="knows no text"):
        make_heat(encoder, pixels, text="a dog", method="rollout", shape=timm_shape("vit_base_patch16_224"))
    with pytest.raises(SettingsError, match="shows no tokens"):
        make_heat(Eye(0, 0, 8), pixels, text="red", method="dense")
    with pytest.raises(SettingsError, match="compared with a text"):
        make_heat(encoder, pixels, method="dense")
    assert make_heat(encoder, pixels, method="none") is None


def test_a_text_for_an_image_only_model_is_refused() -> None:
    class Blind(Eye):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            raise TextNotSupported("pictures only", "take another")

    blind = Blind(0, 0, 8)
    blind.spec = replace(blind.spec, has_text=False)
    with pytest.raises(TextNotSupported):
        make_heat(blind, red_in_blue(0, 0, 8), text="a dog")
