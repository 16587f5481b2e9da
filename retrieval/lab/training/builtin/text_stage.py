"""Second stage: the text tower learns to reproduce the sentence encoder's embeddings.

It is trained in the sentence encoder's own 384 dimensions, where nothing depends on the pictures, and at the same time
in the common space, where small differences that distinguish pictures have more weight. For shipping, the projection
learned in the image stage is folded into the tower's last matrix. :mod:`.further` continues a finished tower.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from retrieval.encoders.files.merges import MergeTable
from retrieval.encoders.onnx.tokenizer import ClipTokenizer
from retrieval.lab.training.builtin.finished import text_state
from retrieval.lab.training.builtin.teacher import DIM
from retrieval.lab.training.half import autocast
from retrieval.lab.training.schedule import follow
from retrieval.lab.training.towers import TextTower, TextTowerConfig

logger = logging.getLogger("photoseek")

Loss = Callable[[Tensor, Tensor], Tensor]
"""From (n, d) texts as the tower says them and (n, d) as they should be, both of unit length, to what is made small."""

_RIDGE = 1e-3
"""Added to the diagonal of the least squares, as a fraction of a feature's mean square."""


@dataclass(frozen=True)
class TextStage:
    """Settings of a run."""

    batch: int = 512
    rate: float = 8e-4
    weight_decay: float = 0.02
    warmup: int = 300
    own_share: float = 0.1
    average: float = 0.999


def tower_for(merges: Path, context: int = 32) -> TextTower:
    """A new tower for a table of merges: 512 bytes, the merges, start, end."""
    return TextTower(TextTowerConfig(vocabulary=512 + len(MergeTable(merges)) + 2, context=context, dim=DIM))


class Batches:
    """Token rows of similar length, to reduce padding.

    Args:
        tokens: (n, context) int32, zeros after each text's end token.
        own: how many of the first rows are the vocabulary's own texts, which are more frequent.
    """

    def __init__(self, tokens: Tensor, own: int, stage: TextStage, seed: int) -> None:
        self._tokens, self._own, self._stage = tokens, own, stage
        self._lengths = (tokens.argmax(1) + 1).numpy()  # zero is also a token, so padding cannot be counted
        self._random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless: (positions in the lesson, their token rows truncated to the longest)."""
        size = self._stage.batch
        while True:
            # A pool of batches, sorted by length and used in random order.
            count = 40 * size
            own = int(count * self._stage.own_share)
            pool = np.concatenate(
                [self._random.integers(0, self._own, own), self._random.integers(0, len(self._tokens), count - own)]
            )
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            for at in self._random.permutation(40):
                places = torch.from_numpy(pool[at * size : (at + 1) * size])
                rows = self._tokens[places]
                yield places, rows[:, : int(self._lengths[places].max())].long()


def tokenize(texts: list[str], tokenizer: ClipTokenizer, context: int = 32) -> Tensor:
    """(n, context) int32, zeros after the end."""
    out = np.zeros((len(texts), context), np.int32)
    for at, text in enumerate(texts):
        ids = tokenizer.encode(text)
        out[at, : len(ids)] = ids
    return torch.from_numpy(out)


def in_both_spaces(common: Tensor) -> Loss:
    """The distance in the sentence encoder's space and, counted twice, in the common one, (dim, 384) from there."""

    def loss(made: Tensor, wanted: Tensor) -> Tensor:
        raw = 1 - (made * wanted).sum(-1).mean()
        return raw + 2 * (1 - F.cosine_similarity(made @ common.T, wanted @ common.T, dim=-1).mean())

    return loss


