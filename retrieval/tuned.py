"""The result of ``photoseek tune`` on disk: the search effort of an index.

It is stored next to the saved index as ``tuning.json``. It is only advice: if it is deleted, or the kind of index
changes, the defaults apply again, and a damaged file is ignored.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from indexes.base import DEFAULT_EFFORT, Effort
from retrieval.errors import GalleryError
from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes import IndexSpec

TUNING_NAME = "tuning.json"
_KNOBS = ("nprobe", "ef_search", "k_factor")
_SIZE_LIMIT = 64 * 1024
_MOST = 1 << 24


@dataclass(frozen=True)
class Tuning:
    """A setting that reached its target.

    Attributes:
        spec: the kind of index it is for, as text.
        effort: the setting.
        k, target: it reached a recall@k of ``target``.
        recall: kind of query -> the measured recall.
        p50_ms: median milliseconds per query in that measurement.
        images: pictures in the gallery at that time.
    """

    spec: str
    effort: Effort
    k: int
    target: float
    recall: dict[str, float]
    p50_ms: float
    images: int


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Store a setting in an index's folder, atomically for readers. Raises GalleryError if that fails."""
    temporary = folder / f"{TUNING_NAME}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        body = asdict(tuning)
        temporary.write_text(json.dumps({**body, "checksum": _checksum(body)}, indent=1), encoding="utf-8")
        temporary.replace(folder / TUNING_NAME)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        from retrieval.system_errors import not_written

        # The folder belongs to the gallery, so failing to write it is not a mistake of the user.
        problem = not_written(folder, error, "give yourself the right to write there")
        raise GalleryError(problem.message, problem.hint) from error


def read_tuning(folder: Path, spec: IndexSpec | None) -> Tuning | None:
    """The setting stored for an index of this kind; None if there is none, or none that can be used."""
    try:
        with (folder / TUNING_NAME).open("rb") as file:
            found = _from_json(json.loads(file.read(_SIZE_LIMIT)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found if found.spec == str(spec) else None


def tuned_effort(folder: Path, spec: IndexSpec) -> Effort:
    """The search effort: stored for this kind of index, else its defaults."""
    tuning = read_tuning(folder, spec)
    return DEFAULT_EFFORT if tuning is None else tuning.effort


def _from_json(body: dict[str, Any]) -> Tuning:
    names = {field.name for field in fields(Tuning)}
    if body.keys() != names and body.pop("checksum") != _checksum(body):  # older ones have none
        raise ValueError("checksum")
    knobs = {name: _knob(body["effort"][name]) for name in _KNOBS}
    recall = {str(kind): float(value) for kind, value in body["recall"].items()}
    numbers = (int(body["k"]), float(body["target"]), recall, float(body["p50_ms"]), int(body["images"]))
    return Tuning(str(body["spec"]), Effort(**knobs), *numbers)


def _checksum(body: dict[str, Any]) -> str:
    """BLAKE3 of the setting: a flipped bit would be another effort, and pictures would be missed."""
    return blake3(json.dumps(body, sort_keys=True).encode()).hexdigest(8)


def _knob(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError("not a setting")
    return value


def effort_text(effort: Effort) -> str:
    """``nprobe 64, k_factor 20``; "default" if nothing is set."""
    turned = ((name, getattr(effort, name)) for name in _KNOBS)
    return ", ".join(f"{name} {value}" for name, value in turned if value is not None) or "default"


def tuning_text(tuning: Tuning) -> str:
    """One line: the setting, the recall it reached, and the number of pictures."""
    reached = ", ".join(f"{value:.3f} for {kind}" for kind, value in tuning.recall.items())
    return f"{effort_text(tuning.effort)} (recall@{tuning.k} {reached}; measured at {plural(tuning.images, 'picture')})"
