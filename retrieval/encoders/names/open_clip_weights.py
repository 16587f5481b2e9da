"""Find the files of an open_clip model on the local disk by its name; no download, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.base import EncoderSpec, Preprocessing
from retrieval.encoders.files.checks import load_json
from retrieval.encoders.files.description import fingerprint_of
from retrieval.encoders.files.safetensors_file import PICKLES, check_safetensors, content_digest, read_scalar
from retrieval.encoders.names.hub import cached_snapshot, hub_cache
from retrieval.encoders.names.known_models import MODELS
from retrieval.encoders.names.open_clip import TaggedModel, family_of, find_tagged, preprocessing_from
from retrieval.errors import EncoderError, WeightsUnavailable

LOCAL_DIR = "local-dir:"
HF_HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
SAFE_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
UNKNOWN_LICENCE = "unknown (see where the weights came from)"
# Keys that affect a tower's initial weights or training, but not its computation.
_NOT_MATHS = ("timm_model_pretrained", "hf_model_pretrained", "patch_dropout", "hf_proj_type_init")


@dataclass(frozen=True)
class ClipSource:
    """An open_clip model whose weights are completely on the local disk.

    Args:
        name: canonical, e.g. ``ViT-B-32-quickgelu/openai``.
        origin: tag and repository, or path.
        model_cfg: open_clip's architecture description.
        preprocessing: from the checkpoint's own record, not from a default of the family.
        weights: a safetensors file that passed :func:`check_safetensors`.
        tokenizer: folder of the tokenizer's files; None for CLIP's built-in byte-pair encoding.
        licence: of the weights.
    """

    name: str
    origin: str
    model_cfg: Mapping[str, Any]
    preprocessing: Preprocessing
    weights: Path
    tokenizer: Path | None
    licence: str = UNKNOWN_LICENCE

    @property
    def context_length(self) -> int:
        return int(self.model_cfg["text_cfg"].get("context_length", 77))


def find_source(name: str) -> ClipSource:
    """Find the files of ``MODEL/TAG``, ``local-dir:PATH``, ``hf-hub:ORG/REPO`` or a weight file.

    Raises:
        UnknownEncoder: open_clip does not have this model.
        WeightsUnavailable: the weights, their configuration or the tokenizer are not on the local disk, are
            damaged, or are a pickle; the hint says how to get them, the message where we looked.
        EncoderError: unsupported preprocessing.
    """
    if name.startswith(LOCAL_DIR):
        return _from_folder(Path(name.removeprefix(LOCAL_DIR)).expanduser(), name)
    if name.startswith(HF_HUB):
        return _from_repository(name.removeprefix(HF_HUB), name)
    path = Path(name).expanduser()
    if path.suffix.lower() in {".safetensors", *PICKLES}:
        if not path.is_file():
            raise WeightsUnavailable(f"there is no file {path}", "check the path")
        return _from_folder(path.parent, name, weights=path)
    if (path / CONFIG).is_file():
        return _from_folder(path, name)
    return _from_tag(find_tagged(name))


def spec_of(source: ClipSource) -> EncoderSpec:
    """The encoder's row; reads the weight file once to compute its fingerprint, then uses the stored hash."""
    scale = read_scalar(source.weights, "logit_scale")
    digests = [content_digest(source.weights)]
    if source.tokenizer is not None:
        digests.append(content_digest(source.tokenizer / "tokenizer.json"))
    return EncoderSpec(
        name=source.name,
        family=family_of(source.name),
        source=source.origin,
        dim=int(source.model_cfg["embed_dim"]),
        preprocessing=source.preprocessing,
        has_text=True,
        context_length=source.context_length,
        licence=source.licence,
        fingerprint=fingerprint_of(source.preprocessing, text=_maths(source.model_cfg), weights=digests),
        logit_scale=None if scale is None else _exp(scale),
        logit_bias=read_scalar(source.weights, "logit_bias"),
    )


