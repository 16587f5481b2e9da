"""InfoNCE compared with the sigmoid loss for small batches, with the same number of pictures seen."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.evaluation.chart import Point
from retrieval.lab.evaluation.tables import Cell, Table
from retrieval.lab.experiments.data import Data
from retrieval.lab.experiments.learning import Loss, Pace, accuracy, learn, made, outputs, transformer
from retrieval.lab.experiments.outcome import Chart, Outcome, compared, joined, outcome, spread
from retrieval.lab.experiments.setting import Setting
from retrieval.lab.training.losses import logits_of, sigmoid_loss, symmetric_nce
from retrieval.lab.training.pairs import CLASS_TEMPLATES
from retrieval.lab.training.towers import SmallClip, TextTower, TextTowerConfig
from retrieval.lab.training.trainable import SIGMOID_BIAS, SIGMOID_SCALE, evaluating

NCE, SIGMOID = "InfoNCE", "sigmoid"
BATCHES = (8, 32, 128)
_DIM = 64
HEAD = ("batch", "steps", f"{NCE} zero-shot acc@1", f"{SIGMOID} zero-shot acc@1")


def run(data: Data, setting: Setting) -> Outcome:
    """Train text and image towers with both losses and several batch sizes.

    All see the same number of pictures, and the rate grows with the root of the batch size, as is usual for Adam.
    """
    words = Words(data.names)
    seen = setting.steps * setting.batch
    found: dict[tuple[str, int], list[float]] = {}
    paces = {
        batch: Pace(max(2, seen // batch), batch, setting.rate * math.sqrt(batch / setting.batch))
        for batch in BATCHES if batch <= len(data.train)
    }  # fmt: skip
    for batch, pace in paces.items():
        for name in (NCE, SIGMOID):
            found[name, batch] = []
            for seed in range(setting.seeds):
                clip = made(partial(build, setting, words, sigmoid=name == SIGMOID), seed)
                learn(clip, data, loss_of(clip, data, words, seed), setting, seed, pace=pace)
                found[name, batch].append(zero_shot(clip, data, words, setting))
    rows: list[tuple[Cell, ...]] = [
        (batch, pace.steps, *(spread(found[name, batch]) for name in (NCE, SIGMOID))) for batch, pace in paces.items()
    ]
    points: list[Point] = []
    largest = max(paces)
    for name in (NCE, SIGMOID):
        line = [Point(name if batch == largest else "", batch, spread(found[name, batch])) for batch in paces]
        points += joined(line, name)
    said = "; ".join(f"batch {b}, {compared(NCE, found[NCE, b], SIGMOID, found[SIGMOID, b])}" for b in paces)
    return outcome(
        data,
        setting,
        [Table("losses", HEAD, tuple(rows))],
        Chart(tuple(points), "pictures in a batch", "zero-shot acc@1"),
        shows=f"{said}. Pictures of one class share their texts, and count as true pairs for both losses.",
        leaves_open="what the losses do with millions of captions: SigLIP's figure 2 is about batches from 512 up. "
        f"Here {len(data.names)} names are learned, and a batch size has one rate for both.",
        steps=f"{seen:,} pictures seen, in batches of {', '.join(map(str, paces))}",
    )


class Words:
    """Class names in templates as token ids: one number per word, 0 after the end.

    A few dozen words need no byte-pair encoding, whose 49,408 embeddings would cost more than both towers per step.

    Args:
        names: of the classes; the vocabulary has their words, and those of :data:`.pairs.CLASS_TEMPLATES`.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        texts = [template.format(name) for template in CLASS_TEMPLATES for name in names]
        known = sorted({word for text in texts for word in text.split()})
        self._ids = {word: at + 1 for at, word in enumerate(known)}
        self.end = len(known) + 1
        self.context = max(len(text.split()) for text in texts) + 1

    def tokens(self, texts: list[str]) -> Tensor:
        """(n, context) int64; the end token has the largest id, as :class:`.towers.TextTower` expects."""
        rows = [[*(self._ids[word] for word in text.split()), self.end] for text in texts]
        return torch.tensor([row + [0] * (self.context - len(row)) for row in rows])


def build(setting: Setting, words: Words, *, sigmoid: bool) -> SmallClip:
    """Both towers, with the initial scale and bias of each loss."""
    text = TextTowerConfig(words.end + 1, words.context, setting.width, 2, setting.heads, _DIM)
    scale, bias = (SIGMOID_SCALE, SIGMOID_BIAS) if sigmoid else (1 / 0.07, None)
    return SmallClip(transformer(setting, _DIM), TextTower(text), scale=scale, bias=bias)


def loss_of(clip: SmallClip, data: Data, words: Words, seed: int) -> Loss:
    """The loss of a batch: each picture with its class's name in a random template."""
    generator = torch.Generator().manual_seed(seed)

    def loss(images: Tensor, rows: Tensor) -> Tensor:
        labels = data.train_labels[rows]
        ways = torch.randint(len(CLASS_TEMPLATES), (len(rows),), generator=generator).tolist()
        texts = [
            CLASS_TEMPLATES[way].format(words.names[label]) for way, label in zip(ways, labels.tolist(), strict=True)
        ]
        seen, said = clip(images, words.tokens(texts))
        positive = labels[:, None] == labels
        if clip.bias is None:
            return symmetric_nce(logits_of(seen, said, clip.scale()), positive)
        return sigmoid_loss(logits_of(seen, said, clip.scale(), clip.bias), positive)

    return loss


@torch.no_grad()
def zero_shot(clip: SmallClip, data: Data, words: Words, setting: Setting) -> float:
    """acc@1 by class names only: normalise, mean over templates, normalise (CLIP, section 3.1.4)."""
    with evaluating(clip):
        each = [clip.text(words.tokens([template.format(name) for name in data.names])) for template in CLASS_TEMPLATES]
    named = F.normalize(torch.stack([F.normalize(one, dim=-1) for one in each]).mean(0), dim=-1)
    return accuracy(outputs(clip, data.test, setting.size, of=clip.image) @ named.T, data.test_labels)
