"""The loop: batches, loss, step, validation, checkpoints; stopped at any step and continued as if it had not been.

Everything random is drawn from (seed, epoch) or (seed, step), so a run that was interrupted sees the same batches,
crops and wordings as one that was not.
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
_VALIDATIONS = 10  # in a run, whatever its epochs are: some have three steps, some take an hour
_MAY_CHANGE = ("epochs", "minutes")


@dataclass(frozen=True)
class Settings:
    """Of a run.

    Args:
        loss: ``clip`` (InfoNCE) or ``siglip`` (sigmoid).
        epochs, minutes: whichever is reached first ends the run; None leaves it to the other.
        batch: pictures whose texts are each other's negatives.
        chunk: how many of them are in memory with a graph, see :mod:`.gradcache`; 0: all.
        rate: the highest learning rate.
        weight_decay: of matrices and kernels.
        warmup: share of the steps in which the rate rises.
        average: how much an exponential average of the weights keeps in a step; 0: none, the last weights are taken.
        clip_norm: largest norm of the gradient.
        precision: of the towers; the loss is always float32. ``auto`` is bf16 on a GPU and on a CPU that computes in
            it (worth two to three times the speed there), else fp32.
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
    """How far a run is.

    Attributes:
        step, epoch, place: steps done in all; the epoch, and batches done in it.
        seconds: of training, validation left out, over all sittings.
        loss: of the last step.
        rate: images a second in this sitting.
        left: seconds until the end.
        validation: the last one's scores; ``best`` is the best of them.
        is_news: a validation was made just now.
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
        model: on the device that it is to be trained on; what of it is frozen stays as it is.
        data, validation: pictures; those of ``data`` may be larger than the tower's input, to be cropped.
        folder: for checkpoints.
        resume: go on from the checkpoint in ``folder``.

    Raises:
        SettingsError: a checkpoint is there and ``resume`` is not said, or it was made with other settings.
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
        """How many there are to be; None where only the clock says."""
        return self._steps

    def run(
        self, *, stop: Callable[[], bool] = lambda: False, on_progress: Callable[[Standing], None] = lambda _: None
    ) -> Standing:
        """Train until the epochs or minutes are over, or ``stop`` says so; then load the best weights.

        Raises:
            EncoderError: the loss is no number any more; the best weights so far are in the folder.
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
        """What is left of this epoch: pixels and rows; every picture once, but for a rest too small for a batch."""
        order = np.random.default_rng([self.settings.seed, self.standing.epoch]).permutation(len(self.data))
        groups = [order[at * self._batch : (at + 1) * self._batch] for at in range(self._per_epoch)]
        rest = groups[self.standing.place :]
        for pixels, rows in zip(self.data.batches(rest), rest, strict=True):
            yield torch.from_numpy(pixels), rows

    def _one(self, pixels: Tensor, rows: Ids) -> float:
        settings, model = self.settings, self.model
        # What is random inside a model (dropout) follows the step too.
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
        """A text for each picture, drawn from what is said of it, and which texts are true of which pictures."""
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

    # Where the run is

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
        if steps is None:  # by the clock: as many as the time will hold, once that is known
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
        """With the averaged weights in the model, where there are any."""
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
        """Write the checkpoint that a later run goes on from."""
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
    """A seed for torch from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
