"""``photoseek train`` as a function: from pairs to an encoder in a folder and a table of its improvement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.encoders.files.checks import write_atomically
from retrieval.encoders.files.staging import folder_name
from retrieval.encoders.registry import load_encoder
from retrieval.errors import QueryError
from retrieval.lab.evaluation.tables import Cell, Report, as_json
from retrieval.lab.training.judging import before_after, embed, figures
from retrieval.lab.training.output_folder import CHECKPOINTS, REPORT
from retrieval.lab.training.pairs import CLASS_TEMPLATES, Pairs, split_by_content
from retrieval.lab.training.pixels import Loaded, load_pictures
from retrieval.lab.training.start import Mode, start_model
from retrieval.lab.training.trainable import Trainable, freeze
from retrieval.lab.training.trainer import Settings, Standing, Training
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.encoders.base import Encoder
    from retrieval.lab.evaluation.bootstrap import Estimate

MARGIN = 1.15
"""Training pictures are stored this much larger than the tower's input, so that crops need not be enlarged."""


@dataclass(frozen=True)
class Plan:
    """The settings of a run.

    Args:
        begin: the initial model, or one of our sizes for training from scratch; see :func:`.start.start_model`.
        mode: which parts are trained.
        settings: of the run.
        share: fraction of the pictures that are held out.
        out: folder of the result.
        resume: continue an existing run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    begin: str
    mode: Mode
    settings: Settings
    out: Path
    share: float = 0.15
    resume: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Told:
    """Callbacks for progress; each is called in the thread of the run."""

    loading: Callable[[int, int], None] = lambda done, total: None
    begin: Callable[[dict[str, Cell]], None] = lambda about: None
    progress: Callable[[Standing], None] = lambda standing: None


def train(
    pairs: Pairs, plan: Plan, *, told: Told | None = None, stop: Callable[[], bool] = lambda: False
) -> tuple[Report, bool]:
    """Train, export, evaluate; returns the report, and whether ``stop`` interrupted the training.

    Raises:
        SettingsError: inconsistent settings, or ``plan.out`` already contains a run.
        QueryError: too few usable pictures.
        EncoderError: the model cannot be loaded, trained or exported.
    """
    told = told or Told()
    if not all(pairs.said):
        raise QueryError("disliked pictures are for an adapter", "add --adapter, or leave them out")
    started = time.perf_counter()
    plan.out.mkdir(parents=True, exist_ok=True)
    model = start_model(plan.begin, device=plan.device, seed=plan.settings.seed)
    trained = freeze(model, plan.mode.last_blocks)
    data, validation = _load(pairs, model, plan, told)
    about: dict[str, Cell] = {
        "from": plan.begin,
        "trained": f"{plan.mode.name}, {trained:,} numbers on {model.place}",
        "loss": plan.settings.loss,
        "pictures to train on": len(data),
        "pictures held out": len(validation),
        "left out, cannot be used": len(data.failed),
    }
    told.begin(about)
    before = _figures(model, validation)
    training = Training(model, data, validation, plan.settings, plan.out / CHECKPOINTS, resume=plan.resume)
    standing = training.run(stop=stop, on_progress=told.progress)
    name = folder_name(plan.out.resolve().name)
    templates = tuple(model.spec.prompt_templates) if not pairs.classes else CLASS_TEMPLATES
    parity = model.write(plan.out, name, templates)
    after = _figures(load_encoder(str(plan.out), precision="fp32"), validation)
    about |= {
        "steps": standing.step,
        "images/s": standing.rate,
        "seconds of training": standing.seconds,
        "seconds in all": time.perf_counter() - started,
        "largest difference to torch": f"image {parity['image']:.1e}, text {parity['text']:.1e}",
        "written to": str(plan.out),
    }
    report = before_after(about, before, after)
    _write(plan, report, {"parity": parity, "history": standing.history, "failed": data.failed})
    return report, stop()


def _load(pairs: Pairs, model: Trainable, plan: Plan, told: Told) -> tuple[Loaded, Loaded]:
    """Training pictures with a margin, validation pictures with the encoder's preprocessing."""
    look = model.preprocessing
    larger = replace(look, size=round(MARGIN * look.size), resize_to=None)
    loaded = load_pictures(pairs, larger, on_progress=told.loading)
    rows, held = split_by_content(loaded.digests, plan.share, plan.settings.seed)
    data = loaded.take(rows)
    if len(data) < 2:
        raise QueryError(f"{plural(len(data), 'picture is', 'pictures are')} too few to train on", "give more pictures")
    return data, replace(load_pictures(loaded.pairs.take(held), look), failed=())


def _figures(model: Encoder, validation: Loaded) -> dict[str, Estimate]:
    rows = np.arange(len(validation))
    return figures(embed(model.encode_images, validation, rows), validation.pairs, model)


def _write(plan: Plan, report: Report, more: dict[str, Any]) -> None:
    settings = {**vars(plan.settings), "variation": vars(plan.settings.variation)}
    body = {**as_json(report), "settings": settings, "share": plan.share, "mode": plan.mode.name, **more}
    write_atomically(plan.out / REPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
