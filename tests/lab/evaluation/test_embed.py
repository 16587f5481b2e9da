"""Embeddings of files: both pipelines, reuse from a gallery, unreadable files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Vectors
from retrieval.encoders.base import Pixels
from retrieval.errors import QueryError
from retrieval.gallery import Gallery
from retrieval.lab.evaluation.embed import embed_files
from retrieval.pictures.images import read_picture
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture


class DeviceColours(ColourEncoder):
    """Starts a batch and is asked for it later, as a GPU's encoder does."""

    def start_images(self, pixels: Pixels) -> Callable[[], Vectors]:
        return lambda: self.encode_images(pixels)


def paths_in(photos: Path) -> list[Path]:
    return [photos / name for name in PHOTOS]


def expected(paths: list[Path]) -> Vectors:
    encoder = ColourEncoder()
    pixels = [read_picture(path.read_bytes(), encoder.spec.preprocessing).pixels for path in paths]
    return encoder.encode_images(np.stack(pixels))


@pytest.mark.parametrize("encoder", [ColourEncoder(), ColourEncoder(streams=1), DeviceColours(streams=1, batch_size=2)])
def test_every_schedule_gives_the_same(photos: Path, encoder: ColourEncoder) -> None:
    found = embed_files(encoder, paths_in(photos))
    np.testing.assert_allclose(found.vectors, expected(paths_in(photos)), atol=1e-6)
    assert found.rows.tolist() == list(range(6))
    assert (found.stored, found.failed) == (0, ())
    assert found.rate is not None
    assert encoder.encoded == 7, "one more to wake the engine"


def test_what_cannot_be_read_is_left_out_and_told(photos: Path, encoder: ColourEncoder) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    os.mkfifo(photos / "pipe.jpg")
    names = ["red-1.jpg", "broken.jpg", "gone.jpg", "trip", "pipe.jpg", "green.jpg"]
    found = embed_files(encoder, [photos / name for name in names])
    assert found.rows.tolist() == [0, 5]
    np.testing.assert_allclose(found.vectors, expected([photos / "red-1.jpg", photos / "green.jpg"]), atol=1e-6)
    assert {path.name for path, _ in found.failed} == {"broken.jpg", "gone.jpg", "trip", "pipe.jpg"}
    assert {path.name: reason for path, reason in found.failed}["pipe.jpg"].startswith("not an ordinary file")
    with pytest.raises(QueryError, match=r"none of 1 picture can be used: .*gone\.jpg: no such file"):
        embed_files(encoder, [photos / "gone.jpg"])


def test_copies_are_one_picture(photos: Path, encoder: ColourEncoder) -> None:
    shutil.copy(photos / "green.jpg", photos / "copy.jpg")
    found = embed_files(encoder, [photos / name for name in ("green.jpg", "red-1.jpg", "copy.jpg")])
    assert found.pictures.tolist() == [0, 1, 0]


def test_a_gallery_spares_the_work(indexed: Gallery, photos: Path) -> None:
    replace_picture(photos / "green.jpg", "blue", seed=9)
    encoder = ColourEncoder()
    found = embed_files(encoder, paths_in(photos), gallery=indexed)
    assert found.stored == 5
    assert encoder.encoded == 2, "the changed file, and one to wake the engine"
    np.testing.assert_allclose(found.vectors, expected(paths_in(photos)), atol=1e-3)
    assert found.pictures.tolist() == list(range(6))


def test_another_encoders_gallery_is_of_no_use(indexed: Gallery, photos: Path) -> None:
    assert embed_files(ColourEncoder(name="other"), paths_in(photos), gallery=indexed).stored == 0


def test_a_gallery_that_is_not_there(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    assert embed_files(encoder, paths_in(photos), gallery=gallery).stored == 0
