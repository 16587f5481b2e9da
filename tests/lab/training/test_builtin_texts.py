"""The text tower's lesson and stage: its texts, continuing a stopped run, and the number format."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retrieval.lab.training import half  # noqa: E402
from retrieval.lab.training.builtin import lesson, search_words, text_stage  # noqa: E402
from retrieval.lab.training.builtin.concepts import Vocabulary  # noqa: E402
from retrieval.lab.training.builtin.phrases import Phrases, article  # noqa: E402
from retrieval.lab.training.builtin.sentences import kept_apart, typed, weighted_names  # noqa: E402
from retrieval.lab.training.builtin.sentences import lesson as written  # noqa: E402
from retrieval.lab.training.builtin.text_stage import (  # noqa: E402
    TextStage,
    TextTraining,
    fidelity,
    folded,
    in_both_spaces,
    warm_start,
)
from retrieval.lab.training.builtin.wordnet import WordNet  # noqa: E402
from retrieval.lab.training.export import text_weights  # noqa: E402
from retrieval.lab.training.towers import TextTower, TextTowerConfig  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = TextTowerConfig(vocabulary=40, context=8, width=32, layers=1, heads=2, dim=384)
COMMON = torch.linalg.qr(torch.randn(384, 16, generator=torch.Generator().manual_seed(2))).Q.T


def phrases(seed: int = 0, irregular: dict[str, str] | None = None) -> Phrases:
    return Phrases(["cat", "sports car"], [3.0, 1.0], irregular or {}, seed)


def test_phrases_are_about_the_names_and_seeded() -> None:
    made = list(itertools.islice(phrases(1), 400))
    assert made == list(itertools.islice(phrases(1), 400))
    assert len(set(made)) > 350 and not any("{" in phrase or "  " in phrase for phrase in made)
    about = sum("cat" in phrase or "sports car" in phrase for phrase in made)
    assert about > 280, "the others are scenes and actions"
    assert sum("cat" in phrase for phrase in made) > sum("sports car" in phrase for phrase in made)


@pytest.mark.parametrize("table", ["COLOURS", "MATERIALS", "QUALITIES", "PLACES", "ACTIONS", "SCENES"])
def test_every_kind_of_word_that_people_say_comes_up(table: str) -> None:
    made = " | ".join(itertools.islice(phrases(), 6000))
    words = getattr(search_words, table)
    assert sum(word in made for word in words) > 0.9 * len(words)


@pytest.mark.parametrize(
    "phrase",
    [
        "no cats",
        "drawing of a",
        "black and white",
        "screenshot",
        "two cats",
        "made of",
        "without",
        "painting of",
        "map of",
    ],
)
def test_styles_counts_and_negations_come_up(phrase: str) -> None:
    assert any(phrase in made for made in itertools.islice(phrases(), 12_000))


@pytest.mark.parametrize(
    ("name", "many"), [("cat", "cats"), ("fox", "foxes"), ("sports car", "sports cars"), ("lady", "ladies"),
                       ("boy", "boys"), ("mouse", "mice"), ("dish", "dishes")],
)  # fmt: skip
def test_plurals(name: str, many: str) -> None:
    assert phrases(irregular={"mouse": "mice"}).plural(name) == many


@pytest.mark.parametrize(
    ("name", "said"), [("owl", "an owl"), ("cat", "a cat"), ("unicorn", "a unicorn"), ("umbrella", "an umbrella"),
                       ("a cat", "a cat"), ("people", "people"), ("my dog", "my dog")],
)  # fmt: skip
def test_articles(name: str, said: str) -> None:
    assert article(name) == said


def test_the_lesson_weighs_what_is_photographed_and_keeps_some_apart(wordnet: WordNet) -> None:
    pytest.importorskip("timm")
    vocabulary = Vocabulary(wordnet)
    vocabulary.add_name("cat")
    names = weighted_names(wordnet, vocabulary)
    assert names["cat"] > names.get("leopard", 0.0)
    learned = written(wordnet, vocabulary, 10, 200)
    assert "a photo of a cat." in learned and len(learned) == len(set(learned))
    apart = kept_apart(wordnet, vocabulary, learned, 50)
    assert len(apart) == 50 and not set(apart) & set(learned)
    assert not set(typed()) & set(learned) and len(typed()) > 150, "the queries that judge are not learned"


def test_wordnets_other_files_are_read_where_they_are(wordnet: WordNet, wordnet_folder: Path) -> None:
    assert wordnet.examples() == ["the cat sat"] and wordnet.count("cat") == 0 and not wordnet.irregular_plurals
    (wordnet_folder / "cntlist.rev").write_text("cat%1:05:00:: 1 42\ncat%1:18:01:: 2 3\ncat%2:35:00:: 1 9\n")
    (wordnet_folder / "noun.exc").write_text("mice mouse\n")
    again = WordNet(wordnet_folder)
    assert again.count("Cat") == 45 and again.irregular_plurals == {"mouse": "mice"}


def test_a_lesson_is_embedded_once_and_an_interrupted_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "PART", 4)
    texts = [f"text {n}" for n in range(10)]
    asked: list[str] = []

    def encode(some: list[str], most: int = 99) -> torch.Tensor:
        if len(asked) + len(some) > most:
            raise KeyboardInterrupt
        asked.extend(some)
        return torch.nn.functional.one_hot(torch.tensor([int(text.split()[1]) for text in some]), 384).float()

    with pytest.raises(KeyboardInterrupt):
        lesson.embedded(texts, lambda some: encode(some, 8), tmp_path)
    made = lesson.embedded(texts, encode, tmp_path)
    assert asked == texts and made.dtype == torch.float16
    assert made.argmax(1).tolist() == list(range(10))
    assert torch.equal(lesson.embedded(texts, encode, tmp_path), made) and asked == texts
    lesson.embedded([*texts, "text 10"], encode, tmp_path)
    assert len(asked) == 21, "another lesson is another folder"


def taught(folder: Path, seed: int = 0) -> tuple[TextTraining, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    rows = torch.zeros(24, 8, dtype=torch.int32)
    for at in range(24):
        rows[at, :4] = torch.tensor([38, at, at % 3, 39])  # zero is a token too
    targets = torch.nn.functional.normalize(torch.randn(24, 384), dim=1).half()
    stage = TextStage(batch=24, rate=5e-3, warmup=5)
    return (
        TextTraining(TextTower(CONFIG), rows, targets, 24, in_both_spaces(COMMON), stage, folder, seed=seed),
        rows,
        targets,
    )


def _ticks() -> Callable[[], float]:
    seconds = itertools.count()
    return lambda: float(next(seconds))


def test_the_stage_learns_goes_on_and_its_projection_folds_into_the_tower(tmp_path: Path) -> None:
    training, rows, targets = taught(tmp_path)
    before = fidelity(training.tower, rows, targets, COMMON)["common"]
    training.run(500, 0.4, lambda tower: fidelity(tower, rows, targets, COMMON), clock=_ticks())
    curve = [json.loads(line) for line in (tmp_path / "text-curve.jsonl").read_text().splitlines()]
    assert curve[-1]["common"] > max(before + 0.3, 0.5)
    stable = torch.load(tmp_path / "text-stable.pt", weights_only=True)
    assert 0 < stable["step"] < training.step
    again, *_ = taught(tmp_path)
    assert again.step == stable["step"]
    assert all(
        torch.equal(a, b) for a, b in zip(again.tower.state_dict().values(), stable["tower"].values(), strict=True)
    )

    tower = TextTower(CONFIG)
    tower.load_state_dict(torch.load(tmp_path / "text.pt", weights_only=True))
    with torch.inference_mode():
        assert torch.allclose(folded(tower, COMMON)(rows.long()), tower.eval()(rows.long()) @ COMMON.T, atol=1e-5)


def test_a_run_begins_with_earlier_blocks_and_the_best_matrix_behind_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    _, rows, _ = taught(tmp_path)
    torch.manual_seed(1)
    earlier = TextTower(CONFIG).eval()
    save_file({name: value.contiguous() for name, value in text_weights(earlier).items()}, tmp_path / "old.safetensors")
    turn = torch.linalg.qr(torch.randn(384, 384)).Q
    with torch.inference_mode():
        targets = torch.nn.functional.normalize(earlier(rows.long()) @ turn, dim=1)
    tower = TextTower(CONFIG)
    warm_start(tower, tmp_path / "old.safetensors", rows, targets)
    assert fidelity(tower, rows, targets, COMMON)["sentence"] > 0.99, "the space was only turned"


@pytest.mark.parametrize(
    ("known", "can"),
    [({"avx2": True}, False), ({"avx2": True, "avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({}, False)],
)
def test_bfloat16_only_where_the_cpu_computes_in_it(
    known: dict[str, bool], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert half.cpu_computes_in_bf16() is can
    with half.autocast():
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == (torch.bfloat16 if can else torch.float32)
    with half.autocast(wanted=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not half.cpu_computes_in_bf16()


def test_batches_are_of_similar_length() -> None:
    tokens = torch.zeros(200, 8, dtype=torch.int32)
    for at, row in enumerate(tokens):
        row[: 2 + at % 6] = 5
        row[2 + at % 6] = 39
    batches = iter(text_stage.Batches(tokens, 20, TextStage(batch=16), seed=0))
    for places, rows in itertools.islice(batches, 40):
        assert rows.shape[0] == 16 and rows.shape[1] == int((tokens[places].argmax(1) + 1).max())
    assert np.isin(places.numpy(), np.arange(200)).all()
