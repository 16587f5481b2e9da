"""The perceptual hash: what changes it, what does not, and that indexing stores it."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.duplicate_pictures import duplicate_set, gradient, page, scene
from retrieval.duplicates.candidates import BITS
from retrieval.duplicates.hamming import bits_differing
from retrieval.encoders.base import Preprocessing
from retrieval.gallery import Gallery
from retrieval.pictures.decoding import TURNS
from retrieval.pictures.images import read_picture
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
    for variant in duplicate_set((0, 1, 2, 3, 4, 7)):
        if variant.kind not in ("", "copy") or "pixels" in variant.case:
            continue
        hash_ = read_picture(variant.data, Preprocessing(size=224)).phash[:8]
        if not variant.kind:
            originals.append(hash_)
        assert differing(hash_, originals[-1]) <= BITS, variant.name
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


WORK_OF_OTHER_THREADS = """
import io, sys, threading, time
from pathlib import Path
import numpy as np
from PIL import Image
from retrieval.encoders.base import Preprocessing
from retrieval.pictures.images import read_picture

def pauses() -> int:
    # Of all threads but this one, once they rest.
    own, before, now = threading.get_native_id(), -1, 0
    while before != now:
        time.sleep(0.05)
        before, now = now, 0
        for task in Path("/proc/self/task").iterdir():
            lines = (task / "status").read_text().splitlines() if int(task.name) != own else []
            now += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return now

files = []
for size in ((300, 200), (500, 375), (1600, 1200), (3000, 10), (255, 255)):
    files.append(io.BytesIO())
    Image.radial_gradient("L").resize(size).convert("RGB").save(files[-1], "JPEG")
rest = pauses()
for side in (64, 224):
    for file in files:
        read_picture(file.getvalue(), Preprocessing(side))
after = pauses()
np.ones((512, 512), np.float32) @ np.ones((512, 512), np.float32)
print(after - rest, pauses() - after)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir() or (os.cpu_count() or 1) < 2, reason="threads are counted")
def test_reading_a_picture_wakes_no_threads_of_blas() -> None:
    """They wait for each other's workers: indexing took 1.6 times the CPU time with them."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", WORK_OF_OTHER_THREADS]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    woken, woken_by_a_large_product = map(int, ended.stdout.split())
    if not woken_by_a_large_product:
        pytest.skip("numpy's BLAS has no threads of its own here")
    assert woken == 0
