"""The linear map: training, storage, and use in a gallery without reading a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.adapter import AdaptedEncoder, adapted, read_adapter, write_adapter
from retrieval.encoders.base import unit
from retrieval.encoders.files.description import is_adapter
from retrieval.encoders.installed import installed
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import TextNotSupported, WeightsUnavailable
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.lab.evaluation.costs import costs_of
from retrieval.lab.evaluation.metrics import hits_at
from retrieval.lab.training.adapter_run import train_adapter
from retrieval.lab.training.adapting import fit_map
from retrieval.lab.training.judging import both_ranks_of
from retrieval.lab.training.pairs import Pairs, read_pairs
from retrieval.lab.training.sources import Source
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.conftest import EXAMPLES
from tests.fakes import ColourEncoder


def rotated_space(n: int = 400, dim: int = 24) -> tuple[np.ndarray, np.ndarray, Pairs]:
    """Pictures that are their texts, partly turned away by a known rotation, with noise; one text each."""
    rng = np.random.default_rng(0)
    texts = unit(rng.normal(size=(n, dim)))
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    pictures = unit(0.6 * texts + 0.8 * texts @ turn.T + 0.1 * rng.normal(size=(n, dim)))
    sources = tuple(Source(Path(f"{row}.png")) for row in range(n))
    return pictures, texts, Pairs(sources, tuple((row,) for row in range(n)), tuple((f"text {r}",) for r in range(n)))


def recall(pictures: np.ndarray, texts: np.ndarray, pairs: Pairs) -> list[float]:
    return [float(hits_at(ranks, 1).mean()) for ranks in both_ranks_of(pictures, texts, pairs)]


def test_a_rotation_is_undone_on_pictures_never_seen() -> None:
    pictures, texts, pairs = rotated_space()
    rows, held = np.arange(300), np.arange(300, 400)
    fitted = fit_map(pictures[rows], texts, pairs.take(rows))
    assert fitted.helps and fitted.mrr_after > fitted.mrr_before + 0.1
    before = recall(pictures[held], texts, pairs.take(held))
    after = recall(fitted(pictures[held]), texts, pairs.take(held))
    assert all(now > then + 0.1 for now, then in zip(after, before, strict=True))


def test_where_nothing_helps_nothing_is_changed() -> None:
    _, texts, pairs = rotated_space(60)
    fitted = fit_map(texts, texts, pairs)
    assert not fitted.helps
    assert np.allclose(fitted(texts), texts, atol=1e-6)


def test_captions_of_strangers_teach_nothing() -> None:
    """Texts that have nothing to do with their pictures: held-out ranks may not be called better."""
    pictures, texts, pairs = rotated_space(200)
    noise = unit(np.random.default_rng(5).normal(size=texts.shape))
    rows, held = np.arange(150), np.arange(150, 200)
    fitted = fit_map(pictures[rows], noise, pairs.take(rows))
    assert max(recall(fitted(pictures[held]), noise, pairs.take(held))) < 0.15


def test_disliked_examples_push_away() -> None:
    pictures, texts, pairs = rotated_space()
    refused = tuple((row, 0) for row in range(1, 40))
    marked = Pairs(pairs.sources, pairs.said, pairs.meanings, refused=refused)
    plain, pushed = fit_map(pictures, texts, pairs), fit_map(pictures, texts, marked)
    scores = [float((fitted(pictures[1:40]) @ texts[0]).mean()) for fitted in (plain, pushed)]
    assert scores[1] < scores[0] - 0.01


def test_held_out_recall_of_the_examples_rises() -> None:
    """Each example photo is held out once, over its thirteen folders' names."""
    encoder = load_encoder("builtin-224")
    from retrieval.lab.evaluation.embed import embed_files

    pairs = read_pairs(EXAMPLES)
    seen = embed_files(encoder, [source.path for source in pairs.sources])
    texts = encoder.encode_texts([ways[0] for ways in pairs.meanings])
    before, after = [], []
    order = np.random.default_rng(0).permutation(len(pairs))
    for fold in np.array_split(order, 4):
        rest = np.setdiff1d(order, fold)
        fitted = fit_map(seen.vectors[rest], texts, pairs.take(rest))
        part = pairs.take(fold)
        for found, vectors in ((before, seen.vectors[fold]), (after, fitted(seen.vectors[fold]))):
            found += [hits_at(ranks, 1) for ranks in both_ranks_of(vectors, texts, part)]
    assert np.concatenate(after).mean() > np.concatenate(before).mean()


# The encoder, and the gallery


def small_map(dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    matrix = np.eye(dim) + 0.2 * rng.normal(size=(dim, dim))
    return matrix.astype(np.float32), (0.05 * rng.normal(size=dim)).astype(np.float32)


def adapter_of(base: ColourEncoder, folder: Path) -> AdaptedEncoder:
    return adapted(write_adapter(folder, base.spec, *small_map(), "mine"), base)


def test_an_adapted_encoder_moves_pictures_and_no_texts(tmp_path: Path) -> None:
    base = ColourEncoder(name="a")
    encoder = adapter_of(base, tmp_path / "mine")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16), np.uint8)
    matrix, offset = small_map()
    expected = unit(base.encode_images(pixels) @ matrix.T + offset)
    assert np.abs(encoder.encode_images(pixels) - expected).max() < 1e-6
    assert np.array_equal(encoder.encode_texts(["red"]), base.encode_texts(["red"]))
    assert encoder.spec.name == "mine" and encoder.spec.fingerprint != base.spec.fingerprint
    with pytest.raises(WeightsUnavailable, match="another"):
        adapted(read_adapter(tmp_path / "mine"), ColourEncoder(name="b"))


