"""Second stage: the text tower learns to put every text where the sentence encoder puts it.

It is taught in the sentence encoder's own 384 dimensions, where nothing depends on the pictures, and at the same time
in the common space, where small differences that decide between pictures count more. For shipping, the projection
that the image stage learned is folded into the tower's last matrix.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from retrieval.encoders.merges import MergeTable
from retrieval.encoders.tokenizer import ClipTokenizer
from retrieval.training.builtin.teacher import DIM
from retrieval.training.towers import TextTower, TextTowerConfig

logger = logging.getLogger("photoseek")


@dataclass(frozen=True)
class TextStage:
    """Settings of a run."""

    batch: int = 512
    rate: float = 8e-4
    weight_decay: float = 0.02
    warmup: int = 300
    own_share: float = 0.3


def tower_for(merges: Path, context: int = 32) -> TextTower:
    """A fresh tower for a table of merges: 512 bytes, the merges, start, end."""
    return TextTower(TextTowerConfig(vocabulary=512 + len(MergeTable(merges)) + 2, context=context, dim=DIM))


class Batches:
    """Token rows of similar length, so that little is padding.

    Args:
        tokens: (n, context) int32, zeros behind each text's end token.
        own: how many of the first rows are the vocabulary's own texts, which come more often.
    """

    def __init__(self, tokens: Tensor, own: int, stage: TextStage, seed: int) -> None:
        self._tokens, self._own, self._stage = tokens, own, stage
        self._lengths = (tokens.argmax(1) + 1).numpy()  # zero is a token too, so the padding cannot be counted
        self._random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless: (places in the lesson, their token rows cut to the longest)."""
        size = self._stage.batch
        while True:
            # A pool of batches, sorted by length and dealt out in random order.
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
    """(n, context) int32, zeros behind the end."""
    out = np.zeros((len(texts), context), np.int32)
    for at, text in enumerate(texts):
        ids = tokenizer.encode(text)
        out[at, : len(ids)] = ids
    return torch.from_numpy(out)


def train_texts(
    tower: TextTower,
    tokens: Tensor,
    targets: Tensor,
    own: int,
    projection: Tensor,
    stage: TextStage,
    minutes: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Distil for some minutes, cosine schedule; returns the last mean cosine in the common space.

    Args:
        tokens: (n, context) int32.
        targets: (n, 384) float16, unit length: the sentence encoder's embeddings.
        own: number of first rows that are the vocabulary's own texts.
        projection: (dim, 384), from the sentence encoder's space to the common one.
        clock: seconds, read once a step.
    """
    decayed = [p for p in tower.parameters() if p.ndim >= 2]
    plain = [p for p in tower.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    tower.train()
    begin, shown, cosine = clock(), 0.0, 0.0
    for step, (places, rows) in enumerate(Batches(tokens, own, stage, seed=0)):
        spent = (clock() - begin) / (minutes * 60)
        if spent >= 1:
            break
        rate = stage.rate * min(1.0, (step + 1) / stage.warmup) * (1 + np.cos(np.pi * spent)) / 2
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = tower(rows)
        made = F.normalize(made.float(), dim=-1)
        wanted = targets[places].float()
        raw = 1 - (made * wanted).sum(-1).mean()
        common = 1 - F.cosine_similarity(made @ projection.T, wanted @ projection.T, dim=-1).mean()
        optimizer.zero_grad(set_to_none=True)
        (raw + 2 * common).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        cosine = 0.98 * cosine + 0.02 * (1 - float(common.detach())) if step else 1 - float(common.detach())
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            logger.info("texts: step %d raw %.4f common %.4f", step, float(raw.detach()), float(common.detach()))
    return cosine


def folded(tower: TextTower, projection: Tensor) -> TextTower:
    """The tower with the projection to the common space in its last matrix."""
    config = TextTowerConfig(**{**tower.config.__dict__, "dim": len(projection)})
    out = TextTower(config)
    state = tower.state_dict()
    state["project.weight"] = projection.to(state["project.weight"]) @ state["project.weight"]
    out.load_state_dict(state)
    return out.eval()


def warm_start(tower: TextTower, file: Path) -> None:
    """Begin with the blocks of an earlier text tower of the same shape; its last matrix belongs to another space."""
    old = load_file(file)
    if tuple(old["token_embedding.weight"].shape) != tuple(tower.tokens.weight.shape):
        logger.info("texts: %s has another shape; starting from nothing", file)
        return
    state: dict[str, Any] = {
        "tokens.weight": old["token_embedding.weight"],
        "positions": old["positional_embedding"],
        "norm.weight": old["ln_final.weight"],
        "norm.bias": old["ln_final.bias"],
    }
    parts = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "attention.out": "attn.out_proj",
        "perceptron.0": "mlp.c_fc",
        "perceptron.2": "mlp.c_proj",
    }
    for layer in range(tower.config.layers):
        for kind in ("weight", "bias"):
            prefix = f"transformer.resblocks.{layer}."
            for mine, theirs in parts.items():
                state[f"blocks.{layer}.{mine}.{kind}"] = old[f"{prefix}{theirs}.{kind}"]
            state[f"blocks.{layer}.attention.query_key_value.{kind}"] = old[f"{prefix}attn.in_proj_{kind}"]
    tower.load_state_dict({key: value.float() for key, value in state.items()}, strict=False)
