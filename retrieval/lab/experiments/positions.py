"""A transformer without position embeddings: what it still learns, and that it ignores the positions of patches."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.lab.evaluation.tables import Table
from retrieval.lab.experiments.curves import Way, curve_points, follow
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import accuracy, outputs, transformer, without_positions
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.lab.experiments.setting import Setting

WITH, WITHOUT = "with positions", "without"
HEAD = ("position embeddings", "acc@1", "acc@1, patches in another order")


def run(data: Data, setting: Setting) -> Outcome:
    """Train with and without; evaluate on the pictures, and on the same pictures with their patches reordered."""
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
    same = found[WITHOUT].last == found[WITHOUT].then
    return outcome(
        data,
        setting,
        [table],
        Chart(tuple(points), "pictures seen in training", "acc@1"),
        shows=f"{compared(WITH, found[WITH].last, WITHOUT, found[WITHOUT].last)}. Patches in another order, with "
        f"positions: {compared('in order', found[WITH].last, 'shuffled', found[WITH].then)}. Without positions "
        f"accuracy is {'then the same' if same else 'then another by rounding alone'}: a picture is a bag of patches.",
        leaves_open="how much places matter in general: a patch is a sixteenth of the picture here, and its content "
        "says much. ViT's table 8 (appendix D.4) has the difference for a large model.",
    )


def shuffled(images: Tensor, patch: int) -> Tensor:
    """The same patches of (n, 3, H, W) in another order, equal for all pictures."""
    cut = F.unfold(images, kernel_size=patch, stride=patch)
    order = torch.randperm(cut.shape[-1], generator=torch.Generator().manual_seed(0))
    return F.fold(cut[..., order], (images.shape[-2], images.shape[-1]), kernel_size=patch, stride=patch)
