"""The one loop of the experiments, and what a model is worth: accuracy, features, parameters, FLOPs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from indexes.base import Ids
from retrieval.lab.evaluation.classification import class_ranks
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.setting import Setting
from retrieval.lab.training.augment import Variation, normalised, vary
from retrieval.lab.training.run import MARGIN
from retrieval.lab.training.schedule import cosine, optimiser
from retrieval.lab.training.small import MEAN, STD
from retrieval.lab.training.trainable import evaluating

logger = logging.getLogger("photoseek")

DECAY = 0.05
WARMUP = 0.05
VARIATION = Variation()
_AT_ONCE = 256

Module = TypeVar("Module", bound=nn.Module)
Loss = Callable[[Tensor, Tensor], Tensor]
"""Normalised pictures (n, 3, size, size) and their (n,) rows in ``data.train`` to a scalar."""


@dataclass(frozen=True)
class Pace:
    """How a training differs from the setting: its steps, batch, highest rate and input size (0: the setting's)."""

    steps: int = 0
    batch: int = 0
    rate: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Learned:
    """A training: the mean loss of its last tenth of steps, and pictures a second."""

    loss: float
    rate: float


def made(build: Callable[[], Module], seed: int) -> Module:
    """A model with weights drawn from ``seed``, whatever was drawn before."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return build()


def learn(
    module: nn.Module,
    data: Data,
    loss: Loss,
    setting: Setting,
    seed: int,
    *,
    pace: Pace | None = None,
    after: Callable[[int], None] = lambda step: None,
) -> Learned:
    """Train ``module`` by AdamW with warm-up and half a cosine, in float32; batches and crops are drawn from ``seed``.

    Args:
        loss: of a batch; calls the module.
        after: called with the number of steps done, after each; its time is not counted.
    """
    pace = pace or Pace()
    steps, batch = pace.steps or setting.steps, min(pace.batch or setting.batch, len(data.train))
    rate, size = pace.rate or setting.rate, pace.size or setting.size
    generator = torch.Generator().manual_seed(seed)
    train = resized(data.train, min(data.side, round(MARGIN * size)))
    adam = optimiser(module.named_parameters(), rate, DECAY)
    losses, spent = [], 0.0
    module.train()
    for step, rows in zip(range(steps), _batches(len(data.train), batch, generator), strict=False):
        begun = time.perf_counter()
        images = normalised(vary(train[rows], size, VARIATION, generator), MEAN, STD)
        for group in adam.param_groups:
            group["lr"] = rate * cosine(step / steps, step, round(WARMUP * steps))
        adam.zero_grad(set_to_none=True)
        value = loss(images, rows)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], 1.0)
        adam.step()
        losses.append(float(value.detach()))
        spent += time.perf_counter() - begun
        after(step + 1)
    learned = Learned(float(np.mean(losses[-max(1, steps // 10) :])), steps * batch / max(spent, 1e-9))
    logger.info("%d steps in %.1f s, loss %.3f", steps, spent, learned.loss)
    return learned


def classify(module: nn.Module, data: Data) -> Loss:
    """Cross-entropy of the module's outputs, one a class."""

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(module(images).float(), data.train_labels[rows])

    return loss


@torch.no_grad()
def outputs(
    module: nn.Module,
    pixels: Tensor,
    size: int,
    *,
    of: Callable[[Tensor], Tensor] | None = None,
    change: Callable[[Tensor], Tensor] = lambda images: images,
) -> Tensor:
    """(n, d) float32 outputs for (n, 3, side, side) uint8 pictures, scaled to ``size``.

    Args:
        of: what is asked instead of the module itself.
        change: what is done to normalised pictures before.
    """
    ask = of or module
    with evaluating(module):
        parts = (prepared(pixels[at : at + _AT_ONCE], size) for at in range(0, len(pixels), _AT_ONCE))
        return torch.cat([ask(change(images)).float() for images in parts])


def prepared(pixels: Tensor, size: int) -> Tensor:
    """uint8 pictures as a tower takes them: scaled without aliases, normalised."""
    return normalised(resized(pixels, size).float() / 255, MEAN, STD)


def resized(pixels: Tensor, side: int) -> Tensor:
    """(n, 3, side, side) uint8. Cropping samples without looking at what lies between, so it must not shrink much."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """acc@1."""
    known: Ids = labels.numpy()
    return float((class_ranks(scores.numpy(), known) == 1).mean())


def parameters(module: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@torch.no_grad()
def mflops(run: Callable[[Tensor], object], size: int) -> float:
    """10^6 FLOPs (two a multiply-add) of one picture through ``run``, as they are carried out."""
    # The fused attention of a CPU is unknown to the counter, which would leave it out without a word.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run(torch.zeros(1, 3, size, size))
    return float(counter.get_total_flops()) / 1e6


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows, every picture once before any comes again, but for a rest too small for a batch."""
    while True:
        order = torch.randperm(count, generator=generator)
        yield from (order[at : at + batch] for at in range(0, count - batch + 1, batch))
