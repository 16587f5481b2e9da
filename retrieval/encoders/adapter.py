"""An encoder that consists of a base encoder and a small linear map, which is applied to stored embeddings.

The map is applied to the pictures, and the results are separate embeddings with a separate fingerprint:

* A map of the query would need no second set of embeddings, but the similarity between pictures would not change,
  and a map W on the pictures is not equivalent to its transpose on the query, because each W x has
  another length, by which the cosine divides.
* As an ordinary encoder it has its rows in the catalog next to the base's, an index, filters, `similar`, and switching
  back. Its embeddings are computed from the base's (``retrieval/indexing/embeddings.py``), one product with a matrix
  each, so a million pictures take seconds, and no picture is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.encoders.base import DeviceEncoder, Encoder, EncoderSpec, OfPrecision, Pixels, unit
from retrieval.encoders.files.checks import (
    build_row,
    check_present,
    damaged,
    hex_digest,
    load_json,
    mapping,
    number_or_none,
    reason_of,
    whole,
    write_atomically,
)
from retrieval.encoders.files.description import ADAPTER, hash_file, parse_preprocessing, parse_templates
from retrieval.encoders.files.weights_file import WeightsFile, write_weights
from retrieval.errors import WeightsUnavailable

_WEIGHTS = "adapter.safetensors"
_FORMAT = 1
_ROWS = 65_536  # mapped at once: 128 MiB at dimension 512

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Base:
    """The base encoder of an adapter, as a gallery would record it."""

    name: str
    fingerprint: str
    source: str


@dataclass(frozen=True)
class AdapterFolder:
    """A folder with ``adapter.json`` and the map's weights."""

    path: Path
    spec: EncoderSpec
    base: Base
    blake3: str

    def weights(self) -> tuple[Matrix, Matrix]:
        """Matrix (dim, dim) and offset (dim,).

        Raises:
            WeightsUnavailable: the file differs from its description.
        """
        file = self.path / _WEIGHTS
        if hash_file(file) != self.blake3:
            raise damaged(file, "its content differs from the recorded hash")
        held = WeightsFile(file)
        matrix, offset = held.float32("matrix"), held.float32("offset")
        if matrix.shape != (self.spec.dim, self.spec.dim) or offset.shape != (self.spec.dim,):
            raise damaged(file, f"shapes {matrix.shape} and {offset.shape} for {self.spec.dim} dimensions")
        return matrix, offset


def write_adapter(folder: Path, base: EncoderSpec, matrix: Matrix, offset: Matrix, name: str) -> AdapterFolder:
    """Write an adapter to ``base``: an image embedding x becomes ``matrix @ x + offset``, scaled to length 1."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / _WEIGHTS, {"matrix": matrix, "offset": offset})
    digest = hash_file(folder / _WEIGHTS)
    spec = {
        **asdict(base),
        "name": name,
        "source": "trained",
        "preprocessing": base.preprocessing.as_json(),
        "fingerprint": _fingerprint(base.fingerprint, digest),
    }
    body = {
        "format": _FORMAT,
        "encoder": spec,
        "base": asdict(Base(base.name, base.fingerprint, base.source)),
        "blake3": digest,
    }
    write_atomically(folder / ADAPTER, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return read_adapter(folder)


def _fingerprint(base: str, weights: str) -> str:
    """The identity of the embeddings, derived from the base's and the content hash of the map."""
    from blake3 import blake3

    return blake3(f"adapter:{base}:{weights}".encode()).hexdigest()


