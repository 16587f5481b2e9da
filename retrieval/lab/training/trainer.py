"""The loop: batches, loss, step, validation, checkpoints; can be stopped after any step and continued exactly.

Everything random is drawn from (seed, epoch) or (seed, step), so an interrupted run uses the same batches,
crops and wordings as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from indexes.base import Ids
from retrieval.errors import EncoderError, SettingsError
from retrieval.lab.training import gradcache
from retrieval.lab.training.augment import Variation, normalised, vary
from retrieval.lab.training.checkpoint import (
    State,
    load_into,
    optimiser_tensors,
    read_state,
    restore_optimiser,
    with_prefix,
    without_prefix,
    write_state,
)
from retrieval.lab.training.half import autocast
from retrieval.lab.training.judging import Scores, judge
from retrieval.lab.training.losses import logits_of, sigmoid_loss, symmetric_nce
from retrieval.lab.training.pixels import Loaded
from retrieval.lab.training.schedule import cosine, follow, optimiser
from retrieval.lab.training.trainable import Trainable

LossName = Literal["clip", "siglip"]
LAST, BEST = "last.safetensors", "best.safetensors"
_SAVE_SECONDS = 120.0
_VALIDATIONS = 10  # per run, not per epoch: some epochs have three steps, some take an hour
_MAY_CHANGE = ("epochs", "minutes")


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Args:
        loss: ``clip`` (InfoNCE) or ``siglip`` (sigmoid).
        epochs, minutes: the run ends at the first limit reached; None means no limit.
        batch: pictures whose texts are each other's negatives.
        chunk: how many of them are in memory with a graph, see :mod:`.gradcache`; 0: all.
        rate: the highest learning rate.
        weight_decay: of matrices and kernels.
        warmup: fraction of the steps in which the rate rises.
        average: weight of the previous average in an exponential average of the weights; 0: the last weights are used.
        clip_norm: largest norm of the gradient.
        precision: of the towers; the loss is always float32. ``auto`` is bf16 on a GPU and on a CPU that supports
            it (two to three times as fast there), else fp32.
        seed: of batches, crops and wordings.
        variation: how pictures are varied.
    """

    loss: LossName = "clip"
    epochs: int | None = 20
    minutes: float | None = None
    batch: int = 256
    chunk: int = 0
    rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    average: float = 0.0
    clip_norm: float = 1.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0
    variation: Variation = field(default_factory=Variation)

    def __post_init__(self) -> None:
        if self.loss not in ("clip", "siglip"):
            raise SettingsError(f"no loss is called {self.loss!r}", "use clip or siglip")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise SettingsError(f"{self.precision!r} is no precision to train in", "use auto, bf16 or fp32")
        if self.epochs is None and self.minutes is None:
            raise SettingsError("the run would never end", "give --epochs, --minutes, or both")
        for name, low in (("epochs", 1), ("minutes", 0), ("batch", 2), ("chunk", 0), ("rate", 0), ("weight_decay", 0)):
            value = getattr(self, name)
            if value is not None and not low <= value < float("inf"):
                raise SettingsError(f"--{name.replace('_', '-')} is {value}", f"give a number from {low} up")
        if not 0 <= self.average < 1:
            raise SettingsError(f"--average is {self.average}", "give a share below 1, e.g. 0.999")


