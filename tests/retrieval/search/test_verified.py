"""A search shows what the catalog knows, whatever became of the saved index: bits, pages, whole files."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from indexes import IndexSpec, create_index, load_snapshot, read_manifest, save_snapshot
from retrieval.catalog.batch import Batch, IndexedImage, Metadata
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.records import pack_vector
from retrieval.gallery import Gallery
from retrieval.index_keeper import IndexKeeper
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.indexes.vectors import DIM, clustered
from tests.retrieval.rows import encoder_spec, hash_of

N = 900
VECTORS = clustered(N, seed=3)
QUERIES = clustered(6, seed=4)
PRECISE = ("Exact", "Flat", "SQfp16", "PQ16x4fs,Refine(SQfp16)", "IVF16,SQfp16", "HNSW16")
COARSE = ("SQ8", "PQ16x4fs", "IVF16,SQ8")

Ranked = list[tuple[int, float]]


def make_gallery(folder: Path, kind: str) -> Gallery:
    """A gallery of made-up pictures, with its index saved."""
    gallery = Gallery(folder)
    with gallery.writer() as catalog:
        spec = encoder_spec(dim=DIM)
        encoder, at = catalog.register_encoder(spec), catalog.folder_id("/photos")
        facts = Metadata(format="JPEG", width=4, height=3)
        rows = [
            IndexedImage(at, f"{number}.jpg", 5, 1000, hash_of(str(number)), facts, pack_vector(vector))
            for number, vector in enumerate(VECTORS)
        ]
        catalog.commit(Batch(indexed=rows), encoder)
        catalog.activate_encoder(encoder)
        catalog.set_index_spec(kind)
    mend(gallery)
    return gallery


def mend(gallery: Gallery) -> None:
    """What a run of ``photoseek index`` does with the index."""
    with gallery.reader() as reader:
        IndexKeeper(gallery.index_path("one" + "0" * 61), reader, reader.encoders()[0]).finish()


def ask(gallery: Gallery, k: int = 12) -> list[Ranked]:
    """Ids and scores of the hits of each query."""
    with QueryEngine(gallery, check_files=False, remember_texts=False) as engine:
        found = [engine.ranked(query[None], Query.text("words", k=k)) for query in QUERIES]
    return [[(hit.image.id, hit.score) for hit in hits] for hits in found]


def truth(k: int = 12) -> list[Ranked]:
    """The same by the catalog's float16 vectors, in plain numpy."""
    stored = VECTORS.astype(np.float16).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    answers = []
    for query in QUERIES.astype(np.float64):
        scores = stored @ query
        best = np.lexsort((np.arange(N), -scores))[:k]
        answers.append([(int(at) + 1, float(scores[at])) for at in best])
    return answers


def same(found: list[Ranked], wanted: list[Ranked]) -> bool:
    return [[i for i, _ in hits] for hits in found] == [[i for i, _ in hits] for hits in wanted] and all(
        abs(a[1] - b[1]) < 1e-6
        for hits, others in zip(found, wanted, strict=True)
        for a, b in zip(hits, others, strict=True)
    )


def row_and_folder(gallery: Gallery) -> tuple[EncoderRow, Path]:
    with gallery.reader() as reader:
        row = reader.encoders()[0]
    return row, gallery.index_path(row.fingerprint)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A gallery's folder for each kind, made once: learning codebooks takes its time."""
    pytest.importorskip("faiss")
    place = tmp_path_factory.mktemp("galleries")

    @cache
    def original(kind: str) -> Path:
        return make_gallery(place / str(abs(hash(kind))), kind).path

    return original


@pytest.fixture
def gallery(kind: str, originals: Callable[[str], Path], tmp_path: Path) -> Gallery:
    """A copy of it: a copied gallery is a whole one."""
    shutil.copytree(originals(kind), tmp_path / "gallery")
    return Gallery(tmp_path / "gallery")


@pytest.mark.parametrize("kind", PRECISE)
def test_order_and_scores_are_the_catalogs_in_every_precise_kind(kind: str, gallery: Gallery) -> None:
    assert same(ask(gallery), truth())
    longer, shorter = ask(gallery, 40), ask(gallery, 7)
    assert [hits[:7] for hits in longer] == shorter, "a longer list begins with the shorter one"


