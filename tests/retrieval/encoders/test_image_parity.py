"""Image-only models compared with transformers' code with the same random weights: largest difference of any feature.

Cosines hide mistakes here (unrelated pictures have cosine .95 under random weights), so features are compared, from
models whose weights are scaled up until a wrong detail shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("transformers")

import torch
import transformers

from retrieval.encoders.base import unit
from retrieval.encoders.torch.image_only import ImageEncoder, load_image_encoder
from tests.retrieval.encoders.tiny_timm import IMAGENET, VIT, load_exactly, to_transformers, write_timm

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]

GATE = 1e-5
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
BEFORE_AFTER = {"norm1": "layernorm_before", "norm2": "layernorm_after"}


def pictures(size: int, n: int = 4) -> np.ndarray:
    """Coarse patterns with some noise: fine noise alone looks the same to every token."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 220, (n, 3, 4, 4)).repeat(-(-size // 4), 2).repeat(-(-size // 4), 3)[..., :size, :size]
    return (coarse + rng.integers(0, 30, (n, 3, size, size))).astype(np.uint8)


def prepared(encoder: ImageEncoder, pixels: np.ndarray) -> torch.Tensor:
    settings = encoder.spec.preprocessing
    mean, std = (np.array(v, np.float64).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    return torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32))


def check(encoder: ImageEncoder, reference: Any, feature: Any) -> None:
    """``feature`` picks the embedding out of what ``reference`` gives for prepared pixels."""
    pixels = pictures(encoder.spec.preprocessing.size)
    batch = prepared(encoder, pixels)
    with torch.no_grad():
        wanted = feature(reference(batch))
        features = encoder.model.encode_image(batch)
    assert features.shape == (len(pixels), encoder.spec.dim)
    assert (features - wanted).abs().max() < GATE * wanted.abs().max()
    assert np.abs(encoder.encode_images(pixels) - unit(wanted.numpy())).max() < GATE
    assert (features[0] - features[1]).abs().max() > 0.1, "the weights tell pictures apart"


def own_weights(encoder: ImageEncoder) -> dict[str, torch.Tensor]:
    return dict(encoder.model.trunk.state_dict())


@pytest.mark.parametrize(("name", "patch"), [("vit_base_patch16_224", 16), ("vit_base_patch32_224", 32)])
def test_row_12_supervised_vit_equals_transformers(tmp_path: Path, name: str, patch: int) -> None:
    folder = write_timm(tmp_path / "m", name, 4 * patch, **VIT)
    encoder = load_image_encoder(f"timm:{name}@{4 * patch}={folder}", device="cpu")
    config = transformers.ViTConfig(
        **SMALL, intermediate_size=256, image_size=4 * patch, patch_size=patch, layer_norm_eps=1e-6
    )
    reference = transformers.ViTModel(config, add_pooling_layer=False)
    load_exactly(reference, to_transformers(own_weights(encoder), **BEFORE_AFTER))
    check(encoder, reference, lambda out: out.last_hidden_state[:, 0])


def test_row_14_mae_encoder_equals_transformers(tmp_path: Path) -> None:
    """Nothing masked: with noise in order, transformers keeps every patch in its place."""
    folder = write_timm(tmp_path / "m", "vit_base_patch16_224", 64, normalisation=IMAGENET, **VIT)
    config = transformers.ViTMAEConfig(
        **SMALL, intermediate_size=256, image_size=64, patch_size=16, mask_ratio=0.0, layer_norm_eps=1e-6
    )
    noise = torch.arange(16.0).expand(4, 16)
    for pool, feature in {
        "": lambda out: out.last_hidden_state[:, 0],
        "+gap": lambda out: out.last_hidden_state[:, 1:].mean(1),
    }.items():
        encoder = load_image_encoder(f"mae-b16{pool}@64={folder}", device="cpu")
        reference = transformers.ViTMAEModel(config)
        load_exactly(reference, to_transformers(own_weights(encoder), **BEFORE_AFTER))
        check(encoder, lambda batch, model=reference: model(batch, noise=noise), feature)


