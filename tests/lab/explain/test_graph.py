"""Shapes read from exported files, without an engine; and invalid files."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.errors import WeightsUnavailable
from retrieval.lab.explain.cost import image_parts, text_parts, total
from retrieval.lab.explain.graph import Graph, Node, read_graph
from retrieval.lab.explain.graph_cost import graph_cost
from retrieval.lab.explain.graph_shape import graph_shape, text_shape


def test_the_builtin_model_is_counted_over_its_graph() -> None:
    folder = read_encoder_folder(BUILTIN_FOLDER)
    graph = read_graph(folder.file(folder.image.file))
    size = folder.spec.preprocessing.size
    assert graph_shape(graph, size) is None  # a convolutional body, a block, a memory: no plain vision transformer
    cost = graph_cost(graph, size)
    assert cost is not None and cost.grid == size // 32
    assert total(cost.parts).parameters == graph.parameters
    block = 12 * 320**2  # the matrices of one block; and its tokens meet each other twice
    products = next(part for part in cost.parts if "over the positions" in part.name)
    assert products.parameters == block and products.flops == 2 * 49 * block + 2 * 2 * 49**2 * 320
    text = text_shape(folder)
    assert text is not None and folder.text is not None
    assert text.context == folder.text.context_length and text.dim == folder.spec.dim
    from retrieval.encoders.files.weights_file import WeightsFile

    weights = WeightsFile(folder.file(folder.text.file))
    assert total(text_parts(text)).parameters == sum(weights.raw(name).size for name in weights)


@pytest.mark.parametrize("content", [b"", b"\x3a\x05ab", b"not a graph at all", b"\x3a\x02\x0a\x7f"])
def test_what_is_no_graph(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsUnavailable):
        read_graph(path)
    with pytest.raises(WeightsUnavailable):
        read_graph(tmp_path / "nowhere.onnx")


def test_a_graph_cut_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    whole = (BUILTIN_FOLDER / "image.onnx").read_bytes()
    path = tmp_path / "image.onnx"
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(WeightsUnavailable):
            read_graph(path)


def test_nodes_without_their_ends_are_no_shape() -> None:
    conv = Node("Conv", ("pixels", "w"), ("a",), {"strides": (8, 8)})
    weights = {"w": (16, 3, 8, 8)}
    for nodes in (
        (Node("Conv", ("pixels",), ("a",), {}),),
        (conv, Node("MatMul", ("a",), ("b",), {})),
        (Node("Conv", ("pixels", "w"), ("a",), {"strides": (0, 0)}),),
        (conv,),
        (),
    ):
        assert graph_shape(Graph(nodes, weights, frozenset(weights), frozenset()), 32) is None


@pytest.mark.torch
class TestExported:
    """Towers of known form, written by the exporter."""

    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    @pytest.mark.parametrize("stem", [(), (8, 16, 32)])
    def test_towers_of_our_own(self, tmp_path: Path, pooling: str, stem: tuple[int, ...]) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        from retrieval.encoders.torch.graph import write_graph
        from retrieval.lab.training.towers import ImageTower, ImageTowerConfig

        config = ImageTowerConfig(32, 8, 64, 2, 4, 16, pooling, stem, (1,) * len(stem))  # type: ignore[arg-type]
        torch.manual_seed(0)
        tower = ImageTower(config).eval()
        path = tmp_path / "image.onnx"
        write_graph(tower, torch.rand(2, 3, 32, 32), path, input_name="pixels", dynamic={0: "n"})
        shape = graph_shape(read_graph(path), 32)
        assert shape is not None
        assert (shape.patch, shape.width, shape.layers, shape.heads, shape.hidden) == (8, 64, 2, 4, 256)
        assert (shape.class_token, shape.pool, shape.dim) == (pooling == "cls", pooling, 16)
        assert len(shape.stem) == (10 if stem else 0)  # three stages of three, and the projection
        # A batch norm is folded into its convolution on the way: two vectors become one.
        norms = [each for each in tower.modules() if isinstance(each, torch.nn.BatchNorm2d)]
        folded = sum(each.num_features for each in norms)
        assert total(image_parts(shape)).parameters == sum(p.numel() for p in tower.parameters()) - folded

    def test_the_flops_are_torchs(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        from torch.utils.flop_counter import FlopCounterMode

        from retrieval.encoders.torch.graph import write_graph
        from retrieval.lab.training.towers import ImageTower, ImageTowerConfig

        tower = ImageTower(ImageTowerConfig(32, 8, 64, 2, 4, 16, "cls", (8, 16, 32), (1, 1, 0))).eval()
        write_graph(tower, torch.rand(2, 3, 32, 32), tmp_path / "i.onnx", input_name="pixels", dynamic={0: "n"})
        shape = graph_shape(read_graph(tmp_path / "i.onnx"), 32)
        assert shape is not None
        meta = ImageTower(tower.config).to("meta").eval().requires_grad_(False)
        with FlopCounterMode(display=False) as counter:
            meta(torch.empty(1, 3, 32, 32, device="meta"))
        assert total(image_parts(shape)).flops == counter.get_total_flops()

    def test_open_clips_own_tower(self, tiny_models: dict[str, Path], tmp_path: Path) -> None:
        pytest.importorskip("open_clip")
        pytest.importorskip("onnx")
        from retrieval.encoders.install.export import export_onnx
        from retrieval.encoders.torch.clip import load_clip_encoder
        from retrieval.lab.explain.configs import config_shape
        from tests.retrieval.encoders.tiny_clip import CLIP

        made = export_onnx(load_clip_encoder(f"local-dir:{tiny_models['clip']}"), tmp_path)
        folder = read_encoder_folder(made.folder)
        known = config_shape(CLIP)
        assert known is not None
        assert graph_shape(read_graph(folder.file(folder.image.file)), 32) == known.image
        assert text_shape(folder) == known.text

    def test_what_is_no_vision_transformer(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        from retrieval.encoders.torch.graph import write_graph

        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(2048, 4)
        ).eval()
        write_graph(net, torch.rand(2, 3, 32, 32), tmp_path / "i.onnx", input_name="pixels", dynamic={0: "n"})
        graph = read_graph(tmp_path / "i.onnx")
        assert graph_shape(graph, 32) is None
        assert graph.parameters == sum(each.numel() for each in net.parameters())