@dataclass
class Standing:
    """The progress of a run.

    Attributes:
        step, epoch, place: total steps done; the epoch, and batches done in it.
        seconds: of training without validation, including earlier sessions.
        loss: of the last step.
        rate: images per second in this session.
        left: seconds until the end.
        validation: the scores of the last one; ``best`` is the best of them.
        is_news: a validation has just been made.
    """

    step: int = 0
    epoch: int = 0
    place: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    rate: float = 0.0
    left: float | None = None
    validation: Scores | None = None
    best: Scores | None = None
    is_news: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Training:
    """One run over a model; the model holds the best weights when :meth:`run` returns.

    Args:
        model: on the device on which it will be trained; its frozen parts do not change.
        data, validation: pictures; those of ``data`` may be larger than the tower's input, to be cropped.
        folder: for checkpoints.
        resume: continue from the checkpoint in ``folder``.

    Raises:
        SettingsError: there is a checkpoint but ``resume`` is not set, or it was made with other settings.
    """

    def __init__(
        self,
        model: Trainable,
        data: Loaded,
        validation: Loaded,
        settings: Settings,
        folder: Path,
        *,
        resume: bool = False,
    ) -> None:
        self.model, self.data, self.validation, self.settings = model, data, validation, settings
        self.folder = folder
        self.standing = Standing()
        if settings.loss == "siglip":
            model.use_sigmoid()
        self._batch = min(settings.batch, len(data))
        self._per_epoch = max(1, len(data) // self._batch)
        self._steps = None if settings.epochs is None else settings.epochs * self._per_epoch
        self._optimiser = optimiser(model.module.named_parameters(), settings.rate, settings.weight_decay)
        self._average: State | None = None
        if settings.average:
            self._average = {name: value.detach().clone() for name, value in model.module.state_dict().items()}
        self._judged, self._judged_at = 0, 0.0
        if resume or (folder / LAST).exists():
            self._resume(resume)

    @property
    def steps(self) -> int | None:
        """The total number of steps; None if only the time is limited."""
        return self._steps

    def run(
        self, *, stop: Callable[[], bool] = lambda: False, on_progress: Callable[[Standing], None] = lambda _: None
    ) -> Standing:
        """Train until the epochs or minutes are over, or ``stop`` returns True; then load the best weights.

        Raises:
            EncoderError: the loss is NaN; the best weights so far are in the folder.
        """
        begun, first = time.monotonic(), self.standing.step
        before, saved = self.standing.seconds, begun
        pausing = 0.0  # seconds of validation
        while not self._is_over():
            for images, rows in self._batches():
                loss = self._one(images, rows)
                now = time.monotonic()
                self._advance(loss, before + now - begun - pausing, first, before)
                stopping = stop()
                at_end = self._is_over()
                if self._wants_judging() or stopping or at_end:
                    self._judge()
                    pausing += time.monotonic() - now
                if stopping or at_end or now - saved > _SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
                on_progress(self.standing)
                self.standing.is_news = False
                if stopping or at_end:
                    self._load_best()
                    return self.standing
            self.standing.epoch, self.standing.place = self.standing.epoch + 1, 0
        self._load_best()
        return self.standing

    # A step

    def _batches(self) -> Iterator[tuple[Tensor, Ids]]:
        """The rest of this epoch: pixels and rows; every picture once, except a remainder smaller than a batch."""
        order = np.random.default_rng([self.settings.seed, self.standing.epoch]).permutation(len(self.data))
        groups = [order[at * self._batch : (at + 1) * self._batch] for at in range(self._per_epoch)]
        rest = groups[self.standing.place :]
        for pixels, rows in zip(self.data.batches(rest), rest, strict=True):
            yield torch.from_numpy(pixels), rows

    def _one(self, pixels: Tensor, rows: Ids) -> float:
        settings, model = self.settings, self.model
        # Randomness inside a model (dropout) depends on the step too.
        torch.manual_seed(_number(settings.seed, self.standing.step, 2))
        generator = torch.Generator().manual_seed(_number(settings.seed, self.standing.step, 0))
        side, look = model.preprocessing.size, model.preprocessing
        images = normalised(vary(pixels.to(model.place), side, settings.variation, generator), look.mean, look.std)
        tokens, positive = self._texts(rows)
        factor = cosine(self._done(), self.standing.step, self._warmup())
        for group in self._optimiser.param_groups:
            group["lr"] = settings.rate * factor
        self._optimiser.zero_grad(set_to_none=True)
        loss = gradcache.backward(
            self._embed(model.image_features),
            self._embed(model.text_features),
            images,
            tokens,
            lambda seen, said: self._loss(seen, said, positive),
            settings.chunk,
        )
        trained = [p for group in self._optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, settings.clip_norm)
        self._optimiser.step()
        if self._average is not None:
            follow(self._average, model.module.state_dict(), settings.average, self.standing.step)
        return float(loss)

    def _embed(self, tower: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def embedded(inputs: Tensor) -> Tensor:
            with self._autocast():
                features = tower(inputs)
            return F.normalize(features.float(), dim=-1)

        return embedded

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = self.model.place.type
        if self.settings.precision == "bf16":
            return torch.autocast(kind, dtype=torch.bfloat16)
        return autocast(kind, wanted=self.settings.precision == "auto")

    def _texts(self, rows: Ids) -> tuple[Tensor, Tensor]:
        """A random text for each picture, and which texts are true of which pictures."""
        draw = np.random.default_rng([self.settings.seed, self.standing.step, 1])
        pairs = self.data.pairs
        meanings = np.array([draw.choice(pairs.said[row]) for row in rows.tolist()], dtype=np.int64)
        ways = [pairs.meanings[meaning] for meaning in meanings.tolist()]
        texts = [each[int(draw.integers(len(each)))] for each in ways]
        place = self.model.place
        return self.model.tokenize(texts).to(place), torch.from_numpy(pairs.means(rows, meanings)).to(place)

    def _loss(self, seen: Tensor, said: Tensor, positive: Tensor) -> Tensor:
        bias = self.model.bias()
        if self.settings.loss == "siglip":
            return sigmoid_loss(logits_of(seen, said, self.model.scale(), 0.0 if bias is None else bias), positive)
        return symmetric_nce(logits_of(seen, said, self.model.scale()), positive)

    # Progress

    def _done(self) -> float:
        shares = [0.0]
        if self._steps:
            shares.append(self.standing.step / self._steps)
        if self.settings.minutes:
            shares.append(self.standing.seconds / (60 * self.settings.minutes))
        return min(1.0, max(shares))

    def _is_over(self) -> bool:
        if self.settings.minutes is not None and self.standing.seconds >= 60 * self.settings.minutes:
            return self.standing.step > 0
        return self._steps is not None and self.standing.step >= self._steps

    def _warmup(self) -> int:
        steps = self._steps
        if steps is None:  # limited by time: as many as will fit, once the speed is known
            pace = self.standing.seconds / max(1, self.standing.step)
            steps = int(60 * (self.settings.minutes or 0) / pace) if pace else self._per_epoch
        return max(1, int(self.settings.warmup * steps))

    def _advance(self, loss: float, seconds: float, first: int, before: float) -> None:
        standing = self.standing
        if not np.isfinite(loss):
            self._load_best()
            raise EncoderError(
                f"the loss became {loss} in step {standing.step + 1}",
                f"try a smaller --rate than {self.settings.rate:g}; the best weights so far are in {self.folder}",
            )
        standing.step += 1
        standing.place += 1
        standing.loss, standing.seconds = loss, seconds
        spent = max(seconds - before, 1e-9)
        standing.rate = (standing.step - first) * self._batch / spent
        done = self._done()
        standing.left = seconds * (1 - done) / done if done else None

    # Validation and checkpoints

    def _wants_judging(self) -> bool:
        if self._steps is None:
            return self.standing.seconds - self._judged_at >= 60 * (self.settings.minutes or 0) / _VALIDATIONS
        return self.standing.step - self._judged >= self._steps / _VALIDATIONS

    def _judge(self) -> None:
        standing = self.standing
        if standing.step == self._judged:
            return
        self._judged, self._judged_at = standing.step, standing.seconds
        with self._averaged():
            standing.validation = judge(self.model, self.validation)
            if standing.best is None or standing.validation.mrr > standing.best.mrr:
                standing.best = standing.validation
                write_state(self.folder / BEST, dict(self.model.module.state_dict()), {"step": standing.step})
        standing.history.append({"step": standing.step, "loss": standing.loss, **asdict(standing.validation)})
        standing.is_news = True

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block, the model has the averaged weights, if there are any."""
        if self._average is None:
            yield
            return
        module = self.model.module
        live = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self._average)
        try:
            yield
        finally:
            module.load_state_dict(live)

    def _load_best(self) -> None:
        path = self.folder / BEST
        if path.exists():
            load_into(self.model.module, read_state(path)[0], path)

    def save(self) -> None:
        """Write the checkpoint from which a later run continues."""
        standing = self.standing
        tensors = with_prefix("model", dict(self.model.module.state_dict()))
        tensors |= with_prefix("optimiser", optimiser_tensors(self._optimiser))
        tensors |= with_prefix("average", self._average or {})
        about = {
            "settings": asdict(self.settings),
            "pictures": len(self.data),
            "judged": [self._judged, self._judged_at],
            "standing": {name: getattr(standing, name) for name in ("step", "epoch", "place", "seconds", "history")},
            "best": None if standing.best is None else asdict(standing.best),
        }
        write_state(self.folder / LAST, tensors, about)

    def _resume(self, wanted: bool) -> None:
        path = self.folder / LAST
        if not path.exists():
            return
        if not wanted:
            raise SettingsError(
                f"{path.parent} holds a run already", "say --resume to go on with it, or take another --out"
            )
        tensors, about = read_state(path)
        now, then = asdict(self.settings), dict(about["settings"])
        other = [k for k in now if k not in _MAY_CHANGE and now[k] != then.get(k)]
        if other or about["pictures"] != len(self.data):
            what = other[0].replace("_", "-") if other else "number of pictures"
            raise SettingsError(f"that run had another {what}", "give the same as before, or take another --out")
        load_into(self.model.module, without_prefix("model", tensors), path)
        restore_optimiser(self._optimiser, without_prefix("optimiser", tensors))
        if self._average is not None:
            for name, value in without_prefix("average", tensors).items():
                self._average[name].copy_(value)
        self._judged, self._judged_at = about["judged"]
        best = about["best"]
        self.standing = Standing(**about["standing"], best=None if best is None else Scores(**best))


def _number(*parts: int) -> int:
    """A seed for torch derived from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