def dinov2_reference(weights: dict[str, torch.Tensor], size: int, *, registers: bool) -> Any:
    kind = "Dinov2WithRegisters" if registers else "Dinov2"
    config = getattr(transformers, f"{kind}Config")(**SMALL, mlp_ratio=4, image_size=size, patch_size=14)
    state = to_transformers(weights, "encoder.layer")
    if registers:  # timm adds the class token's position to the token itself
        positions = state["embeddings.position_embeddings"]
        state["embeddings.position_embeddings"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return load_exactly(getattr(transformers, f"{kind}Model")(config), state, "embeddings.mask_token")


@pytest.mark.parametrize("registers", [False, True])
def test_row_15_dinov2_equals_transformers_at_its_own_grid(tmp_path: Path, registers: bool) -> None:
    architecture = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2"
    folder = write_timm(tmp_path / "m", architecture, 70, normalisation=IMAGENET, **VIT)
    first = 5 if registers else 1
    name = f"dinov2-s14{'-reg' if registers else ''}"
    for pool, feature in {
        "": lambda out: out.last_hidden_state[:, 0],
        "+gap": lambda out: out.last_hidden_state[:, first:].mean(1),
        "+cls+gap": lambda out: torch.cat([out.last_hidden_state[:, 0], out.last_hidden_state[:, first:].mean(1)], 1),
    }.items():
        encoder = load_image_encoder(f"{name}{pool}@70={folder}", device="cpu")
        assert encoder.spec.dim == (128 if "cls+gap" in pool else 64)
        check(encoder, dinov2_reference(own_weights(encoder), 70, registers=registers), feature)


def meta_interpolation(positions: torch.Tensor, patches: int, *, offset: float, antialias: bool) -> torch.Tensor:
    """``interpolate_pos_encoding`` of facebookresearch/dinov2, for a square picture of ``patches`` x ``patches``."""
    first, rest = positions[:, :1], positions[:, 1:]
    side = int(rest.shape[1] ** 0.5)
    scale = {"scale_factor": ((patches + offset) / side,) * 2} if offset else {"size": (patches, patches)}
    grid = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, mode="bicubic", antialias=antialias, **scale)
    return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, patches * patches, -1)], dim=1)


@pytest.mark.parametrize("registers", [False, True])
def test_row_15_dinov2_at_another_size_resizes_positions_as_meta_does(tmp_path: Path, registers: bool) -> None:
    """518 to 224 in small: 7 x 7 patches to 3 x 3. timm's own resizing is another one where there are no registers."""
    from safetensors.torch import load_file

    architecture = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2"
    folder = write_timm(tmp_path / "m", architecture, 98, normalisation=IMAGENET, **VIT)
    encoder = load_image_encoder(f"dinov2-s14{'-reg' if registers else ''}@42={folder}", device="cpu")
    weights = load_file(str(folder / "model.safetensors"))
    positions = weights["pos_embed"]
    if registers:
        positions = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    rule = {"offset": 0.0, "antialias": True} if registers else {"offset": 0.1, "antialias": False}
    resized = meta_interpolation(positions, 3, **rule)
    weights["pos_embed"] = resized[:, 1:] if registers else resized
    check(encoder, dinov2_reference(weights, 42, registers=registers), lambda out: out.last_hidden_state[:, 0])
    timms = load_image_encoder(f"timm:{architecture}@42={folder}", device="cpu")
    pixels = pictures(42)
    apart = np.abs(encoder.encode_images(pixels) - timms.encode_images(pixels)).max()
    assert apart < GATE if registers else apart > 1e-3


