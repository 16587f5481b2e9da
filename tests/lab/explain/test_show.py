"""The command's output: lines, JSON, page, drawings, and refused input."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import QueryError, SettingsError, UnreadableImage, WeightsUnavailable
from retrieval.lab.explain.cells import HeatMap
from retrieval.lab.explain.pictures import in_patches, panels, sheet, with_heat
from retrieval.lab.explain.show import Wish, explain

DOG = Path(__file__).parents[3] / "examples" / "photos" / "animals" / "dog.jpg"


def said(name: str, **wish: object) -> str:
    out = io.StringIO()
    explain(name, Wish(**wish), out)  # type: ignore[arg-type]
    return out.getvalue()


def test_lines_of_a_vision_transformer() -> None:
    text = said("vit_base_patch16_224")
    assert "14 x 14 = 196 patches" in text and "197 (196 patches + class token)" in text
    assert "16 x 16 x 3 x 768 = 589,824 parameters, bias 768" in text
    assert re.search(r"patch 8 +785 tokens; .*x 15\.88 \(over patches alone x 16\.00\); all blocks x 4\.47", text)
    assert re.search(r"patch 32 +50 tokens; .*/ 15\.52 .*all blocks / 4\.06", text)


def test_lines_of_the_families() -> None:
    assert "147 patches hidden, 49 seen, 50 tokens in its encoder" in said("mae-b16")
    registers = said("dinov2-b14-reg")
    assert "261 (256 patches + class token + 4 registers)" in registers and "resized from those for 518 px" in registers
    assert "rotated" in said("dinov3-b16")
    siglip = said("ViT-B-16-SigLIP2-256/webli")
    assert "sigmoid" in siglip and "bias at -10" in siglip and "Apache-2.0" in siglip and "big_vision" in siglip
    clip = said("ViT-L-14-336-quickgelu/openai")
    assert "softmax InfoNCE" in clip and "14.29" in clip and "no bias" in clip and "66.9  (open_clip" in clip


def test_json_is_the_whole_report() -> None:
    report = json.loads(said("builtin-224", as_json=True, image=DOG, text="a dog"))
    assert report["installed"] and report["grid"] == {"size": 224, "grid": 7, "tokens": 49}
    assert report["text"]["context"] == 32 and report["preprocessing"]["size"] == 224
    for tower in ("image", "text"):
        parts = [part for part in report["parts"] if part["tower"] == tower]
        assert sum(part["parameters"] for part in parts) == report["totals"][tower]["parameters"]
        assert sum(part["flops"] for part in parts) == report["totals"][tower]["flops"]
    heat = report["heat"]
    assert heat["method"] == "dense" and np.array(heat["values"]).shape == (28, 28)
    assert heat["score"] > 0.1 and "MaskCLIP" in heat["source"] and "measured" not in report


@pytest.mark.parametrize("method", ["occlusion", "dense"])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_the_heat_of_a_dog_is_where_the_dog_is(tmp_path: Path, row: int, column: int, method: str) -> None:
    """A dog in one quarter of a white sheet."""
    paper, place = Image.new("RGB", (240, 240), "white"), (column * 120, row * 120)
    with Image.open(DOG) as dog:
        dog.thumbnail((120, 120))
        paper.paste(dog, place)
    paper.save(tmp_path / "dog.png")
    heat = json.loads(said("builtin-224", as_json=True, image=tmp_path / "dog.png", text="a dog", heat=method))["heat"]
    values = np.array(heat["values"])
    half = len(values) // 2
    assert tuple(np.array(divmod(int(values.argmax()), 2 * half)) // half) == (row, column)
    if method == "dense":  # what is covered on the empty sheet moves the score, too, a little and anyhow
        quarters = values.reshape(2, half, 2, half).mean(axis=(1, 3))
        assert divmod(int(quarters.argmax()), 2) == (row, column)


def test_measured_speed() -> None:
    from retrieval.encoders.registry import load_encoder
    from retrieval.lab.explain.report import measure

    speed = measure(load_encoder("builtin-224", threads=1), seconds=0.2)
    assert speed.images_per_second > 0 and speed.seconds >= 0.2 and speed.callers == 1
    images = speed.images_per_second * speed.seconds
    assert images == pytest.approx(round(images)) and round(images) % speed.batch == 0


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img":
            self.pictures.append(found["src"] or "")
        elif tag != "meta":
            self.open.append(tag)
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    picture = tmp_path / "<b>dog & co.jpg"
    picture.write_bytes(DOG.read_bytes())
    page = tmp_path / "page.html"
    said("builtin-224", image=picture, text='a "dog" <i>', html=page)
    text = page.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == [] and len(reader.pictures) == 2
    assert all(each.startswith("data:image/png;base64,") for each in reader.addresses)
    assert "<b>dog" not in text and "<i>" not in text and "&lt;i&gt;" in text
    assert "default-src 'none'" in text and "224 / 32 = 7" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [picture.name, "page.html"]


def test_a_page_without_a_picture(tmp_path: Path) -> None:
    said("vit-b16", html=tmp_path / "vit.html")
    assert "85.11" in (tmp_path / "vit.html").read_text(encoding="utf-8")


def test_drawings(tmp_path: Path) -> None:
    said("builtin-224", image=DOG, text="a dog", heat="dense", png=tmp_path / "dog.png")
    drawn = np.asarray(Image.open(tmp_path / "dog.png").convert("RGB"))
    assert drawn.shape[0] > 448 and drawn.shape[1] > 2 * 440
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 1000


def test_patches_stand_in_their_places() -> None:
    pixels = np.zeros((3, 32, 32), np.uint8)
    pixels[0, :16, 16:] = 200  # the second of four patches is red
    drawn = np.asarray(in_patches(pixels, 16))
    half = len(drawn) // 2
    assert tuple(drawn[half // 2, half + half // 2]) == (200, 0, 0)
    assert tuple(drawn[half // 2, half // 2]) == tuple(drawn[-10, -10]) == (0, 0, 0)
    assert len(np.unique(drawn[half], axis=0)) == 1  # the gap between two rows


def test_heat_is_brightest_where_it_is_largest() -> None:
    values = np.zeros((4, 4))
    values[3, 0] = 1.0
    heat = HeatMap("occlusion", values, "", "", "")
    drawn = np.asarray(with_heat(np.full((3, 32, 32), 90, np.uint8), heat)).astype(int).sum(axis=-1)
    assert drawn[-40:, :40].mean() > drawn[:40, -40:].mean() + 100
    flat = HeatMap("occlusion", np.full((4, 4), -1.0), "", "", "")
    assert not flat.shares().any()
    assert sheet(panels(np.zeros((3, 32, 32), np.uint8), None, None)).width < 500


@pytest.mark.parametrize("wish", [
    {"text": "a dog"}, {"png": Path("x.png")}, {"heat": "rollout"}, {"html": Path("x.jpg")},
    {"image": DOG, "png": Path("x.html")},
])  # fmt: skip
def test_what_does_not_go_together(wish: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        said("builtin-224", **wish)


def test_bad_pictures_and_absent_models(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot read"):
        said("builtin-224", image=tmp_path / "nowhere.jpg")
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"no\.jpg"):
        said("builtin-224", image=tmp_path / "no.jpg")
    for wish in ({"image": DOG}, {"measure": True}):
        with pytest.raises(WeightsUnavailable, match="cannot look at pictures here"):
            said("vit_base_patch16_224", **wish)
    with pytest.raises(SettingsError, match="cannot write"):
        said("builtin-224", html=tmp_path / "no folder" / "page.html")
