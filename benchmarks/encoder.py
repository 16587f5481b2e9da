"""The image tower by itself: precisions compared, and the accuracy lost by the faster one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.measure import alternate, tell
from benchmarks.settings import Bench
from benchmarks.stages import StageCases
from benchmarks.tables import Table
from indexes.base import Vectors
from retrieval.encoders.base import Encoder
from retrieval.encoders.registry import load_encoder
from retrieval.errors import SettingsError
from retrieval.pictures.images import read_picture

_NEIGHBOURS = 10
_PICTURES = 128


def encoder_tables(bench: Bench) -> list[Table]:
    """Images per second in float32 and in the best precision of this CPU, and how much the embeddings differ."""
    if bench.photos is not None:
        folder = bench.data.sample(bench.photos, bench.sizes.small)
    else:
        folder = bench.data.pictures("small", bench.sizes.small)
    # Set explicitly: PHOTOSEEK_PRECISION must not make the two equal.
    towers = {"float32": load_encoder(bench.model, precision="fp32")}
    try:
        towers["bfloat16"] = load_encoder(bench.model, precision="bf16")
        towers["bfloat16"].encode_images(_blank(towers["bfloat16"]))
    except SettingsError:
        del towers["bfloat16"]
    tell(f"encoder: {', '.join(towers)}")
    stages = {name: StageCases(bench.data, folder, tower) for name, tower in towers.items()}
    measured = alternate({name: one.cases()["encode"] for name, one in stages.items()}, bench.rounds)
    reference = _embedded(towers["float32"], stages["float32"].readable)
    rows = []
    for name, tower in towers.items():
        kept = fidelity(_embedded(tower, stages[name].readable), reference)
        ratio = measured[name].over(measured["float32"])
        rows.append((name, measured[name].shown(), ratio.shown(2), *kept))
    head = ("precision", "images/s (min–max)", ": float32", "max difference", "lowest cosine", "same neighbours")
    nearest = min(_NEIGHBOURS, len(reference) - 1)
    notes = [
        f"{towers['float32'].spec.name}, {towers['float32'].streams} one-thread streams, {len(reference)} pictures.",
        f"Same neighbours: share of each picture's {nearest} nearest in float32 that are among its nearest.",
        measured.foreign_note(),
    ]
    if "bfloat16" not in towers:
        notes.append("This CPU does not compute in bfloat16; float32 is what runs on it.")
    return [Table("Image tower", head, rows, notes)]


def _blank(encoder: Encoder) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    size = encoder.spec.preprocessing.size
    return np.full((1, 3, size, size), 127, np.uint8)


def _embedded(encoder: Encoder, paths: list[Path]) -> Vectors:
    parts = []
    for path in paths[:_PICTURES]:
        pixels = read_picture(path.read_bytes(), encoder.spec.preprocessing).pixels
        parts.append(encoder.encode_images(pixels[None]))
    return np.concatenate(parts)


def fidelity(found: Vectors, reference: Vectors) -> tuple[str, str, str]:
    """Largest difference, lowest cosine, and the fraction of nearest neighbours kept, of (n, dim) unit vectors."""
    difference = float(np.abs(found - reference).max())
    cosine = float(np.einsum("ij,ij->i", found, reference).min())
    ours, theirs = _neighbours(found), _neighbours(reference)
    same = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(ours, theirs, strict=True)])
    return f"{difference:.1e}", f"{cosine:.5f}", f"{same:.3f}"


def _neighbours(vectors: Vectors) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2.0)
    return np.argsort(-scores, axis=1)[:, : min(_NEIGHBOURS, len(vectors) - 1)]
