"""Multinomial logistic regression on embeddings: the linear probe. numpy only, with the same result on every run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.errors import SettingsError

logger = logging.getLogger("photoseek")

_MEMORY = 10
_MOST_STEPS = 1000
_TOLERANCE = 1e-5
_ARMIJO = 1e-4
_CURVATURE = 0.9

Weights = NDArray[np.float64]
_Loss = Callable[[Weights], tuple[float, Weights]]


@dataclass(frozen=True)
class Probe:
    """A fitted linear classifier.

    Attributes:
        weights: (dim, classes).
        bias: (classes,).
        centre: (dim,), and ``scale``: features are ``(x - centre) / scale``.
    """

    weights: Weights
    bias: Weights
    centre: Weights
    scale: float

    def scores(self, vectors: NDArray[np.floating]) -> Weights:
        """(n, dim) -> (n, classes) logits."""
        result: Weights = (vectors - self.centre) / self.scale @ self.weights + self.bias
        return result


def fit_probe(vectors: NDArray[np.floating], labels: Ids, classes: int, *, penalty: float) -> Probe:
    """Minimise mean cross-entropy + penalty / 2 * |weights|^2; the bias is not penalised.

    The features are centred and scaled by one number, their mean standard deviation: the components of unit vectors of
    dimension 1,152 are smaller than those of dimension 256, and a penalty should mean the same for both. The minimum
    is unique up to a constant in the bias, so it does not matter that it is found by L-BFGS from zero.

    Args:
        vectors: (n, dim).
        labels: (n,) below ``classes``; classes without a picture are allowed.
        penalty: above 0.
    """
    if penalty <= 0:
        raise SettingsError(f"a penalty of {penalty} leaves the weights without a bound", "give one above 0")
    centre = vectors.mean(axis=0, dtype=np.float64)
    features = vectors.astype(np.float64) - centre
    scale = float(np.sqrt((features**2).mean())) or 1.0
    features /= scale
    shape = (features.shape[1] + 1, classes)
    start = np.zeros(shape).ravel()
    found = minimise(lambda flat: _loss(flat.reshape(shape), features, labels, penalty), start).reshape(shape)
    return Probe(found[:-1], found[-1], centre, scale)


def _loss(parameters: Weights, features: Weights, labels: Ids, penalty: float) -> tuple[float, Weights]:
    weights, bias = parameters[:-1], parameters[-1]
    logits = features @ weights + bias
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    totals = shares.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float((np.log(totals[:, 0]) - logits[rows, labels]).mean() + penalty / 2 * (weights**2).sum())
    shares /= totals
    shares[rows, labels] -= 1
    shares /= len(labels)
    gradient = np.concatenate([features.T @ shares + penalty * weights, shares.sum(axis=0)[None]])
    return loss, gradient.ravel()


def minimise(loss: _Loss, start: Weights) -> Weights:
    """The minimum of a smooth convex function by L-BFGS with a weak Wolfe line search (Nocedal and Wright, 7.4; Lewis
    and Overton 2013), until the largest gradient component is 1e-5 of the first one.

    Args:
        loss: point -> value, gradient.
        start: the starting point.
    """
    point, (value, gradient) = start, loss(start)
    enough = _TOLERANCE * float(np.abs(gradient).max())
    pairs: deque[tuple[Weights, Weights]] = deque(maxlen=_MEMORY)
    for _ in range(_MOST_STEPS):
        if float(np.abs(gradient).max()) <= enough:
            return point
        direction = -_inverse_hessian_times(gradient, pairs)
        step = 1.0 if pairs else 1.0 / max(1.0, float(np.linalg.norm(gradient)))
        found = _search(loss, point, value, gradient, direction, step)
        if found is None:  # limited by floating-point precision
            return point
        after, after_value, after_gradient = found
        pairs.append((after - point, after_gradient - gradient))
        point, value, gradient = after, after_value, after_gradient
    logger.warning("the linear probe has not settled after %d steps", _MOST_STEPS)
    return point


def _inverse_hessian_times(gradient: Weights, pairs: deque[tuple[Weights, Weights]]) -> Weights:
    """The two-loop recursion over (step, change of gradient), oldest first."""
    result = gradient.copy()
    kept = []
    for moved, turned in reversed(pairs):
        factor = float(moved @ result) / float(turned @ moved)
        result -= factor * turned
        kept.append(factor)
    if pairs:
        moved, turned = pairs[-1]
        result *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned), factor in zip(pairs, reversed(kept), strict=True):
        result += (factor - float(turned @ result) / float(turned @ moved)) * moved
    return result


def _search(
    loss: _Loss, point: Weights, value: float, gradient: Weights, direction: Weights, step: float
) -> tuple[Weights, float, Weights] | None:
    """A step along ``direction`` that satisfies both Wolfe conditions, found by doubling and halving."""
    slope = float(gradient @ direction)
    low, high = 0.0, np.inf
    for _ in range(50):
        after = point + step * direction
        after_value, after_gradient = loss(after)
        if after_value > value + _ARMIJO * step * slope:
            high = step
        elif float(after_gradient @ direction) < _CURVATURE * slope:
            low = step
        else:
            return after, after_value, after_gradient
        step = 2 * step if np.isinf(high) else (low + high) / 2
    return None
