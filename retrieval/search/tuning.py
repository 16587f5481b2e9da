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

CAPTIONS = (
    "a dog running on the beach", "a cat asleep on a sofa", "a red bird on a branch", "two horses in a meadow",
    "a cow looking into the camera", "fish in an aquarium", "a butterfly on a flower", "a spider in its web",
    "children playing football", "a woman with an umbrella in the rain", "a man riding a bicycle",
    "a birthday cake with candles", "a wedding couple dancing", "grandparents on a bench", "a baby laughing",
    "a group photo at a party", "people waiting at a station", "someone reading a book", "a crowd at a concert",
    "sunset over the sea", "a snowy mountain", "fog between trees", "a waterfall in a forest", "a field of sunflowers",
    "a lake with reflections", "a night sky full of stars", "lightning over a city", "an autumn park with red leaves",
    "a desert with dunes", "a rainbow after the rain", "a lighthouse on a cliff", "a narrow old street",
    "a bridge across a river", "the skyline at night", "a church from inside", "a castle on a hill",
    "a market with fruit and vegetables", "an empty road", "a red car", "an old steam train", "an airplane in the sky",
    "a sailing boat", "a motorcycle in a garage", "a bus in heavy traffic", "a pizza on a plate", "a cup of coffee",
    "a bowl of salad", "ice cream in summer", "a table set for dinner", "a glass of wine", "a living room with a piano",
    "a messy desk with a computer", "a kitchen", "a page of handwriting", "a receipt", "a screenshot of a map",
    "a black and white portrait", "a painting in a museum", "graffiti on a wall", "toys on the floor",
    "a tent in the mountains", "skiers on a slope", "a close-up of an eye", "something blurred",
)  # fmt: skip
"""64 texts of 1 to 8 words on what photo collections hold: animals, people, places, weather, things, papers."""


def tune_gallery(
    gallery: Gallery, encoder: Encoder | None = None, *, target: float = 0.99, k: int = 10, rounds: int = 3
) -> TuningReport:
    """Find the least effort that reaches ``target`` on this gallery, and store it for later searches.

    The queries are up to 128 of its pictures, none of which counts as its own answer, and 64 everyday captions
    if the encoder has a text tower. Exact search reads every embedding once, without keeping any in memory.
    If no setting reaches the target, the stored effort stays.

    Raises:
        SettingsError: an impossible target or ``k``.
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
    """Kind -> embeddings, and their ids in the gallery."""
    import numpy as np

    ids = np.concatenate([piece.ids for piece in engine.reader.changes(0, engine.encoder_row)])
    drawn = np.sort(np.random.default_rng(0).permutation(ids)[:_PICTURES])
    pictures = engine.reader.vectors([int(i) for i in drawn], engine.encoder_row)
    kinds: dict[str, tuple[Vectors, Ids | None]] = {"pictures": (pictures, drawn)}
    if engine.encoder.spec.has_text:
        kinds["texts"] = (engine.encoder.encode_texts(list(CAPTIONS)), None)
    return kinds


def _blocks(reader: CatalogReader, row: EncoderRow) -> Iterator[Block]:
    from indexes.ranking import Block

    for piece in reader.changes(0, row, moments=True):
        yield Block(piece.ids, piece.vectors)


def write_report(report: TuningReport, out: IO[str]) -> None:
    """One line for each setting: aligned columns on a terminal, tabs elsewhere; a star at the chosen one."""
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
    """The result in one line."""
    asked = f"recall@{report.k} {report.target:g}"
    if report.chosen is not None and not report.spec.knobs:
        return f"{report.spec} reaches {asked} and has nothing to tune"
    if report.chosen is None:
        return f"no setting of {report.spec} reaches {asked}; another kind may: photoseek index --index-spec SQfp16"
    return (
        f"{report.spec} searches with {effort_text(report.chosen.effort)} from now on: the least that reaches {asked}"
    )
