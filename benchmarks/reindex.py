"""A second run over unchanged folders, compared with the minimum of work for such a run."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from benchmarks.galleries import made_gallery
from benchmarks.measure import alternate, seconds, tell
from benchmarks.settings import Bench
from benchmarks.tables import Table
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.scan import walk

_BARE = "bare walk: os.scandir + stat"
_FLOOR = "floor: bare walk, read all rows, compare"
_OWN = "photoseek's walk alone"
_RUN = "photoseek: run without changes"


def reindex_tables(bench: Bench) -> list[Table]:
    """Seconds in the process, without start-up."""
    encoder = load_encoder("builtin-224")  # nothing is encoded: only its name and dimension matter
    count = bench.sizes.files
    tree = bench.data.tree(count)
    gallery = made_gallery(bench.data, count, encoder)
    tell(f"no-change run over {count:,} files")
    cases = {
        _BARE: seconds(lambda: sum(1 for _ in _bare(str(tree)))),
        _FLOOR: seconds(lambda: _floor(tree, gallery, count)),
        _OWN: seconds(lambda: sum(len(folder.files) for folder in walk(tree))),
        _RUN: seconds(lambda: _run(Indexer(gallery, encoder), tree, count)),
    }
    measured = alternate(cases, bench.rounds)
    rows = [
        (name, series.shown(3), series.over(measured[_BARE]).shown(2), series.over(measured[_FLOOR]).shown(2))
        for name, series in measured.items()
    ]
    head = ("what", "seconds (min–max)", ": bare walk", ": floor")
    notes = [f"{count:,} files in folders of 1000, page cache warm, start-up excluded.", measured.foreign_note()]
    return [Table(f"No-change run, {count:,} files", head, rows, notes)]


def _bare(folder: str) -> Iterator[tuple[str, int, int]]:
    """(path, size, mtime_ns) of every file, with nothing else done."""
    stack = [folder]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    stack.append(entry.path)
                else:
                    found = entry.stat()
                    yield entry.path, found.st_size, found.st_mtime_ns


def _floor(tree: Path, gallery: Gallery, count: int) -> None:
    connection = sqlite3.connect(gallery.catalog_path)
    rows = connection.execute(
        "SELECT f.path || '/' || i.name, i.size, i.mtime_ns FROM images AS i JOIN folders AS f ON f.id = i.folder_id"
    )
    known = {path: (size, mtime_ns) for path, size, mtime_ns in rows}
    connection.close()
    same = sum(known.get(path) == (size, mtime_ns) for path, size, mtime_ns in _bare(str(tree)))
    if same != count:
        raise RuntimeError(f"{same} of {count} files are as the gallery knows them: remove the cache folder")


def _run(indexer: Indexer, tree: Path, count: int) -> None:
    report = indexer.run(tree)
    if report.unchanged != count:
        raise RuntimeError(f"{report.unchanged} of {count} files were unchanged: remove the cache folder")
