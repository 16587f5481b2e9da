"""How well ``--relevant`` distinguishes searches with an answer from those without, on a folder of class folders.

::

    python -m benchmarks.relevance FOLDER [--model NAME] [--gallery DIR] [--labels FILE]
    python -m benchmarks.relevance --gap 1            synthetic embeddings, texts and pictures separated as in CLIP

Class names are the queries. Galleries are sampled from the collection with some of the classes in it; a search for one
of the others has no answer. Each statistic gets the same threshold: the value reached by 1 in 100 of the unlikely
searches of ``retrieval/search/unlikely-things.txt`` in that gallery. Only classes that the model can find are used
(three of the ten nearest pictures of the whole collection are right): no threshold corrects a search that fails.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table
from indexes.base import Vectors
from retrieval.encoders.base import Encoder, unit
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.lab.evaluation.class_folders import Labelled, read_class_folders
from retrieval.lab.evaluation.embed import embed_files
from retrieval.labels.zeroshot import scale_and_bias
from retrieval.search.calibration import Calibration, Measured, everyday, unlikely
from retrieval.search.relevance import CUT
from retrieval.search.smoothing import POOL

NEAREST = 10
DRAWS = 20
_Matrix = NDArray[np.float32]


class World(NamedTuple):
    """A collection with its embeddings by an encoder.

    Attributes:
        pictures: (n, dim).
        classes: (n,) row of ``queries``.
        queries, unlikely: (q, dim), (u, dim).
        calibration: without a mean and a deviation.
    """

    pictures: Vectors
    classes: NDArray[np.int64]
    queries: Vectors
    unlikely: Vectors
    calibration: Calibration


class Drawn(NamedTuple):
    """The nearest pictures to some directions in a gallery: statistic -> (d, 10) values, and their classes."""

    values: dict[str, _Matrix]
    classes: NDArray[np.int64]


def world(encoder: Encoder, labelled: Labelled, gallery: Gallery | None) -> World:
    """Embed everything; classes with the same name are one class."""
    made = embed_files(encoder, labelled.paths, gallery=gallery)
    names = sorted(set(labelled.names))
    row = np.array([names.index(name) for name in labelled.names])
    scale, _ = scale_and_bias(encoder.spec)
    return World(
        made.vectors, row[labelled.labels[made.rows]], encoder.encode_texts(names), encoder.encode_texts(unlikely()),
        _uncut(encoder.encode_texts(everyday()), scale, encoder.spec.fingerprint),
    )  # fmt: skip


def made_world(gap: float, seed: int) -> World:
    """200 classes in 40 families, the labels and the unlikely things in the same families; texts and pictures are
    shifted by ``gap`` in two different directions (CLIP's gap: arXiv:2203.02053), and the scale compensates for it."""
    rng = np.random.default_rng(seed)
    dim, noise, texts = 128, 2.5, (200, len(everyday()), len(unlikely()))
    families = unit(rng.standard_normal((40, dim)))
    meanings = unit(families[rng.integers(0, 40, sum(texts))] + 1.5 * unit(rng.standard_normal((sum(texts), dim))))
    classes = np.repeat(np.arange(200), 20)
    shown = unit(meanings[classes] + noise * unit(rng.standard_normal((len(classes), dim))))

    def apart(vectors: Vectors, at: int) -> Vectors:
        return unit(np.hstack([vectors, gap * np.eye(2)[[at] * len(vectors)]]))

    words = apart(unit(meanings + 0.4 * unit(rng.standard_normal(meanings.shape))), 0)
    queries, background, nothing = np.split(words, np.cumsum(texts)[:-1])
    return World(apart(shown, 1), classes, queries, nothing, _uncut(background, 25.0 * (1 + gap**2), "made"))


def _uncut(background: Vectors, scale: float, fingerprint: str) -> Calibration:
    alike = background @ background.T
    np.fill_diagonal(alike, -1)
    return Calibration(Measured(fingerprint, "", scale, None, float(np.median(alike.max(axis=1))), 0, 1, 0), background,
                       np.zeros(background.shape[1], np.float32))  # fmt: skip


def galleries(classes: NDArray[np.int64], seed: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(kind, rows of its pictures) of galleries with some of the classes."""
    rng = np.random.default_rng(seed)
    count = int(classes.max()) + 1
    for kind, share, most in (("half of the classes", 2, None), ("100 pictures of half of them", 2, 100),
                              ("five pictures of each of half of them", 2, -5),
                              ("one picture of each of half of them", 2, -1), ("a twentieth of them", 20, None),
                              ("one class", count, None)):  # fmt: skip
        for _ in range(DRAWS):
            chosen = rng.choice(count, max(1, count // share), replace=False)
            rows = rng.permutation(np.flatnonzero(np.isin(classes, chosen)))
            yield kind, _of_each(classes, rows, -most) if (most or 0) < 0 else rows[:most]


def _of_each(classes: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The first ``count`` rows of each class."""
    return np.concatenate([rows[classes[rows] == each][:count] for each in np.unique(classes[rows])])


def looked_at(one: World, rows: NDArray[np.int64], directions: Vectors) -> Drawn:
    """The statistics that were considered, for the nearest pictures to each direction."""
    pictures = one.pictures[rows]
    cosines = directions @ pictures.T
    pools = np.argsort(-cosines, axis=1, kind="stable")[:, :POOL]
    order = pools[:, :NEAREST]
    spread = (cosines - cosines.mean(axis=1, keepdims=True)) / (cosines.std(axis=1, keepdims=True) + 1e-9)
    everything = one.calibration.background @ pictures.T
    centre, width = everything.mean(axis=0), everything.std(axis=0)
    unlikely_best = np.argsort(-(one.unlikely @ pictures.T), axis=1)[:, :NEAREST]
    calibration = replace(one.calibration, centre=pictures[np.unique(unlikely_best)].mean(axis=0))
    evidence, smoothed = [], []
    for direction, nearest in zip(directions, pools, strict=True):
        first, pool = pictures[nearest[:NEAREST]], pictures[nearest]
        evidence.append(calibration.evidence(direction, first))
        smoothed.append(calibration.smoothed_evidence(direction, first, pool))
    values = {
        "cosine": np.take_along_axis(cosines, order, axis=1),
        "z in the gallery's scores": np.take_along_axis(spread, order, axis=1),
        "z in the picture's labels": np.take_along_axis((cosines - centre) / width, order, axis=1),
        "softmax among labels": np.stack(evidence),
        "the same, smoothed": np.stack(smoothed),
    }
    return Drawn(values, one.classes[rows][order])


def area(there: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often a search with an answer has the larger value."""
    ordered = np.sort(absent)
    below = np.searchsorted(ordered, there, "left") + np.searchsorted(ordered, there, "right")
    return float(below.mean() / (2 * len(absent)))


def judge(one: World, kind: str, draws: list[NDArray[np.int64]], known: NDArray[np.bool_]) -> list[list[str]]:
    """A row of figures for each statistic."""
    best: dict[str, tuple[list[float], list[float]]] = {}
    passed: dict[str, NDArray[np.int64]] = {}
    verdicts: dict[str, tuple[list[bool], list[bool]]] = {}
    for rows in draws:
        asked, nothing = looked_at(one, rows, one.queries), looked_at(one, rows, one.unlikely)
        present = np.isin(np.arange(len(one.queries)), one.classes[rows])
        right = asked.classes == np.arange(len(one.queries))[:, None]
        for name, values in asked.values.items():
            for label, cut in _cuts(name, nothing.values[name].max(axis=1)).items():
                top = values.max(axis=1)
                for store, of in ((best, top), (verdicts, top >= cut)):
                    pair = store.setdefault(label, ([], []))  # type: ignore[attr-defined]
                    pair[0].extend(of[present & known].tolist())
                    pair[1].extend(of[~present & known].tolist())
                hits = (values >= cut)[known]
                counts = [(hits & right[known]).sum(), hits.sum(), right[known].sum(), right[known].size]
                passed[label] = passed.get(label, np.zeros(4, np.int64)) + counts
    table = []
    for label, (there, absent) in best.items():
        good, shown, all_good, everything = passed[label].tolist()
        found, alarms = np.mean(verdicts[label][0]), np.mean(verdicts[label][1])
        table.append([
            kind, label, f"{area(np.array(there), np.array(absent)):.2f}", f"{found:.2f}", f"{alarms:.2f}",
            f"{good / max(1, shown):.2f} ({all_good / everything:.2f})", f"{good / max(1, all_good):.2f}",
        ])  # fmt: skip
    return table


def _cuts(name: str, nothing: NDArray[np.float64]) -> dict[str, float]:
    normal = NormalDist(float(nothing.mean()), float(nothing.std()) + 1e-9)
    cuts = {name: normal.inv_cdf(CUT)}
    return cuts | {"softmax above 1/2": 0.0} if name.startswith("softmax") else cuts


def main(say: Callable[[str], None] = print) -> None:
    """Print the table for a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", default="builtin-224")
    parser.add_argument("--gallery", type=Path, help="keep the embeddings here (default: nowhere)")
    parser.add_argument("--labels", type=Path, help="what the classes are called: folder, tab, name a line")
    parser.add_argument("--gap", type=float, help="made embeddings in place of a folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if (given.folder is None) == (given.gap is None):
        parser.error("give a folder or --gap")
    if given.gap is not None:
        one, name = made_world(given.gap, given.seed), f"made, gap {given.gap}"
    else:
        encoder, name = load_encoder(given.model), given.model
        with tempfile.TemporaryDirectory() as made:
            gallery = Gallery(given.gallery or Path(made))
            Indexer(gallery, encoder).run(given.folder)
            one = world(encoder, read_class_folders(given.folder, given.labels), gallery)
    order = np.argsort(-(one.queries @ one.pictures.T), axis=1)[:, :NEAREST]
    right = (one.classes[order] == np.arange(len(one.queries))[:, None]).mean(axis=1)
    known = right >= 0.3
    say(f"{name}: {len(one.pictures):,} pictures, {len(right)} classes, P@10 {right.mean():.3f}, "
        f"{known.sum()} classes known")  # fmt: skip
    drawn: dict[str, list[NDArray[np.int64]]] = {}
    for kind, rows in galleries(one.classes, given.seed):
        drawn.setdefault(kind, []).append(rows)
    rows_of = [row for kind, draws in drawn.items() for row in judge(one, kind, draws, known)]
    head = ["gallery", "statistic", "AUC", "found", "false alarms", "precision of hits (uncut)", "recall of hits"]
    say(Table("Relevance", head, rows_of).to_markdown())


if __name__ == "__main__":
    main()
