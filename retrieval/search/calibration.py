"""Scores of unrelated queries with an encoder: the background that relevance is measured against.

Two fixed lists of texts are embedded with the gallery's encoder: everyday labels, which compete with a query for each
picture, and things that hardly any gallery holds, whose best pictures here show how well unrelated searches fit. No
number is tuned to one model. ``docs/relevance.md`` says how the method was chosen.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from indexes.base import Ids, Vectors
from retrieval.labels.vocabulary import read_labels
from retrieval.labels.zeroshot import scale_and_bias
from retrieval.search.smoothing import POOL, seen_from, smoothed

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine

logger = logging.getLogger("photoseek")

_UNLIKELY = Path(__file__).with_name("unlikely-things.txt")
_FORM = 2  # version of the files and of their contents
_BEST = 10  # pictures of each unlikely search that are used
_TOLERANCE = 0.1  # the share by which a gallery may grow or shrink before it is measured again
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Measured:
    """The measurements for one encoder in one gallery.

    Attributes:
        fingerprint, lists: of the encoder and of the two lists of texts.
        scale, bias: the encoder's own (``zeroshot.scale_and_bias``); with a bias nothing else is used.
        near: texts whose cosine to a query is at least this mean nearly the same, and do not compete with it.
        mean, deviation: of the evidence for the best picture of an unrelated search.
        images: pictures in the index at that time.
    """

    fingerprint: str
    lists: str
    scale: float
    bias: float | None
    near: float
    mean: float
    deviation: float
    images: int


@dataclass(frozen=True)
class Calibration:
    """The data that relevance is measured against.

    Attributes:
        measured: see :class:`Measured`.
        background: (b, dim) the everyday labels; empty if the encoder has a bias.
        centre: (dim,) mean of the pictures that unlikely searches find.
    """

    measured: Measured
    background: Vectors
    centre: Vectors

    def evidence(self, direction: Vectors, pictures: Vectors) -> Vectors:
        """How much better a query fits each picture than all everyday labels together.

        log(exp(s q.x) / sum over labels c of exp(s c.x)): the log odds of CLIP's zero-shot softmax (arXiv:2103.00020,
        section 3.1.2) between the query and the labels that do not mean nearly the same as it.

        Args:
            direction: (1, dim) or (dim,), a query of words.
            pictures: (n, dim).

        Returns:
            (n,) float32.
        """
        query = direction.reshape(-1)
        alike = self.background @ query
        # At least half of the labels compete, however general the query is.
        others = self.background[alike < max(self.measured.near, float(np.median(alike)) + 1e-6)]
        logits = self.measured.scale * (pictures @ others.T)
        top = logits.max(axis=1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        evidence: Vectors = self.measured.scale * (pictures @ query) - total
        return evidence

    def smoothed_evidence(self, direction: Vectors, pictures: Vectors, pool: Vectors) -> Vectors:
        """:meth:`evidence` of each picture, averaged with similar pictures, see :func:`.smoothing.smoothed`.

        Args:
            pool: (p, dim), the :data:`.smoothing.POOL` pictures nearest to the query.
        """
        own, others = self.evidence(direction, pictures), self.evidence(direction, pool)
        return smoothed(own, seen_from(self.centre, pictures), others, seen_from(self.centre, pool))


def calibration_of(engine: QueryEngine) -> Calibration:
    """The calibration of an engine's encoder in its gallery; measured if there is none or the gallery has changed size.

    It is kept in ``relevance/<16 hex>/`` of the gallery, which can be deleted at any time. A gallery that cannot be
    written is measured each time.

    Raises:
        TextNotSupported: an image-only encoder.
    """
    return kept_calibration(engine) or new_calibration(engine, engine.encoder.encode_texts)


def kept_calibration(engine: QueryEngine) -> Calibration | None:
    """The stored measurements, if they are still valid for a gallery of this size."""
    kept = _kept_for(engine)
    if kept is not None and abs(kept.measured.images - len(engine.index)) <= _TOLERANCE * max(1, kept.measured.images):
        return kept
    return None


def new_calibration(engine: QueryEngine, embed: Callable[[Sequence[str]], Vectors]) -> Calibration:
    """Measure, and store the result.

    Args:
        embed: texts to (n, dim) unit vectors; called for :func:`everyday`, unless stored, and :func:`unlikely`.

    Raises:
        TextNotSupported: an image-only encoder.
    """
    kept = _kept_for(engine)
    made = _measure(engine, len(engine.index), None if kept is None else kept.background, embed)
    _keep(engine.gallery.relevance_path(engine.encoder_row.fingerprint), made, engine.reader.identity())
    return made


@cache
def everyday() -> tuple[str, ...]:
    """The labels that compete with a query."""
    return read_labels("builtin")


@cache
def unlikely() -> tuple[str, ...]:
    """The searches that have no relevant pictures."""
    return read_labels(str(_UNLIKELY))


def _measure(
    engine: QueryEngine, images: int, background: Vectors | None, embed: Callable[[Sequence[str]], Vectors]
) -> Calibration:
    encoder = engine.encoder
    scale, bias = scale_and_bias(encoder.spec)
    fingerprint, dim = engine.encoder_row.fingerprint, engine.encoder_row.dim
    if bias is not None:
        return Calibration(
            Measured(fingerprint, _lists(), scale, bias, 1, 0, 1, images),
            np.empty((0, dim), "<f4"),
            np.zeros(dim, "<f4"),
        )
    logger.warning("measuring what searches without an answer find here; done once for a model, and as a gallery grows")
    if background is None:
        background = embed(everyday())
    alike = background @ background.T
    np.fill_diagonal(alike, -1.0)
    near = float(np.median(alike.max(axis=1)))
    directions = embed(unlikely()) if images else np.empty((0, dim), np.float32)
    found = engine.index.search(directions, POOL).ids if images else np.empty((0, POOL), np.int64)
    centre = _centre(engine, found, dim)
    start = Calibration(Measured(fingerprint, _lists(), scale, None, near, 0.0, 1.0, images), background, centre)
    mean, deviation = _nothing_there(engine, start, directions, found) if images else (0.0, 1.0)
    return replace(start, measured=replace(start.measured, mean=mean, deviation=deviation))


def _centre(engine: QueryEngine, found: Ids, dim: int) -> Vectors:
    """(dim,) mean of the best pictures of the unlikely searches, given as (n, POOL) ids, -1 for none."""
    best = found[:, :_BEST]
    _, vectors = engine.reader.sound_vectors(np.unique(best[best >= 0]).tolist(), engine.encoder_row)
    centre: Vectors = vectors.mean(axis=0) if len(vectors) else np.zeros(dim, np.float32)
    return centre


def _nothing_there(engine: QueryEngine, start: Calibration, directions: Vectors, found: Ids) -> tuple[float, float]:
    """Mean and deviation of the evidence for the best picture of each unlikely search: (n, dim), (n, POOL) ids."""
    best: list[float] = []
    for direction, row in zip(directions, found, strict=True):
        _, pool = engine.reader.sound_vectors(row[row >= 0].tolist(), engine.encoder_row)
        if len(pool):
            best.append(float(start.smoothed_evidence(direction, pool[:_BEST], pool).max()))
    return (float(np.mean(best)), max(float(np.std(best)), 1e-6)) if best else (0.0, 1e-6)


@cache
def _lists() -> str:
    texts = "\n".join((str(_FORM), *everyday(), "", *unlikely()))
    return blake3(texts.encode()).hexdigest()[:32]


def _kept_for(engine: QueryEngine) -> Calibration | None:
    row = engine.encoder_row
    return _kept(engine.gallery.relevance_path(row.fingerprint), row.fingerprint, row.dim, engine.reader.identity())


def _kept(folder: Path, fingerprint: str, dim: int, catalog: str) -> Calibration | None:
    """The stored calibration; None if absent, damaged, or of another catalog, encoder or other lists."""
    try:
        with (folder / "measured.json").open("rb") as file:
            body: Any = json.loads(file.read(_MAX_BYTES))
        checksum = body.pop("checksum", None)
        measured = Measured(**body)
        numbers = (measured.scale, measured.near, measured.mean, measured.deviation, measured.images)
        if not all(isinstance(number, int | float) and np.isfinite(number) for number in numbers):
            return None
        if (measured.fingerprint, measured.lists) != (fingerprint, _lists()) or measured.deviation <= 0:
            return None
        if measured.bias is not None:
            made = Calibration(measured, np.empty((0, dim), np.float32), np.zeros(dim, np.float32))
            return made if checksum == _checksum(made, catalog) else None
        with (folder / "background.f4").open("rb") as file:
            data = file.read(4 * dim * (len(everyday()) + 1) + 1)
        rows = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(len(everyday()) + 1, dim)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    made = Calibration(measured, rows[:-1], rows[-1])
    return made if checksum == _checksum(made, catalog) else None


def _checksum(made: Calibration, catalog: str) -> str:
    """BLAKE3 of all values and of the catalog's name: a flipped bit would change which hits count as relevant."""
    numbers = json.dumps(asdict(made.measured), sort_keys=True)
    return blake3(f"{catalog}\n{numbers}\n".encode() + _stored(made)).hexdigest(16)


def _stored(made: Calibration) -> bytes:
    """The labels' rows, with the centre as the last row."""
    return np.vstack([made.background, made.centre]).astype("<f4").tobytes()


def _keep(folder: Path, made: Calibration, catalog: str) -> None:
    """Two searches at once may both write: each file is replaced as a whole, and both write the same."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "background.f4", _stored(made))
        body = {**asdict(made.measured), "checksum": _checksum(made, catalog)}
        _replace(folder / "measured.json", json.dumps(body).encode())


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
