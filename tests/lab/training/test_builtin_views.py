"""The pictures of the recipe: looks, views, drawn pages, and the stored outputs of the body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from retrieval.errors import SettingsError  # noqa: E402
from retrieval.lab.training.builtin.grids import BodyRun, colours, read_grids, write_grids  # noqa: E402
from retrieval.lab.training.builtin.looks import HUES, LOOKS, recoloured  # noqa: E402
from retrieval.lab.training.builtin.pages import PAGES, write_pages  # noqa: E402
from retrieval.lab.training.builtin.views import Making, views_of  # noqa: E402
from retrieval.lab.training.hybrid import cells  # noqa: E402
from retrieval.lab.training.lite import MEAN, SIZE, STD, LiteBody  # noqa: E402

pytestmark = pytest.mark.torch


def ball(colour: tuple[int, int, int], side: int = 96, ground: tuple[int, int, int] = (245, 245, 245)) -> Image.Image:
    """A disc of one colour on a pale ground."""
    y, x = np.mgrid[:side, :side]
    inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2
    return Image.fromarray(np.where(inside[..., None], colour, ground).astype(np.uint8))


@pytest.mark.parametrize("colour", HUES)
def test_a_ball_of_one_colour_is_turned_to_every_other(colour: str) -> None:
    for before in ((200, 30, 40), (40, 160, 60), (60, 60, 220)):
        turned = recoloured(ball(before), colour)
        assert turned is not None
        hue = np.asarray(turned.convert("HSV"))[48, 48, 0] / 256 * 360
        assert abs((hue - HUES[colour] + 180) % 360 - 180) < 4
        assert (np.asarray(turned)[2, 2] == 245).all()  # what has no colour keeps none


def test_what_has_no_main_colour_is_not_recoloured() -> None:
    assert recoloured(ball((120, 120, 120)), "red") is None
    halves = np.asarray(ball((220, 20, 20))).copy()
    halves[:, :48] = np.asarray(ball((20, 20, 220)))[:, :48]
    assert recoloured(Image.fromarray(halves), "green") is None


def test_looks_are_what_they_are_called() -> None:
    photo = ball((200, 90, 40), 224, (90, 140, 90))
    made = {name: np.asarray(maker(photo, np.random.default_rng(1))).astype(int) for name, (_, maker) in LOOKS.items()}
    assert all(pixels.shape == (224, 224, 3) for pixels in made.values())
    assert np.ptp(made["grey"], axis=2).max() == 0
    assert (made["sketch"].min(2) > 200).mean() > 0.6 and made["sketch"].min() < 120  # dark lines, most of it white
    assert len(np.unique(made["cartoon"][60:160:8, 60:160:8].reshape(-1, 3), axis=0)) < 12  # few colours
    flat = made["painting"][90:130, 90:130].reshape(-1, 3)
    assert np.ptp(flat, axis=0).max() < 12 and flat[0, 0] > flat[0, 1] >= flat[0, 2]  # one patch, still reddish


def test_the_first_view_is_the_picture_as_it_reaches_the_tower(tmp_path: Path) -> None:
    ball((200, 30, 40), 300).save(tmp_path / "ball.png")
    views = list(views_of(tmp_path / "ball.png", Making(varied=2, looks=3, colours=1), np.random.default_rng(0)))
    assert [view.look for view in views[:3]] == ["photo"] * 3 and {view.look for view in views[3:6]} <= set(LOOKS)
    assert views[6].colour in HUES and all(view.pixels.shape == (SIZE, SIZE, 3) for view in views)
    whole = np.asarray(ball((200, 30, 40), 300).resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(int)
    assert abs(views[0].pixels.astype(int) - whole).mean() < 2
    again = list(views_of(tmp_path / "ball.png", Making(varied=2, looks=3, colours=1), np.random.default_rng(0)))
    assert all((one.pixels == other.pixels).all() for one, other in zip(views, again, strict=True))


def test_drawings_stand_whole_on_grounds_of_one_colour(tmp_path: Path) -> None:
    drawing = Image.new("RGBA", (64, 100), (0, 0, 0, 0))
    drawing.paste((200, 30, 30, 255), (20, 10, 40, 90))
    drawing.save(tmp_path / "kite.png")
    making = Making(kind="drawing", varied=11)
    pixels = np.stack([view.pixels for view in views_of(tmp_path / "kite.png", making, np.random.default_rng(0))])
    red = (abs(pixels.astype(int) - (200, 30, 30)) < 8).all(3)
    high = red.any(2).sum(1)
    assert (high > SIZE / 1.7).all()  # a margin at most, and nothing is cut off:
    assert (abs(red.sum((1, 2)) / high**2 - 20 / 80) < 0.05).all()
    corners = {tuple(picture[y, x]) for picture in pixels for y, x in ((0, 0), (-1, -1)) if not red[0, y, x]}
    assert len(corners) > 2


def test_every_kind_of_page_is_drawn_and_differs(tmp_path: Path) -> None:
    assert write_pages(tmp_path, ["the cat sat on the mat and slept"], 2) == 2 * len(PAGES)
    for name in PAGES:
        first, second = (
            np.asarray(Image.open(tmp_path / name.replace(" ", "_") / f"{at:04d}.png").resize((64, 64))).astype(int)
            for at in (0, 1)
        )
        assert first.std() > 8 and abs(first - second).mean() > 2


@pytest.fixture(scope="module")
def run(body: LiteBody) -> BodyRun:
    return BodyRun(body, exact=True)


@pytest.fixture(scope="module")
def body() -> LiteBody:
    """Random weights whose signal does not die away: the norms' statistics are those of some random pictures."""
    torch.manual_seed(0)
    made = LiteBody().train()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        made.head(made(torch.randn(8, 3, 96, 96)))
    return made.eval()


