"""Runs: a CLIP that learns from scratch, one continued after a stop, and what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import torch

from retrieval.encoders.registry import load_encoder
from retrieval.errors import EncoderError, SettingsError
from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.lab.experiments.drawn import CLASSES, draw_folders
from retrieval.lab.training.augment import Variation, vary
from retrieval.lab.training.checkpoint import read_state, write_state
from retrieval.lab.training.judging import both_ranks_of
from retrieval.lab.training.pairs import read_pairs, split_by_content
from retrieval.lab.training.pixels import Loaded, load_pictures
from retrieval.lab.training.run import Plan, Told, train
from retrieval.lab.training.small import from_scratch
from retrieval.lab.training.start import Mode
from retrieval.lab.training.trainable import freeze
from retrieval.lab.training.trainer import BEST, LAST, Settings, Standing, Training

pytestmark = pytest.mark.torch

MILD = Variation(area=0.8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine a second thread of small products costs more than it gives; and sums stay in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("drawn") / "pictures", 40)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Loaded]:
    """Sixty pictures to train on, twenty to judge by."""
    pairs = read_pairs(draw_folders(tmp_path_factory.mktemp("few") / "pictures", 4))
    loaded = load_pictures(pairs, from_scratch("tiny").preprocessing)
    rows, held = split_by_content(loaded.digests, 0.25)
    return loaded.take(rows), loaded.take(held)


def training(few: tuple[Loaded, Loaded], folder: Path, *, resume: bool = False, **changes: object) -> Training:
    settings = {"epochs": 3, "batch": 16, "rate": 1e-3, "average": 0.9, "variation": MILD, **changes}
    return Training(from_scratch("tiny"), *few, Settings(**settings), folder, resume=resume)  # type: ignore[arg-type]


@pytest.mark.parametrize(("loss", "least"), [("clip", 0.15), ("siglip", 0.10)])
def test_a_clip_from_scratch_tells_twenty_classes_apart(tmp_path: Path, drawn: Path, loss: str, least: float) -> None:
    """Chance is 0.05. From pictures in folders to an encoder that is loaded like any other, in seconds of one core."""
    settings = Settings(loss=loss, epochs=10, batch=32, rate=2e-3, variation=MILD)  # type: ignore[arg-type]
    plan = Plan("scratch-tiny", Mode(), settings, tmp_path / "toy", share=0.25)
    report, interrupted = train(read_pairs(drawn), plan)
    rows = {str(row[0]): row[1:] for row in report.tables[0].rows}
    before, after = rows["zero-shot top-1"]
    assert isinstance(before, Estimate) and isinstance(after, Estimate)
    assert not interrupted
    assert after.value >= least
    assert after.value > before.value

    encoder = load_encoder(str(tmp_path / "toy"))
    assert encoder.spec.name == "toy" and (encoder.spec.logit_bias is not None) == (loss == "siglip")
    told = json.loads((tmp_path / "toy" / "training.json").read_text())
    assert told["parity"]["image"] < 1e-4 and told["parity"]["text"] < 1e-4
    assert [row["metric"] for row in told["gained"]][:2] == ["text to image R@1", "text to image R@5"]
    assert told["about"]["pictures held out"] == 200


def test_resumed_equals_uninterrupted(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    whole = training(few, tmp_path / "whole")
    whole.run()
    first = training(few, tmp_path / "parts")
    steps = 0

    def after_five() -> bool:
        nonlocal steps
        steps += 1
        return steps == 5  # in the middle of the second epoch: three batches make one

    assert first.run(stop=after_five).step == 5
    second = training(few, tmp_path / "parts", resume=True)
    assert (second.standing.step, second.standing.epoch, second.standing.place) == (5, 1, 2)
    assert second.run().step == 9
    one, two = (read_state(tmp_path / part / LAST) for part in ("whole", "parts"))
    assert one[0].keys() == two[0].keys() and any(name.startswith("optimiser") for name in one[0])
    for name, value in one[0].items():
        assert torch.allclose(value.float(), two[0][name].float(), atol=1e-6), name
    assert not torch.allclose(one[0]["model.image.project.weight"], from_scratch("tiny").module.image.project.weight)


def test_a_run_is_not_written_over(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    training(few, tmp_path, epochs=1).run()
    with pytest.raises(SettingsError, match="holds a run already"):
        training(few, tmp_path)
    with pytest.raises(SettingsError, match="another rate"):
        training(few, tmp_path, resume=True, rate=5e-3)
    assert training(few, tmp_path, resume=True, epochs=2).run().step == 6


def test_the_best_weights_are_kept(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    seen: list[float] = []

    def look(standing: Standing) -> None:
        if standing.is_news and standing.validation is not None:
            seen.append(standing.validation.mrr)

    run = training(few, tmp_path, epochs=4, rate=3e-2, average=0.0)
    standing = run.run(on_progress=look)
    assert standing.best is not None and standing.best.mrr == max(seen) and len(seen) >= 4
    kept, about = read_state(tmp_path / BEST)
    assert about["step"] == standing.history[int(np.argmax(seen))]["step"]
    assert all(torch.equal(value, kept[name]) for name, value in run.model.module.state_dict().items())


def test_interrupted_by_ctrl_c_the_model_is_there(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    pairs = few[0].pairs
    plan = Plan("scratch-tiny", Mode(), Settings(epochs=50, batch=16, variation=MILD), tmp_path / "cut", share=0.2)
    steps: list[int] = []
    _, interrupted = train(
        pairs, plan, told=Told(progress=lambda s: steps.append(s.step)), stop=lambda: len(steps) >= 2
    )
    assert interrupted and steps[-1] == 3
    assert load_encoder(str(tmp_path / "cut")).encode_texts(["red circle"]).shape == (1, 64)
    assert (tmp_path / "cut" / "checkpoint" / LAST).is_file()


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    run = training(few, tmp_path, average=0.0)
    with torch.no_grad():
        run.model.module.text.norm.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(EncoderError, match="loss became nan"):
        run.run()


def test_pieces_of_a_batch_train_the_same(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    """In evaluation mode, as batch norms of pieces have statistics of pieces."""
    weights = []
    for chunk in (0, 4):
        run = training(few, tmp_path / str(chunk), epochs=1, chunk=chunk, average=0.0, precision="fp32")
        freeze(run.model, 3)
        run.model.module.eval()
        weights.append(run.run() and run.model.module.image.project.weight.detach().clone())  # type: ignore[union-attr]
    assert torch.allclose(*weights, atol=2e-5)


def test_only_the_last_blocks_change(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    model = from_scratch("tiny")
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    count = freeze(model, 1)
    assert 0 < count < sum(p.numel() for p in model.module.parameters())
    Training(model, *few, Settings(epochs=1, batch=16), tmp_path).run()
    changed = {name for name, value in model.module.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("image.blocks.2.") for name in changed)
    assert any(name.startswith("text.blocks.1.") for name in changed)
    frozen = ("image.patches", "image.positions", "image.blocks.0", "image.blocks.1", "text.tokens", "text.blocks.0")
    assert not any(name.startswith(frozen) for name in changed)
    with pytest.raises(SettingsError):
        freeze(model, 9)


def test_training_goes_on_from_what_was_trained(tmp_path: Path, few: tuple[Loaded, Loaded]) -> None:
    settings = Settings(epochs=1, batch=16, variation=MILD)
    train(few[0].pairs, Plan("scratch-tiny", Mode(), settings, tmp_path / "one", share=0.2))
    report, _ = train(few[0].pairs, Plan(str(tmp_path / "one"), Mode(1), settings, tmp_path / "two", share=0.2))
    first = json.loads((tmp_path / "one" / "training.json").read_text())
    after = [row["after"]["value"] for row in first["gained"]]
    again = [row[1].value for row in report.tables[0].rows]  # type: ignore[union-attr]
    assert np.abs(np.array(after) - again).max() < 0.1, "the same pictures are held out, the same weights judged"


@pytest.mark.parametrize("name", ["builtin-224", "scratch-huge"])
def test_what_cannot_be_trained_on_says_so(tmp_path: Path, few: tuple[Loaded, Loaded], name: str) -> None:
    with pytest.raises(SettingsError):
        train(few[0].pairs, Plan(name, Mode(), Settings(epochs=1), tmp_path / "x"))


@pytest.mark.parametrize(
    "change", [{"loss": "mse"}, {"epochs": None}, {"batch": 1}, {"rate": float("nan")}, {"average": 1.0}]
)
def test_settings_out_of_range(change: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        replace(Settings(), **change)  # type: ignore[arg-type]


def test_checkpoints_are_no_pickles(tmp_path: Path) -> None:
    write_state(tmp_path / "a.safetensors", {"x": torch.ones(2)}, {"step": 3})
    tensors, about = read_state(tmp_path / "a.safetensors")
    assert torch.equal(tensors["x"], torch.ones(2)) and about == {"step": 3}
    torch.save({"x": torch.ones(2)}, tmp_path / "b.safetensors")  # a pickle under that name
    with pytest.raises(EncoderError, match="no checkpoint"):
        read_state(tmp_path / "b.safetensors")


def test_variation_is_drawn_from_its_generator() -> None:
    pixels = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    one, two, other = (vary(pixels, 32, Variation(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == (4, 3, 32, 32) and one.min() >= 0 and one.max() <= 1
    assert torch.equal(one, two) and not torch.equal(one, other)
    still = vary(pixels, 40, Variation(area=1.0, ratio=1.0, mirror=0.0, light=0.0), torch.Generator())
    assert (still - pixels.float() / 255).abs().max() < 1e-5


def test_ranks_count_any_picture_of_which_a_text_is_true(few: tuple[Loaded, Loaded]) -> None:
    pairs = few[1].pairs
    names = np.eye(len(CLASSES), dtype=np.float32)
    pictures = names[[said[0] for said in pairs.said]]
    to_image, to_text = both_ranks_of(pictures, names, pairs)
    assert (to_image.best == 1).all() and (to_text.best == 1).all()
