"""The recipe of the built-in model on a few made-up words and pictures: its parts, and that a stopped run goes on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from retrieval.errors import SettingsError  # noqa: E402
from retrieval.training.builtin import image_stage  # noqa: E402
from retrieval.training.builtin.concepts import Vocabulary  # noqa: E402
from retrieval.training.builtin.data import column_of, gather  # noqa: E402
from retrieval.training.builtin.image_stage import ImageStage, ImageTraining, Names, names_of  # noqa: E402
from retrieval.training.builtin.judge import class_report  # noqa: E402
from retrieval.training.builtin.pictures import Collection, Mixture, plain, prepared, split, vary  # noqa: E402
from retrieval.training.builtin.prepare import SIDE, prepare  # noqa: E402
from retrieval.training.builtin.wordnet import WordNet  # noqa: E402
from retrieval.training.towers import ImageTowerConfig  # noqa: E402

pytestmark = pytest.mark.torch

# A chain deep enough that its lower half is not "too general": entity > ... > animal > cat > tabby, dog beside cat.
_NOUNS = [
    ("00000001", "entity", "", "what is"),
    ("00000002", "thing", "00000001", "an entity"),
    ("00000003", "object", "00000002", "a thing"),
    ("00000004", "whole", "00000003", "an object"),
    ("00000005", "being", "00000004", "a living whole"),
    ("00000006", "animal", "00000005", "a being that moves"),
    ("00000007", "cat", "00000006", 'a furry animal; "the cat sat"'),
    ("00000008", "tabby", "00000007", "a striped cat"),
    ("00000009", "dog", "00000006", "an animal that barks"),
    ("00000010", "leopard", "00000005", "the skin of a leopard"),
    ("00000011", "leopard", "00000006", "a spotted animal"),
]


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    def line(offset: str, word: str, parent: str, gloss: str) -> str:
        pointers = f"001 @ {parent} n 0000" if parent else "000"
        return f"{offset} 03 n 01 {word} 0 {pointers} | {gloss}"

    (tmp_path / "data.noun").write_text("  1 licence\n" + "\n".join(line(*noun) for noun in _NOUNS) + "\n")
    senses: dict[str, list[str]] = {}
    for offset, word, *_ in _NOUNS:
        senses.setdefault(word, []).append(offset)
    index = [f"{w} n {len(o)} 1 @ {len(o)} 0 {' '.join(o)}" for w, o in sorted(senses.items())]
    (tmp_path / "index.noun").write_text("  1 licence\n" + "\n".join(index) + "\n")
    return WordNet(tmp_path)


def test_wordnet_gives_words_definitions_and_ancestors_that_can_be_seen(wordnet: WordNet) -> None:
    cat = wordnet.find("a big cat")
    assert cat is not None and (cat.words, cat.definition) == (("cat",), "a furry animal")
    assert wordnet.find("dogs") is wordnet.find("dog")
    assert wordnet.find("unheard") is None
    assert wordnet.ancestors("n00000008") == ("n00000007", "n00000006")  # not "being", "whole" and above


def test_a_leopard_is_the_animal_and_not_its_skin(wordnet: WordNet) -> None:
    found = wordnet.find("leopard")
    assert found is not None and found.wnid == "n00000011"


def test_what_a_class_is_and_what_it_may_be(wordnet: WordNet) -> None:
    vocabulary = Vocabulary(wordnet)
    tabby, dog, cat = (column_of(vocabulary, name) for name in ("n00000008", "dog", "cat"))
    made_up = column_of(vocabulary, "fluffy cat")
    is_a, may_be = vocabulary.relations()
    assert is_a[tabby, cat] and not is_a[cat, tabby] and not is_a[tabby, dog]
    assert may_be[cat, tabby] and may_be[cat, made_up] and not may_be[tabby, cat]
    assert is_a[made_up, cat]
    assert {c.names[0] for c in vocabulary.concepts if c.is_class} == {"tabby", "dog", "cat", "fluffy cat"}


def test_prepared_pictures_and_a_split_by_picture(tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", np.arange(20, dtype=np.uint8).repeat(8 * 8 * 3).reshape(20, 8, 8, 3))
    rows = [{"class": f"c{at % 2}", "captions": []} for at in range(20)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    train, held = split(prepared(tmp_path), 0.25)
    seen = {int(p[0, 0, 0]) for p in train.pixels}, {int(p[0, 0, 0]) for p in held.pixels}
    assert (len(seen[0]), len(seen[1])) == (15, 5) and not seen[0] & seen[1]
    assert all(held.names[at] == f"c{int(held.pixels[at, 0, 0, 0]) % 2}" for at in range(5))


def test_class_folders_become_a_collection_and_an_unreadable_file_is_named(tmp_path: Path) -> None:
    for name, colour in (("n00000008", (250, 0, 0)), ("fluffy_cat", (0, 0, 250))):
        (tmp_path / "in" / name / "deeper").mkdir(parents=True)
        for at in range(3):
            Image.new("RGB", (200, 120), colour).save(tmp_path / "in" / name / "deeper" / f"{at}.jpg")
    (tmp_path / "in" / "fluffy_cat" / "broken.png").write_bytes(b"no picture")
    done = prepare(tmp_path / "in", tmp_path / "out", at_most=4)
    assert (done.pictures, done.classes) == (6, 2)
    assert [(path.name, "not an image" in why) for path, why in done.problems] == [("broken.png", True)]
    collection = prepared(tmp_path / "out")
    assert collection.names == ["fluffy cat"] * 3 + ["n00000008"] * 3 and collection.pixels.shape == (6, SIDE, SIDE, 3)
    assert (collection.pixels[0, 50, 50] > (-1, -1, 200)).all() and collection.pixels[-1, 50, 50, 0] > 200
    few = prepare(tmp_path / "in", tmp_path / "few", at_most=1)
    assert few.pictures + len(few.problems) == 2
    for without in (tmp_path / "nowhere", tmp_path / "few"):
        with pytest.raises(SettingsError, match=r"no folder|no class folder"):
            prepare(without, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_drawings_stand_whole_on_grounds_of_one_colour(tmp_path: Path) -> None:
    (tmp_path / "in" / "kite").mkdir(parents=True)
    for at in range(12):
        drawing = Image.new("RGBA", (64, 100), (0, 0, 0, 0))
        drawing.paste((200, 30, 30, 255), (20, 10, 40, 90))
        drawing.save(tmp_path / "in" / "kite" / f"{at}.png")
    assert prepare(tmp_path / "in", tmp_path / "out", drawings=True).pictures == 12
    pixels = prepared(tmp_path / "out").pixels.astype(int)
    assert (abs(pixels[:, SIDE // 2, SIDE // 2] - (200, 30, 30)) < 6).all()
    assert (abs(pixels[:, 4, 4] - pixels[:, -5, -5]).max(), len({tuple(p) for p in pixels[:, 4, 4]}) > 2) == (0, True)
    high = (abs(pixels[:, :, SIDE // 2] - (200, 30, 30)).max(2) < 6).sum(1)
    assert (high > SIDE / 1.3).all()  # the drawing fills the square but for a margin


def test_breadth_weighs_and_every_kind_has_its_column_before_training(wordnet: WordNet, tmp_path: Path) -> None:
    for wnid in ("n00000008", "n00000009"):
        (tmp_path / "tiny" / "train" / wnid / "images").mkdir(parents=True)
        for at in range(20):
            Image.new("RGB", (64, 64)).save(tmp_path / "tiny" / "train" / wnid / "images" / f"{at}.JPEG")
    for name, kinds in (("broad", 40), ("narrow", 1)):
        (tmp_path / "extra" / name).mkdir(parents=True)
        np.save(tmp_path / "extra" / name / "pictures.npy", np.zeros((40, 8, 8, 3), np.uint8))
        rows = [json.dumps({"class": f"kind {at % kinds}", "captions": []}) for at in range(40)]
        (tmp_path / "extra" / name / "captions.jsonl").write_text("\n".join(rows))
    data = gather(tmp_path / "tiny", tmp_path / "extra", tmp_path, tmp_path)  # the fixture's WordNet lies in tmp_path
    assert [c.name for c in data.train] == ["tiny-train", "broad", "narrow"]
    assert sum(data.shares) == pytest.approx(1) and data.shares[1] > 2 * data.shares[2]
    known = len(data.vocabulary)
    assert max(max(data.class_columns(held)[1]) for held in data.validation) < known == len(data.vocabulary)


def test_variation_keeps_form_and_range() -> None:
    pixels = torch.rand(16, 3, 20, 20)
    out = vary(pixels, 12, np.random.default_rng(0))
    assert out.shape == (16, 3, 12, 12) and float(out.min()) >= 0 and float(out.max()) <= 1
    again = vary(pixels, 12, np.random.default_rng(0))
    assert torch.equal(out, again) and not torch.equal(out, vary(pixels, 12, np.random.default_rng(1)))


def test_every_picture_is_drawn_once_before_any_comes_twice() -> None:
    one = Collection("one", np.zeros((10, 8, 8, 3), np.uint8), ["a"] * 10, [[]] * 10)
    mixture = Mixture([one], [1.0], 0)
    first = [place for _, place in mixture.draw(6, 8)[1]] + [place for _, place in mixture.draw(4, 8)[1]]
    assert sorted(first) == list(range(10))


def _ticks() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read: as many steps on a busy machine as on an idle one."""
    seconds = itertools.count()
    return lambda: float(next(seconds))


