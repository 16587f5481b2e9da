"""A transformer without position embeddings: what it still learns, and that it cannot tell patches' places."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.evaluation.tables import Table
from retrieval.experiments.curves import Way, curve_points, follow
from retrieval.experiments.data import Data
from retrieval.experiments.learning import accuracy, outputs
from retrieval.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.experiments.setting import Setting
from retrieval.experiments.towers import transformer, without_positions

WITH, WITHOUT = "with positions", "without"
HEAD = ("position embeddings", "acc@1", "acc@1, patches in another order")


def run(data: Data, setting: Setting) -> Outcome:
    """Train with and without; judge on the pictures, and on the same pictures with their patches in another order."""
    classes = len(data.names)
    ways: dict[str, Way] = {
        WITH: lambda: transformer(setting, classes),
        WITHOUT: lambda: without_positions(transformer(setting, classes)),
    }
    disordered = partial(shuffled, patch=setting.patch)

    def in_disorder(tower: nn.Module) -> float:
        return accuracy(outputs(tower, data.test, setting.size, change=disordered), data.test_labels)

    found = {name: follow(build, data, setting, then=in_disorder) for name, build in ways.items()}
    rows = [(name, spread(each.last), spread(each.then)) for name, each in found.items()]
    table = Table("position embeddings", HEAD, tuple(rows))
    points = [point for name, each in found.items() for point in curve_points(name, each)]
    notes = [
        f"Shows: {compared(WITH, found[WITH].last, WITHOUT, found[WITHOUT].last)}. Patches in another order: "
        f"{compared('in order', found[WITH].last, 'shuffled', found[WITH].then)} for the tower with positions, and not "
        "one answer changes for the one without, which sees a picture as a bag of patches.",
        "Does not show how much places matter in general: here a patch is large and its content says much. In small and "
        "short trainings the difference is often within the noise; ViT's table 8 has 3 points on ImageNet.",
    ]
    return outcome(data, setting, [table], notes, Chart(tuple(points), "pictures seen in training", "acc@1"))


def shuffled(images: Tensor, patch: int) -> Tensor:
    """The same patches of (n, 3, H, W) in another order, one for all pictures."""
    cut = F.unfold(images, kernel_size=patch, stride=patch)
    order = torch.randperm(cut.shape[-1], generator=torch.Generator().manual_seed(0))
    return F.fold(cut[..., order], (images.shape[-2], images.shape[-1]), kernel_size=patch, stride=patch)
