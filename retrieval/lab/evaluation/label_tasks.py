"""``eval zeroshot``, ``probe`` and ``few-shot``: how well an encoder distinguishes the classes of folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.encoders.base import Encoder
from retrieval.lab.evaluation.bootstrap import RESAMPLES
from retrieval.lab.evaluation.caption_task import about_files
from retrieval.lab.evaluation.class_folders import Labelled, read_class_folders
from retrieval.lab.evaluation.classification import accuracies, class_ranks, most_confused
from retrieval.lab.evaluation.embed import Embedded, embed_files
from retrieval.lab.evaluation.neighbours import TEMPERATURE, K
from retrieval.lab.evaluation.probe import few_shot, probe, split_rows
from retrieval.lab.evaluation.tables import Cell, Report, Table
from retrieval.labels.zeroshot import class_vectors, find_templates

if TYPE_CHECKING:
    from retrieval.gallery import Gallery

OnProgress = Callable[[int, int], None]
"""Called with the number of encoded pictures, and of all that must be encoded."""


@dataclass(frozen=True)
class LabelledData:
    """Labelled pictures as embeddings of one encoder, each picture once per class.

    Attributes:
        vectors: (n, dim); labels: (n,) classes; pictures: (n,) equal for files with the same bytes.
        names: the classes' names; folders: the folders of their pictures.
        embedded: how the vectors were obtained.
    """

    vectors: Vectors
    labels: Ids
    pictures: Ids
    names: tuple[str, ...]
    folders: tuple[str, ...]
    embedded: Embedded


def embed_labelled(
    encoder: Encoder, labelled: Labelled, gallery: Gallery | None = None, on_progress: OnProgress | None = None
) -> LabelledData:
    """Embed the pictures; copies within a class count once, unreadable files are left out."""
    embedded = embed_files(encoder, labelled.paths, gallery=gallery, on_progress=on_progress)
    labels, pictures = labelled.labels[embedded.rows], embedded.pictures
    _, first = np.unique(np.stack([labels, pictures]), axis=1, return_index=True)
    first = np.sort(first)
    return LabelledData(
        embedded.vectors[first], labels[first], pictures[first], labelled.names, labelled.folders, embedded
    )


def _about(encoder: Encoder, data: LabelledData) -> dict[str, Cell]:
    about: dict[str, Cell] = {"model": encoder.spec.name, "pictures": len(data.labels), "classes": len(data.names)}
    return about | {"by chance": 1 / len(data.names)} | about_files(data.embedded)


def _ks(names: Sequence[str]) -> tuple[int, ...]:
    return (1, 5) if len(names) > 5 else (1,)


def report_zero_shot(
    encoder: Encoder,
    folder: str | Path,
    *,
    labels_file: str | Path | None = None,
    templates: Sequence[str] = ("model",),
    confused: int = 10,
    gallery: Gallery | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """The output of ``photoseek eval zeroshot``: a column for each choice of templates, and the classes most often
    confused with the last of them.

    Args:
        folder, labels_file: see :func:`.class_folders.read_class_folders`.
        templates: choices of :func:`retrieval.labels.zeroshot.find_templates`.
        gallery: may have embeddings.

    Raises:
        QueryError, SettingsError, TextNotSupported.
    """
    labelled = read_class_folders(folder, labels_file)
    chosen = {choice: find_templates(choice, encoder.spec) for choice in templates or ("model",)}
    classes = {choice: class_vectors(encoder, labelled.names, texts) for choice, texts in chosen.items()}
    data = embed_labelled(encoder, labelled, gallery, on_progress)
    columns = {}
    for choice, vectors in classes.items():
        scores = data.vectors @ vectors.T
        ranks = class_ranks(scores, data.labels)
        columns[choice] = accuracies(ranks, data.labels, ks=_ks(data.names), resamples=resamples, seed=seed)
    head = [f"{len(texts)} template{'s' * (len(texts) > 1)} ({choice})" for choice, texts in chosen.items()]
    rows: list[tuple[Cell, ...]] = [
        (name, *(column[name] for column in columns.values())) for name in next(iter(columns.values()))
    ]
    pairs: list[tuple[Cell, ...]] = [
        (data.names[each.true], data.names[each.predicted], each.pictures, each.share)
        for each in most_confused(scores, data.labels, confused)
    ]
    tables = [Table("zero-shot", ("metric", *head), tuple(rows))]
    if pairs:
        tables.append(Table("taken for another", ("class", "taken for", "pictures", "share"), tuple(pairs)))
    return Report(_about(encoder, data), tuple(tables), ("value (95 % interval, pictures drawn again)",))


@dataclass(frozen=True)
class _Sides:
    """Pictures for training and for testing, and the facts about both."""

    train: Vectors
    train_labels: Ids
    test: Vectors
    test_labels: Ids
    about: dict[str, Cell]
    data: LabelledData


def _sides(
    encoder: Encoder,
    folder: str | Path,
    test: str | Path | None,
    share: float,
    gallery: Gallery | None,
    seed: int,
    on_progress: OnProgress | None = None,
) -> _Sides:
    """Split one folder by picture, or use a second one for testing; pictures in both are not used for training."""
    data = embed_labelled(encoder, read_class_folders(folder), gallery, on_progress)
    about = _about(encoder, data)
    if test is None:
        split = split_rows(data.labels, data.pictures, share=share, seed=seed)
        rest, rows = split.train, split.test
        sides = data.vectors[rest], data.labels[rest], data.vectors[rows], data.labels[rows]
    else:
        other = embed_labelled(encoder, read_class_folders(test, folders=data.folders), gallery, on_progress)
        seen = set(other.embedded.digests)
        known = np.array([digest in seen for digest in data.embedded.digests])
        rest = np.flatnonzero(~np.isin(data.pictures, data.embedded.pictures[known]))
        sides = data.vectors[rest], data.labels[rest], other.vectors, other.labels
    return _Sides(*sides, about | {"learned from": len(sides[1]), "judged by": len(sides[3])}, data)


def _zero_shot(encoder: Encoder, sides: _Sides, resamples: int, seed: int) -> dict[str, Cell]:
    """Classify the same pictures by the classes' names; empty for an image-only encoder."""
    if not encoder.spec.has_text:
        return {}
    classes = class_vectors(encoder, sides.data.names, find_templates("model", encoder.spec))
    ranks = class_ranks(sides.test @ classes.T, sides.test_labels)
    return dict(accuracies(ranks, sides.test_labels, ks=_ks(sides.data.names), resamples=resamples, seed=seed))


