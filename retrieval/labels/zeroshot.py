"""Zero-shot classification: prompts, averaged to one vector per label; cosines to probabilities."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.base import Vectors
from retrieval.encoders.base import unit
from retrieval.errors import QueryError, SettingsError
from retrieval.regular_files import read_regular

if TYPE_CHECKING:
    from retrieval.encoders.base import Encoder, EncoderSpec

logger = logging.getLogger("photoseek")

PLACE = "{}"
"""Placeholder for the label in a template. Nothing else in a template is interpreted, so files are safe as input."""

DEFAULT_SCALE = 100.0
"""CLIP's scale, if a model has none of its own: the upper limit of its training (arXiv:2103.00020, 2.5)."""

SIMPLE = ("a photo of a {}.",)
_PROMPTS = Path(__file__).with_name("prompts")
_PROMPTS_AT_ONCE = 512
_MAX_FILE_BYTES = 1 << 20


def class_vectors(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> Vectors:
    """A unit vector per label: the mean of its prompts' unit vectors, rescaled to length 1.

    This is CLIP's prompt ensembling (arXiv:2103.00020, section 3.1.4), as in open_clip's
    ``build_zero_shot_classifier``. With one template it is the embedding of that prompt.

    Args:
        labels: n texts, in any order and with repetitions (ImageNet has two of its names twice).
        templates: texts with a ``{}`` for the label.

    Returns:
        (n, dim) float32, rows in the order of the labels.

    Raises:
        QueryError: no label, or an empty one.
        SettingsError: no template, or one without ``{}``.
        TextNotSupported: an image-only encoder.
    """
    check_templates(templates)
    if not labels or not all(label.strip() for label in labels):
        raise QueryError("there is no label, or an empty one", "give each class a name")
    labels_at_once = max(1, _PROMPTS_AT_ONCE // len(templates))  # 80,000 prompts do not have to be in memory at once
    rest, blocks, cut = iter(labels), [], 0
    while block := list(islice(rest, labels_at_once)):
        prompts = list(_prompts(block, templates))
        cut += sum(map(encoder.is_cut, prompts))
        embedded = encoder.encode_texts(prompts)
        blocks.append(embedded.reshape(len(block), len(templates), -1).mean(axis=1, dtype=np.float64))
    if cut:
        logger.warning(
            "%d prompts are longer than the model's %d tokens; only their beginnings count",
            cut,
            encoder.spec.context_length,
        )
    return unit(np.concatenate(blocks))


def probabilities(cosines: ArrayLike, scale: float, bias: float | None = None) -> NDArray[np.float64]:
    """A model's probability for each label, from cosine similarities.

    Without a bias: softmax(scale * cosines), which sums to 1 over the labels given (CLIP). With one: sigmoid(scale *
    cosines + bias), each label independently (SigLIP, arXiv:2303.15343, section 3.2).

    Args:
        cosines: (..., n) similarities to n labels.
        scale, bias: from :func:`scale_and_bias`.

    Returns:
        (..., n) float64 in [0, 1].
    """
    logits = scale * np.asarray(cosines, dtype=np.float64)
    if bias is not None:
        half: NDArray[np.float64] = np.tanh((logits + bias) / 2)  # never overflows, unlike 1 / (1 + exp(-x))
        return (1 + half) / 2
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return result


def scale_and_bias(spec: EncoderSpec) -> tuple[float, float | None]:
    """The scale and bias that turn this encoder's cosines into logits; with a bias, labels are judged independently."""
    return DEFAULT_SCALE if spec.logit_scale is None else spec.logit_scale, spec.logit_bias


def find_templates(choice: str, spec: EncoderSpec | None = None) -> tuple[str, ...]:
    """The templates of a choice.

    Args:
        choice: ``1`` (a photo of a ...), ``7`` or ``80`` (CLIP's for ImageNet), ``model`` for the encoder's own, or a
            UTF-8 file with one template per line; lines that begin with # are ignored.
        spec: the encoder, for ``model``.

    Raises:
        SettingsError: the file cannot be read, is empty, or a line has no ``{}``.
    """
    if choice == "1" or (choice == "model" and spec is None):
        return SIMPLE
    if choice == "model" and spec is not None:
        return spec.prompt_templates
    path = _PROMPTS / f"imagenet-{choice}.txt" if choice in ("7", "80") else Path(choice).expanduser()
    try:
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"no templates in {choice!r}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}",
            "use 1, 7, 80, model, or a text file with one template per line",
        ) from error
    lines = (line.strip() for line in text.splitlines())
    return check_templates([line for line in lines if line and not line.startswith("#")])


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates unchanged; SettingsError if there is none or one has no placeholder for the label."""
    if not templates:
        raise SettingsError("there is no template", 'give one such as "a photo of a {}."')
    for number, template in enumerate(templates, 1):  # by number only: it may be the wrong file
        if PLACE not in template:
            raise SettingsError(f"template {number} has no {{}} for the label", 'e.g. "a photo of a {}."')
    return tuple(templates)


def _prompts(labels: Sequence[str], templates: Sequence[str]) -> Iterator[str]:
    # Not str.format, which would let a template read attributes of the label.
    return (template.replace(PLACE, label) for label in labels for template in templates)
