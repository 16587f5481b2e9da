"""The training loop of the experiments, and measurements of a model: accuracy, features, parameters, FLOPs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

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
from retrieval.lab.training.towers import ImageTower, ImageTowerConfig
from retrieval.lab.training.trainable import evaluating

logger = logging.getLogger("photoseek")

DECAY = 0.05
WARMUP = 0.05
VARIATION = Variation()
_AT_ONCE = 256

Module = TypeVar("Module", bound=nn.Module)
Loss = Callable[[Tensor, Tensor], Tensor]
"""From normalised pictures (n, 3, size, size) and their (n,) rows in ``data.train`` to a scalar."""


@dataclass(frozen=True)
class Pace:
    """Differences of a training from the setting: its steps, batch, highest rate and input size (0: the setting's)."""

    steps: int = 0
    batch: int = 0
    rate: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Learned:
    """The result of a training: the mean loss of the last tenth of its steps, and pictures per second."""

    loss: float
    rate: float


def made(build: Callable[[], Module], seed: int) -> Module:
    """A model with weights drawn from ``seed``, independent of earlier draws."""
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
        after: called after each step with the number of steps done; its time is not counted.
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
    """Cross-entropy of the module's outputs, one per class."""

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
        of: a function to call instead of the module itself.
        change: applied to the normalised pictures before.
    """
    ask = of or module
    with evaluating(module):
        parts = (prepared(pixels[at : at + _AT_ONCE], size) for at in range(0, len(pixels), _AT_ONCE))
        return torch.cat([ask(change(images)).float() for images in parts])


def prepared(pixels: Tensor, size: int) -> Tensor:
    """uint8 pictures converted to a tower's input: scaled with antialiasing, normalised."""
    return normalised(resized(pixels, size).float() / 255, MEAN, STD)


def resized(pixels: Tensor, side: int) -> Tensor:
    """(n, 3, side, side) uint8. Crops are resampled without antialiasing, so they must not be shrunk much."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """acc@1."""
    known: Ids = labels.numpy()
    return float((class_ranks(scores.numpy(), known) == 1).mean())


def parameters(module: nn.Module) -> int:
    """The number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@torch.no_grad()
def mflops(run: Callable[[Tensor], object], size: int) -> float:
    """10^6 FLOPs (two per multiply-add) of one picture through ``run``, counted while it is executed."""
    # The counter silently ignores the fused attention of a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run(torch.zeros(1, 3, size, size))
    return float(counter.get_total_flops()) / 1e6


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of rows; every picture occurs once per epoch, except for a remainder smaller than a batch."""
    while True:
        order = torch.randperm(count, generator=generator)
        yield from (order[at : at + batch] for at in range(0, count - batch + 1, batch))


def transformer(setting: Setting, classes: int, **changes: Any) -> ImageTower:
    """A vision transformer whose output has one number per class; ``changes`` to its :class:`ImageTowerConfig`."""
    form: dict[str, Any] = {
        "size": setting.size,
        "patch": setting.patch,
        "width": setting.width,
        "layers": setting.layers,
        "heads": setting.heads,
        "dim": classes,
    }
    return ImageTower(ImageTowerConfig(**{**form, **changes}))


def convolutional(setting: Setting, classes: int) -> ImageTower:
    """Three convolutional stages of stride 2 with a residual block in the later two, and the mean over positions.

    It is the stem of the hybrid tower without the attention layers. At the setting's widths it has about as many
    parameters and FLOPs as the transformer with patches of 8 pixels.
    """
    width = setting.width
    stem = (width // 6, width // 2, 4 * width // 3)
    return without_positions(
        transformer(setting, classes, patch=8, layers=0, stem=stem, blocks=(0, 1, 1), pooling="mean")
    )


def without_positions(tower: ImageTower) -> ImageTower:
    """The same tower with position embeddings fixed to zero."""
    with torch.no_grad():
        tower.positions.zero_()
    tower.positions.requires_grad_(False)
    return tower
