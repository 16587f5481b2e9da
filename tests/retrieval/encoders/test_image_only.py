"""Image-only encoders: source of weights and refusals, pooling, sizes, preprocessing, export, fetch."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

import torch
from PIL import Image

from retrieval.encoders.base import Preprocessing, unit
from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.install.export import PARITY_GATE, export_name, export_onnx
from retrieval.encoders.install.fetch import fetch_model, fetch_weights, plan_weights
from retrieval.encoders.names.timm_weights import find_image_source
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.registry import load_encoder, load_on_torch
from retrieval.encoders.torch.image_only import ImageEncoder, load_image_encoder
from retrieval.errors import (
    EncoderError,
    SettingsError,
    TextNotSupported,
    UnknownEncoder,
    WeightsUnavailable,
)
from retrieval.pictures.images import read_picture
from tests.retrieval.encoders.standin_hub import Hub
from tests.retrieval.encoders.tiny_timm import IMAGENET, VIT, write_timm

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]

VIT16 = "vit_base_patch16_224"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT with 4 x 4 patches of 16 pixels; shared, so tests copy before they change it."""
    return write_timm(tmp_path_factory.mktemp("vit") / "tiny-vit", VIT16, 64, **VIT)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def encoder_of(name: str) -> ImageEncoder:
    return load_image_encoder(name, device="cpu")


def pictures(size: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, 3, size, size), np.uint8)


