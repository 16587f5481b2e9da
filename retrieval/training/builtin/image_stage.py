"""First stage: the image tower learns to meet the names of what it sees.

The names stand still: each concept's ways of being written were embedded once by the sentence encoder, and only one
matrix, from its 384 dimensions to the common space, is learned with the image tower. The loss is a softmax over the
class names (what the picture is called) and a sigmoid over all concepts (everything it is a kind of).

The learning rate rises, stays, and falls only at the end of the time given (warm-up, stable, decay: Hu et al. 2024,
"MiniCPM", section 4): a run that is continued goes on from the stable part, so no hour is lost by stopping. The stable
part sees small pictures, which costs two thirds of the time; the tower meets the size that it is used at while the rate
falls (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
"""

from __future__ import annotations

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

from retrieval.training.builtin.concepts import Vocabulary
from retrieval.training.builtin.pictures import Collection, Mixture, plain
from retrieval.training.losses import logits_of, multi_positive_nce, sigmoid_loss
from retrieval.training.towers import ImageTower, ImageTowerConfig

logger = logging.getLogger("photoseek")

TOWER = ImageTowerConfig(
    size=64, patch=16, width=320, layers=2, heads=5, dim=256, stem=(32, 96, 224, 320), blocks=(0, 2, 3, 0)
)


@dataclass(frozen=True)
class ImageStage:
    """Settings of a run; learning rates are for batches of ``batch`` pictures."""

    batch: int = 256
    rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 500
    stable_size: int = 48
    final_size: int = 64
    average: float = 0.998
    concept_weight: float = 0.5
    projection_rate: float = 0.2


class Names(nn.Module):
    """The concepts' texts in the common space: a frozen table of sentence embeddings under a learned projection."""

    written: Tensor
    counts: Tensor

    def __init__(self, written: Tensor, counts: Tensor, dim: int) -> None:
        """``written``: (c, v, 384), v ways to write each concept, of which the first ``counts`` (c,) are real."""
        super().__init__()
        self.register_buffer("written", written, persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.project = nn.Linear(written.shape[-1], dim, bias=False)
        with torch.no_grad():
            # Principal directions: the cosines of the sentence encoder survive the first steps.
            means = F.normalize(written.sum(1) / counts[:, None], dim=-1)
            directions = torch.linalg.svd(means, full_matrices=False).Vh[:dim]
            self.project.weight[: len(directions)] = directions
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(1 / 0.07))))
        self.log_concept_scale = nn.Parameter(torch.tensor(float(np.log(10.0))))
        self.concept_bias = nn.Parameter(torch.tensor(-10.0))

    def sample(self, generator: torch.Generator) -> Tensor:
        """(c, dim) of unit length: one way to write each concept, chosen at random."""
        pick = (torch.rand(len(self.counts), generator=generator) * self.counts).long()
        chosen = self.written[torch.arange(len(pick)), pick]
        return F.normalize(self.project(chosen), dim=-1)

    def ensemble(self) -> Tensor:
        """(c, dim) of unit length: the mean over all ways to write each concept."""
        mask = torch.arange(self.written.shape[1])[None] < self.counts[:, None]
        each = F.normalize(self.project(self.written), dim=-1) * mask[..., None]
        return F.normalize(each.sum(1), dim=-1)


def names_of(vocabulary: Vocabulary, encode: Callable[[list[str]], Tensor], dim: int) -> Names:
    """The table of a vocabulary, embedded by ``encode`` (texts to (n, 384))."""
    texts = [concept.texts() for concept in vocabulary.concepts]
    flat = encode([text for group in texts for text in group])
    counts = torch.tensor([len(group) for group in texts])
    written = torch.zeros(len(texts), int(counts.max()), flat.shape[-1])
    start = 0
    for at, group in enumerate(texts):
        written[at, : len(group)] = flat[start : start + len(group)]
        start += len(group)
    return Names(written, counts, dim)


