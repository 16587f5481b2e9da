"""The interface of an encoder: uint8 pixels or texts in, unit vectors of one space out. Imports no runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.errors import EncoderError

Resize = Literal["shortest", "squash"]
Runtime = Literal["auto", "onnx", "torch"]
Precision = Literal["auto", "bf16", "fp16", "fp32", "int8"]
Interpolation = Literal["bicubic", "bilinear"]
Pixels = NDArray[np.uint8]
"""(n, 3, size, size) RGB, resized and cropped; the encoder scales and normalises the values itself."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture is converted to the tower's input; recorded per model because families differ.

    Args:
        size: side of the square input, pixels.
        resize: ``shortest`` scales the shorter side to ``size`` and crops the centre (CLIP);
            ``squash`` scales both sides to ``size`` (SigLIP, PE, DFN5B).
        interpolation: resampling filter, antialiased.
        mean, std: per channel, applied after scaling pixels to 0..1.
        resize_to: the size in pixels that is scaled to before the centre of ``size`` is cropped (DINOv2: 256, then
            a crop of 224); None means ``size``.
    """

    size: int
    resize: Resize = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    resize_to: int | None = None

    @property
    def scaled(self) -> int:
        """The side that pictures are scaled to, before the crop."""
        return self.resize_to or self.size

    def as_json(self) -> dict[str, Any]:
        """Plain values, as in descriptions and fingerprints; an unset ``resize_to`` is left out, so
        that models described before it existed keep their fingerprints."""
        values = asdict(self)
        if self.resize_to is None:
            del values["resize_to"]
        return values


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder as a row: what it is, not how it is run.

    Args:
        name: its name in commands, e.g. ``builtin-224`` or ``ViT-B-32-256/datacomp_s34b_b86k``.
        family: ``clip``, ``siglip``, ``pe``, ``mobileclip`` ... (determines the advice given, never the computation).
        source: where the weights come from (``builtin``, a folder, an open_clip name and tag, a hub repository).
        dim: embedding dimension.
        preprocessing: see there.
        has_text: False for image-only towers.
        context_length: maximal number of tokens in a text, including both end tokens; 0 without a text tower.
        licence: of the weights, as an SPDX name if there is one.
        fingerprint: hash of weights, preprocessing and tokenizer. Two encoders with the same fingerprint
            give the same embeddings (up to rounding by the engine); others never share an index.
        logit_scale, logit_bias: the trained temperature (already exponentiated) and bias, if known.
        prompt_templates: for zero-shot classification.
    """

    name: str
    family: str
    source: str
    dim: int
    preprocessing: Preprocessing
    has_text: bool
    context_length: int
    licence: str
    fingerprint: str
    logit_scale: float | None = None
    logit_bias: float | None = None
    prompt_templates: tuple[str, ...] = field(default=("a photo of a {}.",))


class Encoder(Protocol):
    """A loaded (or lazily loading) model. Loading is cheap; the first encode loads the tower that it needs."""

    spec: EncoderSpec

    @property
    def streams(self) -> int:
        """How many threads should call :meth:`encode_images` at once.

        More than 1 (CPU): each caller's batch runs on its own one-thread stream.
        1 (GPU): one caller supplies the device with batches of :attr:`batch_size`.
        """
        ...

    @property
    def batch_size(self) -> int:
        """The recommended number of images per call."""
        ...

    @property
    def device(self) -> str:
        """What runs the image tower, as shown to the user: ``cpu (OpenVINO, bf16)``, ``cuda:0 (NVIDIA ...)``."""
        ...

    def encode_images(self, pixels: Pixels) -> Vectors:
        """(n, 3, size, size) uint8 -> (n, dim) float32 unit vectors; raises EncoderError on NaN output."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (n, dim) float32 unit vectors; raises TextNotSupported on image-only encoders."""
        ...

    def is_cut(self, text: str) -> bool:
        """True if the tokenizer cuts ``text`` because it is longer than the context length."""
        ...


@dataclass(frozen=True)
class RunOptions:
    """How to run an encoder.

    Args:
        runtime: ``auto``, ``onnx`` or ``torch``.
        precision: of the image tower.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; None if not specified.
        threads: on a CPU; None for all that this process may use.
    """

    runtime: Runtime = "auto"
    precision: Precision = "auto"
    device: str | None = None
    threads: int | None = None

    @property
    def wants_torch(self) -> bool:
        """True if torch was requested, by name or by requesting a GPU."""
        return self.runtime == "torch" or (self.runtime == "auto" and self.device not in (None, "auto", "cpu"))


class EncoderFamily(Protocol):
    """Encoders from another package, declared as an entry point of the group ``photoseek.encoders``.

    The name of the entry point is the family. ``--model FAMILY:NAME`` calls it with NAME. The encoder's ``spec.name``
    is the whole ``FAMILY:NAME``, by which a gallery loads it again; its ``spec.source`` is ``package PACKAGE``; and its
    ``spec.fingerprint`` changes with anything that changes an embedding.
    """

    def __call__(self, name: str, options: RunOptions) -> Encoder:
        """Load cheaply.

        Raises:
            UnknownEncoder: no encoder has this name.
            SettingsError: it cannot be run with these options.
        """
        ...


FROM_PACKAGE = "package "
"""The prefix of ``source`` for encoders from other packages."""


@runtime_checkable
class DeviceEncoder(Protocol):
    """An optional extension of an :class:`Encoder` with one stream: batches are started without waiting for them."""

    def start_images(self, pixels: Pixels) -> Callable[[], Vectors]:
        """Start what ``encode_images`` does; the returned function waits for it and returns its result.

        One thread starts batches, another may collect them, in the same order; both raise like ``encode_images``,
        which may be called in between.
        """
        ...


@runtime_checkable
class OfPrecision(Protocol):
    """An optional extension of an :class:`Encoder` that can tell in which precision its image tower runs."""

    @property
    def precision(self) -> str:
        """As ``load_encoder`` takes it, never ``auto``; raises like the first encode."""
        ...


@runtime_checkable
class OnTorch(Protocol):
    """An optional extension of an :class:`Encoder` that runs on torch."""

    def torch_device(self) -> str:
        """``cpu`` or ``cuda:N``; raises like the first encode."""
        ...

    def compile_images(self) -> None:
        """Run the image tower through ``torch.compile`` from now on."""
        ...


def unit(features: NDArray[np.floating]) -> Vectors:
    """Scale each row of (n, dim) features to L2 norm 1, as C-contiguous float32.

    Raises:
        EncoderError: a row is zero or not finite: the model is broken or overflowed, and the rank of its
            vector would be random.
    """
    rows = np.ascontiguousarray(features, dtype=np.float32)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise EncoderError(
            "the encoder returned a zero or non-finite embedding",
            "try fp32 (PHOTOSEEK_PRECISION=fp32), or another model",
        )
    return np.ascontiguousarray(rows / norms, dtype=np.float32)