class TextTraining:
    """A run that can be stopped after any step and continued from its checkpoint.

    Args:
        tower: its weights initialise a new run; its embeddings are in the space of the targets.
        tokens: (n, context) int32.
        targets: (n, d) float16, unit length.
        own: number of first rows that are the vocabulary's own texts.
        loss: :func:`in_both_spaces`, or that of :mod:`.further`.
        folder: for checkpoints and the curve.
    """

    def __init__(
        self,
        tower: TextTower,
        tokens: Tensor,
        targets: Tensor,
        own: int,
        loss: Loss,
        stage: TextStage,
        folder: Path,
        *,
        seed: int = 0,
    ) -> None:
        self.stage, self.folder, self.loss, self.targets = stage, folder, loss, targets
        self.tower = tower
        decayed = [p for p in tower.parameters() if p.ndim >= 2]
        plain = [p for p in tower.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98), fused=True)
        self.average = copy.deepcopy(tower)
        self.step = 0
        self._load()
        self._batches = iter(Batches(tokens, own, stage, seed + self.step))

    def run(
        self,
        seconds: float,
        decay_share: float,
        judge: Callable[[TextTower], dict[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Distil for ``seconds`` of ``clock``; the last ``decay_share`` of them with a falling rate.

        The checkpoint for continuing is saved when the decay begins; the result is in ``text.pt``.
        """
        begin = saved = judged = clock()
        stable_until = seconds * (1 - decay_share)
        parked = False
        while (now := clock() - begin) < seconds:
            falling = max(0.0, (now - stable_until) / max(seconds - stable_until, 1e-9))
            if falling and not parked:
                self.save()
                parked = True
            loss = self._one(rate=1 - falling)
            if self.step % 100 == 0:
                logger.info("texts: step %d loss %.4f, %.0f s", self.step, loss, now)
            if not parked and clock() - saved > 120:
                self.save()
                saved = clock()
            if clock() - judged > 300:
                self._report(judge)
                judged = clock()
        self._report(judge)
        torch.save(self.average.state_dict(), self.folder / "text.pt")

    def _one(self, rate: float) -> float:
        places, rows = next(self._batches)
        warm = min(1.0, (self.step + 1) / self.stage.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.rate * warm * rate
        self.tower.train()
        # The fused kernels are optimised for long rows: with nine tokens their backward pass takes most of a step.
        with sdpa_kernel(SDPBackend.MATH), autocast():
            made = self.tower(rows)
        loss = self.loss(F.normalize(made.float(), dim=-1), self.targets[places].float())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.tower.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average.state_dict(), self.tower.state_dict(), self.stage.average, self.step)
        return float(loss.detach())

    def _report(self, judge: Callable[[TextTower], dict[str, float]]) -> None:
        line = {"step": self.step, **judge(self.average)}
        logger.info("%s", line)
        with (self.folder / "text-curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the checkpoint; the previous one is only replaced when it is complete."""
        part = self.folder / "text-stable.part"
        state = {
            "step": self.step,
            "tower": self.tower.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, part)
        part.replace(self.folder / "text-stable.pt")

    def _load(self) -> None:
        file = self.folder / "text-stable.pt"
        if file.exists():
            state = torch.load(file, weights_only=True)
            self.step = state["step"]
            self.tower.load_state_dict(state["tower"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])


@torch.inference_mode()
def fidelities(tower: TextTower, judged: Mapping[str, tuple[Tensor, Tensor]], common: Tensor) -> dict[str, float]:
    """:func:`fidelity` of several named lists of texts, each (n, context) tokens and (n, 384) targets."""
    return {
        f"{name}/{space}": cosine
        for name, (tokens, targets) in judged.items()
        for space, cosine in fidelity(tower, tokens, targets, common).items()
    }


@torch.inference_mode()
def fidelity(tower: TextTower, tokens: Tensor, targets: Tensor, common: Tensor) -> dict[str, float]:
    """Mean cosines of (n, context) texts to (n, 384) targets: in the sentence encoder's space and the common one."""
    made = said_by(tower, tokens)
    wanted = targets.float()
    raw = F.cosine_similarity(made, wanted, dim=-1).mean()
    projected = F.cosine_similarity(made @ common.T, wanted @ common.T, dim=-1).mean()
    return {"sentence": round(float(raw), 4), "common": round(float(projected), 4)}


def said_by(tower: TextTower, tokens: Tensor) -> Tensor:
    """(n, context) token rows to (n, d) float32."""
    tower.eval()
    parts = [tokens[start : start + 256] for start in range(0, len(tokens), 256)]
    return torch.cat([tower(part[:, : int((part.argmax(1) + 1).max())].long()) for part in parts]).float()


def folded(tower: TextTower, projection: Tensor) -> TextTower:
    """The tower with the projection to the common space in its last matrix."""
    config = TextTowerConfig(**{**tower.config.__dict__, "dim": len(projection)})
    out = TextTower(config)
    state = tower.state_dict()
    state["project.weight"] = projection.to(state["project.weight"]) @ state["project.weight"]
    out.load_state_dict(state)
    return out.eval()


@torch.inference_mode()
def warm_start(tower: TextTower, file: Path, tokens: Tensor, targets: Tensor, texts: int = 8000) -> None:
    """Initialise with the blocks of an earlier text tower, if it has the same shape.

    Its last matrix belongs to another space: the initial one is the least-squares solution from the blocks' output for
    some texts to the targets, which saves hundreds of steps.

    Args:
        file: an earlier ``text.safetensors``.
        tokens, targets: of the lesson.
        texts: how many of them are used.
    """
    old = load_file(file)
    if tuple(old["token_embedding.weight"].shape) != tuple(tower.tokens.weight.shape):
        logger.info("texts: %s has another shape; starting from nothing", file)
        return
    tower.load_state_dict(text_state(file, tower.config.layers), strict=False)
    some = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))[:texts]
    some = some[tokens[some].argmax(1).argsort()]
    projection, tower.project = tower.project, nn.Identity()  # type: ignore[assignment]
    features = said_by(tower, tokens[some])
    tower.project = projection
    square = features.T @ features
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square))
    projection.weight.copy_(torch.linalg.solve(square, features.T @ targets[some].float()).T)
