"""``train --adapter``: a linear map on the embeddings of a frozen encoder, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.encoders.base import unit
from retrieval.lab.evaluation.metrics import reciprocal_rank
from retrieval.lab.training.judging import both_ranks_of
from retrieval.lab.training.pairs import Pairs

Matrix = NDArray[np.float64]

STRENGTHS = tuple(float(x) for x in np.logspace(-2, 2, 9))
"""Ridge strengths to try, in units of the mean squared length of the centred embeddings per direction."""

DISLIKED = 0.5
"""How far a picture is moved away from a text that does not fit it, relative to the move towards a fitting one."""
_FOLDS = 4


@dataclass(frozen=True)
class LinearMap:
    """x becomes ``matrix @ x + offset``, scaled to length 1.

    Attributes:
        strength: the chosen ridge; infinite if nothing improved and the map is the identity.
        mrr_before, mrr_after: mean reciprocal rank over the folds, of the base and of this map.
    """

    matrix: Matrix
    offset: Matrix
    strength: float
    mrr_before: float
    mrr_after: float

    @property
    def helps(self) -> bool:
        """False for the identity."""
        return self.strength < float("inf")

    def __call__(self, vectors: Vectors) -> Vectors:
        return unit(vectors @ self.matrix.T + self.offset)


def fit_map(pictures: Vectors, texts: Vectors, pairs: Pairs, *, seed: int = 0) -> LinearMap:
    """The map that moves pictures towards their texts while it stays close to the identity.

    Minimises sum |M x + c - y|^2 + r |M - I|^2 over pairs, with y = x + (t - mean t), t the mean of the texts that fit
    a picture minus :data:`DISLIKED` times that of those that do not: ridge regression (Hoerl and Kennard 1970) towards
    the identity instead of zero. Texts are centred because all of them are in one corner of the space (the
    modality gap: Liang et al. 2022), and a step towards that corner does not affect ranks. r is chosen by
    cross-validation over pictures, by mean reciprocal rank both ways; if no r beats the identity, the map is that.

    Args:
        pictures: (n, dim) unit vectors of ``pairs``.
        texts: (m, dim) unit vectors, one for each meaning.
    """
    targets, counts = _targets(texts, pairs)
    order = np.random.default_rng(seed).permutation(len(pairs))
    folds = [order[at::_FOLDS] for at in range(min(_FOLDS, len(pairs)))]
    before = 0.0
    after = np.zeros(len(STRENGTHS))
    for fold in folds:
        rest = np.setdiff1d(order, fold)
        solver = _Ridge(pictures[rest], targets[rest], counts[rest])
        before += _mrr(pictures[fold], texts, pairs.take(fold)) * len(fold)
        for at, strength in enumerate(STRENGTHS):
            matrix, offset = solver.solve(strength)
            after[at] += _mrr(unit(pictures[fold] @ matrix.T + offset), texts, pairs.take(fold)) * len(fold)
    best = int(after.argmax())
    mrr_before, mrr_after = before / len(pairs), float(after[best]) / len(pairs)
    if mrr_after <= mrr_before:
        size = pictures.shape[1]
        return LinearMap(np.eye(size), np.zeros(size), float("inf"), mrr_before, mrr_before)
    matrix, offset = _Ridge(pictures, targets, counts).solve(STRENGTHS[best])
    return LinearMap(matrix, offset, STRENGTHS[best], mrr_before, mrr_after)


def _targets(texts: Vectors, pairs: Pairs) -> tuple[Matrix, Matrix]:
    """(n, dim) the target of each picture, relative to itself, and (n,) 1 if it has any text."""
    used = np.unique([meaning for said in pairs.said for meaning in said] or [0])
    centred = texts.astype(np.float64) - texts[used].mean(axis=0, dtype=np.float64)
    away: dict[int, list[int]] = {}
    for picture, meaning in pairs.refused:
        away.setdefault(picture, []).append(meaning)
    found = np.zeros((len(pairs), texts.shape[1]))
    for row, said in enumerate(pairs.said):
        if said:
            found[row] += centred[list(said)].mean(axis=0)
        if row in away:
            found[row] -= DISLIKED * centred[away[row]].mean(axis=0)
    known = np.array([bool(said) or row in away for row, said in enumerate(pairs.said)], dtype=np.float64)
    return found, known


class _Ridge:
    """The eigenvectors of the pictures' covariance, computed once; then each strength takes only two products."""

    def __init__(self, pictures: Vectors, targets: Matrix, known: Matrix) -> None:
        x = pictures[known > 0].astype(np.float64)
        y = targets[known > 0]
        self._mean_x, self._mean_y = x.mean(axis=0), y.mean(axis=0)
        x = x - self._mean_x
        values, self._vectors = np.linalg.eigh(x.T @ x)
        self._values = np.maximum(values, 0)
        self._unit = float(self._values.sum()) / len(values)
        self._cross = self._vectors.T @ (x.T @ (y - self._mean_y))

    def solve(self, strength: float) -> tuple[Matrix, Matrix]:
        """Matrix and offset: the identity plus the ridge regression of the targets, without their mean."""
        step = self._vectors @ (self._cross / (self._values + strength * self._unit)[:, None])
        matrix = np.eye(len(step)) + step.T
        return matrix, -step.T @ self._mean_x


def _mrr(pictures: Vectors, texts: Vectors, pairs: Pairs) -> float:
    to_image, to_text = both_ranks_of(pictures, texts, pairs)
    return float(reciprocal_rank(to_image).mean() + reciprocal_rank(to_text).mean()) / 2


def meanings_of(pairs: Pairs) -> Ids:
    """Rows of the meanings that are said or refused of any picture."""
    said = {meaning for each in pairs.said for meaning in each}
    return np.array(sorted(said | {meaning for _, meaning in pairs.refused}), dtype=np.int64)
