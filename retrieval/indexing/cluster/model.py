"""The encoder of a worker is that of the run: by its fingerprint, in one precision, checked by what it makes of fixed
pictures. A machine that does not have the model is sent its files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from indexes.base import Vectors
from retrieval.encoders.base import Encoder, OfPrecision
from retrieval.encoders.files.checks import check_inside
from retrieval.encoders.files.description import DESCRIPTION, read_encoder_folder
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.int8 import int8_fingerprint
from retrieval.encoders.registry import load_encoder_by_fingerprint
from retrieval.errors import EncoderError, EncoderMismatch
from retrieval.indexing.cluster.said import Task

MODEL_BYTES = 4 << 30
"""Larger models are not sent: install them on every machine."""

LEAST_COSINE = 0.99
"""Between the embeddings of one picture by two workers; 0.9999 is usual on different processors in one precision."""

_PROBES = 4


def files_to_send(encoder: Encoder) -> dict[str, Path]:
    """The files of a model that can be sent, by their names in its folder; empty: it cannot be."""
    if not isinstance(encoder, OnnxEncoder):
        return {}
    files = {name: encoder.folder.file(name) for name in (DESCRIPTION, *encoder.folder.files)}
    return files if sum(file.stat().st_size for file in files.values()) <= MODEL_BYTES else {}


def loaded(task: Task, model: dict[str, bytes] | None) -> Encoder:
    """The encoder of a run: installed on this machine, or from the files that were sent.

    Raises:
        EncoderError, SettingsError: it is not installed here, is another one, or cannot be run as asked.
    """
    if model is None:
        return load_encoder_by_fingerprint(
            task.fingerprint,
            task.name,
            task.source,
            precision=task.precision,  # type: ignore[arg-type]  # checked there
            device=task.device,
            threads=task.threads,
        )
    place = Path(tempfile.mkdtemp(prefix="photoseek-model-"))
    try:
        return _from_files(place, task, model)
    except EncoderError:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _from_files(place: Path, task: Task, model: dict[str, bytes]) -> Encoder:
    for name, data in model.items():
        check_inside(name)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    folder = read_encoder_folder(place)
    is_int8 = task.fingerprint == int8_fingerprint(folder.spec.fingerprint)
    # The hash of each file is compared with its description before the first picture.
    encoder = OnnxEncoder(folder, "int8" if is_int8 else task.precision, threads=task.threads)  # type: ignore[arg-type]
    if encoder.spec.fingerprint != task.fingerprint:
        raise EncoderMismatch(f"the files of {task.name} that were sent are of another model", "run the command again")
    return encoder


def precision_of(encoder: Encoder) -> str:
    """That of the image tower; ``auto`` if the encoder does not say."""
    return encoder.precision if isinstance(encoder, OfPrecision) else "auto"


def probed(encoder: Encoder) -> Vectors:
    """The embeddings of fixed pictures, (n, dim) float32: workers whose embeddings differ must not share a run."""
    size = encoder.spec.preprocessing.size
    coarse = np.random.default_rng(0).integers(0, 256, (_PROBES, 3, 4, 4), dtype=np.uint8)
    repeats = -(-size // 4)
    return encoder.encode_images(np.ascontiguousarray(coarse.repeat(repeats, 2).repeat(repeats, 3)[..., :size, :size]))


def agree(one: Vectors, other: Vectors) -> bool:
    """Whether two workers embed the fixed pictures alike."""
    return one.shape == other.shape and bool(((one * other).sum(axis=1) >= LEAST_COSINE).all())