@pytest.mark.parametrize("kind", COARSE)
def test_coarse_kinds_show_the_catalogs_scores_too(kind: str, gallery: Gallery) -> None:
    scores = dict(enumerate(np.array([dict(hits) for hits in truth(N)])))
    for at, hits in enumerate(ask(gallery)):
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
        assert all(abs(score - scores[at][image]) < 1e-6 for image, score in hits)
        assert len({image for image, _ in hits} & {image for image, _ in truth()[at]}) >= 9


@pytest.mark.parametrize("kind", PRECISE)
def test_what_no_checksum_can_find_is_found_by_its_score(
    kind: str, gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot whose checksums are right and whose content is another gallery's: lies that agree with each other."""
    row, folder = row_and_folder(gallery)
    manifest = read_manifest(folder)
    assert manifest is not None
    lying = create_index(IndexSpec.parse(kind), DIM)
    lying.train(VECTORS)
    lying.add(np.arange(1, N + 1), np.roll(VECTORS, 1, axis=0))
    save_snapshot(lying, folder, fingerprint=row.fingerprint, change=manifest.change, revision=manifest.revision)
    with caplog.at_level(logging.WARNING, "photoseek"):
        assert same(ask(gallery), truth())
    assert "is damaged; the catalog is used instead, until photoseek index makes it anew" in caplog.text


def damages(whole: bytes, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """A file as disks, power cuts and half-made copies leave it."""
    size = len(whole)
    for place in (*(int(rng.integers(size)) for _ in range(4)), size // 2, size - 1):
        bit = int(rng.integers(8))
        yield f"bit {bit} of byte {place}", whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    yield "cut", whole[: size // 2]
    yield "empty", b""
    start = size // 3
    yield "zeroed page", whole[:start] + bytes(min(4096, size - start)) + whole[start + 4096 :]
    yield "longer", whole + b"\0"


@pytest.mark.parametrize("kind", PRECISE)
def test_no_damage_shows_a_wrong_picture_or_a_wrong_score_and_a_run_mends_it(
    kind: str, gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = truth()
    row, folder = row_and_folder(gallery)
    rng = np.random.default_rng(len(kind))
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in whole.items():
        for damage, damaged in damages(content, rng):
            if damaged == content:
                continue
            (folder / name).write_bytes(damaged)
            caplog.clear()
            assert same(ask(gallery), wanted), (name, damage)
            assert caplog.text or name == "manifest.json", (name, damage)  # there also white space is changed
        (folder / name).unlink()
        assert same(ask(gallery), wanted), name
        if not kind.startswith("PQ") or name.startswith("refine"):  # codebooks are learned once only
            mend(gallery)
            assert load_snapshot(folder, fingerprint=row.fingerprint, dim=DIM, verify=True) is not None
            caplog.clear()
            assert same(ask(gallery), wanted)
            assert caplog.text == ""
        shutil.rmtree(folder)
        folder.mkdir()
        for other, there in whole.items():
            (folder / other).write_bytes(there)


@pytest.mark.parametrize("kind", ["Exact"])
def test_a_picture_indexed_meanwhile_is_no_damage(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    """An engine that stays, and a run that gives a picture another embedding between two searches."""
    with QueryEngine(gallery, check_files=False, remember_texts=False) as engine:
        _ = engine.index
        old = engine._index_revision
        with gallery.writer() as catalog:
            facts = Metadata(format="JPEG", width=4, height=3)
            new = IndexedImage(1, "0.jpg", 6, 2000, hash_of("new"), facts, pack_vector(QUERIES[0]))
            catalog.commit(Batch(indexed=[new]), 1)
        hits = engine.ranked(QUERIES[:1], Query.text("words", k=3))
        assert engine._index_revision != old
        assert (hits[0].image.id, round(hits[0].score, 3)) == (1, 1.0)
        engine.distrust_index()
    assert caplog.text.count("damaged") == 1, "said when it is asked to, not for the change"


@pytest.mark.parametrize("kind", ["Exact"])
def test_a_stale_index_that_disagrees_is_opened_again(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    with QueryEngine(gallery, check_files=False, remember_texts=False) as engine:
        wanted = engine.ranked(QUERIES[:1], Query.text("words", k=3))
        engine._index_revision = "as if it were of the change before"
        engine._index = create_index(IndexSpec.parse("Exact"), DIM)
        engine._index.add(np.arange(1, N + 1), np.roll(VECTORS, 1, axis=0))
        assert engine.ranked(QUERIES[:1], Query.text("words", k=3)) == wanted
    assert caplog.text == ""
