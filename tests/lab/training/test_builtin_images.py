"""The image stage of the built-in model's recipe on synthetic features: data, losses, continuing a stopped run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

import torch.nn.functional as F  # noqa: E402

from retrieval.errors import SettingsError  # noqa: E402
from retrieval.lab.training.builtin.data import Mixture, gather, take  # noqa: E402
from retrieval.lab.training.builtin.image_stage import ImageStage, ImageTraining, embed  # noqa: E402
from retrieval.lab.training.builtin.judge import alike, class_report  # noqa: E402
from retrieval.lab.training.builtin.names import Names, colours_of, looks_of, principal  # noqa: E402
from retrieval.lab.training.hybrid import HybridConfig, HybridTower  # noqa: E402
from retrieval.lab.training.lite import LiteBody  # noqa: E402

pytestmark = pytest.mark.torch

KNOWN = ["n00000008", "n00000009"] * 500
"""The body's 1,000 kinds, of which this WordNet has two."""

CONFIG = HybridConfig(width=32, layers=1, heads=2, words=16, own=8)


def collection(folder: Path, names: Sequence[str], seed: int = 0, look: str = "photo") -> None:
    """Random features, alike within a class, as :func:`.grids.write_grids` stores them; two views of each picture."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    kinds = {name: np.random.default_rng(sum(name.encode())).normal(size=1600) for name in set(names)}
    rows = [(name, at) for at, name in enumerate(names) for _ in range(2)]
    each = np.stack([kinds[name] + 0.1 * random.normal(size=1600) for name, _ in rows])
    grids = np.repeat(each[:, :320, None, None], 49, axis=-1).reshape(-1, 320, 7, 7)
    grids.astype(np.float16).tofile(folder / "grids.bin")
    np.maximum(each[:, 320:], 0).astype(np.float16).tofile(folder / "features.bin")
    random.integers(0, 255, (len(rows), 3, 28, 28)).astype(np.uint8).tofile(folder / "cells.bin")
    words = ("red", None)
    lines = [json.dumps([name, look, words[at % 2], 2 * source]) for at, (name, source) in enumerate(rows)]
    (folder / "views.jsonl").write_text("\n".join(lines) + "\n")


def encode(texts: list[str]) -> torch.Tensor:
    """(n, 384): a direction for each word, so that texts with words in common are near."""

    def word(text: str) -> torch.Tensor:
        return torch.randn(384, generator=torch.Generator().manual_seed(sum(text.encode())))

    return F.normalize(torch.stack([sum(map(word, text.split()), torch.zeros(384)) for text in texts]), dim=-1)


def test_kinds_are_split_hidden_and_freed_of_what_judges(tmp_path: Path, wordnet_folder: Path) -> None:
    names = [f"thing {at % 60}" for at in range(600)]
    collection(tmp_path / "grids" / "many", names)
    collection(tmp_path / "judges" / "one", ["thing 7"] * 3, seed=5)
    data = gather(tmp_path / "grids", wordnet_folder, tmp_path / "judges", KNOWN)
    parts = {"train": data.train[0], "val": data.validation[0], "hidden": data.hidden[0]}
    seen = {key: {part.grids.rows[row].name for row in part.rows} for key, part in parts.items()}
    assert seen["hidden"] and not seen["hidden"] & (seen["train"] | seen["val"]) and seen["val"] <= seen["train"]
    assert not any("thing 7" in kinds for kinds in seen.values())  # all of them resemble the judge's
    sources = {key: {part.grids.rows[row].source for row in part.rows} for key, part in parts.items()}
    assert not sources["train"] & sources["val"]  # by picture, not by view
    assert len(parts["train"]) > 900 and sources["val"] == set(parts["val"].rows.tolist())
    assert data.kinds.shape == (1000,) and data.vocabulary.concepts[int(data.kinds[1])].key == "n00000009"


def test_no_collection_is_an_error(tmp_path: Path, wordnet_folder: Path) -> None:
    with pytest.raises(SettingsError, match="no collection"):
        gather(tmp_path, wordnet_folder, None, KNOWN)


def test_breadth_weighs_and_every_view_is_drawn_once_before_any_twice(tmp_path: Path, wordnet_folder: Path) -> None:
    collection(tmp_path / "grids" / "broad", [f"thing {at}" for at in range(40)])
    collection(tmp_path / "grids" / "narrow", ["dog"] * 40)
    mixture = Mixture(gather(tmp_path / "grids", wordnet_folder, None, KNOWN).train, 0)
    assert mixture.shares.sum() == pytest.approx(1) and mixture.shares[0] > 2 * mixture.shares[1]
    one = gather(tmp_path / "grids", wordnet_folder, None, KNOWN).train[1]
    alone = Mixture([one], 0)
    drawn = torch.cat([alone.draw(7).features for _ in range(len(one) // 7 + 1)])[: len(one)]
    assert len(torch.unique(drawn, dim=0)) == len(one)


def test_a_mirrored_view_is_the_mirror_of_its_grid_and_cells(tmp_path: Path, wordnet_folder: Path) -> None:
    collection(tmp_path / "grids" / "one", ["cat"] * 20)
    part = gather(tmp_path / "grids", wordnet_folder, None, KNOWN).train[0]
    plain = take(part, np.arange(len(part)))
    drawn = Mixture([part], 0).draw(len(part))
    turned = 0
    for grid, cells in zip(drawn.grid, drawn.cells, strict=True):
        at = int((plain.grid - grid).abs().mean((1, 2, 3)).argmin())
        same, mirrored = (torch.allclose(cells, each) for each in (plain.cells[at], plain.cells[at].flip(-1)))
        assert same != mirrored
        turned += mirrored
    assert 0 < turned < len(part)


def _training(folder: Path, wordnet_folder: Path) -> ImageTraining:
    if not (folder / "grids").exists():
        collection(folder / "grids" / "photos", ["cat", "dog"] * 20)
        collection(folder / "grids" / "drawings", ["leopard", "fluffy cat"] * 10, look="drawing")
        (folder / "work").mkdir()
    data = gather(folder / "grids", wordnet_folder, None, KNOWN)
    common = principal(encode([text for concept in data.vocabulary.concepts for text in concept.texts()]), CONFIG.words)
    torch.manual_seed(0)
    names, looks, colours = (make(data.vocabulary, encode, common) for make in (Names, looks_of, colours_of))
    stage = ImageStage(batch=16, warmup=5, rate=3e-3)
    return ImageTraining(HybridTower(CONFIG, LiteBody()), data, names, looks, colours, stage, folder / "work")


def test_it_learns_kinds_and_goes_on_from_its_checkpoint(tmp_path: Path, wordnet_folder: Path) -> None:
    training = _training(tmp_path, wordnet_folder)
    body = {name: value.clone() for name, value in training.tower.body.state_dict().items()}
    first = training._one(rate=1.0)
    for _ in range(30):
        last = training._one(rate=1.0)
    assert set(last) == {"names", "concepts", "belief", "look", "colour"}
    assert last["names"] < 0.5 * first["names"] and last["colour"] < first["colour"]
    assert all(torch.equal(value, body[name]) for name, value in training.tower.body.state_dict().items())  # locked
    part = next(part for part in training.data.train if part.grids.name == "photos")
    seen = embed(training.tower, part)
    columns, labels = np.unique(part.columns, return_inverse=True)
    assert class_report(seen, training.names.ensemble[columns], torch.from_numpy(labels))["top1"] == 1.0
    training.save()
    again = _training(tmp_path, wordnet_folder)
    assert again.step == 31
    for mine, theirs in zip(again.learned.parameters(), training.learned.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert all(torch.equal(again.average[name], value) for name, value in training.average.items())


def test_decay_leaves_the_checkpoint_at_its_beginning(tmp_path: Path, wordnet_folder: Path) -> None:
    training = _training(tmp_path, wordnet_folder)
    seconds = itertools.count()
    clock: Callable[[], float] = lambda: float(next(seconds))  # noqa: E731 - as many steps on any machine
    training.run(24, 0.5, lambda tower: {"made/top1": 0.5}, clock=clock)
    stable = torch.load(tmp_path / "work" / "image-stable.pt", weights_only=True)
    assert 0 < stable["step"] < training.step
    finished = torch.load(tmp_path / "work" / "image.pt", weights_only=True)
    assert torch.equal(finished["learned.weight"], training.averaged().learned.weight)
    line = json.loads((tmp_path / "work" / "image-curve.jsonl").read_text().splitlines()[-1])
    assert line == {"step": training.step, "made/top1": 0.5}


@torch.no_grad()
def test_belief_is_not_taught_where_it_is_wrong_or_the_picture_is_drawn(tmp_path: Path, wordnet_folder: Path) -> None:
    training = _training(tmp_path, wordnet_folder)
    part = next(part for part in training.data.train if part.grids.name == "photos")
    batch = take(part, np.arange(8))
    words = F.normalize(torch.randn(8, CONFIG.words), dim=-1)
    dog = int(training.data.kinds[1])
    cat = next(c for c in batch.columns.tolist() if c != dog)
    batch.columns[:] = cat  # no kind of the body: its belief is all that is known
    assert float(training._belief_loss(words, batch)) > 0
    batch.looks = ["drawing"] * 8
    assert float(training._belief_loss(words, batch)) == 0
    batch.looks = ["photo"] * 8
    batch.columns[:] = dog  # a kind of the body, of which an untrained body is never sure
    assert float(training._belief_loss(words, batch)) == 0
    training.tower.body.classifier.bias[999] += 20
    training.data.kinds[999] = dog
    assert float(training._belief_loss(words, batch)) > 0


def test_the_memory_begins_with_names_and_the_own_dimensions_with_principal_directions(
    tmp_path: Path, wordnet_folder: Path
) -> None:
    training = _training(tmp_path, wordnet_folder)
    tower = training.tower
    assert torch.equal(tower.kinds, training.names.ensemble[training.data.kinds])
    every = np.concatenate([part.grids.features[part.rows].astype(np.float32) for part in training.data.train])
    centred = every - every.mean(0)
    kept = centred @ tower.own.weight.detach().numpy().T
    variance = np.linalg.svd(centred, compute_uv=False) ** 2
    assert (kept**2).sum() == pytest.approx(variance[: CONFIG.own].sum(), rel=1e-3)
    assert abs((every @ tower.own.weight.detach().numpy().T + tower.own.bias.detach().numpy()).mean(0)).max() < 1e-3


def test_principal_directions_keep_cosines_that_lie_in_them() -> None:
    plane = F.normalize(torch.randn(50, 4) @ torch.randn(4, 20), dim=-1)
    directions = principal(plane, 4)
    assert directions.shape == (4, 20) and torch.allclose(directions @ directions.T, torch.eye(4), atol=1e-5)
    kept = F.normalize(plane @ directions.T, dim=-1)
    assert torch.allclose(kept @ kept.T, plane @ plane.T, atol=1e-4)


def test_names_are_means_over_the_ways_to_write_them(wordnet_folder: Path, tmp_path: Path) -> None:
    training = _training(tmp_path, wordnet_folder)
    names = training.names
    for row, count, mean in zip(names.written, names.counts.tolist(), names.ensemble, strict=True):
        assert torch.allclose(mean, F.normalize(row[:count].mean(0), dim=-1), atol=1e-5)
        assert not row[count:].any()
    drawn = names.sample(torch.Generator().manual_seed(0))
    for vector, row, count in zip(drawn, names.written, names.counts.tolist(), strict=True):
        assert any(torch.equal(vector, way) for way in row[:count])


def test_pictures_of_no_class_can_be_found_by_mistake_only() -> None:
    images = F.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [1.0, 0.0]]), dim=-1)
    labels = torch.tensor([0, 0, 1, -1])
    report = class_report(images, torch.eye(2), labels)
    assert report["top1"] == 1.0
    assert report["p10"] == pytest.approx((2 / 4 + 1 / 4) / 2)  # of fewer than ten, all are shown
    assert alike(images, labels, k=1) == pytest.approx(2 / 3)  # only the third picture has none of its kind
