"""The optimiser and its learning rate, the same in all recipes of contrastive models."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.98)
"""As in CLIP (Radford et al. 2021, table 20)."""

_NOT_DECAYED = ("positions", "positional_embedding", "pos_embed", "cls", "class_embedding", "cls_token")


def groups(parameters: Iterable[tuple[str, nn.Parameter]], decay: float) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices and kernels decay; biases, norms, scales and position embeddings do not.

    Args:
        parameters: by name; frozen ones are ignored.
        decay: of the first group.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in parameters:
        if parameter.requires_grad:
            kept = parameter.ndim < 2 or name.rpartition(".")[2] in _NOT_DECAYED
            (free if kept else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]


def optimiser(parameters: Iterable[tuple[str, nn.Parameter]], rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over :func:`groups`."""
    return torch.optim.AdamW(groups(parameters, decay), lr=rate, betas=BETAS, eps=1e-6)


def cosine(done: float, step: int, warmup: int) -> float:
    """The factor of the learning rate: linear warm-up over ``warmup`` steps, then half a cosine down to 0.

    Loshchilov and Hutter 2017 ("SGDR"), equation 5, with one period.

    Args:
        done: fraction of the run that is done, 0 to 1.
        step: steps done.
    """
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))


@torch.no_grad()
def follow(average: dict[str, Tensor], live: dict[str, Tensor], keep: float, step: int) -> None:
    """Exponential moving average of the weights, in place; initially with a shorter memory; integers are copied.

    Args:
        keep: the weight of the previous average in each step.
    """
    keep = min(keep, (1 + step) / (10 + step))
    for name, value in live.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - keep)
        else:
            average[name].copy_(value)