def read_adapter(path: Path) -> AdapterFolder:
    """Read ``adapter.json``; the weights are read when needed.

    Raises:
        WeightsUnavailable: unreadable, another format, a missing or unknown field, or missing weights.
    """
    data = load_json(path / ADAPTER)
    try:
        if data["format"] != _FORMAT:
            raise ValueError(f"format {data['format']!r}")
        raw = dict(mapping(data["encoder"], "encoder"))
        raw["preprocessing"] = parse_preprocessing(raw.get("preprocessing"))
        raw["prompt_templates"] = parse_templates(raw.get("prompt_templates"))
        raw |= {key: number_or_none(key, raw.get(key)) for key in ("logit_scale", "logit_bias")}
        spec = build_row(EncoderSpec, raw, "encoder")
        base = build_row(Base, data["base"], "base")
        whole("encoder.dim", spec.dim, 1)
        whole("encoder.context_length", spec.context_length, 0)
        if not isinstance(spec.has_text, bool):
            raise ValueError("encoder.has_text is not true or false")
        for key, value in (("fingerprint", spec.fingerprint), ("base.fingerprint", base.fingerprint)):
            hex_digest(key, value)
        hex_digest("blake3", data["blake3"])
        texts = (spec.name, spec.family, spec.source, spec.licence, base.name, base.source)
        if not all(isinstance(text, str) and text for text in texts):
            raise ValueError("a name is missing")
        if spec.fingerprint != _fingerprint(base.fingerprint, data["blake3"]):
            raise ValueError("its fingerprint is not that of its base and weights")
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path / ADAPTER, reason_of(error)) from error
    check_present(path / _WEIGHTS, None)
    return AdapterFolder(path, spec, base, data["blake3"])


class AdaptedEncoder:
    """The ``Encoder`` protocol over a base and a map; the base is loaded at its first use.

    Args:
        folder: the adapter's folder.
        base: the base; it must be the same model that the adapter was trained on.
    """

    def __init__(self, folder: AdapterFolder, base: Encoder) -> None:
        if base.spec.fingerprint != folder.base.fingerprint or base.spec.dim != folder.spec.dim:
            raise WeightsUnavailable(
                f"{folder.spec.name} was made for another {folder.base.name} than the one that is installed",
                "install the model it was trained on, or train it again",
            )
        self.folder, self.spec, self.base = folder, folder.spec, base
        self._weights: tuple[Matrix, Matrix] | None = None

    @property
    def streams(self) -> int:
        """That of the base."""
        return self.base.streams

    @property
    def batch_size(self) -> int:
        """That of the base."""
        return self.base.batch_size

    @property
    def device(self) -> str:
        """That of the base."""
        return self.base.device

    @property
    def precision(self) -> str:
        """That of the base; ``auto`` if it does not say."""
        return self.base.precision if isinstance(self.base, OfPrecision) else "auto"

    def adapt(self, vectors: Vectors) -> Vectors:
        """Convert embeddings of the base (n, dim) to embeddings of this encoder."""
        if self._weights is None:
            self._weights = self.folder.weights()
        matrix, offset = self._weights
        if not len(vectors):
            return np.empty((0, self.spec.dim), np.float32)
        parts = (vectors[at : at + _ROWS] for at in range(0, len(vectors), _ROWS))
        return np.concatenate([unit(part @ matrix.T + offset) for part in parts])

    def encode_images(self, pixels: Pixels) -> Vectors:
        """(n, 3, size, size) uint8 to (n, dim) float32 unit vectors."""
        return self.adapt(self.base.encode_images(pixels))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """The base's embeddings: the map applies to pictures only."""
        return self.base.encode_texts(texts)

    def is_cut(self, text: str) -> bool:
        """True if the base's tokenizer cuts ``text``."""
        return self.base.is_cut(text)


class AdaptedDeviceEncoder(AdaptedEncoder):
    """The same over a base that can accept a batch before the previous one is collected."""

    base: Any

    def start_images(self, pixels: Pixels) -> Callable[[], Vectors]:
        """See :class:`DeviceEncoder`."""
        collect = self.base.start_images(pixels)
        return lambda: self.adapt(collect())

    def torch_device(self) -> str:
        """That of the base, see :class:`OnTorch`."""
        return str(self.base.torch_device())

    def compile_images(self) -> None:
        """Compile the base, see :class:`OnTorch`."""
        self.base.compile_images()


def adapted(folder: AdapterFolder, base: Encoder) -> AdaptedEncoder:
    """The encoder of an adapter's folder over its base."""
    return (AdaptedDeviceEncoder if isinstance(base, DeviceEncoder) else AdaptedEncoder)(folder, base)