def copied(folder: Path, to: Path, **config: Any) -> Path:
    """A copy with other settings in its configuration (None removes one)."""
    shutil.copytree(folder, to)
    data = json.loads((to / "config.json").read_text()) | config
    (to / "config.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    return to


# Features


def test_row_4_cls_and_gap_are_the_tokens_after_the_last_norm(vit: Path) -> None:
    tower = encoder_of(f"timm:{VIT16}@64={vit}").model
    batch = torch.rand(3, 3, 64, 64)
    tokens = tower.trunk.forward_features(batch)
    expected = {"cls": tokens[:, 0], "gap": tokens[:, 1:].mean(1)}
    expected["cls+gap"] = torch.cat([expected["cls"], expected["gap"]], dim=1)
    for pool, wanted in expected.items():
        found = encoder_of(f"timm:{VIT16}+{pool}@64={vit}")
        assert torch.equal(found.model.encode_image(batch), wanted)
        assert found.spec.dim == wanted.shape[1]
    assert torch.equal(tower.encode_image(batch), expected["cls"]), "what this checkpoint was trained with"


def test_row_4_register_tokens_are_no_patches(tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "m", "vit_small_patch14_reg4_dinov2", 42, **VIT)
    tower = encoder_of(f"dinov2-s14-reg+gap@42={folder}").model
    tokens = tower.trunk.forward_features(torch.rand(2, 3, 42, 42))
    assert tokens.shape == (2, 1 + 4 + 9, 64)
    batch = torch.rand(2, 3, 42, 42)
    assert torch.equal(tower.encode_image(batch), tower.trunk.forward_features(batch)[:, 5:].mean(1))


def test_row_5_without_position_embeddings_the_order_of_patches_does_not_matter(vit: Path) -> None:
    tower = encoder_of(f"timm:{VIT16}@64={vit}").model
    batch = torch.rand(2, 3, 64, 64)
    patches = batch.unfold(2, 16, 16).unfold(3, 16, 16).reshape(2, 3, 16, 16, 16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    grid = patches[:, :, order].reshape(2, 3, 4, 4, 16, 16)
    shuffled = grid.permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 64, 64)
    with torch.no_grad():
        assert (tower.encode_image(batch) - tower.encode_image(shuffled)).abs().max() > 0.01
        tower.trunk.pos_embed.zero_()
        assert (tower.encode_image(batch) - tower.encode_image(shuffled)).abs().max() < 1e-5


def test_row_18_another_size_has_other_tokens_and_the_same_size_changes_nothing(vit: Path) -> None:
    own, same = encoder_of(f"local-dir:{vit}"), encoder_of(f"timm:{VIT16}@64={vit}")
    pixels = pictures(64)
    np.testing.assert_array_equal(own.encode_images(pixels), same.encode_images(pixels))
    larger = encoder_of(f"timm:{VIT16}@96={vit}")
    assert larger.model.trunk.pos_embed.shape == (1, 1 + 36, 64)
    assert larger.encode_images(pictures(96)).shape == (3, 64)
    assert larger.spec.preprocessing.size == 96
    with pytest.raises(SettingsError, match="patches of 16") as caught:
        encoder_of(f"timm:{VIT16}@100={vit}")
    assert "@96 or @112" in caught.value.hint


def test_row_19_patch_tokens_lie_in_the_order_of_the_picture(vit: Path) -> None:
    tower = encoder_of(f"timm:{VIT16}@64={vit}").model
    plain = torch.zeros(1, 3, 64, 64)
    marked = plain.clone()
    marked[:, :, 32:48, 16:32] = 5  # row 2, column 1 of the grid
    with torch.no_grad():
        moved = (tower.patch_tokens(marked) - tower.patch_tokens(plain)).norm(dim=-1)
    assert moved.shape == (1, 16)
    assert int(moved.argmax()) == 2 * 4 + 1


def test_models_without_what_a_pooling_needs_say_so(tmp_path: Path) -> None:
    cnn = write_timm(tmp_path / "cnn", "test_resnet", 64)
    with pytest.raises(SettingsError, match="no tokens"):
        encoder_of(f"timm:test_resnet+gap={cnn}").encode_images(pictures(64))
    siglip = write_timm(tmp_path / "siglip", "vit_base_patch16_siglip_224", 64, **VIT)
    with pytest.raises(SettingsError, match="no class token"):
        encoder_of(f"timm:vit_base_patch16_siglip_224+cls@64={siglip}")
    assert encoder_of(f"timm:test_resnet={cnn}").encode_images(pictures(160)).shape == (3, 96)


# Preprocessing


@pytest.mark.parametrize(
    ("name", "size", "scaled"),
    [("dinov2-s14", 224, 256), ("dinov2-s14@518", 518, None), ("vit-b16", 224, 248), ("resnet50", 224, 235)],
)
def test_forms_prepare_pictures_as_their_authors_evaluate(
    tmp_path: Path, name: str, size: int, scaled: int | None
) -> None:
    weights = write_timm(tmp_path / "any", "test_vit", 160) / "model.safetensors"
    (weights.parent / "config.json").unlink()  # the record alone decides
    found = find_image_source(f"{name}={weights}").preprocessing
    assert (found.size, found.resize_to, found.resize, found.interpolation) == (size, scaled, "shortest", "bicubic")


@pytest.mark.parametrize("size", [(300, 200), (257, 401), (640, 480)])
@pytest.mark.parametrize("crop", [0.875, 0.9, 1.0])
def test_scale_and_crop_equal_timms_transform(size: tuple[int, int], crop: float) -> None:
    from timm.data import create_transform

    transform = create_transform(
        (3, 224, 224), interpolation="bicubic", crop_pct=crop, mean=(0, 0, 0), std=(1, 1, 1), crop_mode="center"
    )
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    image = image.resize((40, 30)).resize(size, Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "PNG")
    scaled = int(224 / crop)
    ours = read_picture(data.getvalue(), Preprocessing(224, resize_to=scaled if scaled != 224 else None)).pixels
    np.testing.assert_array_equal(ours, np.rint(transform(image).numpy() * 255).astype(np.uint8))


def test_a_squashed_and_cropped_picture_is_the_middle_of_the_squashed_one() -> None:
    data = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8))
    image.save(data, "PNG")
    found = read_picture(data.getvalue(), Preprocessing(48, "squash", resize_to=64)).pixels
    whole = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, whole[:, 8:56, 8:56])


# Identity


def test_the_fingerprint_covers_weights_pooling_size_and_preprocessing(vit: Path, tmp_path: Path) -> None:
    others = [encoder_of(f"timm:{VIT16}{form}={vit}").spec.fingerprint for form in ("@64", "+gap@64", "+cls@64", "@96")]
    normalised = copied(vit, tmp_path / "normalised")
    data = json.loads((normalised / "config.json").read_text())
    data["pretrained_cfg"] |= IMAGENET
    (normalised / "config.json").write_text(json.dumps(data))
    others.append(encoder_of(f"local-dir:{normalised}").spec.fingerprint)
    others.append(encoder_of(f"local-dir:{write_timm(tmp_path / 'seed', VIT16, 64, seed=1, **VIT)}").spec.fingerprint)
    assert len(set(others)) == len(others)
    elsewhere = copied(vit, tmp_path / "elsewhere")
    one, two = (encoder_of(f"local-dir:{folder}").spec for folder in (vit, elsewhere))
    assert one.fingerprint == two.fingerprint, "the path is no part of it"