def _training(wordnet: WordNet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ImageTraining:
    config = ImageTowerConfig(size=64, patch=16, width=32, layers=1, heads=2, dim=8, stem=(8, 8, 8, 8), blocks=(0,) * 4)
    monkeypatch.setattr(image_stage, "TOWER", config)
    vocabulary = Vocabulary(wordnet)
    columns = np.array([column_of(vocabulary, name) for name in ("cat", "dog") * 8])
    pixels = np.zeros((16, 64, 64, 3), np.uint8)
    pixels[::2, ..., 0] = 255
    pixels[1::2, ..., 2] = 255
    pictures = Collection("made", pixels, ["cat", "dog"] * 8, [[]] * 16)
    torch.manual_seed(0)
    names = names_of(vocabulary, lambda texts: torch.nn.functional.normalize(torch.randn(len(texts), 384), dim=1), 8)
    stage = ImageStage(batch=16, warmup=5, rate=3e-3)
    return ImageTraining(names, vocabulary, [pictures], [1.0], [columns], stage, folder)


def test_image_stage_learns_two_colours_and_goes_on_from_its_checkpoint(
    wordnet: WordNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = _training(wordnet, tmp_path, monkeypatch)
    for _ in range(60):
        training._one(64, rate=1.0)
    training.save()
    pictures = training._sources[0][0]
    with torch.inference_mode():
        seen = image_stage.embed(training.tower, pictures)
        table = training.names.ensemble()[[int(training.columns[0][0]), int(training.columns[0][1])]]
    assert class_report(seen, table, torch.tensor([0, 1] * 8))["top1"] == 1.0
    assert class_report(seen[:4], table, torch.tensor([0, 1] * 2))["p10"] == 0.5  # of fewer than ten, all are shown
    again = _training(wordnet, tmp_path, monkeypatch)
    assert again.step == 60
    for mine, theirs in zip(again.tower.parameters(), training.tower.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_decay_leaves_the_checkpoint_at_its_beginning(
    wordnet: WordNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = _training(wordnet, tmp_path, monkeypatch)
    training.run(40, 0.5, lambda tower, names: {"made/top1": 0.5}, clock=_ticks())
    stable, decayed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("stable", "decayed"))
    assert 0 < stable["step"] < decayed["step"]
    assert json.loads((tmp_path / "curve.jsonl").read_text().splitlines()[-1])["made/top1"] == 0.5


def test_names_start_where_the_sentence_encoder_puts_them() -> None:
    written = torch.nn.functional.normalize(torch.randn(5, 3, 384), dim=-1)
    counts = torch.tensor([3, 3, 1, 2, 3])
    written[torch.arange(3)[None] >= counts[:, None]] = 0
    names = Names(written, counts, 5)
    mean = torch.nn.functional.normalize(torch.stack([row[:n].mean(0) for row, n in zip(written, counts, strict=True)]))
    projected = torch.nn.functional.normalize(names.project(mean), dim=-1)
    assert torch.allclose(projected @ projected.T, mean @ mean.T, atol=1e-4)  # five directions span five means


def test_plain_pictures_are_scaled_and_normalised() -> None:
    out = plain(np.full((2, 32, 32, 3), 255, np.uint8), 64)
    assert out.shape == (2, 3, 64, 64)
    assert out[0, 0, 0, 0] == pytest.approx((1 - 0.48) / 0.269, rel=1e-5)
