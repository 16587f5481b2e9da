"""Models without a formula here (CNNs, hybrids, anything else of open_clip or timm), counted by torch on its
``meta`` device: the architecture is built, but no weights are stored and nothing is computed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from retrieval.encoders.torch.open_clip_model import import_open_clip
from retrieval.errors import EncoderError
from retrieval.lab.explain.cost import Part


def timm_parts(architecture: str, size: int | None, arguments: Mapping[str, Any] | None = None) -> tuple[Part, ...]:
    """Parts of a timm architecture without its classifier, for one picture of ``size`` pixels.

    Raises:
        EncoderError: timm cannot build it.
    """
    import timm

    asked = dict(arguments or {})
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            plain = timm.create_model(architecture, pretrained=False, num_classes=0, **asked)
            own = plain.default_cfg.get("input_size", (3, 224, 224))[1]
            if size not in (None, own) and plain.default_cfg.get("fixed_input_size"):
                plain = timm.create_model(architecture, pretrained=False, num_classes=0, img_size=size, **asked)
        except (RuntimeError, ValueError, TypeError, AssertionError, KeyError) as error:
            raise EncoderError(f"timm cannot build {architecture}: {str(error)[:300]}", "use another model") from error
    return count_parts(plain, size or own)


def open_clip_parts(model_cfg: Mapping[str, Any]) -> tuple[Part, ...]:
    """Parts of the image tower of an open_clip configuration.

    Raises:
        EncoderError: open_clip cannot build it.
    """
    open_clip = import_open_clip()
    settings = copy.deepcopy(dict(model_cfg))
    vision = settings["vision_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            # Only this tower: a text tower from transformers would download its configuration from the hub.
            tower = open_clip.model._build_vision_tower(
                settings["embed_dim"], vision, settings.get("quick_gelu", False)
            )
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError, AttributeError) as error:
        raise EncoderError(f"open_clip cannot build it: {str(error)[:300]}", "use another model") from error
    size = vision.get("image_size", 224)
    return count_parts(tower, size if isinstance(size, int) else int(size[0]))


def count_parts(module: torch.nn.Module, size: int) -> tuple[Part, ...]:
    """Parameters and FLOPs of one picture for each part of a module; for a wrapper, of the wrapped module."""
    module = module.eval().requires_grad_(False)
    path, inner = type(module).__name__, module
    while len(children := [(n, c) for n, c in inner.named_children() if _size(c)]) == 1 and not _own(inner):
        path, inner = f"{path}.{children[0][0]}", children[0][1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, size, size, device=next(module.parameters()).device))
    counts = {name: sum(each.values()) for name, each in counter.get_flop_counts().items()}
    parts = [Part(name, _size(child), counts.get(f"{path}.{name}", 0)) for name, child in children]
    whole = counts.get(path, 0)
    rest = Part("other", _own(inner), whole - sum(part.flops for part in parts))
    return tuple(part for part in (*parts, rest) if part.parameters or part.flops)


def _size(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _own(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters(recurse=False))
