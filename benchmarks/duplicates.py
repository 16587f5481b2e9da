"""Quality of ``photoseek duplicates`` on pictures with known truth, and how its cost grows.

::

    python -m benchmarks.duplicates                    precision and recall, and which hash separates best
    python -m benchmarks.duplicates --hashes 1000000   the search for similar hashes, for any number
    python -m benchmarks.duplicates --vectors 100000   look-alikes among random embeddings, for any number
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.duplicate_pictures import BURST, COPY, CROP, EDIT, FRIEND, SMALL, Variant, write_set
from benchmarks.tables import Table
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.records import pack_vector
from retrieval.duplicates import find_duplicates
from retrieval.duplicates.candidates import BITS
from retrieval.duplicates.hamming import near_pairs
from retrieval.encoders.base import unit
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.pictures.phash import PLAIN, perceptual_hash

ORIGINALS = 39  # three of each of 13 kinds
LOOK_ALIKE = 0.95


def outcome_table(variants: Sequence[Variant], folder: Path, model: str) -> Table:
    """Which variants were grouped with which picture of the same original, and which with another's."""
    gallery = Gallery(folder.parent / "gallery")
    Indexer(gallery, load_encoder(model)).run(folder)
    found = find_duplicates(gallery, look_alikes=LOOK_ALIKE)
    truth = {variant.name: _truth(variant) for variant in variants}
    kinds = {variant.name: variant for variant in variants}
    group_of = {}
    pairs = 0
    wrong: dict[str, list[str]] = defaultdict(list)
    for number, group in enumerate(found.groups):
        names = [Path(image.path).name for image in (group.keeper, *(member.image for member in group.others))]
        if group.kind == "same picture":
            group_of.update(dict.fromkeys(names, number))
            pairs += len(names) - 1
            for name in names[1:]:
                if truth[name] != truth[names[0]]:
                    wrong[kinds[name].kind if kinds[name].kind != COPY else kinds[names[0]].kind].append(name)
    alike = {Path(m.image.path).name for g in found.groups if g.kind == "look-alike" for m in g.others}
    alike |= {Path(g.keeper.path).name for g in found.groups if g.kind == "look-alike"}
    original = {variant.base: variant.name for variant in variants if not variant.kind}
    cases: dict[tuple[str, str], list[Variant]] = defaultdict(list)
    for variant in kinds.values():
        if variant.kind:
            # Cases that differ only in their version number are one row.
            case = re.sub(r" \d+(?=,|$)", "", variant.case) if variant.kind in (BURST, FRIEND) else variant.case
            cases[variant.kind, case].append(variant)
    rows = []
    for kind in (COPY, SMALL, EDIT, CROP, BURST, FRIEND):
        for (of_kind, case), members in cases.items():
            if of_kind == kind:
                with_original = [group_of.get(v.name, -1) == group_of.get(original[v.base], -2) for v in members]
                shown = np.mean([v.name in alike for v in members])
                rows.append((f"{kind}: {case}", str(len(members)), f"{np.mean(with_original):.3f}", f"{shown:.3f}"))
    plain = {v.base for v in variants if not v.kind and perceptual_hash(Image.open(io.BytesIO(v.data))) == PLAIN}
    copies = [v for v in variants if v.kind == COPY and v.base not in plain]
    recall = np.mean([group_of.get(v.name, -1) == group_of.get(original[v.base], -2) for v in copies])
    missed = [v for v in copies if group_of.get(v.name, -1) != group_of.get(original[v.base], -2)]
    notes = [
        f"of {pairs} pictures beside a keeper, {sum(map(len, wrong.values()))} are no copies of it: "
        + (", ".join(f"{len(names)} {kind}" for kind, names in wrong.items()) or "none"),
        *(f"no copy: {name}" for names in wrong.values() for name in names[:10]),
        *(f"not found: {v.name}" for v in missed[:20]),
        f"recall of copies {recall:.4f}, without those of {len(plain)} originals that are too plain to be compared",
        f"model {model}; look-alikes from cosine {LOOK_ALIKE}",
    ]
    head = ("what was done to the original", "pictures", "same picture", "look-alike")
    return Table(f"Duplicates among {len(variants)} pictures", head, rows, notes)


def _truth(variant: Variant) -> tuple[int, str]:
    """Pictures with equal values are one picture: an original and its copies; each other variant is separate."""
    return variant.base, "" if variant.kind in ("", COPY) else variant.case.partition(",")[0]


Bits = NDArray[np.bool_]


def block_mean(image: Image.Image) -> Bits:
    """8 x 8 block means relative to their median. Reference: Zauner 2010, section 3.2.4."""
    grey = _grey(image, 8, 8)
    return (grey > np.median(grey)).ravel()


