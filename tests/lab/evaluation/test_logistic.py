"""Logistic regression: the exact optimum, not an approximation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.logistic import _loss, fit_probe, minimise
from tests.lab.evaluation.spaces import labelled


def loss_of(parameters: Any, vectors: Any, labels: Any, penalty: float) -> float:
    """Mean cross-entropy and penalty, as a textbook has it."""
    logits = vectors @ parameters[:-1] + parameters[-1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -np.log(shares[np.arange(len(labels)), labels]).mean()
    return float(entropy + penalty / 2 * (parameters[:-1] ** 2).sum())


def test_loss_and_gradient() -> None:
    vectors, labels = labelled(5, 3, dim=4)
    wide = vectors.astype(float)
    point = np.random.default_rng(0).normal(size=(5, 3))
    value, gradient = _loss(point, wide, labels, 0.3)
    assert value == pytest.approx(loss_of(point, wide, labels, 0.3))
    for at in range(15):
        step = np.zeros(15)
        step[at] = 1e-5
        up, down = (loss_of(point + sign * step.reshape(5, 3), wide, labels, 0.3) for sign in (1, -1))
        assert gradient[at] == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_minimise_finds_the_bottom_of_a_narrow_valley() -> None:
    curvatures, bottom = np.logspace(0, 3, 30), np.linspace(-2, 3, 30)

    def valley(x: Any) -> tuple[float, Any]:
        return float((curvatures * (x - bottom) ** 2).sum() / 2), curvatures * (x - bottom)

    np.testing.assert_allclose(minimise(valley, np.zeros(30)), bottom, atol=0.04)


@pytest.mark.parametrize("penalty", [1e-4, 1e-1])
def test_the_gradient_vanishes_where_it_stops(penalty: float) -> None:
    vectors, labels = labelled(20, 4)
    found = fit_probe(vectors, labels, 4, penalty=penalty)
    features = (vectors - found.centre) / found.scale
    _, gradient = _loss(np.concatenate([found.weights, found.bias[None]]), features, labels, penalty)
    assert np.abs(gradient).max() < 2e-5


def test_it_learns_and_is_the_same_every_time() -> None:
    vectors, labels = labelled(40, 5)
    found, again = (fit_probe(vectors[:150], labels[:150], 5, penalty=1e-3) for _ in range(2))
    assert (found.weights == again.weights).all()
    assert (found.scores(vectors[150:]).argmax(axis=1) == labels[150:]).mean() > 0.6


def test_classes_without_pictures_and_equal_pictures() -> None:
    same = np.ones((6, 4), dtype=np.float32) / 2
    found = fit_probe(same, np.array([0, 0, 0, 0, 2, 2]), 4, penalty=0.1)
    scores = found.scores(same[:1])[0]
    assert np.exp(scores[0] - scores[2]) == pytest.approx(2, rel=1e-3), "the bias learns how frequent classes are"
    assert scores[1] < scores[2]


def test_a_penalty_is_needed() -> None:
    with pytest.raises(SettingsError):
        fit_probe(np.eye(2, dtype=np.float32), np.arange(2), 2, penalty=0)


@pytest.mark.torch
def test_equal_to_torchs_optimum() -> None:
    torch = pytest.importorskip("torch")
    vectors, labels = labelled(30, 5)
    ours = fit_probe(vectors, labels, 5, penalty=0.01)
    features = torch.from_numpy((vectors - ours.centre) / ours.scale)
    layer = torch.nn.Linear(features.shape[1], 5, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(features), torch.from_numpy(labels))
        loss = loss + 0.005 * (layer.weight**2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    np.testing.assert_allclose(ours.weights, layer.weight.detach().numpy().T, atol=1e-3)
