"""Improvements of a finished model: the text tower is trained further, the image tower's variance is evened out.

Both stay in the model's common space, so nothing else of the model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.training.builtin.data import Part
from retrieval.lab.training.builtin.image_stage import embed
from retrieval.lab.training.builtin.text_stage import Loss, TextStage, said_by
from retrieval.lab.training.hybrid import HybridTower
from retrieval.lab.training.towers import TextTower

STAGE = TextStage(rate=6e-4, warmup=200, own_share=0.3, average=0.998)
"""Of a tower that has learned already: names come three times as often as in the first lesson."""

EVENED, _FLOOR = 0.05, 0.1
"""Exponent of the metric, and what is added to the variance of each direction. Larger exponents are better for photos
of the body's kinds, and worse for other kinds and for sketches; the model card has figures."""

_VIEWS = 2000


def same_space(said: Tensor, targets: Tensor) -> Tensor:
    """(d, 384) of orthonormal rows: the turn from the sentence encoder's space to that of a finished model.

    Orthogonal Procrustes (Schönemann 1966): the turn that brings (n, 384) ``targets`` nearest to what the finished
    tower says, (n, d), of the same texts; its errors, being of all directions, hardly turn it.
    """
    left, _, right = torch.linalg.svd(said.T @ targets, full_matrices=False)
    out: Tensor = left @ right
    return out


@torch.inference_mode()
def turn_to(tower: TextTower, tokens: Tensor, targets: Tensor, texts: int = 30_000) -> Tensor:
    """:func:`same_space` of some texts of a lesson: (n, context) tokens and (n, 384) targets."""
    some = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))[:texts]
    some = some[tokens[some].argmax(1).argsort()]  # of similar length, so that little is padding
    return same_space(F.normalize(said_by(tower, tokens[some]), dim=-1), targets[some])


def words_of(text: TextTower, words: int) -> TextTower:
    """A copy whose last matrix has only the first ``words`` rows: those that are taught."""
    out = TextTower(replace(text.config, dim=words))
    state = text.state_dict()
    out.load_state_dict(state | {"project.weight": state["project.weight"][:words]})
    return out


def with_words(text: TextTower, taught: TextTower) -> TextTower:
    """A tower of ``text``'s form with ``taught``'s weights; in the other dimensions its texts are zero."""
    out = TextTower(text.config)
    state = taught.state_dict()
    rows = torch.zeros_like(text.project.weight)
    rows[: taught.config.dim] = state["project.weight"]
    out.load_state_dict(state | {"project.weight": rows})
    return out.eval()


def among_kinds(kinds: Tensor, scale: float = 25.0, weight: float = 0.5) -> Loss:
    """The distance to the teacher, and how differently the two compare a text to the names of the body's kinds.

    Pictures lie among these names, so an error that changes their order costs more than one in a direction where no
    picture lies (distillation: Hinton et al. 2015).

    Args:
        kinds: (k, d) of unit length.
    """

    def loss(made: Tensor, wanted: Tensor) -> Tensor:
        apart = 1 - (made * wanted).sum(-1).mean()
        said, truth = ((scale * each @ kinds.T).log_softmax(-1) for each in (made, wanted))
        return 3 * apart + weight * F.kl_div(said, truth, log_target=True, reduction="batchmean")

    return loss


@torch.no_grad()
def even_out(tower: HybridTower, parts: Sequence[Part], power: float = EVENED) -> None:
    """Shorten the directions of largest variance in the words' part of pictures, before it is normalised.

    A few directions (animal or thing, indoors or outdoors) have most of the variance, and hide what distinguishes
    kinds. The metric is a power of the inverse covariance, between none and whitening. The memory and the blocks'
    last matrix are multiplied by it, so the graph does not change. Texts do not change.

    Args:
        parts: pictures; of each collection 2,000 at most count, drawn with a fixed seed, and the kinds' own names.
    """
    random = np.random.default_rng(0)
    said = [F.normalize(tower.kinds, dim=-1)]
    for part in parts:
        some = np.sort(random.permutation(len(part))[:_VIEWS])
        said.append(embed(tower, Part(part.grids, part.rows[some], part.columns[some])))
    metric = inverse_power(torch.cat(said), power)
    tower.kinds.copy_(tower.kinds @ metric)
    tower.learned.weight.copy_(metric @ tower.learned.weight)


def inverse_power(said: Tensor, power: float) -> Tensor:
    """(d, d) symmetric: the covariance of (n, d) to the power of minus ``power``; its mean square per row is 1."""
    away = said - said.mean(0)
    covariance = away.T @ away
    shares, directions = torch.linalg.eigh(covariance / covariance.diagonal().mean())
    metric = (directions * (shares.clamp(min=0) + _FLOOR) ** -power) @ directions.T
    out: Tensor = metric / (torch.linalg.matrix_norm(metric) / len(metric) ** 0.5)
    return out
