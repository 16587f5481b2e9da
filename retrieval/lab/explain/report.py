"""The full report on a model as plain values (for JSON, lines and the page), and the measured speed in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from retrieval.encoders.base import Encoder
from retrieval.lab.explain.cost import Part, patch_costs, size_costs, total
from retrieval.lab.explain.figures import figures_of
from retrieval.lab.explain.recipes import masked_patches, recipe_of
from retrieval.lab.explain.shape import TextShape, VisionShape
from retrieval.lab.explain.subject import Subject

PATCHES = (8, 14, 16, 32)
_SIDES = (64, 96, 128, 192, 224, 256, 336, 384, 448, 512)
_OTHER_SIZES = 4


def describe(subject: Subject, speed: Speed | None = None) -> dict[str, Any]:
    """The report; unknown values are left out."""
    anatomy, spec = subject.anatomy, subject.spec
    shape = anatomy.shape
    report: dict[str, Any] = {
        "model": subject.name,
        "family": subject.family,
        "licence": subject.licence,
        "installed": subject.encoder is not None,
    }
    if subject.missing:
        report["missing"] = subject.missing
    if subject.stands_on:
        report["stands_on"] = subject.stands_on
    if shape is not None:
        report["image"] = describe_image(shape.image, anatomy.trained_size)
        report["patch_sizes"] = [asdict(each) for each in patch_costs(shape.image, PATCHES)]
        report["resolutions"] = [each._asdict() for each in size_costs(shape.image, _sizes(shape.image))]
    elif anatomy.grid is not None and subject.preprocessing is not None:
        report["grid"] = {"size": subject.preprocessing.size, "grid": anatomy.grid, "tokens": anatomy.grid**2}
    text = anatomy.text_shape if shape is None else shape.text
    if text is not None:
        report["text"] = describe_text(text)
    report["parts"] = _parts("image", anatomy.image) + _parts("text", anatomy.text)
    report["totals"] = {
        tower: {"parameters": sum_.parameters, "flops": sum_.flops}
        for tower, parts in (("image", anatomy.image), ("text", anatomy.text))
        if (sum_ := total(parts)).parameters
    }
    report["counted"] = anatomy.counted
    recipe = recipe_of(
        subject.family,
        own=subject.trained_here,
        scale=spec.logit_scale if spec else None,
        bias=spec.logit_bias if spec else None,
    )
    if recipe is not None:
        report["training"] = asdict(recipe)
    if subject.family == "mae" and shape is not None:
        masked, visible = masked_patches(shape.image.patches)
        report["masking"] = {"share": 0.75, "masked": masked, "visible": visible, "encoder_tokens": visible + 1}
    if subject.preprocessing is not None:
        report["preprocessing"] = subject.preprocessing.as_json()
    report["figures"] = [figure._asdict() for figure in figures_of(subject.name)]
    if speed is not None:
        report["measured"] = speed._asdict()
    return report


def describe_image(shape: VisionShape, trained_size: int | None = None) -> dict[str, Any]:
    """An image tower as plain values."""
    rows = shape.position_rows
    found: dict[str, Any] = {
        "size": shape.size,
        "patch": shape.patch,
        "grid": shape.grid,
        "patches": shape.patches,
        "prefix_tokens": shape.prefix,
        "class_token": shape.class_token,
        "registers": shape.registers,
        "tokens": shape.tokens,
        "patch_projection": {"weights": shape.patch_weights, "bias": _patch_bias(shape)},
        "stem_convolutions": len(shape.stem),
        "positions": {
            "kind": shape.positions,
            "rows": rows,
            "parameters": rows * shape.width if "learned" in shape.positions else 0,
        },
        "width": shape.width,
        "layers": shape.layers,
        "heads": shape.heads or None,
        "hidden": shape.hidden,
        "gated": shape.gated,
        "pooling": shape.pool,
        "dim": shape.dim or shape.width,
    }
    if trained_size is not None:
        found["positions"]["trained_size"] = trained_size
    return found


def describe_text(shape: TextShape) -> dict[str, Any]:
    """A text tower as plain values."""
    names = ("vocabulary", "context", "width", "layers", "heads", "hidden", "causal", "dim")
    return {name: getattr(shape, name) for name in names}


def _patch_bias(shape: VisionShape) -> int:
    if shape.stem:
        return sum(each.extra for each in shape.stem)
    return shape.width if shape.patch_bias else 0


def _parts(tower: str, parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [{"tower": tower, "part": each.name, "parameters": each.parameters, "flops": each.flops} for each in parts]


def _sizes(shape: VisionShape) -> list[int]:
    """The model's own size and a few round ones near it that are multiples of the patches."""
    fitting = [side for side in _SIDES if side % shape.patch == 0 and side != shape.size]
    near = sorted(fitting, key=lambda side: abs(side - shape.size))[:_OTHER_SIZES]
    return sorted([shape.size, *near])


class Speed(NamedTuple):
    """Images per second, the duration, the number of callers, their batch size, and the device."""

    images_per_second: float
    seconds: float
    callers: int
    batch: int
    device: str


def measure(encoder: Encoder, seconds: float = 3.0) -> Speed:
    """Embed noise for some seconds with the recommended number of callers; the first batch of each is not counted.

    Raises:
        EncoderError, WeightsUnavailable, RuntimeUnavailable: from the encoder.
    """
    size, batch, callers = encoder.spec.preprocessing.size, encoder.batch_size, encoder.streams
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: encoder.encode_images(pixels), range(callers)))
        started = time.perf_counter()

        def work(_: int) -> int:
            done = 0
            while not done or time.perf_counter() - started < seconds:
                encoder.encode_images(pixels)
                done += batch
            return done

        images = sum(pool.map(work, range(callers)))
    taken = time.perf_counter() - started
    return Speed(images / taken, taken, callers, batch, encoder.device)
