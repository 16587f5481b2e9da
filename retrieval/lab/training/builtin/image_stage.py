"""First stage: the image tower learns to match the names of its pictures. The body is frozen (LiT: Zhai et al. 2022).

The names are fixed: each text was embedded once by the sentence encoder and projected to the common space. The loss
has five parts:

* a softmax over the class names (the picture's label);
* a sigmoid over all concepts (everything it is a kind of);
* the body's prediction for the picture from which a view was made, as a soft target over its 1,000 kinds (distillation:
  Hinton et al. 2015), so that accuracy on photos is not lost (Li & Hoiem 2016) and a sketch made of a photo has the
  photo's meaning; not used for pictures that the body predicts wrongly;
* a softmax over the looks ("a photo of a cat", "a sketch of a cat", ...), and one over colour words.

The learning rate rises, stays, and falls only at the end of the given time (warm-up, stable, decay: Hu et al. 2024,
"MiniCPM", section 4): a continued run starts from the stable part, so stopping wastes no time.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.lab.training.builtin.data import Batch, Data, Mixture, Part, take
from retrieval.lab.training.builtin.looks import HUES, LOOK_TEXTS
from retrieval.lab.training.builtin.names import Names
from retrieval.lab.training.half import autocast
from retrieval.lab.training.hybrid import HybridTower
from retrieval.lab.training.losses import logits_of, multi_positive_nce, sigmoid_loss
from retrieval.lab.training.schedule import follow

logger = logging.getLogger("photoseek")

_BELIEVED = 0.2
"""The minimal probability of a picture's own kind, if the body has that kind, for its prediction to be used."""


@dataclass(frozen=True)
class ImageStage:
    """Settings of a run; learning rates are for batches of ``batch`` views."""

    batch: int = 384
    rate: float = 6e-4
    weight_decay: float = 0.05
    warmup: int = 100
    average: float = 0.995
    memory_rate: float = 0.3
    concept_weight: float = 0.125
    belief_weight: float = 1.0
    look_weight: float = 0.2
    colour_weight: float = 0.4


