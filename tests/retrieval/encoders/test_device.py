"""ClipEncoder on a device: asynchronous batches, the compiled tower, and CUDA itself if there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")

import torch

from retrieval.encoders.adapter import adapted, write_adapter
from retrieval.encoders.base import DeviceEncoder, OnTorch
from retrieval.encoders.choice import choose_encoder
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.torch import encoder as torch_encoder
from retrieval.encoders.torch.clip import ClipEncoder, load_clip_encoder
from retrieval.encoders.torch.encoder import COMPILE_VARIABLE, CPU_BATCH
from retrieval.errors import EncoderError, SettingsError
from retrieval.gallery import Gallery
from retrieval.pictures.device_images import device_decoder

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def pictures(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 32, 32), np.uint8)


@pytest.fixture
def make(tiny_models: dict[str, Path]) -> Callable[..., ClipEncoder]:
    def made(**settings: Any) -> ClipEncoder:
        return load_clip_encoder(f"local-dir:{tiny_models['clip']}", **{"device": "cpu", **settings})

    return made


def test_batches_under_way_give_what_they_give_alone(make: Callable[..., ClipEncoder]) -> None:
    encoder = make()
    assert isinstance(encoder, DeviceEncoder)
    assert not hasattr(OnnxEncoder, "start_images"), "streams of a CPU do the work of the caller"
    batches = [pictures(n, seed=n) for n in (CPU_BATCH, 3, 0, CPU_BATCH + 5)]
    collects = [encoder.start_images(batch) for batch in batches]
    for batch, collect in zip(batches, collects, strict=True):
        np.testing.assert_allclose(collect(), encoder.encode_images(batch), atol=1e-6)
    with pytest.raises(EncoderError, match="not uint8"):
        encoder.start_images(pictures(2)[:, :, :16])


@pytest.fixture
def compiled_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes that go through torch.compile, which traces the tower but leaves out the C++ compiler."""
    sizes: list[int] = []
    real = torch.compile

    def compiling(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
        traced = real(function, **settings)

        def call(x: torch.Tensor) -> Any:
            sizes.append(len(x))
            return traced(x)

        return call

    monkeypatch.setattr(torch_encoder, "_COMPILER", "eager")
    monkeypatch.setattr(torch, "compile", compiling)
    return sizes


def test_the_compiled_tower_gets_one_batch_size_and_changes_nothing(
    make: Callable[..., ClipEncoder], compiled_sizes: list[int]
) -> None:
    plain, compiled = make(), make(compiled=True)
    for n in (1, CPU_BATCH // 2, CPU_BATCH // 2 + 1, CPU_BATCH, CPU_BATCH + 2):
        pixels = pictures(n, seed=n)
        np.testing.assert_allclose(compiled.encode_images(pixels), plain.encode_images(pixels), atol=1e-5)
    assert compiled_sizes == [CPU_BATCH] * 3, "the rest is too small to be worth it"
    assert compiled.device == "cpu (torch, fp32, compiled)"


def test_compiling_is_off_unless_asked_for(
    make: Callable[..., ClipEncoder], compiled_sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(COMPILE_VARIABLE, raising=False)
    make().encode_images(pictures(CPU_BATCH))
    assert compiled_sizes == []
    monkeypatch.setenv(COMPILE_VARIABLE, "1")
    make(compiled=False).encode_images(pictures(CPU_BATCH))
    assert compiled_sizes == []
    make().encode_images(pictures(CPU_BATCH))
    assert compiled_sizes == [CPU_BATCH]


def test_compiling_is_for_models_on_torch(
    tiny_models: dict[str, Path], compiled_sizes: list[int], tmp_path: Path
) -> None:
    gallery = Gallery(tmp_path / "gallery")
    encoder = choose_encoder(gallery, f"local-dir:{tiny_models['clip']}", device="cpu", compiled=True)
    encoder.encode_images(pictures(CPU_BATCH))
    assert compiled_sizes == [CPU_BATCH]
    with pytest.raises(SettingsError, match="only torch models can be compiled, and builtin-224 runs on cpu"):
        choose_encoder(gallery, "builtin-224", device="cpu", compiled=True)


def test_an_adapter_is_where_its_base_is_and_is_compiled_with_it(
    make: Callable[..., ClipEncoder], compiled_sizes: list[int], tmp_path: Path
) -> None:
    base = make()
    matrix = np.eye(base.spec.dim, dtype=np.float32)
    folder = write_adapter(tmp_path / "adapter", base.spec, matrix, np.zeros(base.spec.dim, np.float32), name="mine")
    encoder = adapted(folder, base)
    assert isinstance(encoder, OnTorch) and encoder.torch_device() == "cpu"
    encoder.compile_images()
    encoder.encode_images(pictures(CPU_BATCH))
    assert compiled_sizes == [CPU_BATCH]
    with pytest.raises(SettingsError, match=r"mine runs on cpu \(torch"):
        device_decoder(encoder)


def test_where_nothing_can_be_compiled_it_goes_on_and_says_so(
    make: Callable[..., ClipEncoder], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(graph: object, inputs: object) -> object:
        raise RuntimeError("no C++ compiler\nand a long trace")

    monkeypatch.setattr(torch_encoder, "_COMPILER", broken)
    encoder, pixels = make(compiled=True), pictures(CPU_BATCH)
    np.testing.assert_allclose(encoder.encode_images(pixels), make().encode_images(pixels), atol=1e-6)
    said = [record.getMessage() for record in caplog.records if record.name == "photoseek"]
    assert said == ["torch.compile failed, continuing without it: no C++ compiler"]
    assert encoder.device == "cpu (torch, fp32)"


@cuda
@pytest.mark.gpu
def test_on_a_gpu_batches_overlap_and_agree_with_the_cpu(make: Callable[..., ClipEncoder]) -> None:
    gpu, cpu = make(device="cuda", precision="fp32"), make(precision="fp32")
    batches = [pictures(n, seed=n) for n in (64, 64, 5, 64, 1)]
    collects = [gpu.start_images(batch) for batch in batches]
    for batch, collect in zip(batches, collects, strict=True):
        assert np.abs(collect() - cpu.encode_images(batch)).max() < 1e-3
    assert 8 <= gpu.batch_size <= torch_encoder.GPU_BATCH_LIMIT


@cuda
@pytest.mark.gpu
def test_on_a_gpu_bf16_and_the_compiled_tower_agree_with_fp32(make: Callable[..., ClipEncoder]) -> None:
    full, pixels = make(device="cuda", precision="fp32"), pictures(200)
    wanted = full.encode_images(pixels)
    for compiled in (False, True):
        found = make(device="cuda", precision="bf16", compiled=compiled).encode_images(pixels)
        assert (found * wanted).sum(1).min() > 0.99
