"""Small open_clip models with random weights, scaled up so that mistakes show, in ``local-dir:`` folders."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from retrieval.encoders.torch.open_clip_model import import_open_clip

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TEXTS = [
    "a red bird on a branch",
    "Two DOGS, playing -- in the_snow!",
    "",
    "naïve café — señor",
    "a long walk through the old town and " * 20,
]

CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
QUICKGELU = {**CLIP, "quick_gelu": True}
SIGLIP = {
    "embed_dim": 96,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit3",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 64,
        "vocab_size": 400,
        "hf_tokenizer_name": "nobody/tiny-siglip",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 64,
        "heads": 4,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    },
}
CLIP_PREPROCESS = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest"}
SIGLIP_PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": (CLIP, CLIP_PREPROCESS),
    "quickgelu": (QUICKGELU, CLIP_PREPROCESS),
    "siglip": (SIGLIP, SIGLIP_PREPROCESS),
}


def write_model(folder: Path, kind: str, *, seed: int = 0, weights: str = "open_clip_model.safetensors") -> Path:
    """A folder for ``local-dir:``: configuration, safetensors, and the tokenizer where it is not CLIP's own."""
    import torch
    from safetensors.torch import save_file

    config, preprocess = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    if "hf_tokenizer_name" in config["text_cfg"]:
        write_tokenizer(folder)
    model = new_model(config, seed)
    state = {k: v.contiguous().clone() for k, v in model.state_dict().items()}
    state["logit_scale"] = torch.tensor(4.0)
    save_file(state, str(folder / weights))
    return folder


def new_model(config: dict[str, Any], seed: int) -> Any:
    """A random model whose matrices are three times larger than usual, biases not zero, in evaluation mode."""
    import copy

    import torch

    open_clip = import_open_clip()
    settings = copy.deepcopy(config)
    kind = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(**settings).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.mul_(3)
            elif name.endswith("bias"):
                weight.normal_(0, 0.2)
    return model


def write_tokenizer(folder: Path) -> None:
    """A word-level ``tokenizer.json`` that ends each text, as SigLIP's does, and pads with id 0."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = "a red bird on branch two dogs playing in the snow naïve café señor long walk through old town and of"
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *words.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def reference(folder: Path) -> tuple[Any, Any, Any]:
    """open_clip's own loading of a folder: model, image transform, tokenizer."""
    open_clip = import_open_clip()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return model.eval(), transform, tokenizer
