"""Which fraction of a picture a masked autoencoder should hide: reconstruction, k-NN on its features, and its cost."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.evaluation.chart import Point
from retrieval.lab.evaluation.neighbours import knn_scores
from retrieval.lab.evaluation.tables import Cell, Table
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import Loss, Pace, accuracy, learn, made, mflops, outputs, prepared, transformer
from retrieval.lab.experiments.mae import DecoderConfig, MaskedAutoencoder, mask
from retrieval.lab.experiments.mae_picture import Shown, sheet
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, outcome, spread
from retrieval.lab.experiments.setting import Setting
from retrieval.streams import plural

RATIOS = (0.25, 0.5, 0.75, 0.9)
PATCH = 8
_LONGER = 2  # times the setting's steps: reconstruction learns more slowly than classification
_SHOWN = 6
_KNOWN = 100  # labelled pictures per class that vote; embedding all of them would take longer than training
HEAD = ("hidden", "visible patches", "encoder MFLOPs", "loss on hidden patches", "k-NN acc@1")


def run(data: Data, setting: Setting) -> Outcome:
    """Pre-train with each fraction of hidden patches, without labels; evaluate the features by nearest neighbours."""
    pace = Pace(steps=_LONGER * setting.steps)
    near: dict[float, list[float]] = {ratio: [] for ratio in RATIOS}
    losses: dict[float, list[float]] = {ratio: [] for ratio in RATIOS}
    untrained, shown = [], []
    patches = (setting.size // PATCH) ** 2
    costs = {}
    for seed in range(setting.seeds):
        untrained.append(_nearest(made(lambda: build(setting), seed), data, setting))
        for ratio in RATIOS:
            model = made(lambda: build(setting), seed)
            learn(model, data, _loss(model, ratio, seed), setting, seed, pace=pace)
            near[ratio].append(_nearest(model, data, setting))
            losses[ratio].append(_held_out(model, data, setting, ratio))
            if seed == 0:
                shown.append(_show(model, data, setting, ratio))
                masking = mask(torch.rand(1, patches), ratio)
                costs[ratio] = mflops(partial(model.encode, masking=masking), setting.size)
    rows: list[tuple[Cell, ...]] = [
        (f"{ratio:.0%}", int(patches * (1 - ratio)), costs[ratio], spread(losses[ratio]), spread(near[ratio]))
        for ratio in RATIOS
    ]
    whole = mflops(model.encode, setting.size)
    rows.append(("weights untrained", patches, whole, None, spread(untrained)))
    rows.append(("no model: pixels", patches, None, None, _pixels(data, setting)))
    points = [Point(f"{ratio:.0%}", 100 * ratio, spread(near[ratio])) for ratio in RATIOS]
    others = "; ".join(compared("75%", near[0.75], f"{each:.0%}", near[each]) for each in RATIOS if each != 0.75)
    return outcome(
        data,
        setting,
        [Table("masking", HEAD, tuple(rows))],
        Chart(tuple(points), "share of patches hidden, %", "k-NN acc@1"),
        shows=f"for k-NN, {others}. Against weights that were never trained: "
        f"{compared('75%', near[0.75], 'untrained', untrained)}. At 75 % the encoder computes "
        f"{costs[0.75] / whole:.0%} of the FLOPs of a whole picture.",
        leaves_open="which share is best for large models: the paper's 75 % (figure 5) is that of ViT-L after 800 "
        "epochs of ImageNet. Losses of different shares are about other patches and cannot be compared; k-NN favours "
        "colour, which pixels give away for nothing.",
        steps=f"{plural(pace.steps, 'step')} of {plural(setting.batch, 'picture')}, no labels",
        pictures=sheet(shown),
    )


def build(setting: Setting) -> MaskedAutoencoder:
    """The encoder of the other experiments with patches of 8 pixels, and a decoder of half its width with one block."""
    tower = transformer(setting, setting.width, patch=PATCH, pooling="cls")
    return MaskedAutoencoder(tower, DecoderConfig(width=setting.width // 2, layers=1, heads=setting.heads))


def _loss(model: MaskedAutoencoder, ratio: float, seed: int) -> Loss:
    generator = torch.Generator().manual_seed(seed)

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        patches = model.tower.config.grid**2
        return model.loss(images, mask(torch.rand(len(images), patches, generator=generator), ratio))

    return loss


def _nearest(model: MaskedAutoencoder, data: Data, setting: Setting) -> float:
    data = data.few(_KNOWN, seed=0)
    known, asked = (outputs(model, each, setting.size, of=model.features) for each in (data.train, data.test))
    return _knn(known, asked, data)


def _pixels(data: Data, setting: Setting) -> float:
    """k-NN on pixels of pictures reduced to 16 x 16, minus their mean: a baseline without a model."""
    data = data.few(_KNOWN, seed=0)
    known, asked = (prepared(each, 16).flatten(1) for each in (data.train, data.test))
    return _knn(known, asked, data)


def _knn(known: Tensor, asked: Tensor, data: Data) -> float:
    # The features of one model are in a narrow cone: with their common mean, all votes would be nearly equal.
    centre = known.mean(0)
    unit = [F.normalize(each - centre, dim=-1).numpy().astype(np.float32) for each in (asked, known)]
    scores = knn_scores(unit[0], unit[1], data.train_labels.numpy(), len(data.names))
    return accuracy(torch.from_numpy(scores), data.test_labels)


@torch.no_grad()
def _held_out(model: MaskedAutoencoder, data: Data, setting: Setting, ratio: float) -> float:
    model.eval()
    images = prepared(data.test, setting.size)
    noise = torch.rand(len(images), model.tower.config.grid**2, generator=torch.Generator().manual_seed(0))
    return float(model.loss(images, mask(noise, ratio)))


@torch.no_grad()
def _show(model: MaskedAutoencoder, data: Data, setting: Setting, ratio: float) -> Shown:
    step = max(1, len(data.test) // _SHOWN)
    images = prepared(data.test[::step][:_SHOWN], setting.size)
    noise = torch.rand(len(images), model.tower.config.grid**2, generator=torch.Generator().manual_seed(0))
    masking = mask(noise, ratio)
    return Shown(f"{ratio:.0%} hidden", images, masking.hidden, model.decode(model.encode(images, masking), masking))