def test_dinov3_equals_transformers(tmp_path: Path) -> None:
    """Rotary positions, registers, no query, key or value bias; the class token, where timm would take the mean."""
    folder = write_timm(tmp_path / "m", "vit_small_patch16_dinov3", 64, normalisation=IMAGENET, **VIT)
    encoder = load_image_encoder(f"dinov3-s16@64={folder}", device="cpu")
    without = {"query_bias": False, "key_bias": False, "value_bias": False}
    config = transformers.DINOv3ViTConfig(
        **SMALL, intermediate_size=256, image_size=64, patch_size=16, num_register_tokens=4, **without
    )
    names = {
        "patch_embed.proj": "embeddings.patch_embeddings",
        "mlp.fc1": "mlp.up_proj",
        "mlp.fc2": "mlp.down_proj",
        "norm": "norm",
    }
    state = to_transformers(own_weights(encoder), "model.layer", **names)
    reference = load_exactly(transformers.DINOv3ViTModel(config), state, "embeddings.mask_token")
    check(encoder, reference, lambda out: out.last_hidden_state[:, 0])
    pixels = pictures(64)
    timms = load_image_encoder(f"timm:vit_small_patch16_dinov3@64={folder}", device="cpu")
    mean = load_image_encoder(f"dinov3-s16+gap@64={folder}", device="cpu")
    assert np.abs(timms.encode_images(pixels) - mean.encode_images(pixels)).max() < GATE


def test_siglip_image_tower_equals_transformers(tmp_path: Path) -> None:
    """Attention pooling without a class token, as open_clip's SigLIP models have it from timm."""
    folder = write_timm(tmp_path / "m", "vit_base_patch16_siglip_224", 64, **VIT)
    encoder = load_image_encoder(f"local-dir:{folder}", device="cpu")
    act = "gelu" if encoder.model.trunk.blocks[0].mlp.act.__class__.__name__ == "GELU" else "gelu_pytorch_tanh"
    config = transformers.SiglipVisionConfig(
        **SMALL, intermediate_size=256, image_size=64, patch_size=16, hidden_act=act, layer_norm_eps=1e-6
    )
    weights = own_weights(encoder)
    head = {k.removeprefix("attn_pool."): v for k, v in weights.items() if k.startswith("attn_pool.")}
    names = {
        "patch_embed.proj": "embeddings.patch_embedding",
        "pos_embed": "embeddings.position_embedding.weight",
        "norm1": "layer_norm1",
        "norm2": "layer_norm2",
        "attn": "self_attn",
        "attn.proj": "self_attn.out_proj",
        "norm": "post_layernorm",
    }
    plain = {k: v for k, v in weights.items() if not k.startswith("attn_pool.")}
    state = to_transformers(plain, "encoder.layers", **names)
    state["embeddings.position_embedding.weight"] = state["embeddings.position_embedding.weight"][0]
    for end in ("weight", "bias"):
        state[f"head.attention.in_proj_{end}"] = torch.cat([head[f"q.{end}"], head[f"kv.{end}"]])
        state[f"head.attention.out_proj.{end}"] = head[f"proj.{end}"]
        state[f"head.layernorm.{end}"] = head[f"norm.{end}"]
        state |= {f"head.mlp.{fc}.{end}": head[f"mlp.{fc}.{end}"] for fc in ("fc1", "fc2")}
    state["head.probe"] = head["latent"]
    reference = transformers.SiglipVisionModel(config)
    prefix = "vision_model." if any(k.startswith("vision_model.") for k in reference.state_dict()) else ""
    load_exactly(reference, {prefix + k: v for k, v in state.items()})
    check(encoder, reference, lambda out: out.pooler_output)


@pytest.mark.parametrize(
    ("architecture", "name"), [("test_resnet", "own"), ("test_vit3", "own"), ("vit_base_patch16_224", "cls")]
)
def test_the_models_own_pooling_is_its_forward_without_classifier(tmp_path: Path, architecture: str, name: str) -> None:
    import timm

    arguments = VIT if architecture.startswith("vit") else {}
    folder = write_timm(tmp_path / "m", architecture, 160, **arguments)
    encoder = load_image_encoder(f"timm:{architecture}+{name}@160={folder}", device="cpu")
    size = {} if architecture == "test_resnet" else {"img_size": 160}
    model = timm.create_model(architecture, num_classes=0, **arguments, **size).eval()
    model.load_state_dict(own_weights(encoder))
    check(encoder, model, lambda out: out)
