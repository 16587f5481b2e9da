"""The colour dimensions: colours in texts, colours in pictures, and their combination in the shipped model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from PIL import Image  # noqa: E402

from retrieval.encoders.registry import load_encoder  # noqa: E402
from retrieval.errors import SettingsError  # noqa: E402
from retrieval.lab.training.builtin.colour_stage import (  # noqa: E402
    colour_rows,
    fit_namer,
    reading,
    set_usual,
    survey,
    with_colours,
)
from retrieval.lab.training.builtin.colour_words import ColourWords  # noqa: E402
from retrieval.lab.training.builtin.looks import HUES, recoloured  # noqa: E402
from retrieval.lab.training.builtin.names import COLOUR_TEXTS  # noqa: E402
from retrieval.lab.training.builtin.sentences import coloured_lesson  # noqa: E402
from retrieval.lab.training.builtin.wordnet import WordNet  # noqa: E402
from retrieval.lab.training.hybrid import COLOURS, HybridConfig, HybridTower  # noqa: E402
from retrieval.lab.training.lite import LiteBody  # noqa: E402
from tests.conftest import EXAMPLES  # noqa: E402

pytestmark = pytest.mark.torch

WORDS = HybridConfig().words


@pytest.mark.parametrize(
    ("text", "colours"),
    [
        ("a red car", {"red": 1}),
        ("a photo of a green door.", {"green": 1}),
        ("Blue and white vases", {"blue": 0.71, "white": 0.71}),
        ("a gray cat", {"grey": 1}),
        ("something round and orange", {"orange": 1}),
        ("an orange boat", {"orange": 1}),
        ("woman in red", {"red": 1}),
        ("a golden bell", {"yellow": 0.8, "brown": 0.6}),
        ("black and white photo of a street", {"colourless": 1}),
        ("a portrait of a man in black and white", {"colourless": 1}),
        ("a car", {}),
        ("an orange", {}),
        ("five oranges", {}),
        ("an orange on a table", {}),
        ("a red panda", {}),
        ("two red pandas", {}),
        ("a black man", {}),
        ("white people at a party", {}),
        ("a street without red cars", {}),
        ("credits", {}),
    ],
)
def test_colours_that_a_text_asks_for(text: str, colours: dict[str, float]) -> None:
    found = ColourWords(["red panda", "panda", "giant panda"])(text)
    assert {COLOURS[at]: round(float(found[at]), 2) for at in np.flatnonzero(found)} == pytest.approx(colours, abs=0.01)


def test_half_of_the_lesson_has_colours(wordnet: WordNet) -> None:
    pytest.importorskip("timm")
    from retrieval.lab.training.builtin.concepts import Vocabulary

    texts = coloured_lesson(wordnet, Vocabulary(wordnet), 200)
    asked = ColourWords([])
    assert len(set(texts)) == 200 and 60 < sum(bool(asked(text).any()) for text in texts) < 140
    assert texts == coloured_lesson(wordnet, Vocabulary(wordnet), 200)


def _points() -> list[tuple[str, tuple[int, int, int]]]:
    return [
        (f"{word} {COLOURS[at]}", colour)
        for word in ("dark", "light")
        for at, colour in enumerate(
            [(220, 20, 20), (240, 140, 20), (240, 230, 40), (30, 170, 50), (40, 70, 220), (120, 30, 160)]
        )
    ]


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> HybridTower:
    """With a painter that knows a few colours."""
    file = tmp_path_factory.mktemp("survey") / "rgb.txt"
    file.write_text("".join(f"{name}\t#{r:02x}{g:02x}{b:02x}\n" for name, (r, g, b) in _points()))
    made = HybridTower(HybridConfig(size=64), LiteBody()).eval()
    assert fit_namer(made.painter, *survey(file), steps=300) > 0.95
    torch.nn.init.normal_(made.kinds)
    plain = np.random.default_rng(0).integers(0, 256, (200, 3, 1, 1)).astype(np.uint8)
    set_usual(made, [np.tile(plain, (1, 1, 8, 8))])
    return made


@torch.inference_mode()
def test_a_red_thing_on_a_grey_road_is_red_and_a_grey_picture_colourless(tower: HybridTower) -> None:
    pictures = torch.zeros(2, 3, 64, 64)
    pictures[0, :, 16:48, 16:48] = torch.tensor([0.75, -0.85, -0.85])[:, None, None]
    made = tower(pictures)
    assert torch.allclose(made.norm(dim=-1), torch.ones(2), atol=1e-5)
    red, grey = made[:, WORDS : WORDS + len(COLOURS)]
    assert COLOURS[int(red[:6].argmax())] == "red" and red[0] > grey[0] + 0.05
    assert grey[COLOURS.index("colourless")] > red[COLOURS.index("colourless")] + 0.05


def test_a_file_that_is_no_survey_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rgb.txt").write_text("nothing\n")
    for file in (tmp_path / "rgb.txt", tmp_path / "missing.txt"):
        with pytest.raises(SettingsError, match="names no colours"):
            survey(file)


def test_colours_are_read_from_what_the_tower_says() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(len(COLOURS), 24, generator=generator)
    wanted = torch.eye(len(COLOURS)).repeat(20, 1)
    said = wanted @ torch.linalg.pinv(truth).T * (1 + torch.rand(len(wanted), 1, generator=generator))
    rows = colour_rows(said, wanted, ridge=1e-6)
    wanted[::5] = 0
    assert reading(said, wanted, rows)["right"] == 1
    matrix = torch.randn(60, 16, generator=generator)
    out = with_colours(matrix, 24, rows, size=0.5)
    assert torch.equal(out[:24], matrix[:24]) and not out[36:].any()
    assert torch.allclose(out[24:36], 0.5 * rows @ matrix[:24])


def test_the_shipped_model_tells_colours_of_one_thing_apart() -> None:
    encoder = load_encoder("builtin-224")
    made, texts = [], []
    for name in ("animals/dog.jpg", "animals/fox.jpg", "food/lemon.png"):
        picture = Image.open(EXAMPLES / name).convert("RGB").resize((224, 224))
        turned = [recoloured(picture, colour) for colour in HUES]
        if None in turned:
            continue
        made.append(encoder.encode_images(np.stack([np.asarray(each).transpose(2, 0, 1) for each in turned])))
        texts.append(encoder.encode_texts([form.format(Path(name).stem) for form in COLOUR_TEXTS.values()]))
    right = [(image @ text.T).argmax(1) == np.arange(len(HUES)) for image, text in zip(made, texts, strict=True)]
    assert len(made) >= 2 and np.mean(right) > 0.5  # chance: 0.14


def test_a_text_without_a_colour_asks_for_none() -> None:
    texts = load_encoder("builtin-224").encode_texts(
        ["a dog", "a photo of a car.", "a red dog", "a photo of a blue car."]
    )
    part = np.linalg.norm(texts[:, WORDS : WORDS + len(COLOURS)], axis=1)
    assert part[:2].max() < 0.15 < part[2:].min() and not texts[:, WORDS + len(COLOURS) :].any()
