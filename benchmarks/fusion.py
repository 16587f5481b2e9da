"""Fused search against each source alone, on a labelled mixture that is generated from a folder of class folders.

::

    python -m benchmarks.fusion FOLDER [--each 10] [--model NAME]

Pictures get names as cameras write them. Some get a name, a caption, a tag, a place or text in the picture (as if it
had been read) of random words. Queries ask for what a picture shows (the name of its class), for these words, or for
both. Two folders have names that mislead: *camera uploads* and *scans of animals*.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.tables import Table
from retrieval.catalog.labels import add_said
from retrieval.catalog.places import Place, write_located
from retrieval.catalog.texts import PictureText, TextLine, write_texts
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.lab.evaluation.bootstrap import bootstrap
from retrieval.lab.evaluation.class_folders import read_class_folders
from retrieval.search import lexical
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query

DEPTH = 1000
_WORDS = """
    bakery receipt harbour granny wedding contract summer passport garage orchard violin kitchen insurance
    school birthday market ticket concert lawyer tenant sailing ceramics carnival dentist library museum
    neighbour picnic railway reunion seminar theatre vineyard warranty workshop"""
WORDS = tuple(_WORDS.split())
TOWNS = ("Lisbon", "Bergen", "Kyoto", "Galway", "Palermo", "Quito", "Tromso", "Zagreb")
FOLDERS = ("2019", "2020", "camera uploads", "scans of animals")


class Asked(NamedTuple):
    """A query: what kind it is, its text, and the ids of the right answers."""

    kind: str
    text: str
    right: frozenset[int]


def mixture(place: Path, folder: Path, each: int, model: str, seed: int = 0) -> tuple[Gallery, list[Asked]]:
    """A gallery with the pictures of some classes, and the queries."""
    draw = random.Random(seed)
    labelled = read_class_folders(folder)
    by_class: dict[str, list[Path]] = {}
    for path, label in zip(labelled.paths, labelled.labels.tolist(), strict=True):
        by_class.setdefault(labelled.names[label], []).append(path)
    pairs = draw.sample([(one, other) for one in WORDS for other in WORDS if one < other], 250)
    chosen = [(name, path) for name, paths in by_class.items() for path in sorted(paths)[:each]]
    draw.shuffle(chosen)
    named = {n: pairs[n] for n in range(40)}
    classes: dict[str, str] = {}
    for n, (name, path) in enumerate(chosen):
        stem = "-".join(named[n]) if n in named else f"IMG_{n:04}"
        to = place / "photos" / FOLDERS[n % len(FOLDERS)] / f"{stem}{path.suffix}"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        classes[str(to)] = name
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder(model)).run(place / "photos")
    with gallery.reader() as reader:
        records = reader.records(list(range(1, reader.count() + 1)))
    ids = {record.path: record.id for record in records}
    asked = [Asked("shown", name, _of(name, classes, ids)) for name in by_class]
    asked += [
        Asked("name", " ".join(named[n]), frozenset({ids[path]}))
        for path in classes
        for n in named
        if Path(path).stem == "-".join(named[n])
    ]
    rest = [record for record in records if Path(record.path).stem.startswith("IMG_")]
    draw.shuffle(rest)
    captioned, tagged, read, placed = rest[:40], rest[40:80], rest[80:120], rest[120:440]
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        for n, record in enumerate(captioned):
            one, other = pairs[40 + n]
            add_said(transaction, "captions", [(record.id, f"The {one} near the {other}, with friends", "user")])
            asked.append(Asked("caption", f"{other} and {one}", frozenset({record.id})))
        for n, record in enumerate(tagged):
            one, other = pairs[80 + n]
            add_said(transaction, "tags", [(record.id, f"{one} {other}", "user")])
            asked.append(Asked("tag", f"the {one} {other}", frozenset({record.id})))
        for n, record in enumerate(read):
            one, other = pairs[120 + n]
            line = TextLine(f"{other.upper()} No. {4000 + n}: {one}", 0.9, (0.0,) * 8)
            write_texts(transaction, [(record.content_hash, PictureText("generated", "2024", (line,)))])
            asked.append(Asked("text", f"{one} {other} {4000 + n}", frozenset({record.id})))
        at = {record.id: TOWNS[n % len(TOWNS)] for n, record in enumerate(placed)}
        for n, (image_id, town) in enumerate(at.items()):
            values = {"lat": 10.0 + TOWNS.index(town), "lon": n / 1000, "id": image_id}
            transaction.run("UPDATE images SET latitude = :lat, longitude = :lon WHERE id = :id", values)
        towns = [Place(town, "town", town, town, f"\n{town.lower()}\n") for town in TOWNS]
        where = {(10.0 + TOWNS.index(town), n / 1000): town for n, town in enumerate(at.values())}
        write_located(transaction, towns, where)
    asked += [
        Asked("place", f"pictures from {town}", frozenset(i for i, other in at.items() if other == town))
        for town in TOWNS
    ]
    for record in placed:
        name, town = classes[record.path], at[record.id]
        right = frozenset(i for i in _of(name, classes, ids) if at.get(i) == town)
        asked.append(Asked("shown + place", f"{name} in {town}", right))
    return gallery, list(dict.fromkeys(asked))


def _of(name: str, classes: dict[str, str], ids: dict[str, int]) -> frozenset[int]:
    return frozenset(ids[path] for path, other in classes.items() if other == name)


def reciprocal_ranks(engine: QueryEngine, asked: Sequence[Asked], only: str | None) -> list[float]:
    """1 / rank of the first right answer of each query; 0 if it is not among the first :data:`DEPTH`."""
    values = []
    for each in asked:
        query = replace(Query.text(each.text, k=DEPTH), only=only)
        ranks = [hit.rank for hit in engine.search(query) if hit.image.id in each.right]
        values.append(1.0 / min(ranks) if ranks else 0.0)
    return values


def main() -> None:
    """Print MRR and hit_rate@5 of each source alone and of all, by kind of query."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=10, help="pictures of each class")
    parser.add_argument("--model", default="builtin-224")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        gallery, asked = mixture(Path(place), given.folder, given.each, given.model)
        kinds = list(dict.fromkeys(each.kind for each in asked))
        found: dict[str, list[float]] = {}
        with QueryEngine(gallery) as engine:
            found["visual"] = reciprocal_ranks(engine, asked, "visual")
            every = dict(lexical.SOURCES)
            for source in every:
                lexical.SOURCES.update({name: "text" if name == source else "names" for name in every})
                found[source] = reciprocal_ranks(engine, asked, "text")
            lexical.SOURCES.update(every)
            found["fused"] = reciprocal_ranks(engine, asked, None)
        print(f"{given.each} pictures of each class, {engine.encoder_row.name}, {len(asked)} queries")
        metrics: tuple[tuple[str, Callable[[float], float]], ...] = (
            ("MRR", lambda value: value),
            ("hit_rate@5", lambda value: float(value >= 1 / 5)),
        )
        for name, metric in metrics:
            rows = []
            for source, values in found.items():
                scores = np.array([metric(value) for value in values])
                whole = bootstrap(scores)
                means = [scores[[each.kind == kind for each in asked]].mean() for kind in kinds]
                said = f"{whole.value:.3f} ({whole.low:.3f} to {whole.high:.3f})"
                rows.append([source, said, *(f"{mean:.2f}" for mean in means)])
            print(Table(name, ["source", "all queries", *kinds], rows).to_markdown())


if __name__ == "__main__":
    main()
