"""The content of a gallery, read without the library: the reference for the indexing tests."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from indexes import IndexSpec, create_index
from retrieval.catalog.records import unpack_vectors
from retrieval.gallery import Gallery
from retrieval.indexing.report import IndexReport
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.fakes import ColourEncoder

_ROWS = """SELECT f.path, i.name, i.id, i.content_hash, e.vector, i.is_retired, i.size, i.mtime_ns
           FROM images AS i JOIN folders AS f ON f.id = i.folder_id
           LEFT JOIN embeddings AS e ON e.image_id = i.id
                AND e.encoder_id = (SELECT id FROM encoders WHERE fingerprint = ?)
           ORDER BY i.id"""


def rows(gallery: Gallery, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The answer of the database itself."""
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        return connection.execute(sql, values).fetchall()


def present(gallery: Gallery, encoder: ColourEncoder) -> dict[str, tuple[int, bytes, bytes | None]]:
    """Path of every present image -> (id, content hash, stored vector by the encoder)."""
    return {
        os.path.join(os.fsdecode(folder), os.fsdecode(name)): (id_, digest, vector)
        for folder, name, id_, digest, vector, is_retired, *_ in rows(gallery, _ROWS, (encoder.spec.fingerprint,))
        if not is_retired
    }


def embedded(gallery: Gallery, encoder: ColourEncoder) -> dict[str, tuple[bytes, bytes | None]]:
    """Path of every present image -> (content hash, stored vector): equal however the runs were cut up."""
    return {path: (digest, vector) for path, (_, digest, vector) in present(gallery, encoder).items()}


def ids(gallery: Gallery, encoder: ColourEncoder, below: Path) -> dict[str, int]:
    """Path relative to ``below`` -> id of every present image."""
    return {os.path.relpath(path, below): row[0] for path, row in present(gallery, encoder).items()}


def failing(gallery: Gallery) -> dict[str, str]:
    """File name -> reason."""
    with gallery.reader() as reader:
        return {os.path.basename(failure.path): failure.reason for failure in reader.failures()}


def found(gallery: Gallery, encoder: ColourEncoder, text: str = "red green blue", *, k: int = 1000) -> list[str]:
    """File names of the hits, best first, by what they show; of the catalog alone, without a look at the files."""
    with QueryEngine(gallery, encoder, check_files=False) as engine:
        return [
            os.path.basename(hit.image.path) for hit in engine.search(replace(Query.text(text, k=k), only="visual"))
        ]


def check_agreement(gallery: Gallery, encoder: ColourEncoder) -> None:
    """The database is sound, no present image lacks its embedding, and the index holds exactly those."""
    assert rows(gallery, "PRAGMA integrity_check") == [("ok",)]
    assert rows(gallery, "PRAGMA foreign_key_check") == []
    dim = encoder.spec.dim
    stored = sorted(present(gallery, encoder).values())
    blobs = [vector for _, _, vector in stored if vector is not None]
    assert len(blobs) == len(stored)
    assert all(len(blob) == 2 * dim for blob in blobs)
    vectors = unpack_vectors(blobs, dim)
    image_ids = np.array([id_ for id_, *_ in stored], dtype=np.int64)
    with gallery.reader() as reader:
        row = next(row for row in reader.encoders() if row.fingerprint == encoder.spec.fingerprint)
        index = gallery.open_index(reader, row)
        assert len(index) == len(stored)
        if stored:
            exact = create_index(IndexSpec.parse("Exact"), dim)
            exact.add(image_ids, vectors)
            expected = exact.search(vectors, len(stored))
            answer = index.search(vectors, len(stored))
            np.testing.assert_array_equal(np.sort(answer.ids, axis=1), np.sort(expected.ids, axis=1))
            np.testing.assert_allclose(answer.scores, expected.scores, atol=1e-6)
        index.close()


def settled(report: IndexReport) -> int:
    """How many files a report accounts for."""
    return report.unchanged + sum(count for what, count in vars(report.counts).items() if what != "retired")


def move(source: Path, target: Path) -> Path:
    """Move a file or folder, making the folder that it goes to; modification times stay."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(source, target))


def touch(path: Path) -> None:
    """Another modification time, the same bytes."""
    later = path.stat().st_mtime_ns + 3_000_000_000
    os.utime(path, ns=(later, later))


class _Watch:
    folder: str | None = None
    opened: list[str] = []  # noqa: RUF012 - one for the process, like the hook
    installed = False


def _hook(event: str, values: tuple[Any, ...]) -> None:
    if event == "open" and _Watch.folder is not None and isinstance(values[0], str | bytes):
        path = os.fsdecode(values[0])
        if path.startswith(_Watch.folder):
            _Watch.opened.append(path)


@contextmanager
def opened_below(folder: Path) -> Iterator[list[str]]:
    """A list that gets the path of every file below ``folder`` that this process opens meanwhile."""
    if not _Watch.installed:
        sys.addaudithook(_hook)
        _Watch.installed = True
    _Watch.opened = opened = []
    _Watch.folder = str(folder) + os.sep
    try:
        yield opened
    finally:
        _Watch.folder = None