def report_probe(
    encoder: Encoder,
    folder: str | Path,
    *,
    test: str | Path | None = None,
    share: float = 0.2,
    k: int = K,
    temperature: float = TEMPERATURE,
    gallery: Gallery | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """The output of ``photoseek eval probe``: k-NN, logistic regression and, with a text tower, zero-shot on one split.

    Args:
        folder: class folders for training; ``share`` of each class is set aside for testing, unless
        test: another folder of the same classes is given for that.
    """
    sides = _sides(encoder, folder, test, share, gallery, seed, on_progress)
    names = sides.data.names
    found = probe(
        sides.train, sides.train_labels, sides.test, sides.test_labels, len(names), k=k, temperature=temperature,
        ks=_ks(names), resamples=resamples, seed=seed,
    )  # fmt: skip
    about = sides.about | {"penalty": found.penalty, "seed": seed}
    columns: dict[str, dict[str, Cell]] = {
        f"k-NN (k={k}, T={temperature:g})": dict(found.knn),
        "logistic regression": dict(found.linear),
    }
    zero_shot = _zero_shot(encoder, sides, resamples, seed)
    if zero_shot:
        columns["zero-shot"] = zero_shot
    rows = tuple((name, *(column[name] for column in columns.values())) for name in found.knn)
    table = Table("probe", ("metric", *columns), rows)
    return Report(about, (table,), ("value (95 % interval, pictures judged by drawn again)",))


def report_few_shot(
    encoder: Encoder,
    folder: str | Path,
    *,
    test: str | Path | None = None,
    share: float = 0.2,
    shots: Sequence[int] = (1, 2, 4, 8, 16),
    draws: int = 5,
    gallery: Gallery | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Report:
    """The output of ``photoseek eval few-shot``: acc@1 against the number of labelled pictures per class."""
    sides = _sides(encoder, folder, test, share, gallery, seed, on_progress)
    found = few_shot(
        sides.train, sides.train_labels, sides.test, sides.test_labels, len(sides.data.names),
        shots=shots, draws=draws, seed=seed,
    )  # fmt: skip
    about = sides.about | {"draws": draws, "seed": seed}
    zero_shot = _zero_shot(encoder, sides, RESAMPLES, seed)
    if zero_shot:
        about["zero-shot acc@1"] = zero_shot["acc@1"]
    rows = tuple((each.shots, each.nearest_mean, each.linear) for each in found)
    table = Table("few-shot", ("shots", "nearest mean acc@1", "logistic regression acc@1"), rows)
    left_out = sorted(set(shots) - {each.shots for each in found})
    notes = ["mean over draws (95 % interval of it: Student's t)"]
    if left_out:
        notes.append(f"left out, because the smallest class has fewer pictures: {', '.join(map(str, left_out))}")
    return Report(about, (table,), tuple(notes))