def test_class_folders_become_a_collection_and_an_unreadable_file_is_named(tmp_path: Path, run: BodyRun) -> None:
    for name, colour in (("n00000008", (250, 0, 0)), ("fluffy_cat", (0, 0, 250))):
        (tmp_path / "in" / name / "deeper").mkdir(parents=True)
        for at in range(3):
            Image.new("RGB", (200, 120), colour).save(tmp_path / "in" / name / "deeper" / f"{at}.jpg")
    (tmp_path / "in" / "fluffy_cat" / "broken.png").write_bytes(b"no picture")
    done = write_grids(tmp_path / "in", tmp_path / "out", run, Making(varied=1), at_most=4)
    assert (done.pictures, done.views, done.classes) == (6, 12, 2)
    assert [(path.name, "not an image" in why) for path, why in done.problems] == [("broken.png", True)]
    made = read_grids(tmp_path / "out")
    assert [row.name for row in made.rows] == ["fluffy cat"] * 6 + ["n00000008"] * 6
    assert [row.source for row in made.rows] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10]
    assert (made.cells[0] > np.array((-1, -1, 200))[:, None, None]).all() and made.cells[-1, 0, 14, 14] > 150
    few = write_grids(tmp_path / "in", tmp_path / "few", run, Making(), at_most=1)
    assert few.pictures + len(few.problems) == 2
    for without in (tmp_path / "nowhere", tmp_path / "few"):
        with pytest.raises(SettingsError, match=r"no folder|no class folder"):
            write_grids(without, tmp_path / "none", run, Making())


def test_what_is_stored_is_what_the_body_says(tmp_path: Path, body: LiteBody, run: BodyRun) -> None:
    (tmp_path / "in" / "ball").mkdir(parents=True)
    ball((200, 30, 40), SIZE).save(tmp_path / "in" / "ball" / "a.png")
    write_grids(tmp_path / "in", tmp_path / "out", run, Making())
    made = read_grids(tmp_path / "out")
    pixels = torch.from_numpy(np.array(ball((200, 30, 40), SIZE))).permute(2, 0, 1)[None].float() / 255
    images = (pixels - MEAN[0]) / STD[0]
    with torch.inference_mode():
        grid = body(images)
        features = body.head(grid).mean((2, 3))
    # What is stored is float16.
    assert float((torch.from_numpy(made.grids.astype(np.float32)) - grid).abs().max() / grid.abs().max()) < 2e-3
    assert float((torch.from_numpy(made.features.astype(np.float32)) - features).abs().max() / features.max()) < 2e-3
    assert float((colours(made.cells) - cells(images)).abs().max()) < 0.005


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, run: BodyRun) -> None:
    (tmp_path / "in" / "ball").mkdir(parents=True)
    ball((200, 30, 40)).save(tmp_path / "in" / "ball" / "a.png")
    write_grids(tmp_path / "in", tmp_path / "out", run, Making(varied=1))
    lines = (tmp_path / "out" / "views.jsonl").read_text().splitlines()
    (tmp_path / "out" / "views.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(SettingsError, match="do not agree"):
        read_grids(tmp_path / "out")
