"""``eval compare``: several encoders on the same data, with their costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from retrieval.encoders.base import Encoder
from retrieval.errors import EncoderError, SettingsError
from retrieval.lab.evaluation.bootstrap import RESAMPLES, Estimate
from retrieval.lab.evaluation.caption_task import embed_captions
from retrieval.lab.evaluation.captions_file import Captions, read_captions
from retrieval.lab.evaluation.chart import Point, Shape, draw
from retrieval.lab.evaluation.class_folders import Labelled, read_class_folders
from retrieval.lab.evaluation.classification import accuracies, class_ranks
from retrieval.lab.evaluation.costs import costs_of
from retrieval.lab.evaluation.crossmodal import judge_captions
from retrieval.lab.evaluation.label_tasks import embed_labelled
from retrieval.lab.evaluation.neighbours import knn_scores
from retrieval.lab.evaluation.tables import Cell, Report, Table
from retrieval.labels.zeroshot import class_vectors, find_templates
from retrieval.undone import Refused, item

_COSTS = ("images/s", "dim", "bytes/image", "image tower MB", "text tower MB")
_HIT_RATES = ("hit_rate@1", "hit_rate@5", "hit_rate@10")


@dataclass(frozen=True)
class Compared:
    """One encoder.

    Attributes:
        name: of the encoder.
        accuracy: column -> estimate; None if it does not apply (text queries for an image-only encoder).
        rate: pictures per second, read, decoded and encoded on this machine.
        costs: the cells of the other cost columns.
    """

    name: str
    accuracy: dict[str, Estimate | None]
    rate: float | None
    costs: tuple[Cell, ...]


def compare(
    names: Sequence[str],
    data: str | Path,
    load: Callable[[str], Encoder],
    *,
    labels_file: str | Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    refused: Refused | None = None,
) -> tuple[Compared, ...]:
    """Evaluate each encoder on the same pictures. They are always encoded, even if a gallery has them, to measure time.

    Args:
        names: of at least two different encoders.
        data: a file of captions: hit rates in both directions; or a folder of class folders: zero-shot, and k-NN
            without the picture itself.
        load: from a name to an encoder; called once for each, so that one model is in memory at a time.
        refused: called for an unusable model, which is then left out; without it, the error is raised.

    Raises:
        SettingsError: fewer than two names, or no usable model.
        QueryError: the data cannot be read.
        EncoderError: see ``refused``; includes TextNotSupported for captions and an image-only encoder.
    """
    if len(set(names)) < 2:
        raise SettingsError("one model cannot be compared", "name two or more: photoseek models")
    if Path(data).expanduser().is_dir():
        labelled = read_class_folders(data, labels_file)
        judge = partial(_on_labels, labelled=labelled, resamples=resamples, seed=seed)
    else:
        judge = partial(_on_captions, captions=read_captions(data), resamples=resamples, seed=seed)
    found: list[Compared] = []
    for name in dict.fromkeys(names):
        with item(name, refused, (EncoderError,)):
            found.append(judge(load(name)))
    if not found:
        raise SettingsError("none of these models can be used", "name others: photoseek models")
    return tuple(found)


def _on_captions(encoder: Encoder, captions: Captions, resamples: int, seed: int) -> Compared:
    data = embed_captions(encoder, captions)
    both = judge_captions(
        data.pictures, data.texts, data.caption_text, data.caption_picture, resamples=resamples, seed=seed
    )
    accuracy = {f"{each.name} {name}": each.metrics[name] for each in both for name in _HIT_RATES}
    return Compared(encoder.spec.name, dict(accuracy), data.embedded.rate, tuple(costs_of(encoder)))


def _on_labels(encoder: Encoder, labelled: Labelled, resamples: int, seed: int) -> Compared:
    data = embed_labelled(encoder, labelled)
    rows = np.arange(len(data.labels))
    votes = knn_scores(data.vectors, data.vectors, data.labels, len(data.names), leave_out=rows)
    accuracy: dict[str, Estimate | None] = {"zero-shot acc@1": None}
    if encoder.spec.has_text:
        classes = class_vectors(encoder, data.names, find_templates("model", encoder.spec))
        ranks = class_ranks(data.vectors @ classes.T, data.labels)
        accuracy["zero-shot acc@1"] = accuracies(ranks, data.labels, resamples=resamples, seed=seed)["acc@1"]
    ranks = class_ranks(votes, data.labels)
    accuracy["k-NN acc@1"] = accuracies(ranks, data.labels, resamples=resamples, seed=seed)["acc@1"]
    return Compared(encoder.spec.name, accuracy, data.embedded.rate, tuple(costs_of(encoder)))


def report_comparison(found: Sequence[Compared], data: str | Path) -> Report:
    """The table of a comparison."""
    columns = list(found[0].accuracy)
    rows = tuple((each.name, *(each.accuracy[c] for c in columns), each.rate, *each.costs) for each in found)
    notes = (
        "value (95 % interval, pictures drawn again); images/s: read, decoded and encoded on this machine",
        "MB: of the weights in the form that runs",
    )
    return Report({"data": str(data)}, (Table("models", ("model", *columns, *_COSTS), rows),), notes)


def chart(found: Sequence[Compared], title: str) -> list[Shape]:
    """Accuracy against speed, using the first column in which every encoder has a figure."""
    column = next(name for name in found[0].accuracy if all(each.accuracy[name] is not None for each in found))
    points = [Point(each.name, each.rate or 0.0, value) for each in found if (value := each.accuracy[column])]
    return draw(points, title=title, x_label="images/s on this machine", y_label=column)
