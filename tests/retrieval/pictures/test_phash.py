"""The perceptual hash: what moves it, what does not, and that indexing keeps it."""

from __future__ import annotations

import io
import sqlite3

import numpy as np
import pytest
from PIL import Image

from benchmarks.duplicate_pictures import duplicate_set, gradient, page, scene
from retrieval.duplicates.candidates import BITS
from retrieval.duplicates.hamming import bits_differing
from retrieval.encoders.base import Preprocessing
from retrieval.gallery import Gallery
from retrieval.pictures.images import TURNS, read_picture
from retrieval.pictures.phash import PLAIN, as_numbers, hash_of_grey, hashes_of_tiny, perceptual_hash, tiny_copy


def differing(one: bytes, other: bytes) -> int:
    return int(bits_differing(as_numbers([one]), as_numbers([other]))[0])


def test_it_is_the_sign_of_the_low_frequencies_of_the_dct() -> None:
    """Against the definition, written out."""
    grey = np.random.default_rng(1).integers(0, 256, (32, 32)).astype(np.uint8)
    x = np.arange(32)
    low = [
        float((grey * np.outer(np.cos(np.pi * (2 * x + 1) * u / 64), np.cos(np.pi * (2 * x + 1) * v / 64))).sum())
        for u in range(8)
        for v in range(8)
    ]
    bar = max(sorted(low[1:])[31], 64.0)
    bits = np.unpackbits(np.frombuffer(hash_of_grey(grey), np.uint8))
    assert bits[1:].tolist() == [int(value > bar) for value in low[1:]]
    assert bits[0] == 1


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_every_mode_has_a_hash(mode: str) -> None:
    image = scene(3)
    other = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8) if mode == "I;16" else image
    converted = other if mode == "I;16" else other.convert(mode)
    assert converted.mode == mode
    assert differing(perceptual_hash(converted), perceptual_hash(image)) <= 3


def test_transparent_parts_are_white_as_everywhere() -> None:
    image = scene(3)
    clear = image.convert("RGBA")
    clear.putalpha(Image.new("L", image.size, 0))
    assert perceptual_hash(clear) == perceptual_hash(Image.new("RGB", image.size, "white")) == PLAIN


def test_plain_pictures_say_so_and_gradients_do_not() -> None:
    assert perceptual_hash(Image.new("RGB", (300, 200), "black")) == PLAIN
    noise = np.random.default_rng(0).integers(100, 104, (200, 300, 3), np.uint8)
    assert perceptual_hash(Image.fromarray(noise)) == PLAIN
    # One of these has two colours of equal lightness, which grey values cannot tell from none.
    assert sum(perceptual_hash(gradient(seed)) == PLAIN for seed in range(20)) <= 1
    assert perceptual_hash(page(1)) != PLAIN


def test_copies_keep_it_and_other_pictures_do_not() -> None:
    originals: list[bytes] = []
    for variant in duplicate_set(range(8)):
        image = read_picture(variant.data, Preprocessing(size=224))
        if not variant.kind:
            originals.append(image.phash[:8])
        elif variant.kind == "copy" and "pixels" not in variant.case:
            assert differing(image.phash[:8], originals[-1]) <= BITS, variant.name
    pairs = [differing(a, b) for i, a in enumerate(originals) for b in originals[:i]]
    assert sorted(pairs)[len(pairs) // 2] > 20


@pytest.mark.parametrize("size", [(133, 77), (64, 300), (10, 20), (1, 40)])
def test_the_tiny_copy_averages_exactly_the_area_of_each_value(size: tuple[int, int]) -> None:
    """Against each pixel repeated 32 times to both sides, of which whole numbers fall into each value."""
    width, height = size
    pixels = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    repeated = pixels.astype(np.float64).repeat(32, axis=0).repeat(32, axis=1)
    expected = repeated.reshape(32, height, 32, width, 3).mean(axis=(1, 3))
    found = np.asarray(tiny_copy(Image.fromarray(pixels)), dtype=np.float64)
    # Above 256 pixels two are averaged first, and a half of such a mean stands for one of them.
    assert np.abs(found - expected).max() <= (0.51 if max(size) < 256 else 16)


def test_copies_of_any_size_move_few_bits() -> None:
    image = scene(9)
    for share in (0.25, 0.37, 0.5, 0.71, 1.5, 2.0, 3.3):
        size = round(image.width * share), round(image.height * share)
        for resample in (Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BILINEAR):
            assert differing(perceptual_hash(image.resize(size, resample)), perceptual_hash(image)) <= 4


def test_turned_and_mirrored_pictures_are_found_by_the_hashes_of_their_original() -> None:
    for seed in range(6):
        image = scene(seed)
        hashes = hashes_of_tiny(tiny_copy(image))
        for orientation, turn in TURNS.items():
            expected = perceptual_hash(image.transpose(turn))
            assert differing(hashes[8 * orientation - 8 : 8 * orientation], expected) <= 2
        assert hashes[:8] == perceptual_hash(image)


@pytest.mark.parametrize("size", [(900, 700), (3000, 2000), (1500, 200), (200, 1500), (40, 30)])
def test_it_is_of_the_whole_picture_whatever_the_tower_sees(size: tuple[int, int]) -> None:
    image = scene(5).resize(size)
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=95)
    towers = [Preprocessing(size=64), Preprocessing(size=224), Preprocessing(size=256, resize="squash")]
    for tower in towers:
        assert differing(read_picture(stored.getvalue(), tower).phash[:8], perceptual_hash(image)) <= 3


def test_indexing_stores_it_and_a_copy_takes_it_over(indexed: Gallery) -> None:
    with sqlite3.connect(indexed.catalog_path) as connection:
        rows = connection.execute("SELECT phash, colour FROM images").fetchall()
    connection.close()
    assert len(rows) == 6
    assert all(len(row[0]) == 64 and 0 < row[1] <= 0xFFFFFF for row in rows)


def test_embedding_of_hands_it_on(indexed: Gallery) -> None:
    with indexed.reader() as reader:
        record = reader.records([1])[0]
        known = reader.embedding_of(record.content_hash, 1)
    with sqlite3.connect(indexed.catalog_path) as connection:
        stored = connection.execute("SELECT phash, colour FROM images WHERE id = 1").fetchone()
    connection.close()
    assert known is not None
    assert stored[0] in known[1] and stored[1] in known[1]
    assert record.colour == stored[1]
