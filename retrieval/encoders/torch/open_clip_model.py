"""Build an open_clip model from local files: all weights are loaded, nothing is downloaded."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.encoders.names.hub import cached_snapshot, hub_cache
from retrieval.encoders.names.open_clip import INSTALL_TORCH
from retrieval.encoders.names.open_clip_weights import ClipSource, tokenizer_repository
from retrieval.errors import EncoderError, RuntimeUnavailable, WeightsUnavailable

if TYPE_CHECKING:
    import torch

Tokenize = Callable[[Sequence[str]], "torch.Tensor"]


def import_open_clip() -> Any:
    """Import open_clip without warnings.

    Its import leaves an open file to the garbage collector and its dependencies emit deprecation warnings, which
    are irrelevant to users and would be errors where warnings are errors.

    Raises:
        RuntimeUnavailable: torch or open_clip is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import open_clip
    except ImportError as error:
        raise RuntimeUnavailable(f"open_clip cannot be imported ({error})", INSTALL_TORCH) from error
    return open_clip


def build_model(source: ClipSource) -> torch.nn.Module:
    """The whole model on the CPU in float32, in evaluation mode, with no gradients.

    ``open_clip.create_model`` returns a randomly initialised model if a folder has no weights, warns where
    it should fail, and accesses the hub. So the classes are built here and loaded strictly: a superfluous or
    missing key is an error, hence no parameter is left random.

    Raises:
        WeightsUnavailable: the weights are of another model, or the configuration of a text tower is missing.
        RuntimeUnavailable: torch, open_clip or a library that this architecture needs is not installed.
    """
    open_clip = import_open_clip()
    settings = _settings(source)
    kind = _model_class(open_clip, settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: torch.nn.Module = kind(**settings)
            open_clip.load_checkpoint(model, str(source.weights), strict=True)
    except ImportError as error:
        raise RuntimeUnavailable(f"{source.name}: {error}", INSTALL_TORCH) from error
    except (RuntimeError, TypeError, ValueError, AssertionError, KeyError, AttributeError) as error:
        raise WeightsUnavailable(
            f"{source.weights} does not fit the architecture of {source.name}: {_short(error)}",
            "the weights belong to another model; check open_clip_config.json or the name",
        ) from error
    found = getattr(model.visual, "image_size", None)
    sides = set(found) if isinstance(found, list | tuple) else {found}
    if sides != {source.preprocessing.size}:
        raise EncoderError(f"the image tower of {source.name} wants {found} pixels", "only square inputs are supported")
    return model.eval().requires_grad_(False)


def build_tokenizer(source: ClipSource) -> Any:
    """open_clip's tokenizer for this model, from local files.

    ``open_clip.get_tokenizer`` returns CLIP's tokenizer for unknown names, and accesses the hub for the
    others; here only the configuration determines it.

    Raises:
        WeightsUnavailable: the tokenizer's files cannot be read.
        RuntimeUnavailable: transformers is needed and not installed.
    """
    open_clip = import_open_clip()
    text = source.model_cfg["text_cfg"]
    options = dict(text.get("tokenizer_kwargs") or {})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if tokenizer_repository(source.model_cfg) is None:
                return open_clip.SimpleTokenizer(context_length=source.context_length, **options)
            return open_clip.tokenizer.HFTokenizer(
                str(source.tokenizer),
                context_length=source.context_length,
                tokenizer_mode=text.get("tokenizer_mode"),
                local_files_only=True,
                **options,
            )
    except ImportError as error:
        raise RuntimeUnavailable(f"the tokenizer of {source.name}: {error}", INSTALL_TORCH) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsUnavailable(
            f"the tokenizer in {source.tokenizer} cannot be read: {_short(error)}",
            "put tokenizer.json and tokenizer_config.json there",
        ) from error


def is_cut(tokenizer: Any, text: str) -> bool:
    """True if the text, including both end tokens, has more tokens than fit into the context."""
    if hasattr(tokenizer, "clean_fn") and hasattr(tokenizer, "tokenizer"):  # HFTokenizer
        inner = tokenizer.tokenizer
        ids = inner(tokenizer.clean_fn(text), truncation=False, verbose=False)["input_ids"]
        return len(ids) > int(tokenizer.context_length)
    return len(tokenizer.encode(text)) + 2 > int(tokenizer.context_length)


def _settings(source: ClipSource) -> dict[str, Any]:
    settings: dict[str, Any] = copy.deepcopy(dict(source.model_cfg))
    # Base weights of single towers come from the hub and would be overwritten, so they are not requested.
    if "timm_model_name" in settings["vision_cfg"]:
        settings["vision_cfg"]["timm_model_pretrained"] = False
    text = settings["text_cfg"]
    if repository := text.get("hf_model_name"):
        folder = cached_snapshot(repository)
        if folder is None or not (folder / "config.json").is_file():
            raise WeightsUnavailable(
                f"the text tower of {source.name} needs config.json of {repository}, which is not in {hub_cache()}",
                f"photoseek models fetch --weights {source.name}, or use a model whose text tower is open_clip's own",
            )
        text["hf_model_name"] = str(folder)
        text["hf_model_pretrained"] = False
    return settings


def _model_class(open_clip: Any, settings: dict[str, Any]) -> Any:
    custom = settings.pop("custom_text", False) or "hf_model_name" in settings["text_cfg"]
    if "multimodal_cfg" in settings:
        return open_clip.CoCa
    return open_clip.CustomTextCLIP if custom else open_clip.CLIP


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    logging.getLogger("photoseek").debug("loading failed: %s", text)
    return text[:300]