class ImageTraining:
    """A run that can be stopped after any step and continued from its checkpoint."""

    def __init__(
        self,
        names: Names,
        vocabulary: Vocabulary,
        collections: list[Collection],
        shares: list[float],
        columns: list[np.ndarray[Any, np.dtype[np.int64]]],
        stage: ImageStage,
        folder: Path,
        *,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.stage, self.folder, self.names = stage, folder, names
        self.tower = ImageTower(TOWER).to(memory_format=torch.channels_last)
        self.average = ImageTower(TOWER).to(memory_format=torch.channels_last)
        self.average.load_state_dict(self.tower.state_dict())
        self.optimizer = torch.optim.AdamW(self._groups(), lr=stage.rate, betas=(0.9, 0.98))
        self.step = 0
        self.columns = columns
        is_a, may_be = (torch.from_numpy(m) for m in vocabulary.relations())
        self.is_class = torch.tensor([c.is_class for c in vocabulary.concepts])
        self.is_a, self.may_be = is_a, may_be
        self.generator = torch.Generator().manual_seed(seed)
        self._sources = (collections, shares)
        self.load()
        self.mixture = Mixture(collections, shares, seed + self.step)

    def _groups(self) -> list[dict[str, Any]]:
        """No decay on biases, norms, positions; a slower projection of the names."""
        decayed = [p for p in self.tower.parameters() if p.ndim >= 2 and p is not self.tower.positions]
        plain_ = [p for p in self.tower.parameters() if p.ndim < 2 or p is self.tower.positions]
        scales = [self.names.log_scale, self.names.log_concept_scale, self.names.concept_bias]
        return [
            {"params": decayed, "weight_decay": self.stage.weight_decay, "factor": 1.0},
            {"params": [*plain_, *scales], "weight_decay": 0.0, "factor": 1.0},
            {
                "params": [self.names.project.weight],
                "weight_decay": 0.0,
                "factor": self.stage.projection_rate,
            },
        ]

    def run(
        self,
        seconds: float,
        decay_share: float,
        judge: Callable[[ImageTower, Names], dict[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Train for ``seconds`` of ``clock``; the last ``decay_share`` of them with a falling rate.

        The checkpoint to continue from is taken when the decay begins; the result is in ``decayed.pt``.
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
            size = self.stage.final_size if falling else self.stage.stable_size
            loss = self._one(size, rate=1 - falling)
            done += self.stage.batch
            if self.step % 100 == 0:
                speed = done / (clock() - begin)
                logger.info("step %d loss %.3f %.0f img/s %.0f s", self.step, loss, speed, now)
            due = clock() - judged > 900
            if not parked and (due or clock() - saved > 300):
                self.save()
                saved = clock()
            if due:
                self._report(judge)
                judged = clock()
        self._report(judge)
        torch.save(self._state(), self.folder / "decayed.pt")

    def _report(self, judge: Callable[[ImageTower, Names], dict[str, float]]) -> None:
        line = {"step": self.step, **judge(self.average, self.names)}
        logger.info("%s", line)
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _one(self, size: int, rate: float) -> float:
        images, which = self.mixture.draw(self.stage.batch, size)
        labels = torch.tensor([int(self.columns[c][place]) for c, place in which])
        warm = min(1.0, (self.step + 1) / self.stage.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * group["factor"] * warm * rate
        self.tower.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = self.tower(images)
        seen = F.normalize(seen.float(), dim=-1)
        loss = self._loss(seen, self.names.sample(self.generator), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.tower.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return float(loss.detach())

    def _loss(self, seen: Tensor, names: Tensor, labels: Tensor) -> Tensor:
        cosine = seen @ names.T
        # Among the class names only the picture's own is true; what it also is, or may be, is no rival.
        others = (self.is_a[labels] | self.may_be[labels]).scatter(1, labels[:, None], False)
        logits = (self.names.log_scale.exp().clamp(max=100) * cosine).masked_fill(others | ~self.is_class, -1e4)
        own = F.one_hot(labels, len(names)).bool()
        named = multi_positive_nce(logits, own)
        every = logits_of(seen, names, self.names.log_concept_scale.exp(), self.names.concept_bias)
        every = every.masked_fill(self.may_be[labels], -1e4)  # a large negative logit costs nothing as a negative
        return named + self.stage.concept_weight * sigmoid_loss(every, self.is_a[labels]) / 4

    @torch.no_grad()
    def _follow(self) -> None:
        """Exponential average of the weights; the running statistics of the norms are copied."""
        keep = min(self.stage.average, (1 + self.step) / (10 + self.step))
        for mine, theirs in zip(self.average.parameters(), self.tower.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)
        for kept, new in zip(self.average.buffers(), self.tower.buffers(), strict=True):
            kept.copy_(new)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "tower": self.tower.state_dict(),
            "average": self.average.state_dict(),
            "names": self.names.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def save(self) -> None:
        """Write the checkpoint, replacing the one before only when complete."""
        part = self.folder / "stable.part"
        torch.save(self._state(), part)
        part.replace(self.folder / "stable.pt")

    def load(self) -> None:
        """Continue from the checkpoint, if there is one."""
        file = self.folder / "stable.pt"
        if file.exists():
            state = torch.load(file, weights_only=True)
            self.step = state["step"]
            self.tower.load_state_dict(state["tower"])
            self.average.load_state_dict(state["average"])
            self.names.load_state_dict(state["names"])
            self.optimizer.load_state_dict(state["optimizer"])


@torch.inference_mode()
def embed(tower: ImageTower, collection: Collection, size: int = 64, batch: int = 500) -> Tensor:
    """(n, dim) float32 of unit length."""
    tower.eval()
    out = []
    for start in range(0, len(collection), batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = tower(plain(collection.pixels[start : start + batch], size))
        out.append(F.normalize(seen.float(), dim=-1))
    return torch.cat(out)
