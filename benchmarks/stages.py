"""Indexing: every stage by itself on all cores, the whole run, and the bound set by the stages.

Decoding and encoding need the same cores, so nothing can be faster than 1 / (1 / decode + 1 / encode).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.data import Data
from benchmarks.measure import Series, alternate, rate, tell
from benchmarks.settings import Bench
from benchmarks.tables import Table
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.records import pack_vector
from retrieval.encoders.base import Encoder, Pixels
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.encoders.registry import load_encoder
from retrieval.errors import UnreadableImage
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import COMMIT_IMAGES, Indexer
from retrieval.indexing.scan import walk
from retrieval.indexing.schedules import PIECE
from retrieval.pictures.device_images import DeviceDecoder
from retrieval.pictures.images import content_hash, read_picture

RCLIP = "rclip"
_COMPARED = ("decode", "encode", RCLIP)
_IN_WORKERS = ("read", "decode", "encode")
_IN_MAIN = ("walk", "commit", "index")


class StageCases:
    """One folder of pictures and the cases that are measured on it."""

    def __init__(self, data: Data, folder: Path, encoder: Encoder) -> None:
        self._data, self.folder, self.encoder = data, folder, encoder
        self.files = [Path(found.path, file.name) for found in walk(folder) for file in found.files]
        self.threads = encoder.streams if encoder.streams > 1 else available_cpus()
        self._spent: Mapping[str, float] = {}
        readable = [(path, pixels) for path in self.files if (pixels := self.pixels(path)) is not None]
        self.readable = [path for path, _ in readable]
        size = encoder.batch_size
        self.batches: list[Pixels] = [
            np.stack([pixels for _, pixels in readable[at : at + size]]) for at in range(0, len(readable), size)
        ]

    def cases(self) -> dict[str, Callable[[], float]]:
        """Stage -> a function that returns images per second."""
        count = len(self.readable)
        return {
            "walk": rate(lambda: [file for found in walk(self.folder) for file in found.files], len(self.files)),
            "read + hash": rate(lambda: self._spread(self._read, self.readable), count),
            "decode": rate(lambda: self._spread(self.pixels, self.readable), count),
            "encode": rate(self._encode, count),
            "commit": self._commit,
            "end to end": self.end_to_end,
        }

    def _read(self, path: Path) -> bytes:
        return content_hash(path.read_bytes())

    def pixels(self, path: Path) -> Pixels | None:
        """A file's pixels as input of the tower, or None if it cannot be read."""
        try:
            return read_picture(path.read_bytes(), self.encoder.spec.preprocessing).pixels
        except UnreadableImage:
            return None

    def _spread(self, stage: Callable[[Path], object], paths: Sequence[Path]) -> None:
        """Run a stage on every core, with as many files at a time as the pipeline passes to a worker."""
        size = self.encoder.batch_size if self.encoder.streams > 1 else PIECE

        def several(at: int) -> None:
            for path in paths[at : at + size]:
                stage(path)

        _drain(several, range(0, len(paths), size), self.threads)

    def _encode(self) -> None:
        _drain(self.encoder.encode_images, self.batches, self.encoder.streams)

    def _commit(self) -> float:
        vector = pack_vector(np.zeros(self.encoder.spec.dim, np.float32))
        metadata = Metadata(format="JPEG", width=1, height=1)
        """Only the commits: a gallery is created only once."""
        with self._data.scratch() as scratch, Gallery(scratch).writer() as catalog:
            encoder_id, folder_id = catalog.register_encoder(self.encoder.spec), catalog.folder_id(str(scratch))
            rows = [
                IndexedImage(folder_id, f"{n}.jpg", n, n, n.to_bytes(32, "big"), metadata, vector)
                for n in range(len(self.readable))
            ]
            started = time.perf_counter()
            for at in range(0, len(rows), COMMIT_IMAGES):
                catalog.commit(Batch(indexed=rows[at : at + COMMIT_IMAGES]), encoder_id)
            return len(rows) / (time.perf_counter() - started)

    def end_to_end(self, encoder: Encoder | None = None, decoder: DeviceDecoder | None = None) -> float:
        """From a folder to a saved catalog and index; the model is loaded and the empty gallery exists."""
        with self._data.scratch() as scratch:
            gallery = Gallery(scratch)
            with gallery.writer():
                pass
            started = time.perf_counter()
            report = Indexer(gallery, encoder or self.encoder, decoder=decoder).run(self.folder)
            wall = time.perf_counter() - started
        self._spent = report.seconds
        return report.images / wall

    def shares_note(self) -> str:
        """How the time of the last end-to-end run was spent."""
        total = self._spent["total"]
        workers = [f"{name} {self._spent[name] / total / self.threads:.1%}" for name in _IN_WORKERS]
        rest = [f"{name} {self._spent[name] / total:.1%}" for name in _IN_MAIN]
        return (
            f"Last end-to-end run: {', '.join(workers)} of the {self.threads} workers' time; "
            f"{', '.join(rest)} of the main thread's."
        )


def stage_tables(bench: Bench) -> list[Table]:
    """A table for each set of pictures: about 500 pixels and 12 megapixels, or the user's own."""
    encoder = load_encoder(bench.model)
    sets = bench.picture_sets()
    return [_table(bench, title, StageCases(bench.data, folder, encoder)) for title, folder in sets]


def _table(bench: Bench, title: str, stages: StageCases) -> Table:
    tell(f"stages, {title}: {len(stages.readable)} pictures")
    cases = stages.cases()
    if bench.rclip is not None:
        peer, count = bench.rclip, len(stages.readable)
        cases[RCLIP] = lambda: count / peer.index(bench.stopwatch, stages.folder).wall
    measured = alternate(cases, bench.rounds)
    bound = _bound(measured["decode"], measured["encode"])
    whole = measured["end to end"]
    rows = [
        (name, series.shown(), whole.over(series).shown(3) if name in _COMPARED else "")
        for name, series in measured.items()
    ]
    rows.append(("bound: 1/(1/decode + 1/encode)", bound.shown(), whole.over(bound).shown(3)))
    encoder = stages.encoder
    notes = [
        (
            f"{len(stages.readable)} pictures ({_megabytes(stages.readable):.1f} MB), {bench.rounds} rounds; "
            f"{encoder.spec.name} on {encoder.device}, {stages.threads} threads, batches of {encoder.batch_size}."
        ),
        stages.shares_note(),
        measured.foreign_note(),
    ]
    if bench.rclip is not None:
        notes.append(f"{RCLIP}: its whole process, start, model loading and one query included (float32).")
    return Table(f"Indexing, {title}", ("stage", "images/s (min–max)", "end to end : this"), rows, notes)


def _bound(decode: Series, encode: Series) -> Series:
    return Series([1 / (1 / d + 1 / e) for d, e in zip(decode.values, encode.values, strict=True)])


def _megabytes(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


def _drain(stage: Callable[..., object], items: Iterable[object], threads: int) -> None:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(stage, items):
            pass
