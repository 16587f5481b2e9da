"""open_clip weights from the stand-in hub into the hub cache, and from there to an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("onnx")
pytest.importorskip("openvino")


from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.install.fetch import (
    FetchPlan,
    fetch_model,
    fetch_weights,
)
from retrieval.encoders.names import hub as hub_module
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.torch.clip import load_clip_encoder
from retrieval.errors import WeightsUnavailable
from tests.retrieval.encoders.standin_hub import Hub
from tests.retrieval.encoders.tiny_clip import TEXTS

pytestmark = pytest.mark.torch


def yes(plan: FetchPlan) -> bool:
    return True


@pytest.fixture
def torch_hub(hub: Hub, tiny_models: dict[str, Path]) -> Hub:
    hub.repositories["nobody/tiny-siglip"] = tiny_models["siglip"]
    return hub


def test_open_clip_weights_go_to_the_hub_cache(torch_hub: Hub, tiny_models: dict[str, Path]) -> None:
    with pytest.raises(WeightsUnavailable, match="not on this machine"):
        load_clip_encoder("hf-hub:nobody/tiny-siglip")
    snapshot = fetch_weights("hf-hub:nobody/tiny-siglip", accept_licence=yes)
    assert snapshot == hub_module.cached_snapshot("nobody/tiny-siglip")
    fetched = load_clip_encoder("hf-hub:nobody/tiny-siglip", device="cpu")
    local = load_clip_encoder(f"local-dir:{tiny_models['siglip']}", device="cpu")
    assert fetched.spec.fingerprint == local.spec.fingerprint
    assert np.array_equal(fetched.encode_texts(TEXTS), local.encode_texts(TEXTS))


def test_the_hubs_own_library_finds_them_too(torch_hub: Hub, tmp_path: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    snapshot = fetch_weights("hf-hub:nobody/tiny-siglip", accept_licence=yes)
    found = huggingface_hub.try_to_load_from_cache(
        "nobody/tiny-siglip", "open_clip_model.safetensors", cache_dir=hub_module.hub_cache()
    )
    assert found is not None
    assert Path(found) == snapshot / "open_clip_model.safetensors"


def test_half_a_download_is_not_in_the_cache(torch_hub: Hub) -> None:
    torch_hub.drop_after["open_clip_model.safetensors"] = [100_000, *[0] * 50]
    with pytest.raises(WeightsUnavailable, match="stopped at"):
        fetch_weights("hf-hub:nobody/tiny-siglip", accept_licence=yes)
    assert hub_module.cached_snapshot("nobody/tiny-siglip") is None
    torch_hub.drop_after.clear()
    torch_hub.requests.clear()
    fetch_weights("hf-hub:nobody/tiny-siglip", accept_licence=yes)
    assert [r for _, p, r in torch_hub.requests if p.endswith(".safetensors")] == ["bytes=100000-"]


def test_repository_with_pickles_only(torch_hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "open_clip_pytorch_model.bin").write_bytes(b"pickle")
    torch_hub.repositories["nobody/pickles"] = tmp_path / "p"
    with pytest.raises(WeightsUnavailable, match="has none of") as caught:
        fetch_weights("hf-hub:nobody/pickles", accept_licence=yes)
    assert "pickles" in caught.value.hint


def test_without_a_ready_export_the_weights_are_fetched_and_exported(
    torch_hub: Hub, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    folder = fetch_model("hf-hub:nobody/tiny-siglip", tmp_path / "models", accept_licence=yes)
    encoder = OnnxEncoder(read_encoder_folder(folder), precision="fp32", threads=1)
    original = load_clip_encoder(f"local-dir:{tiny_models['siglip']}", device="cpu")
    assert np.abs(encoder.encode_texts(TEXTS) - original.encode_texts(TEXTS)).max() < 1e-4
    assert encoder.spec.fingerprint == original.spec.fingerprint