def test_metas_positions_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "m", "vit_small_patch14_dinov2", 70, **VIT)
    ours = encoder_of(f"dinov2-s14+cls@42={folder}").spec
    timms = encoder_of(f"timm:vit_small_patch14_dinov2+cls@42={folder}").spec
    same = replace(timms.preprocessing, resize_to=ours.preprocessing.resize_to, mean=ours.preprocessing.mean)
    assert ours.preprocessing.size == same.size
    assert ours.fingerprint != timms.fingerprint


def test_descriptions_without_the_new_setting_keep_their_fingerprints() -> None:
    assert "resize_to" not in Preprocessing(224).as_json()
    assert Preprocessing(224, resize_to=256).as_json()["resize_to"] == 256


# What is refused


def test_nothing_is_ever_unpickled(tmp_path: Path, vit: Path) -> None:
    for suffix in (".pth", ".pt", ".bin"):
        bad = tmp_path / f"dinov2_vitb14{suffix}"
        bad.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(WeightsUnavailable, match="pickle") as caught:
            encoder_of(f"dinov2-b14={bad}")
        assert "safetensors.torch.save_file" in caught.value.hint
    (tmp_path / "B_16.npz").write_bytes(b"PK")
    with pytest.raises(SettingsError, match=r"not a \.safetensors"):
        encoder_of(f"vit-b16={tmp_path / 'B_16.npz'}")
    folder = copied(vit, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsUnavailable, match="pickle"):
        encoder_of(f"local-dir:{folder}")


def test_no_parameter_is_ever_left_random(vit: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(str(vit / "model.safetensors"))
    broken: dict[str, Any] = {
        "lacking": {k: v for k, v in state.items() if k != "blocks.1.attn.proj.weight"},
        "unknown": {**state, "blocks.2.extra": torch.zeros(3)},
        "shape": {**state, "norm.weight": torch.zeros(65)},
    }
    for name, tensors in broken.items():
        folder = copied(vit, tmp_path / name)
        save_file(tensors, str(folder / "model.safetensors"))
        with pytest.raises(WeightsUnavailable, match="does not fit"):
            encoder_of(f"local-dir:{folder}").encode_images(pictures(64))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match=r"no model\.safetensors"):
        encoder_of(f"local-dir:{folder}")
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsUnavailable, match="git-LFS"):
        encoder_of(f"local-dir:{folder}")


