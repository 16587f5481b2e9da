"""ClipEncoder compared with transformers' CLIP and SigLIP with the same random weights: both towers, and logits.

What open_clip and we agree on could still be wrong together (activation, pooled position, padding, end token).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("transformers")

import torch
import transformers

from retrieval.encoders.base import unit
from retrieval.encoders.torch.clip import ClipEncoder, load_clip_encoder
from tests.retrieval.encoders.tiny_clip import CLIP, SIGLIP, TEXTS
from tests.retrieval.encoders.tiny_timm import load_exactly

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]

GATE = 1e-5
BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def blocks(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """open_clip's residual blocks under transformers' names."""
    new = {}
    for key, value in state.items():
        found = re.match(rf"{re.escape(prefix)}transformer\.resblocks\.(\d+)\.(.*)\.?(weight|bias)$", key)
        if found is None:
            continue
        layer, part, end = found[1], found[2].rstrip("._"), found[3]
        if part == "attn.in_proj":
            for name, piece in zip("qkv", value.chunk(3), strict=True):
                new[f"encoder.layers.{layer}.self_attn.{name}_proj.{end}"] = piece
        else:
            new[f"encoder.layers.{layer}.{BLOCK[part]}.{end}"] = value
    return new


def clip_state(state: dict[str, Any]) -> dict[str, Any]:
    text = blocks(state, "") | {
        "embeddings.token_embedding.weight": state["token_embedding.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
        "final_layer_norm.weight": state["ln_final.weight"],
        "final_layer_norm.bias": state["ln_final.bias"],
    }
    image = blocks(state, "visual.") | {
        "embeddings.class_embedding": state["visual.class_embedding"],
        "embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "embeddings.position_embedding.weight": state["visual.positional_embedding"],
        **{f"pre_layrnorm.{end}": state[f"visual.ln_pre.{end}"] for end in ("weight", "bias")},
        **{f"post_layernorm.{end}": state[f"visual.ln_post.{end}"] for end in ("weight", "bias")},
    }
    return {
        **{f"text_model.{key}": value for key, value in text.items()},
        **{f"vision_model.{key}": value for key, value in image.items()},
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "logit_scale": state["logit_scale"],
    }


def clip_reference(encoder: ClipEncoder, activation: str) -> Any:
    vision, text = CLIP["vision_cfg"], CLIP["text_cfg"]
    shared = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "hidden_act": activation}
    config = transformers.CLIPConfig(
        vision_config={**shared, "num_attention_heads": 2, "image_size": vision["image_size"], "patch_size": 8},
        text_config={
            **shared,
            "num_attention_heads": text["heads"],
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"],
            "eos_token_id": 49407,
        },
        projection_dim=CLIP["embed_dim"],
    )
    state = clip_state(dict(encoder.model.state_dict()))
    model = transformers.CLIPModel(config)
    unused = [k for k in model.state_dict() if k.endswith("position_ids")]
    return load_exactly(model, state, *unused)


def pictures(size: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (4, 3, size, size), np.uint8)


def differences(encoder: ClipEncoder, reference: Any) -> tuple[float, float, float]:
    """Largest ones of image features, text features, and logits over their scale."""
    settings, pixels = encoder.spec.preprocessing, pictures(encoder.spec.preprocessing.size)
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    batch = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32))
    with torch.no_grad():
        out = reference(input_ids=encoder.tokenize(TEXTS), pixel_values=batch)
    image, text = unit(out.image_embeds.numpy()), unit(out.text_embeds.numpy())
    ours, texts = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
    assert encoder.spec.logit_scale is not None
    logits = np.abs(encoder.spec.logit_scale * (ours @ texts.T) - out.logits_per_image.numpy()).max()
    return (
        float(np.abs(ours - image).max()),
        float(np.abs(texts - text).max()),
        float(logits / encoder.spec.logit_scale),
    )


@pytest.mark.parametrize(("kind", "activation"), [("quickgelu", "quick_gelu"), ("clip", "gelu")])
def test_clip_equals_transformers(tiny_models: dict[str, Path], kind: str, activation: str) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models[kind]}", device="cpu")
    assert max(differences(encoder, clip_reference(encoder, activation))) < GATE


def test_the_other_activation_would_be_seen(tiny_models: dict[str, Path]) -> None:
    """The mistake that openai's names without -quickgelu make: cosines hide it, these gates do not."""
    encoder = load_clip_encoder(f"local-dir:{tiny_models['quickgelu']}", device="cpu")
    image, text, _ = differences(encoder, clip_reference(encoder, "gelu"))
    assert min(image, text) > 10 * GATE


def siglip_text(encoder: ClipEncoder, activation: str) -> Any:
    text = SIGLIP["text_cfg"]
    config = transformers.SiglipTextConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=text["heads"],
        vocab_size=text["vocab_size"], max_position_embeddings=64, hidden_act=activation, projection_size=96,
        layer_norm_eps=1e-6, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )  # fmt: skip
    state = {k.removeprefix("text."): v for k, v in encoder.model.state_dict().items() if k.startswith("text.")}
    new = blocks(state, "") | {
        "embeddings.token_embedding.weight": state["token_embedding.weight"],
        "embeddings.position_embedding.weight": state["positional_embedding"],
        **{f"final_layer_norm.{end}": state[f"ln_final.{end}"] for end in ("weight", "bias")},
        **{f"head.{end}": state[f"text_projection.{end}"] for end in ("weight", "bias")},
    }
    model = transformers.SiglipTextModel(config)
    prefix = "text_model." if any(k.startswith("text_model.") for k in model.state_dict()) else ""
    unused = [k for k in model.state_dict() if k.endswith("position_ids")]
    return load_exactly(model, {prefix + k: v for k, v in new.items()}, *unused)


def test_siglip_texts_equal_transformers_when_padded_to_64(tiny_models: dict[str, Path]) -> None:
    encoder = load_clip_encoder(f"local-dir:{tiny_models['siglip']}", device="cpu")
    reference = siglip_text(encoder, "gelu_pytorch_tanh")
    ids = encoder.tokenize(TEXTS)
    assert ids.shape == (len(TEXTS), 64)
    with torch.no_grad():
        wanted = unit(reference(input_ids=ids).pooler_output.numpy())
        shorter = unit(reference(input_ids=ids[:1, :32]).pooler_output.numpy())
    found = encoder.encode_texts(TEXTS)
    assert np.abs(found - wanted).max() < GATE
    assert np.abs(found[:1] - shorter).max() > 0.01, "it pools the last of 64 positions"
