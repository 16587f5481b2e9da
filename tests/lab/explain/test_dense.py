"""Dense tokens and costs of graphs in ONNX form: compared with torch, and on pictures with objects at known places."""

# ruff: noqa: E402

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from indexes.base import Vectors
from retrieval.encoders.base import Pixels, Preprocessing
from retrieval.encoders.files.description import ImageTower as ImageRow
from retrieval.encoders.files.description import write_encoder_description
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.registry import load_encoder
from retrieval.encoders.torch.graph import write_graph
from retrieval.errors import SettingsError
from retrieval.lab.explain.graph import read_graph
from retrieval.lab.explain.graph_cost import graph_cost
from retrieval.lab.explain.onnx_maps import DenseTower, dense_map
from retrieval.lab.explain.show import Wish, explain
from retrieval.lab.training.towers import Block
from tests.conftest import EXAMPLES

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Constant folding:UserWarning")]

SIZE, WIDTH, DIM = 64, 24, 16
DOG = EXAMPLES / "animals" / "dog.jpg"


class Hybrid(nn.Module):
    """A convolutional body, a transformer block, a classifier over the pooled map: two means, two ways to the end."""

    def __init__(self, pooling: str = "mean") -> None:
        super().__init__()
        self.pooling = pooling
        self.stem = nn.Conv2d(3, 12, 3, stride=2, padding=1)
        self.filter = nn.Conv2d(12, 12, 5, stride=2, groups=12)
        self.narrow = nn.Conv2d(12, WIDTH, 1)
        self.positions = nn.Parameter(torch.randn(1, 256, WIDTH) / 5)
        self.blocks = nn.Sequential(Block(WIDTH, 2))
        self.norm = nn.LayerNorm(WIDTH)
        self.classify = nn.Linear(WIDTH, 10)
        self.memory = nn.Linear(10, DIM, bias=False)
        self.project = nn.Linear(WIDTH, DIM, bias=False)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, c, h, w) and (n, h * w, c): what is pooled."""
        x = torch.relu(self.stem(images))
        x = torch.relu(self.filter(nn.functional.pad(x, (1, 2, 1, 2))))
        x = torch.relu(self.narrow(x))
        return x, self.norm(self.blocks(x.flatten(2).transpose(1, 2) + self.positions))

    def head(self, features: Tensor, seen: Tensor) -> Tensor:
        kinds = torch.softmax(self.classify(features), -1)
        return nn.functional.normalize(self.memory(kinds) + self.project(seen), dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        grid, tokens = self.maps(images)
        if self.pooling == "first":
            return self.head(grid[:, :, 0, 0], tokens[:, 0])
        return self.head(grid.mean((2, 3)), tokens.mean(1))


@pytest.fixture(scope="module")
def tower() -> Hybrid:
    torch.manual_seed(0)
    return Hybrid().eval()


def encoder_of(tower: Hybrid, folder: Path) -> OnnxEncoder:
    write_graph(tower, torch.rand(2, 3, SIZE, SIZE), folder / "image.onnx", input_name="pixels", dynamic={0: "n"})
    written = write_encoder_description(
        folder, name="made", family="clip", source="trained", dim=DIM, image=ImageRow("image.onnx"), text=None,
        preprocessing=Preprocessing(SIZE), licence="none", logit_scale=None, logit_bias=None, prompt_templates=(),
    )  # fmt: skip
    return OnnxEncoder(written, precision="fp32", threads=1)


@pytest.fixture(scope="module")
def encoder(tower: Hybrid, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return encoder_of(tower, tmp_path_factory.mktemp("made"))


def prepared(pixels: Pixels) -> Tensor:
    wanted = Preprocessing(SIZE)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (wanted.mean, wanted.std))
    return ((torch.from_numpy(pixels).float() / 255 - mean) / std)[None]


def some_pixels(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8)


@torch.inference_mode()
def test_dense_tokens_are_the_head_of_each_position(tower: Hybrid, encoder: OnnxEncoder) -> None:
    pixels = some_pixels()
    grid, tokens = tower.maps(prepared(pixels))
    wanted = tower.head(grid[0].flatten(1).T, tokens[0]).numpy()
    found = DenseTower(encoder).tokens(pixels)
    assert found.shape == (16, 16, DIM) and found.dtype == np.float32
    assert np.abs(found.reshape(-1, DIM) - wanted).max() < 1e-4


def test_a_tower_without_a_mean_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not pool by a mean"):
        DenseTower(encoder_of(Hybrid("first").eval(), tmp_path))


@torch.inference_mode()
def test_costs_over_the_graph_are_torchs(tower: Hybrid, encoder: OnnxEncoder) -> None:
    with FlopCounterMode(display=False) as counter:
        tower(torch.rand(1, 3, SIZE, SIZE))
    found = graph_cost(read_graph(encoder.folder.file("image.onnx")), SIZE)
    assert found is not None and found.grid == 16
    between_tokens = 2 * 2 * 256**2 * WIDTH  # torch does not count its fused attention on a CPU
    assert sum(part.flops for part in found.parts) == counter.get_total_flops() + between_tokens
    assert sum(part.parameters for part in found.parts) == sum(each.numel() for each in tower.parameters())
    names = " ".join(part.name for part in found.parts)
    assert "2 convolutions" in names and "1 depthwise convolutions" in names and "3 products behind" in names


def test_explain_tells_tokens_parts_and_gflops_of_it(encoder: OnnxEncoder) -> None:
    out = StringIO()
    explain(str(encoder.folder.path), Wish(), out)
    said = out.getvalue()
    assert "64 / 4 = 16; 16 x 16 = 256 positions" in said and "GFLOPs" in said and "counted over the graph" in said


def pasted(row: int, column: int) -> Pixels:
    """A dog in one quarter of a white sheet, at the built-in model's size."""
    size = load_encoder("builtin").spec.preprocessing.size
    paper = Image.new("RGB", (2 * size, 2 * size), "white")
    with Image.open(DOG) as dog:
        dog.thumbnail((size, size))
        paper.paste(dog, (column * size, row * size))
    small = paper.resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_the_dense_map_of_the_builtin_model_points_at_a_pasted_dog(row: int, column: int) -> None:
    encoder = load_encoder("builtin", threads=1)
    pixels = pasted(row, column)
    words: Vectors = encoder.encode_texts(["a dog", "a car", "a tree", "food", "a sheet of paper", "the sky"])
    found = dense_map(encoder, pixels, words[0], "a dog", words[1:])  # type: ignore[arg-type]
    side = len(found.values)
    assert tuple(np.array(divmod(int(found.values.argmax()), side)) // (side // 2)) == (row, column)
    assert found.score == pytest.approx(float(encoder.encode_images(pixels[None])[0] @ words[0]), abs=1e-6)


def test_it_is_what_explain_shows_for_a_text_unless_another_is_asked_for() -> None:
    def heat(**wish: object) -> dict[str, object]:
        out = StringIO()
        explain("builtin", Wish(image=DOG, text="a dog", as_json=True, **wish), out)  # type: ignore[arg-type]
        found: dict[str, object] = json.loads(out.getvalue())["heat"]
        return found

    assert heat()["method"] == heat(heat="dense")["method"] == "dense"
    assert heat(heat="occlusion")["method"] == "occlusion"