def test_the_classifier_is_not_used(vit: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(vit, tmp_path / "headless")
    state = {k: v for k, v in load_file(str(vit / "model.safetensors")).items() if not k.startswith("head.")}
    save_file(state, str(folder / "model.safetensors"))
    pixels = pictures(64)
    np.testing.assert_array_equal(
        encoder_of(f"local-dir:{folder}").encode_images(pixels), encoder_of(f"local-dir:{vit}").encode_images(pixels)
    )


@pytest.mark.parametrize("argument", [{"checkpoint_path": "/x.pth"}, {"pretrained": True}, {"depth": 10**9}])
def test_a_folder_cannot_make_timm_read_or_fetch_other_files(vit: Path, tmp_path: Path, argument: dict) -> None:
    folder = copied(vit, tmp_path / "bad", model_args=VIT | argument)
    with pytest.raises(WeightsUnavailable, match="not supported"):
        encoder_of(f"local-dir:{folder}")


def test_configurations_that_do_not_say_enough(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="no vit_unheard_of"):
        encoder_of(f"local-dir:{copied(vit, tmp_path / 'a', architecture='vit_unheard_of')}")
    with pytest.raises(WeightsUnavailable, match="no pretrained_cfg"):
        encoder_of(f"local-dir:{copied(vit, tmp_path / 'b', pretrained_cfg=None)}")
    with pytest.raises(WeightsUnavailable, match="says vit_base_patch16_224"):
        encoder_of(f"mae-l16={vit}")
    record = json.loads((vit / "config.json").read_text())["pretrained_cfg"]
    with pytest.raises(EncoderError, match="border"):
        encoder_of(f"local-dir:{copied(vit, tmp_path / 'c', pretrained_cfg=record | {'crop_mode': 'border'})}")
    with pytest.raises(WeightsUnavailable, match="mean"):
        encoder_of(f"local-dir:{copied(vit, tmp_path / 'd', pretrained_cfg=record | {'mean': None})}")


def test_weights_that_are_not_here_say_where_they_were_looked_for() -> None:
    with pytest.raises(WeightsUnavailable, match=r"timm/vit_base_patch14_dinov2\.lvd142m") as caught:
        load_encoder("dinov2-b14")
    assert "models fetch --weights dinov2-b14" in caught.value.hint
    with pytest.raises(UnknownEncoder) as unknown:
        load_encoder("timm:vit_base_patch16_22.mae")
    assert "timm:vit_base_patch16_224.mae" in unknown.value.hint


def test_words_are_refused_in_two_lines(vit: Path) -> None:
    encoder = encoder_of(f"local-dir:{vit}")
    assert not encoder.spec.has_text
    for ask in (lambda: encoder.encode_texts(["a dog"]), lambda: encoder.is_cut("a dog")):
        with pytest.raises(TextNotSupported, match="pictures only") as caught:
            ask()
        assert "builtin-224" in caught.value.hint


# From the hub's cache, to the form without torch


def published(own_caches: Path, checkpoint: str, folder: Path) -> None:
    repository = own_caches / "hub" / f"models--timm--{checkpoint}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("77")
    shutil.copytree(folder, repository / "snapshots" / "77")


def test_a_filled_cache_is_found(own_caches: Path, tmp_path: Path) -> None:
    published(own_caches, "test_vit.r160_in1k", write_timm(tmp_path / "m", "test_vit", 160))
    encoder = load_on_torch("timm:test_vit.r160_in1k", device="cpu")
    assert encoder.spec.name == load_on_torch("timm:test_vit", device="cpu").spec.name == "timm:test_vit.r160_in1k"
    assert encoder.spec.licence == "Apache-2.0"
    assert encoder.spec.preprocessing.resize_to == 168
    assert encoder.encode_images(pictures(160)).shape == (3, 64)
    assert load_on_torch("hf-hub:timm/test_vit.r160_in1k", device="cpu").spec.dim == 64


@pytest.mark.parametrize("pool", ["", "+gap", "+cls+gap"])
def test_an_export_equals_torch_and_needs_none(vit: Path, models: Path, pool: str) -> None:
    pytest.importorskip("openvino")
    encoder = encoder_of(f"timm:{VIT16}{pool}@64={vit}")
    report = export_onnx(encoder, models)
    assert report.text_difference is None
    assert report.image_difference < PARITY_GATE
    assert not (report.folder / "text.safetensors").exists()
    folder = read_encoder_folder(report.folder)
    assert folder.text is None and not folder.spec.has_text
    assert folder.spec == replace(encoder.spec, name=export_name(encoder.spec.name))
    candidate = OnnxEncoder(folder, precision="fp32", threads=1)
    pixels = pictures(64, 5)
    wanted = unit(encoder.model.encode_image(normalised(encoder, pixels)).numpy())
    assert np.abs(candidate.encode_images(pixels) - wanted).max() < PARITY_GATE
    with pytest.raises(TextNotSupported, match="pictures only"):
        candidate.encode_texts(["a dog"])
    assert load_encoder(folder.spec.name).spec.fingerprint == encoder.spec.fingerprint


def test_rotary_positions_and_cnns_can_be_exported(models: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    dinov3 = write_timm(tmp_path / "d", "vit_small_patch16_dinov3", 64, **VIT)
    cnn = write_timm(tmp_path / "c", "test_resnet", 64)
    for name in (f"dinov3-s16@64={dinov3}", f"timm:test_resnet@64={cnn}"):
        assert export_onnx(encoder_of(name), models).image_difference < PARITY_GATE
    assert load_encoder("dinov3-s16@64").spec.name == "dinov3-s16@64"


def normalised(encoder: ImageEncoder, pixels: np.ndarray) -> torch.Tensor:
    mean, std = (
        np.array(v).reshape(3, 1, 1) for v in (encoder.spec.preprocessing.mean, encoder.spec.preprocessing.std)
    )
    return torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32))


def test_weights_are_fetched_from_timms_repositories(hub: Hub, tmp_path: Path, models: Path) -> None:
    pytest.importorskip("openvino")
    hub.repositories["timm/test_vit.r160_in1k"] = write_timm(tmp_path / "m", "test_vit", 160)
    plan = plan_weights("timm:test_vit+gap")
    assert [file.name for part in plan.parts for file in part.files] == ["model.safetensors"]
    with pytest.raises(EncoderError, match=r"apache-2\.0"):
        fetch_weights("timm:test_vit", accept_licence=lambda _: False)
    folder = fetch_weights("timm:test_vit+gap", accept_licence=lambda _: True)
    assert (folder / "model.safetensors").is_file()
    torch_form = load_on_torch("timm:test_vit+gap", device="cpu")
    ready = fetch_model("timm:test_vit+gap", models, accept_licence=lambda _: True)
    assert read_encoder_folder(ready).spec.fingerprint == torch_form.spec.fingerprint
