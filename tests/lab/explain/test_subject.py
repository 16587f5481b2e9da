"""From names to the subject of an explanation, with and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.names.image_models import IMAGE_MODELS
from retrieval.encoders.names.known_models import MODELS
from retrieval.errors import SettingsError, UnknownEncoder
from retrieval.lab.explain import subject as subject_module
from retrieval.lab.explain.cost import text_parts, total
from retrieval.lab.explain.families import open_clip_shape, timm_shape
from retrieval.lab.explain.graph import read_graph
from retrieval.lab.explain.graph_cost import graph_cost
from retrieval.lab.explain.graph_shape import text_shape
from retrieval.lab.explain.subject import TABLE, find_subject

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No torch, open_clip or timm, no models beside the built-in one."""
    from retrieval.encoders import registry as load

    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    for module in (load, subject_module):
        monkeypatch.setattr(module, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", [n for n, row in MODELS.items() if row.source != "builtin"])
def test_every_model_of_the_table(name: str, nothing_installed: None) -> None:
    """Formulas or the table, and they agree to the digits that the table has."""
    row, found = MODELS[name], find_subject(name)
    assert found.encoder is None and "torch" in found.missing
    assert (found.name, found.family, found.licence) == (name, row.family, row.licence)
    image, text = total(found.anatomy.image), total(found.anatomy.text)
    # The table counts DINOv2 as stored, with position embeddings for 518 pixels.
    stored = 0
    if found.anatomy.trained_size and found.anatomy.shape:
        shape = found.anatomy.shape.image
        stored = ((found.anatomy.trained_size // shape.patch) ** 2 - shape.patches) * shape.width
    assert (image.parameters + stored) / 1e6 == pytest.approx(row.image_params, abs=0.051)
    assert image.flops / 1e9 == pytest.approx(row.gflops, abs=0.051)
    # Of XLM-RoBERTa the table has the published size, with a pooling layer and without open_clip's projection.
    rough = 0.002 * row.text_params if "xlm" in name or "i18n" in name else 0.051
    assert text.parameters / 1e6 == pytest.approx(row.text_params, abs=rough)
    if found.anatomy.counted != TABLE:
        assert found.anatomy.shape is not None and found.anatomy.shape.image.size == row.size


def test_only_convolutional_towers_are_left_to_the_table(nothing_installed: None) -> None:
    left = {name for name in MODELS if find_subject(name).anatomy.counted == TABLE}
    assert left == {*(f"MobileCLIP2-S{n}/dfndr2b" for n in (0, 2, 3, 4)), "resnet50"}


def test_names_and_sizes(nothing_installed: None) -> None:
    assert find_subject("ViT-B-16").anatomy.shape == open_clip_shape("ViT-B-16")
    bare = find_subject("vit_large_patch14_dinov2").anatomy.shape
    assert bare is not None and bare.image == timm_shape("vit_large_patch14_dinov2")
    larger = find_subject("vit-b16@384").anatomy
    assert larger.shape is not None and larger.shape.image.tokens == 577 and larger.trained_size == 224
    mean = find_subject("dinov2-b14+gap").anatomy.shape
    assert mean is not None and mean.image.pool == "mean"
    with pytest.raises(SettingsError, match="do not fill"):
        find_subject("dinov2-b14@225")
    with pytest.raises(UnknownEncoder):
        find_subject("nobody-knows-this")


def test_the_builtin_model_is_read_from_its_files() -> None:
    found = find_subject("builtin-224")
    assert found.encoder is not None and found.missing == "" and found.spec is not None
    assert found.anatomy.shape is None  # no plain vision transformer: its graph is counted
    assert found.preprocessing == found.spec.preprocessing
    folder = read_encoder_folder(BUILTIN_FOLDER)
    cost, text = graph_cost(read_graph(folder.file(folder.image.file)), 224), text_shape(folder)
    assert cost is not None and found.anatomy.image == cost.parts
    assert text is not None and found.anatomy.text == text_parts(text)


def test_describing_needs_no_engine() -> None:
    code = (
        "import sys, io\n"
        "from retrieval.lab.explain.show import Wish, check_answers, explain\n"
        "out = io.StringIO()\n"
        "for name in ('builtin-224', 'ViT-B-16', 'vit_base_patch16_224'):\n    explain(name, Wish(), out)\n"
        "assert check_answers(out, as_json=False)\n"
        "heavy = {'torch', 'openvino', 'open_clip', 'timm', 'faiss', 'sqlalchemy', 'PIL'}\n"
        "assert not heavy & {m.partition('.')[0] for m in sys.modules}, heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.torch
class TestTorch:
    def test_local_folders(self, tiny_models: dict[str, Path]) -> None:
        pytest.importorskip("open_clip")
        from retrieval.lab.explain.configs import config_shape
        from tests.retrieval.encoders.tiny_clip import CLIP

        found = find_subject(f"local-dir:{tiny_models['clip']}")
        assert found.encoder is not None and found.anatomy.shape == config_shape(CLIP)
        model = found.encoder.model  # type: ignore[attr-defined]
        assert total(found.anatomy.image).parameters == sum(each.numel() for each in model.visual.parameters())

    def test_what_no_formula_knows_is_counted(self, tiny_models: dict[str, Path]) -> None:
        pytest.importorskip("open_clip")
        found = find_subject(f"local-dir:{tiny_models['siglip']}")
        assert found.anatomy.shape is None and found.encoder is not None
        model = found.encoder.model  # type: ignore[attr-defined]
        assert total(found.anatomy.image).parameters == sum(each.numel() for each in model.visual.parameters())
        assert {part.name for part in found.anatomy.image} >= {"patch_embed", "blocks", "attn_pool"}
        assert all(part.flops > 0 for part in found.anatomy.image if part.name in ("patch_embed", "blocks"))

    def test_convolutional_networks(self) -> None:
        pytest.importorskip("timm")
        from retrieval.lab.explain.built import timm_parts

        parts = timm_parts("resnet50", 224)
        row = IMAGE_MODELS["resnet50"]
        assert total(parts).parameters / 1e6 == pytest.approx(row.params, abs=0.05)
        assert total(parts).flops / 1e9 == pytest.approx(row.gflops, abs=0.05)
        assert {"layer1", "layer4"} <= {part.name for part in parts}
