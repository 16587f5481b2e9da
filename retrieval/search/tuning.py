"""Try a gallery's vector index with the gallery's own queries, and remember how hard it has to search.

What is learned lies beside the saved index as ``tuning.json``. It is advice about a view: deleting it, or a new kind of
index, brings the defaults back, and a damaged file counts as none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from blake3 import blake3

from indexes.base import DEFAULT_EFFORT, Effort
from retrieval.errors import GalleryError, GalleryNotFound, SettingsError
from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes import IndexSpec
    from indexes.base import Ids, Vectors
    from indexes.ranking import Block
    from indexes.tuning import Trial, TuningReport
    from retrieval.catalog.reader import CatalogReader, EncoderRow
    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

TUNING_NAME = "tuning.json"
_PICTURES = 128
_KNOBS = ("nprobe", "ef_search", "k_factor")
_SIZE_LIMIT = 64 * 1024
_MOST = 1 << 24


@dataclass(frozen=True)
class Tuning:
    """A setting that was found good enough.

    Attributes:
        spec: the kind of index it is for, as text.
        effort: the setting.
        k, target: it reached a recall@k of ``target``.
        recall: kind of query -> the recall measured.
        p50_ms: milliseconds of a query, median, when it was measured.
        images: pictures in the gallery at that time.
    """

    spec: str
    effort: Effort
    k: int
    target: float
    recall: dict[str, float]
    p50_ms: float
    images: int


def tune_gallery(
    gallery: Gallery, encoder: Encoder | None = None, *, target: float = 0.99, k: int = 10, rounds: int = 3
) -> TuningReport:
    """Find the least effort that reaches ``target`` on this gallery, and keep it for the searches to come.

    The queries are up to 128 of its pictures, each of which does not count as its own answer, and 64 everyday captions
    if the encoder has a text tower. Exact search reads every embedding once; it holds none of them.
    If no setting reaches the target, what was kept before stays.

    Raises:
        SettingsError: a target or ``k`` that makes no sense.
        GalleryNotFound: nothing is indexed.
        GalleryError: the result cannot be written.
    """
    if not 0 < target <= 1 or k < 1:
        raise SettingsError(f"a recall@{k} of {target} cannot be asked for", "give a target such as 0.99 and k from 1")
    from indexes.tuning import make_probes, tune
    from retrieval.search.engine import QueryEngine

    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        index, row = engine.index, engine.encoder_row
        if len(index) == 0:
            raise GalleryNotFound(f"nothing is indexed in {gallery.path}", "run: photoseek index FOLDER")
        probes = make_probes(_queries(engine), _blocks(engine.reader, row), k)
        report = tune(index, probes, k=k, target=target, rounds=rounds)
        if report.chosen is not None and report.spec.knobs:
            kept = _as_tuning(report, report.chosen, len(index))
            write_tuning(gallery.index_path(row.fingerprint), kept)
    return report


def _as_tuning(report: TuningReport, chosen: Trial, images: int) -> Tuning:
    return Tuning(str(report.spec), chosen.effort, report.k, report.target, chosen.recall, chosen.p50_ms, images)


def _queries(engine: QueryEngine) -> dict[str, tuple[Vectors, Ids | None]]:
    """Kind -> embeddings, and the ids that they have in the gallery."""
    import numpy as np

    from retrieval.search.captions import CAPTIONS

    ids = np.concatenate([piece.ids for piece in engine.reader.changes(0, engine.encoder_row)])
    drawn = np.sort(np.random.default_rng(0).permutation(ids)[:_PICTURES])
    pictures = engine.reader.vectors([int(i) for i in drawn], engine.encoder_row)
    kinds: dict[str, tuple[Vectors, Ids | None]] = {"pictures": (pictures, drawn)}
    if engine.encoder.spec.has_text:
        kinds["texts"] = (engine.encoder.encode_texts(list(CAPTIONS)), None)
    return kinds


def _blocks(reader: CatalogReader, row: EncoderRow) -> Iterator[Block]:
    from indexes.ranking import Block

    for piece in reader.changes(0, row):
        yield Block(piece.ids, piece.vectors)


# What was learned, on disk


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Keep a setting in an index's folder; readers see the old one or the new one. GalleryError if it cannot be."""
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

        # The folder is the gallery's own: that it cannot be written is no slip of the person's.
        problem = not_written(folder, error, "give yourself the right to write there")
        raise GalleryError(problem.message, problem.hint) from error


def read_tuning(folder: Path, spec: IndexSpec | None) -> Tuning | None:
    """The setting kept for an index of this kind; None if there is none, or none that can be used."""
    try:
        with (folder / TUNING_NAME).open("rb") as file:
            found = _from_json(json.loads(file.read(_SIZE_LIMIT)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return found if found.spec == str(spec) else None


def tuned_effort(folder: Path, spec: IndexSpec) -> Effort:
    """The effort to search with: what was kept for this kind of index, else its defaults."""
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
    """BLAKE3 of what was learned: a turned bit would be another effort, and miss pictures."""
    return blake3(json.dumps(body, sort_keys=True).encode()).hexdigest(8)


def _knob(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError("not a setting")
    return value


# For people


def effort_text(effort: Effort) -> str:
    """``nprobe 64, k_factor 20``; "default" if no knob was turned."""
    turned = ((name, getattr(effort, name)) for name in _KNOBS)
    return ", ".join(f"{name} {value}" for name, value in turned if value is not None) or "default"


def tuning_text(tuning: Tuning) -> str:
    """One line: the setting, what it reached, and on how many pictures."""
    reached = ", ".join(f"{value:.3f} for {kind}" for kind, value in tuning.recall.items())
    return f"{effort_text(tuning.effort)} (recall@{tuning.k} {reached}; measured at {plural(tuning.images, 'picture')})"


def write_report(report: TuningReport, out: IO[str]) -> None:
    """A line a setting: aligned columns on a terminal, tabs elsewhere; a star at the chosen one."""
    kinds = list(report.trials[0].recall)
    head = ["effort", *(f"recall@{report.k} {kind}" for kind in kinds), "p50 ms", "p99 ms", "chosen"]
    rows = [head]
    for trial in report.trials:
        recall = [f"{trial.recall[kind]:.4f}" for kind in kinds]
        star = "*" if trial is report.chosen else ""
        rows.append([effort_text(trial.effort), *recall, f"{trial.p50_ms:.2f}", f"{trial.p99_ms:.2f}", star])
    for line in _aligned(rows) if out.isatty() else ("\t".join(row) for row in rows):
        out.write(line.rstrip(" ") + "\n")


def _aligned(rows: list[list[str]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def verdict(report: TuningReport) -> str:
    """What came of it, in one line."""
    asked = f"recall@{report.k} {report.target:g}"
    if report.chosen is not None and not report.spec.knobs:
        return f"{report.spec} reaches {asked} and has nothing to tune"
    if report.chosen is None:
        return f"no setting of {report.spec} reaches {asked}; another kind may: photoseek index --index-spec SQfp16"
    return (
        f"{report.spec} searches with {effort_text(report.chosen.effort)} from now on: the least that reaches {asked}"
    )
