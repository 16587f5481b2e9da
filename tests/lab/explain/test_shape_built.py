"""Formulas compared with models built by open_clip and timm, on torch's meta device, which stores nothing."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from typing import Any

import pytest

from retrieval.encoders.names.image_models import IMAGE_MODELS
from retrieval.encoders.names.known_models import MODELS
from retrieval.lab.explain.configs import config_shape
from retrieval.lab.explain.cost import Part, image_parts, text_parts, total
from retrieval.lab.explain.families import open_clip_shape, timm_shape

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("timm")

ARCHITECTURES = sorted({name.split("/")[0] for name, row in MODELS.items() if row.source == "open_clip"})
DESCRIBED = [name for name in ARCHITECTURES if open_clip_shape(name) and not name.startswith("xlm")]
# One of each kind: the sizes of the others are held against the table of models, in test_subject.py.
OPEN_CLIP = ("ViT-B-32-256", "ViT-B-16-SigLIP2", "ViT-SO400M-16-SigLIP2-256", "PE-Core-T-16-384", "PE-Core-L-14-336",
             "MobileCLIP2-B", "MobileCLIP2-L-14", "ViT-H-14")  # fmt: skip
TIMM = ("vit-b16", "vit-b32", "dinov2-s14", "dinov2-s14-reg", "dinov2-g14-reg", "dinov3-s16", "dinov3-s16plus")
IMAGE_ONLY = [name for name, row in IMAGE_MODELS.items() if timm_shape(row.checkpoint)]
PLACES = {
    "attention pooling": ("attn_pool.",),
    "patch embedding": ("patch_embed.", "conv1."),
    "position embeddings": ("pos_embed", "positional_embedding"),
    "class and register tokens": ("cls_token", "reg_token", "class_embedding"),
    "attention projections": (".attn.",),
    "perceptrons": (".mlp.",),
    "norms and layer scales": ("norm", "ln_", ".ls1.", ".ls2.", ".gamma_"),
    "projection": ("head.", "proj"),
}


def place_of(parameter: str) -> str:
    return next(part for part, marks in PLACES.items() if any(mark in f".{parameter}" for mark in marks))


def built_parts(module: Any) -> Counter[str]:
    """Parameters by part, by what the libraries call them."""
    found: Counter[str] = Counter()
    for name, parameter in module.named_parameters():
        found[place_of(name)] += parameter.numel()
    return found


def formula_parts(parts: tuple[Part, ...]) -> Counter[str]:
    return Counter({part.name: part.parameters for part in parts if part.parameters})


def counted_flops(module: Any, *inputs: Any) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return int(counter.get_total_flops())


def build_open_clip(name: str) -> Any:
    from retrieval.encoders.torch.open_clip_model import import_open_clip

    open_clip = import_open_clip()
    config = copy.deepcopy(open_clip.get_model_config(name))
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return kind(**config).eval().requires_grad_(False)


def build_timm(architecture: str, size: int) -> Any:
    import timm

    resized = {} if "dinov3" in architecture else {"img_size": size}
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return timm.create_model(architecture.partition(".")[0], num_classes=0, **resized).eval().requires_grad_(False)


def test_the_table_of_models_is_described() -> None:
    rest = set(ARCHITECTURES) - {name for name in ARCHITECTURES if open_clip_shape(name)}
    assert rest == {f"MobileCLIP2-S{n}" for n in (0, 2, 3, 4)}  # FastViT: a convolutional network
    assert set(IMAGE_MODELS) - set(IMAGE_ONLY) == {"resnet50"}
    assert len(DESCRIBED) >= 24 and len(IMAGE_ONLY) >= 22


@pytest.mark.parametrize("name", OPEN_CLIP)
def test_open_clip_towers(name: str) -> None:
    shape = open_clip_shape(name)
    assert shape is not None and shape.text is not None
    model = build_open_clip(name)
    assert formula_parts(image_parts(shape.image)) == built_parts(model.visual)
    picture = torch.empty(1, 3, shape.image.size, shape.image.size, device="meta")
    assert total(image_parts(shape.image)).flops == counted_flops(model.visual, picture)
    temperature = 1 + (getattr(model, "logit_bias", None) is not None)
    words = sum(each.numel() for each in model.parameters()) - sum(each.numel() for each in model.visual.parameters())
    assert total(text_parts(shape.text)).parameters == words - temperature


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16-SigLIP", "PE-Core-T-16-384"])
def test_text_flops(name: str) -> None:
    shape = open_clip_shape(name)
    assert shape is not None and shape.text is not None
    model = build_open_clip(name)
    ids = torch.zeros(1, shape.text.context, dtype=torch.long, device="meta")
    # CLIP's products with the pooled token are one row each, the others the whole context.
    assert total(text_parts(shape.text)).flops == counted_flops(model.encode_text, ids)


@pytest.mark.parametrize("name", TIMM)
def test_image_only_towers(name: str) -> None:
    row = IMAGE_MODELS[name]
    shape = timm_shape(row.checkpoint, row.size)
    assert shape is not None
    model = build_timm(row.checkpoint, row.size)
    assert formula_parts(image_parts(shape)) == built_parts(model)
    picture = torch.empty(1, 3, row.size, row.size, device="meta")
    assert total(image_parts(shape)).flops == counted_flops(model, picture)
    assert model.num_prefix_tokens == shape.prefix
    assert model.blocks[0].attn.num_heads == shape.heads


def test_names_and_configurations_agree() -> None:
    """Two ways to a shape, from the name and from open_clip's configuration, wherever both know it."""
    from retrieval.encoders.torch.open_clip_model import import_open_clip

    open_clip, both = import_open_clip(), 0
    for name in open_clip.list_models():
        by_name, by_config = open_clip_shape(name), config_shape(open_clip.get_model_config(name))
        if by_name is not None and by_config is not None:
            assert by_name == by_config, name
            both += 1
    assert both >= 35


def test_configurations_that_names_do_not_tell() -> None:
    for name in ("ViT-bigG-14", "ViT-S-32-alt", "ViT-L-14-CLIPA"):
        from retrieval.encoders.torch.open_clip_model import import_open_clip

        shape = config_shape(import_open_clip().get_model_config(name))
        assert shape is not None
        assert formula_parts(image_parts(shape.image)) == built_parts(build_open_clip(name).visual)


def test_unknown_settings_are_not_guessed() -> None:
    from retrieval.encoders.torch.open_clip_model import import_open_clip

    for name in ("coca_ViT-B-32", "RN50", "convnext_base", "xlm-roberta-base-ViT-B-32", "MobileCLIP2-S0"):
        assert config_shape(import_open_clip().get_model_config(name)) is None


def test_xlm_roberta() -> None:
    transformers = pytest.importorskip("transformers")
    shape = open_clip_shape("xlm-roberta-base-ViT-B-32")
    assert shape is not None and shape.text is not None
    config = transformers.XLMRobertaConfig(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1)
    with torch.device("meta"):
        model = transformers.XLMRobertaModel(config, add_pooling_layer=False)
    hidden = (768 + 512) // 2
    projection = 768 * hidden + hidden * 512  # open_clip's HFTextEncoder: two matrices without bias
    words = sum(each.numel() for each in model.parameters()) + projection
    assert total(text_parts(shape.text)).parameters == words