def test_a_gallery_takes_an_adapter_without_reading_a_picture(
    tmp_path: Path, gallery: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ColourEncoder(name="a")
    Indexer(gallery, base).run(photos)
    encoder = adapter_of(base, tmp_path / "mine")
    encoded = base.encoded

    def unread(candidate: object) -> None:
        raise AssertionError(f"{candidate} was read")

    monkeypatch.setattr("retrieval.indexing.pipeline.read_candidate", unread)
    report = Indexer(gallery, encoder).run()
    assert (report.adapted, report.encoded, report.unchanged, report.images) == (6, 0, 6, 6)
    assert base.encoded == encoded
    with gallery.reader() as reader:
        rows = {row.name: row for row in reader.encoders()}
        assert reader.active_encoder() == rows["mine"]
        ids = [row[0] for row in reader.rows("SELECT id FROM images")]
        stored, moved = reader.vectors(ids, rows["a"]), reader.vectors(ids, rows["mine"])
    matrix, offset = small_map()
    assert np.abs(moved - unit(stored @ matrix.T + offset)).max() < 1e-3
    with QueryEngine(gallery, encoder) as engine:
        hits = engine.search(Query.text("red", k=2))
        assert hits[0].score == pytest.approx(float((moved @ base.encode_texts(["red"])[0]).max()), abs=2e-3)


def test_new_pictures_go_through_base_and_map(tmp_path: Path, gallery: Gallery, photos: Path) -> None:
    from tests.pictures import save_picture

    base = ColourEncoder(name="a")
    Indexer(gallery, base).run(photos)
    encoder = adapter_of(base, tmp_path / "mine")
    Indexer(gallery, encoder).run()
    save_picture(photos / "new.png", "green", seed=99)
    report = Indexer(gallery, encoder).run()
    assert (report.adapted, report.encoded, report.images) == (0, 1, 7)
    assert Indexer(gallery, encoder).run().adapted == 0


def test_damaged_adapters_are_refused(tmp_path: Path) -> None:
    base = ColourEncoder(name="a")
    encoder = adapter_of(base, tmp_path / "mine")
    weights = tmp_path / "mine" / "adapter.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(WeightsUnavailable, match="differs"):
        encoder.encode_images(np.zeros((1, 3, 16, 16), np.uint8))
    body = json.loads((tmp_path / "mine" / "adapter.json").read_text())
    wrong = (
        {"dim": "x"}, {"prompt_templates": "{}"}, {"prompt_templates": ["none"]}, {"prompt_templates": [7]},
        {"logit_scale": "hot"}, {"logit_scale": 10**400}, {"logit_bias": float("nan")}, {"has_text": "yes"},
        {"context_length": -1}, {"family": 3},
    )  # fmt: skip
    changes = [{"encoder": {**body["encoder"], **change}} for change in wrong]
    for change in (*changes, {"format": 9}, {"base": {}}, {"blake3": "zz"}):
        (tmp_path / "mine" / "adapter.json").write_text(json.dumps({**body, **change}))
        with pytest.raises(WeightsUnavailable):
            read_adapter(tmp_path / "mine")


def test_trained_adapter_is_an_encoder_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexed_examples: Path
) -> None:
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    base, out = load_encoder("builtin-224"), tmp_path / "models" / "mine"
    pairs = read_pairs(EXAMPLES / "captions.tsv")
    report = train_adapter(pairs, base, out, gallery=Gallery(indexed_examples), share=0.2)
    assert report.about["embeddings from the gallery"] == 120
    assert is_adapter(out) and (out / "training.json").is_file()
    metrics = [row[0] for row in report.tables[0].rows]
    assert metrics[:3] == ["text to image R@1", "text to image R@5", "text to image R@10"] and len(metrics) == 6
    assert "mine" in [spec.name for spec in installed()]
    by_name, by_path = load_encoder("mine"), load_encoder(str(out))
    assert by_name.spec.fingerprint == by_path.spec.fingerprint != base.spec.fingerprint
    again = load_encoder_by_fingerprint(by_path.spec.fingerprint, "mine", by_path.spec.source)
    assert isinstance(again, AdaptedEncoder) and np.array_equal(again.encode_texts(["x"]), base.encode_texts(["x"]))


def test_an_adapter_needs_words(tmp_path: Path) -> None:
    with pytest.raises(TextNotSupported):
        train_adapter(rotated_space(10)[2], ColourEncoder(has_text=False), tmp_path / "x")


def test_an_adapter_costs_what_its_base_costs(tmp_path: Path) -> None:
    base = load_encoder("builtin-224")
    eye, zero = np.eye(base.spec.dim, dtype=np.float32), np.zeros(base.spec.dim, np.float32)
    encoder = adapted(write_adapter(tmp_path / "mine", base.spec, eye, zero, "mine"), base)
    assert costs_of(encoder) == costs_of(base) and costs_of(encoder).image_mb


def test_the_frames_of_videos_are_adapted_too(tmp_path: Path, gallery: Gallery) -> None:
    pytest.importorskip("av")
    from tests.video_files import video

    video(tmp_path / "videos" / "clip.mp4")
    base = ColourEncoder(name="a")
    Indexer(gallery, base).run(tmp_path / "videos")
    encoder = adapter_of(base, tmp_path / "mine")
    assert Indexer(gallery, encoder).run().adapted == 1
    with QueryEngine(gallery, encoder) as engine:
        assert len(engine.index) == 3
        [hit] = engine.search(Query.text("blue", k=5))
        assert hit.image.time_s is not None
