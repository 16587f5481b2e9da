"""Galleries of any size without encoding a picture: random unit vectors for files that really exist."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.data import SIDES, Data
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.catalog.records import pack_vector
from retrieval.encoders.base import Encoder, unit
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.scan import FoundFolder, walk
from retrieval.pictures.images import content_hash

Described = Callable[[np.random.Generator, Path], tuple[bytes, Metadata]]
"""The hash of a file and its picture's metadata, drawn at random."""

_CAMERAS = ("Canon EOS 5D Mark IV", "NIKON D750", "Pixel 8", "iPhone 14 Pro", "FUJIFILM X-T4", None)
_CITIES = ((48.86, 2.29), (52.52, 13.40), (40.71, -74.01), (35.68, 139.69), (-33.87, 151.21))
_FIRST_DAY, _DAYS = datetime(2005, 1, 1), 20 * 365
_hashes: dict[int, bytes] = {}  # by inode: in a tree of photos many names refer to one file


def made_gallery(data: Data, count: int, encoder: Encoder) -> Gallery:
    """A gallery with every file of ``data.tree(count)``, with its vector index saved."""
    tree = data.tree(count)
    name = _name("gallery", count, encoder)
    return Gallery(data.made(name, partial(_fill, tree=tree, encoder=encoder, described=_plain)))


def photo_gallery(data: Data, count: int, encoder: Encoder) -> Gallery:
    """The same for ``data.photos(count)``: pictures that can be shown, most of them with a date, a camera, a place."""
    tree = data.photos(count)
    name = _name("photo-gallery", count, encoder)
    return Gallery(data.made(name, partial(_fill, tree=tree, encoder=encoder, described=_photo)))


def _name(kind: str, count: int, encoder: Encoder) -> str:
    """The name of a folder; galleries made for an older form of the catalog are not reused."""
    return f"{kind}-{count}-{encoder.spec.fingerprint[:12]}-{CATALOG_VERSION}"


def _fill(folder: Path, *, tree: Path, encoder: Encoder, described: Described) -> None:
    gallery = Gallery(folder)
    rng = np.random.default_rng(0)
    with gallery.writer() as catalog:
        encoder_id = catalog.register_encoder(encoder.spec)
        for found in walk(tree):
            if found.files:
                rows = _rows(found, catalog.folder_id(found.path), encoder.spec.dim, rng, described)
                catalog.commit(Batch(indexed=rows), encoder_id)
    # Nothing is new, so this encodes nothing: it makes the encoder the active one and saves the index.
    report = Indexer(gallery, encoder).run(tree)
    if report.encoded or report.failures_known:
        raise RuntimeError(f"the files of {tree} changed while the gallery was made")


def _rows(
    found: FoundFolder, folder_id: int, dim: int, rng: np.random.Generator, described: Described
) -> list[IndexedImage]:
    vectors = unit(rng.standard_normal((len(found.files), dim), np.float32))
    return [
        IndexedImage(
            folder_id,
            file.name,
            file.size,
            file.mtime_ns,
            *described(rng, Path(found.path, file.name)),
            pack_vector(vector),
        )
        for file, vector in zip(found.files, vectors, strict=True)
    ]


def _plain(rng: np.random.Generator, _file: Path) -> tuple[bytes, Metadata]:
    return rng.bytes(32), Metadata(format="JPEG", width=4032, height=3024)


def _photo(rng: np.random.Generator, file: Path) -> tuple[bytes, Metadata]:
    width, height = SIDES["small"]
    taken = _FIRST_DAY + timedelta(days=int(rng.integers(_DAYS)), seconds=int(rng.integers(86_400)))
    city = _CITIES[int(rng.integers(len(_CITIES)))] if rng.random() < 0.4 else None
    metadata = Metadata(
        format="JPEG",
        width=width,
        height=height,
        taken_at=taken.isoformat() if rng.random() < 0.9 else None,
        camera=_CAMERAS[int(rng.integers(len(_CAMERAS)))],
        latitude=None if city is None else city[0] + float(rng.normal(0, 0.1)),
        longitude=None if city is None else city[1] + float(rng.normal(0, 0.1)),
        phash=rng.bytes(64),
        colour=int(rng.integers(1 << 24)),
    )
    return _hash_of(file.stat().st_ino, file), metadata


def _hash_of(inode: int, file: Path) -> bytes:
    if inode not in _hashes:
        _hashes[inode] = content_hash(file.read_bytes())
    return _hashes[inode]
