"""Published accuracies with their sources. None was measured by photoseek; a figure without a source is not listed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from retrieval.encoders.names.known_models import MODELS

_FILE = Path(__file__).with_name("figures.json")
_ZERO_SHOT = "ImageNet-1k validation, top-1 by class names, prompts averaged"
_COCO = "COCO text to picture R@1"


class Figure(NamedTuple):
    """One published figure: what was measured, in per cent, the protocol, and the source."""

    what: str
    value: float
    protocol: str
    source: str


def figures_of(name: str) -> tuple[Figure, ...]:
    """The published figures of a model in the table, by its canonical name; empty for others."""
    data, row = _data(), MODELS.get(name)
    found = []
    if row is not None and row.imagenet is not None:
        found.append(Figure("ImageNet zero-shot", row.imagenet, _ZERO_SHOT, row.anchor_source))
    known = data["retrieval"].get(name)
    if known is not None:
        columns, protocol = data["retrieval_columns"], data["protocols"]["retrieval"]
        source = data["sources"][known[0]]
        group = ""
        for column, value in zip(columns, known[1:], strict=True):
            group = column.rpartition(" ")[0] or group  # a bare "R@5" belongs to the group of the previous column
            if value is not None:
                found.append(Figure(f"{group} {column.rpartition(' ')[2]}", value, protocol, source))
    elif row is not None and row.coco is not None:
        found.append(Figure(_COCO, row.coco, data["protocols"]["retrieval"], row.anchor_source))
    for model, protocol, what, value, source in data["others"]:
        if model == name:
            found.append(
                Figure(f"{_TITLES[protocol]} {what}", value, data["protocols"][protocol], data["sources"][source])
            )
    return tuple(found)


_TITLES = {
    "xm3600": "Crossmodal-3600",
    "zeroshot": "ImageNet zero-shot,",
    "imagenet": "ImageNet",
    "linear": "ImageNet linear probe",
    "knn": "ImageNet k-NN",
}


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return data