class ImageTraining:
    """A run that can be stopped after any step and continued from its checkpoint.

    Args:
        tower: a new one, with its body; :func:`begin_with_memory` is applied to a new run.
        names: the concepts' texts.
        looks: (c, looks, dim), colours: (c, colours, dim), from :mod:`.names`.
        folder: for checkpoints and the curve.
    """

    def __init__(
        self,
        tower: HybridTower,
        data: Data,
        names: Names,
        looks: Tensor,
        colours: Tensor,
        stage: ImageStage,
        folder: Path,
        *,
        seed: int = 0,
    ) -> None:
        self.stage, self.folder, self.data, self.names = stage, folder, data, names
        self.looks, self.colours = looks, colours
        self.tower = tower
        begin_with_memory(tower, data, names)
        is_a, may_be = (torch.from_numpy(m) for m in data.vocabulary.relations())
        self.is_a, self.may_be = is_a, may_be
        self.is_class = torch.tensor([concept.is_class for concept in data.vocabulary.concepts])
        self.scales = nn.ParameterDict(
            {
                "names": nn.Parameter(torch.tensor(float(np.log(20.0)))),
                "concepts": nn.Parameter(torch.tensor(float(np.log(10.0)))),
                "concept_bias": nn.Parameter(torch.tensor(-8.0)),
                "belief": nn.Parameter(torch.tensor(float(np.log(20.0)))),
                "looks": nn.Parameter(torch.tensor(float(np.log(20.0)))),
                "colours": nn.Parameter(torch.tensor(float(np.log(20.0)))),
            }
        )
        self.learned = _Learned(tower)
        self.average = copy.deepcopy(self.learned.state_dict())
        self.optimizer = torch.optim.AdamW(self._groups(), lr=stage.rate, betas=(0.9, 0.98))
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0
        self.load()
        self.mixture = Mixture(data.train, seed + self.step)

    def _groups(self) -> list[dict[str, Any]]:
        """No decay for biases, norms, positions and the memory; a lower rate for the memory."""
        named = dict(self.learned.named_parameters())
        memory = [named.pop("kinds"), named.pop("log_sharpness")]
        free = [p for name, p in named.items() if p.ndim < 2 or name == "positions"]
        decayed = [p for name, p in named.items() if p.ndim >= 2 and name != "positions"]
        return [
            {"params": decayed, "weight_decay": self.stage.weight_decay, "factor": 1.0},
            {"params": [*free, *self.scales.values()], "weight_decay": 0.0, "factor": 1.0},
            {"params": memory, "weight_decay": 0.0, "factor": self.stage.memory_rate},
        ]

    def run(
        self,
        seconds: float,
        decay_share: float,
        judge: Callable[[HybridTower], dict[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Train for ``seconds`` of ``clock``; the last ``decay_share`` of them with a falling rate.

        The checkpoint for continuing is saved when the decay begins; the result is in ``image.pt``.
        """
        begin = clock()
        stable_until = seconds * (1 - decay_share)
        saved, judged, done = begin, begin, 0
        parked = False
        while (now := clock() - begin) < seconds:
            falling = max(0.0, (now - stable_until) / max(seconds - stable_until, 1e-9))
            if falling and not parked:
                self.save()
                parked = True
            losses = self._one(rate=1 - falling)
            done += self.stage.batch
            if self.step % 50 == 0:
                said = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                logger.info("step %d %s, %.0f overview_maps/s, %.0f s", self.step, said, done / (clock() - begin), now)
            if not parked and clock() - saved > 300:
                self.save()
                saved = clock()
            if clock() - judged > 420:
                self._report(judge)
                judged = clock()
        self._report(judge)
        torch.save(self.averaged().state_dict(), self.folder / "image.pt")

    def averaged(self) -> HybridTower:
        """A copy of the tower with the averaged weights, in evaluation mode."""
        out = copy.deepcopy(self.tower)
        _Learned(out).load_state_dict(self.average)
        return out.eval()

    def _report(self, judge: Callable[[HybridTower], dict[str, float]]) -> None:
        line = {"step": self.step, **judge(self.averaged())}
        logger.info("%s", line)
        with (self.folder / "image-curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _one(self, rate: float) -> dict[str, float]:
        batch = self.mixture.draw(self.stage.batch)
        warm = min(1.0, (self.step + 1) / self.stage.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * group["factor"] * warm * rate
        with autocast():
            seen = self.tower.tokens(batch.grid, batch.cells).mean((2, 3))
        losses = self._losses(self.tower.said(seen.float(), batch.features), batch)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learned.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average, self.learned.state_dict(), self.stage.average, self.step)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self, words: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The weighted parts of the loss for (n, dim) embeddings of unit length."""
        names, columns = self.names.sample(self.generator), batch.columns
        looks, hues = ({key: at for at, key in enumerate(table)} for table in (LOOK_TEXTS, HUES))
        # Among the class names only the picture's own is positive; what it also is, or may be, is not a negative.
        others = (self.is_a[columns] | self.may_be[columns]).scatter(1, columns[:, None], False)
        logits = (self._scale("names") * words @ names.T).masked_fill(others | ~self.is_class, -1e4)
        every = logits_of(words, names, self._scale("concepts"), self.scales["concept_bias"])
        every = every.masked_fill(self.may_be[columns], -1e4)  # a large negative logit costs nothing as a negative
        return {
            "names": multi_positive_nce(logits, F.one_hot(columns, len(names)).bool()),
            "concepts": self.stage.concept_weight * sigmoid_loss(every, self.is_a[columns]),
            "belief": self.stage.belief_weight * self._belief_loss(words, batch),
            "look": self.stage.look_weight
            * self._among(words, columns, self.looks, "looks", [looks.get(look, -1) for look in batch.looks]),
            "colour": self.stage.colour_weight
            * self._among(
                words,
                columns,
                self.colours,
                "colours",
                [hues.get(word or "", -1) for word in batch.colour_words],
            ),
        }

    def _scale(self, name: str) -> Tensor:
        scale: Tensor = self.scales[name].exp()
        return scale.clamp(max=100.0)

    def _belief_loss(self, words: Tensor, batch: Batch) -> Tensor:
        """Cross entropy with the body's prediction for the original, over its kinds, where it may be used."""
        with torch.no_grad():
            belief = self.tower.body.classifier(batch.original).softmax(-1)
            place = torch.full((len(self.names),), -1)
            place[torch.from_numpy(self.data.kinds)] = torch.arange(len(self.data.kinds))
            own = place[batch.columns]
            sure = belief.gather(1, own.clamp(min=0)[:, None])[:, 0] >= _BELIEVED
            drawn = torch.tensor([look == "drawing" for look in batch.looks])
            taught = ((own < 0) & ~drawn) | ((own >= 0) & sure)
        logits = self._scale("belief") * words @ self.names.ensemble[self.data.kinds].T
        each = -(belief * F.log_softmax(logits, dim=-1)).sum(-1)
        total: Tensor = (each * taught).sum()
        return total / len(each)

    def _among(self, words: Tensor, columns: Tensor, forms: Tensor, scale: str, truth: list[int]) -> Tensor:
        """Cross entropy over the forms of each picture's own concept; -1 in ``truth`` is ignored."""
        wanted = torch.tensor(truth)
        logits = self._scale(scale) * torch.einsum("nd,nfd->nf", words, forms[columns])
        return F.cross_entropy(logits, wanted, ignore_index=-1, reduction="sum") / len(wanted)

    def save(self) -> None:
        """Write the checkpoint; the previous one is only replaced when it is complete."""
        part = self.folder / "image-stable.part"
        state = {
            "step": self.step,
            "learned": self.learned.state_dict(),
            "average": self.average,
            "scales": self.scales.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.folder / "image-stable.pt")

    def load(self) -> None:
        """Continue from the checkpoint, if there is one."""
        file = self.folder / "image-stable.pt"
        if file.exists():
            state = torch.load(file, weights_only=True)
            self.step, self.average = state["step"], state["average"]
            self.learned.load_state_dict(state["learned"])
            self.scales.load_state_dict(state["scales"])
            self.optimizer.load_state_dict(state["optimizer"])


class _Learned(nn.Module):
    """The trained part of a tower: everything except its body and its own dimensions. The parameters are shared."""

    def __init__(self, tower: HybridTower) -> None:
        super().__init__()
        self.project_grid, self.patches, self.positions = tower.project_grid, tower.patches, tower.positions
        self.blocks, self.norm, self.learned = tower.blocks, tower.norm, tower.learned
        self.log_sharpness, self.kinds = tower.log_sharpness, tower.kinds


@torch.no_grad()
def begin_with_memory(tower: HybridTower, data: Data, names: Names, pictures: int = 20_000) -> None:
    """Initialise a new tower with the names of the body's kinds, and the principal directions of its features.

    The own dimensions are the principal directions of the body's mean features over training pictures; they are fixed.
    """
    tower.kinds.copy_(names.ensemble[data.kinds])
    features = [part.grids.features[part.rows].astype(np.float32) for part in data.train]
    every = torch.from_numpy(np.concatenate(features))
    every = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:pictures]]
    mean = every.mean(0)
    directions = torch.linalg.eigh((every - mean).T @ (every - mean)).eigenvectors.flip(1).T[: tower.config.own]
    tower.own.weight.copy_(directions)
    tower.own.bias.copy_(-directions @ mean)
    for parameter in (*tower.body.parameters(), *tower.own.parameters(), *tower.painter.parameters()):
        parameter.requires_grad_(False)
    tower.body.eval()


@torch.inference_mode()
def embed(tower: HybridTower, part: Part, batch: int = 512) -> Tensor:
    """(n, words) float32 of unit length: the text part of the embedding of every view of a part."""
    tower.eval()
    out = []
    for start in range(0, len(part), batch):
        views = take(part, np.arange(start, min(start + batch, len(part))))
        with autocast():
            seen = tower.tokens(views.grid, views.cells).mean((2, 3))
        out.append(tower.said(seen.float(), views.features))
    return torch.cat(out)
