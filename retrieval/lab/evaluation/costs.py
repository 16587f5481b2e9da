"""The costs of an encoder other than time: the size of its vectors and of its towers."""

from __future__ import annotations

from typing import Any, NamedTuple

from retrieval.encoders.adapter import AdaptedEncoder
from retrieval.encoders.base import Encoder
from retrieval.encoders.names.known_models import MODELS


class Costs(NamedTuple):
    """Sizes.

    Attributes:
        dim: embedding dimension.
        bytes_per_image: of an embedding in the catalog, which stores float16.
        image_mb, text_mb: megabytes of the towers' weights in the form that is run; None if unknown or if there is
            no such tower.
    """

    dim: int
    bytes_per_image: int
    image_mb: float | None
    text_mb: float | None


def costs_of(encoder: Encoder) -> Costs:
    """Sizes of an encoder: of its files, of the loaded model on torch, or from the table of models;
    for an adapter, those of its base."""
    image, text = _towers(encoder.base if isinstance(encoder, AdaptedEncoder) else encoder)
    return Costs(encoder.spec.dim, 2 * encoder.spec.dim, image, text if encoder.spec.has_text else None)


def _towers(encoder: Any) -> tuple[float | None, float | None]:
    folder = getattr(encoder, "folder", None)
    if folder is not None:  # a large tower's weights are next to its graph, in files with the same prefix
        sizes = {name: record.bytes / 1e6 for name, record in folder.files.items()}
        text = folder.text.file if folder.text else None
        text_mb = _beside(sizes, text) if text else None
        return _beside(sizes, folder.image.file), text_mb
    model = getattr(encoder, "model", None)
    if model is not None:
        whole = _megabytes(model)
        image = _megabytes(model.visual) if encoder.spec.has_text else whole
        return image, whole - image
    row = MODELS.get(encoder.spec.name)
    return (None, None) if row is None else (4 * row.image_params, 4 * row.text_params)


def _megabytes(module: Any) -> float:
    """Size in memory of a torch module's parameters."""
    return float(sum(each.numel() * each.element_size() for each in module.parameters())) / 1e6


def _beside(sizes: dict[str, float], name: str) -> float:
    return sum(size for other, size in sizes.items() if other == name or other.startswith(f"{name}."))