def hub_place(tag_cfg: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Hub repository of a tag and the safetensors names to look for in it, as open_clip does."""
    place = str(tag_cfg.get("hf_hub") or "")
    repository, _, file = place.rpartition("/")
    # Not model.safetensors: in timm's repositories that contains only the image tower.
    return repository, ((Path(file).stem + ".safetensors",) if file else SAFE_NAMES[:2])


def tokenizer_repository(model_cfg: Mapping[str, Any]) -> str | None:
    """Hub repository of the tokenizer; None for CLIP's built-in one."""
    return model_cfg["text_cfg"].get("hf_tokenizer_name") or None


def _from_tag(tagged: TaggedModel) -> ClipSource:
    repository, names = hub_place(tagged.tag_cfg)
    snapshot = cached_snapshot(repository) if repository else None
    weights = next((snapshot / n for n in names if (snapshot / n).is_file()), None) if snapshot else None
    if weights is None:
        raise _not_here(tagged.name, repository, names)
    check_safetensors(weights)
    size = tagged.model_cfg["vision_cfg"].get("image_size", 224)
    return ClipSource(
        name=tagged.name,
        origin=f"open_clip {tagged.name} ({repository})",
        model_cfg=tagged.model_cfg,
        preprocessing=preprocessing_from(tagged.tag_cfg, size, tagged.name),
        weights=weights,
        tokenizer=_tokenizer(tagged.model_cfg, weights.parent),
        licence=licence_of(tagged.name),
    )


def _from_repository(repository: str, name: str) -> ClipSource:
    snapshot = cached_snapshot(repository)
    if snapshot is None:
        raise _not_here(name, repository, (CONFIG, SAFE_NAMES[0]))
    return _from_folder(snapshot, name)


def _from_folder(folder: Path, name: str, weights: Path | None = None) -> ClipSource:
    if not folder.is_dir():
        raise WeightsUnavailable(f"there is no folder {folder}", "check the path")
    weights = weights or _weights_in(folder)
    check_safetensors(weights)
    if not (folder / CONFIG).is_file():
        raise WeightsUnavailable(
            f"there is no {CONFIG} in {folder}",
            "put one there: {model_cfg, preprocess_cfg}, as open_clip's push_to_hf_hub writes it; "
            "weights alone do not say how pictures are prepared",
        )
    config = load_json(folder / CONFIG)
    model_cfg = _model_cfg(config.get("model_cfg"), folder / CONFIG)
    raw = config.get("preprocess_cfg")
    size = model_cfg["vision_cfg"].get("image_size", 224)
    return ClipSource(
        name=name,
        origin=f"{folder.resolve().name}/{weights.name}",  # no local path: exports may be moved to other machines
        model_cfg=model_cfg,
        preprocessing=preprocessing_from(raw if isinstance(raw, dict) else {}, size, str(folder / CONFIG)),
        weights=weights,
        tokenizer=_tokenizer(model_cfg, folder),
        licence=licence_of(name),
    )


def _weights_in(folder: Path) -> Path:
    found = sorted(p for p in folder.glob("*.safetensors") if p.is_file())
    for name in SAFE_NAMES:
        if folder / name in found:
            return folder / name
    if len(found) == 1:
        return found[0]
    if found:
        raise WeightsUnavailable(
            f"{folder} has several weight files: {', '.join(p.name for p in found)}",
            f"name one {SAFE_NAMES[0]}, or give the path of the file",
        )
    for pickle in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICKLES):
        check_safetensors(pickle)  # raises, with a hint how to convert it
    raise WeightsUnavailable(f"there are no weights in {folder}", f"put {SAFE_NAMES[0]} there")


def _tokenizer(model_cfg: Mapping[str, Any], folder: Path) -> Path | None:
    repository = tokenizer_repository(model_cfg)
    if repository is None:
        return None
    for place in (folder, cached_snapshot(repository)):
        if place is not None and (place / "tokenizer.json").is_file():
            return place
    raise WeightsUnavailable(
        f"the tokenizer of this model is neither in {folder} nor in {hub_cache()} ({repository})",
        f"put tokenizer.json and tokenizer_config.json of {repository} beside the weights",
    )


def _model_cfg(raw: object, where: Path) -> Mapping[str, Any]:
    towers = isinstance(raw, dict) and all(isinstance(raw.get(k), dict) for k in ("vision_cfg", "text_cfg"))
    if not isinstance(raw, dict) or not towers or not isinstance(raw.get("embed_dim"), int):
        raise WeightsUnavailable(
            f"{where} has no model_cfg with embed_dim, vision_cfg and text_cfg",
            "copy open_clip_config.json from where the weights came from",
        )
    return raw


def licence_of(name: str) -> str:
    """Licence of a model, from our table."""
    row = MODELS.get(name)
    return row.licence if row is not None else UNKNOWN_LICENCE


def _maths(model_cfg: Mapping[str, Any]) -> dict[str, object]:
    def strip(value: object) -> object:
        if isinstance(value, Mapping):
            return {k: strip(v) for k, v in value.items() if k not in _NOT_MATHS}
        return value

    stripped = strip(json.loads(json.dumps(dict(model_cfg))))
    if not isinstance(stripped, dict):
        raise EncoderError("model_cfg is not an object", "correct open_clip_config.json")
    return stripped


def _exp(log_scale: float) -> float:
    from math import exp

    if not -20 < log_scale < 20:
        raise EncoderError(f"the weights hold a logit scale of e^{log_scale}", "they are damaged")
    return exp(log_scale)


def _not_here(name: str, repository: str, names: tuple[str, ...]) -> WeightsUnavailable:
    if not repository:
        return WeightsUnavailable(
            f"{name} is not published as safetensors on the hub",
            "download it by hand, convert it to safetensors, and give local-dir:FOLDER",
        )
    return WeightsUnavailable(
        f"the weights of {name} are not on this machine; looked in {hub_cache()} for {repository} "
        f"({' or '.join(names)})",
        f"photoseek models fetch --weights {name} (or, with no network, put them in a folder with {CONFIG} "
        f"and give local-dir:FOLDER)",
    )
