"""ClipEncoder compared with open_clip's own loading; refused input; batches that do not fit."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")

import torch
from PIL import Image

from retrieval.encoders.names.open_clip_weights import find_source
from retrieval.encoders.torch.clip import ClipEncoder, load_clip_encoder
from retrieval.encoders.torch.encoder import CPU_BATCH, in_batches
from retrieval.errors import (
    EncoderError,
    RuntimeUnavailable,
    SettingsError,
)
from tests.retrieval.encoders.tiny_clip import KINDS, TEXTS, reference, write_model

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]


def pictures(size: int, n: int = 5) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (n, 3, size, size), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_equal_open_clip(tiny_models: dict[str, Path], kind: str) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models[kind]}", device="cpu")
    model, transform, tokenizer = reference(tiny_models[kind])
    pixels = pictures(encoder.spec.preprocessing.size)
    # PIL pictures of the right size pass open_clip's transform unscaled: only its normalisation acts.
    batch = torch.stack([transform(Image.fromarray(p.transpose(1, 2, 0))) for p in pixels])
    with torch.no_grad():
        images = torch.nn.functional.normalize(model.encode_image(batch), dim=-1).numpy()
        texts = torch.nn.functional.normalize(model.encode_text(tokenizer(TEXTS)), dim=-1).numpy()
    assert np.abs(encoder.encode_images(pixels) - images).max() < 1e-5
    assert np.abs(encoder.encode_texts(TEXTS) - texts).max() < 1e-5
    assert np.abs(images[0] - images[1]).max() > 1e-2, "the weights tell pictures apart"


@pytest.mark.parametrize("kind", KINDS)
def test_spec_is_read_from_the_files(tiny_models: dict[str, Path], kind: str) -> None:
    spec = load_clip_encoder(f"local-dir:{tiny_models[kind]}").spec
    config, preprocess = KINDS[kind]
    assert spec.dim == config["embed_dim"]
    assert spec.context_length == config["text_cfg"]["context_length"]
    assert spec.preprocessing.size == config["vision_cfg"]["image_size"]
    assert spec.preprocessing.resize == preprocess["resize_mode"]
    assert spec.preprocessing.mean == tuple(preprocess["mean"])
    assert spec.logit_scale == pytest.approx(np.exp(4.0)), "stored as a logarithm"
    assert (spec.logit_bias is None) == (kind != "siglip")


def test_spec_needs_no_torch(tiny_models: dict[str, Path]) -> None:
    code = (
        "import sys\nfrom retrieval.encoders.torch.clip import load_clip_encoder\n"
        f"spec = load_clip_encoder('local-dir:{tiny_models['clip']}').spec\n"
        "assert spec.dim == 32\n"
        "assert not {'torch', 'open_clip', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=600)


def test_fingerprint_follows_weights_and_preprocessing(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    name = f"local-dir:{tiny_models['clip']}"
    first = load_clip_encoder(name).spec.fingerprint
    assert load_clip_encoder(name).spec.fingerprint == first
    copy = Path(shutil.copytree(tiny_models["clip"], tmp_path / "elsewhere"))
    assert load_clip_encoder(f"local-dir:{copy}").spec.fingerprint == first, "the path is no part of it"
    other = write_model(tmp_path / "other", "clip", seed=1)
    quick = load_clip_encoder(f"local-dir:{tiny_models['quickgelu']}").spec.fingerprint
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["interpolation"] = "bilinear"
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    prints = {first, quick, *(load_clip_encoder(f"local-dir:{p}").spec.fingerprint for p in (copy, other))}
    assert len(prints) == 4


def test_a_changed_weight_file_is_hashed_again(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "clip")
    before = load_clip_encoder(f"local-dir:{folder}").spec.fingerprint
    write_model(folder, "clip", seed=2)
    assert load_clip_encoder(f"local-dir:{folder}").spec.fingerprint != before


def test_loading_asks_no_network(tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The timm tower and the transformers tokenizer would both ask the hub if they were left to themselves."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("loading opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    encoder = load_clip_encoder(f"local-dir:{tiny_models['siglip']}", device="cpu")
    assert encoder.encode_texts(["a bird"]).shape == (1, 96)
    assert encoder.encode_images(pictures(160, 1)).shape == (1, 96)


def test_model_is_in_evaluation_mode_without_gradients(tiny_models: dict[str, Path]) -> None:
    encoder = ClipEncoder(find_source(f"local-dir:{tiny_models['siglip']}"), device="cpu")
    assert not encoder.model.training
    assert not any(p.requires_grad for p in encoder.model.parameters())


def test_long_texts_are_reported(tiny_models: dict[str, Path]) -> None:
    for kind in ("clip", "siglip"):
        encoder = load_clip_encoder(f"local-dir:{tiny_models[kind]}", device="cpu")
        assert [encoder.is_cut(text) for text in TEXTS] == [False] * 4 + [True]
    clip = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device="cpu")
    assert not clip.is_cut("bird " * 75)
    assert clip.is_cut("bird " * 76)


def test_empty_batches(tiny_models: dict[str, Path]) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device="cpu")
    assert encoder.encode_images(np.empty((0, 3, 32, 32), np.uint8)).shape == (0, 32)
    assert encoder.encode_texts([]).shape == (0, 32)


def test_wrong_pixels_are_refused(tiny_models: dict[str, Path]) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device="cpu")
    for wrong in (pictures(16), pictures(32).astype(np.float32), pictures(32)[0]):
        with pytest.raises(EncoderError, match="not uint8"):
            encoder.encode_images(wrong)


def test_batches_do_not_change_the_result(tiny_models: dict[str, Path]) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device="cpu")
    pixels = pictures(32, CPU_BATCH + 3)
    together = encoder.encode_images(pixels)
    alone = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(len(pixels))])
    assert np.abs(together - alone).max() < 1e-5


def test_bf16_agrees_with_fp32(tiny_models: dict[str, Path]) -> None:
    name, pixels = f"local-dir:{tiny_models['clip']}", pictures(32)
    full = load_clip_encoder(name, device="cpu", precision="fp32").encode_images(pixels)
    half = load_clip_encoder(name, device="cpu", precision="bf16").encode_images(pixels)
    assert (full * half).sum(1).min() > 0.99
    assert np.abs(full - half).max() > 1e-6, "it did compute in less precision"


# Out of device memory: the batching is the code that runs on a GPU; only the forward pass is told to fail.


def failing_forward(fits: int, seen: list[int]):
    def forward(pixels: np.ndarray) -> np.ndarray:
        seen.append(len(pixels))
        if len(pixels) > fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return pixels.reshape(len(pixels), -1)[:, :1].astype(np.float32)

    return forward


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    pixels, seen = np.arange(20, dtype=np.uint8).reshape(20, 1), []
    features, worked = in_batches(failing_forward(5, seen), pixels, 16)
    assert features.ravel().tolist() == list(range(20)), "every image once, in order"
    assert seen == [16, 8, 4, 4, 4, 4, 4]
    assert worked == 4


def test_one_image_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(EncoderError, match="no memory left for a single image"):
        in_batches(failing_forward(0, []), np.zeros((4, 1), np.uint8), 4)


def test_the_smaller_batch_is_remembered(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = ClipEncoder(find_source(f"local-dir:{tiny_models['clip']}"), device="cpu")
    forward = encoder._forward_images

    def small(pixels: np.ndarray) -> np.ndarray:
        if len(pixels) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(pixels)

    monkeypatch.setattr(encoder, "_forward_images", small)
    pixels = pictures(32, 10)
    assert encoder.encode_images(pixels).shape == (10, 32)
    assert encoder.batch_size == 2, "10, 5 and then 2 images were tried"
    assert "batches now have 2" in caplog.text


# Devices


def test_cuda_is_never_replaced_by_the_cpu(tiny_models: dict[str, Path]) -> None:
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    encoder = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device=f"cuda:{number}")
    for use in (lambda: encoder.device, lambda: encoder.encode_images(pictures(32))):
        with pytest.raises(RuntimeUnavailable, match=f"finds {number} GPUs"):
            use()


def test_device_and_precision_are_said(tiny_models: dict[str, Path]) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models['clip']}", device="cpu", precision="auto")
    assert encoder.device == "cpu (torch, fp32)"
    assert encoder.streams == 1
    automatic = load_clip_encoder(f"local-dir:{tiny_models['clip']}").device
    assert automatic.startswith("cuda:0 (" if torch.cuda.is_available() else "cpu (torch")
    for wrong in ({"device": "tpu"}, {"device": "cuda:x"}, {"precision": "int4"}):
        with pytest.raises(SettingsError, match="unknown"):
            load_clip_encoder(f"local-dir:{tiny_models['clip']}", **wrong)
