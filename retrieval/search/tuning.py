"""Test a gallery's vector index with queries from the gallery, and save the search effort it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

from retrieval.errors import GalleryNotFound, SettingsError
from retrieval.tuned import Tuning, effort_text, write_tuning

if TYPE_CHECKING:
    from indexes.base import Ids, Vectors
    from indexes.ranking import Block
    from indexes.tuning import Trial, TuningReport
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

_PICTURES = 128


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
        raise SettingsError(
            f"a recall@{k} of {target} is not possible", "give a target such as 0.99 and a k of 1 or more"
        )
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