def difference(image: Image.Image) -> Bits:
    """The signs of horizontal differences of 9 x 8 means (dHash, N. Krawetz, 2013)."""
    grey = _grey(image, 9, 8)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def dct(image: Image.Image) -> Bits:
    """The hash of ``retrieval/pictures/phash.py``."""
    return np.unpackbits(np.frombuffer(perceptual_hash(image), np.uint8)).astype(bool)


HASHES: dict[str, Callable[[Image.Image], Bits]] = {"DCT": dct, "block mean": block_mean, "difference": difference}


def _grey(image: Image.Image, width: int, height: int) -> NDArray[np.float64]:
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BOX), np.float64)


def hash_table(variants: Sequence[Variant]) -> Table:
    """How many bits of each hash differ: median and maximum for copies, minimum and median for other pictures."""
    moved: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in HASHES}
    for name, function in HASHES.items():
        base: dict[int, Bits] = {}
        for variant in variants:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(variant.data))).convert("RGB")
            bits = function(image)
            if variant.kind:
                moved[name][variant.kind].append(int((bits != base[variant.base]).sum()))
            else:
                moved[name]["another original"] += [int((bits != other).sum()) for other in base.values()]
                base[variant.base] = bits
    rows = []
    for kind in (COPY, SMALL, EDIT, CROP, BURST, FRIEND, "another original"):
        cells = []
        for name in HASHES:
            values = np.array(moved[name][kind])
            near = (values <= BITS).mean()
            cells.append(f"{values.min()} / {np.median(values):.0f} / {values.max()} ({near:.3f})")
        rows.append((kind, *cells))
    note = f"bits moved: least / median / most (share within {BITS})"
    return Table("Perceptual hashes of 64 bits", ("compared with the original", *HASHES), rows, [note])


def hashes_table(count: int) -> Table:
    """The search for similar hashes among random ones, a tenth of which are copies with up to 4 flipped bits."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2)
    copies = hashes[: count // 10].copy()
    for _ in range(4):
        copies ^= np.uint64(1) << rng.integers(0, 64, len(copies)).astype(np.uint64)
    hashes = np.unique(np.concatenate([hashes[: count - len(copies)], copies]))
    started, spent = time.perf_counter(), time.process_time()
    pairs = sum(len(piece.first) for piece in near_pairs(hashes, BITS))
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    rows = [(f"{len(hashes):,}", f"{pairs:,}", f"{wall:.1f}", f"{cpu:.1f}")]
    return Table("Near hashes", ("hashes", "pairs", "seconds", "CPU seconds"), rows)


def vectors_table(count: int, folder: Path, model: str) -> Table:
    """The whole of ``find_duplicates`` on a gallery without files: random hashes and embeddings."""
    gallery = Gallery(folder / "gallery")
    rng = np.random.default_rng(1)
    spec = load_encoder(model).spec
    with gallery.writer() as catalog:
        encoder_id, folder_id = catalog.register_encoder(spec), catalog.folder_id("/nowhere")
        for start in range(0, count, 5000):
            vectors = unit(rng.standard_normal((min(5000, count - start), spec.dim), np.float32))
            rows = [
                IndexedImage(folder_id, f"{start + at}.jpg", 1, 1, rng.bytes(32), facts, pack_vector(vector))
                for at, vector in enumerate(vectors)
                for facts in [Metadata("JPEG", 1, 1, phash=rng.bytes(8))]
            ]
            catalog.commit(Batch(indexed=rows), encoder_id)
    shown = []
    for name, cosine in (("same bytes and same picture", None), ("with look-alikes", LOOK_ALIKE)):
        started, spent = time.perf_counter(), time.process_time()
        found = find_duplicates(gallery, look_alikes=cosine)
        wall, cpu = time.perf_counter() - started, time.process_time() - spent
        shown.append((name, f"{len(found.groups):,}", f"{wall:.1f}", f"{cpu:.1f}"))
    return Table(f"Duplicates among {count:,} embeddings", ("search", "groups", "seconds", "CPU seconds"), shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=int, default=ORIGINALS)
    parser.add_argument("--model", default="builtin-224")
    parser.add_argument("--hashes", type=int, default=0)
    parser.add_argument("--vectors", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if asked.hashes:
            print(hashes_table(asked.hashes).to_markdown())
        if asked.vectors:
            print(vectors_table(asked.vectors, Path(place), asked.model).to_markdown())
        if not asked.hashes and not asked.vectors:
            folder = Path(place) / "pictures"
            variants = write_set(folder, range(asked.originals))
            print(hash_table(variants).to_markdown())
            print(outcome_table(variants, folder, asked.model).to_markdown())


if __name__ == "__main__":
    main()
