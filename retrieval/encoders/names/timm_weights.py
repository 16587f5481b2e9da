"""Find the files of an image-only model on the local disk by its name; no download, no torch for listed models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.checks import load_json
from retrieval.encoders.files.safetensors_file import PICKLES, check_safetensors
from retrieval.encoders.names.hub import cached_snapshot, hub_cache
from retrieval.encoders.names.image_models import TIMM, ImageForm, Pool, parse_image_name
from retrieval.encoders.names.open_clip import preprocessing_from
from retrieval.encoders.names.open_clip_weights import CONFIG, HF_HUB, LOCAL_DIR, UNKNOWN_LICENCE
from retrieval.encoders.names.timm import find_checkpoint, timm_tables
from retrieval.errors import SettingsError, UnknownEncoder, WeightsUnavailable

TIMM_CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc-by-nc-4.0": "CC-BY-NC-4.0"}
# Model arguments that a folder may set. Other arguments of timm read files (also pickles) or access the hub.
_ARGUMENTS = frozenset({
    "class_token", "depth", "embed_dim", "global_pool", "img_size", "init_values", "mlp_ratio", "no_embed_class",
    "num_heads", "num_reg_tokens", "patch_size", "pre_norm", "qk_norm", "qkv_bias", "reg_tokens", "use_fc_norm",
    "layers", "channels", "depths", "dims", "stem_width", "stem_type",
})  # fmt: skip
_MOST = 16384


@dataclass(frozen=True)
class ImageSource:
    """An image-only model whose weights are completely on the local disk.

    Args:
        name: canonical.
        family: ``vit``, ``dinov2``, ... or ``timm``.
        origin: checkpoint and repository or file.
        architecture: timm's ``ARCHITECTURE.TAG``, or ``ARCHITECTURE`` if a folder defines the rest.
        record: timm's record of the checkpoint.
        model_args: the architecture's arguments that a folder changes.
        pool: which feature is the embedding.
        preprocessing: from the record; see :func:`_preprocessing`.
        meta_positions: see ``image_models.ImageModel``.
        weights: a safetensors file that passed ``check_safetensors``.
        dim: embedding dimension, if the table has it; 0 means that the architecture determines it.
    """

    name: str
    family: str
    origin: str
    architecture: str
    record: Mapping[str, Any]
    pool: Pool
    preprocessing: Preprocessing
    weights: Path
    licence: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    meta_positions: bool = False
    dim: int = 0


def is_image_only(name: str) -> bool:
    """True for names of image-only models, and for folders and cached repositories in timm's layout.

    Raises:
        SettingsError: an invalid pooling or size.
    """
    return parse_image_name(name) is not None or _timm_folder(name) is not None


def find_image_source(name: str) -> ImageSource:
    """Find the files of ``MODEL[+POOL][@SIZE][=PATH]``, ``local-dir:PATH`` or ``hf-hub:ORG/REPO`` in timm's layout.

    Raises:
        UnknownEncoder: timm does not have this checkpoint.
        WeightsUnavailable: the weights are not on the local disk, damaged or a pickle; the hint says how to get them.
        SettingsError: an invalid pooling or size.
        EncoderError: unsupported preprocessing.
    """
    form = parse_image_name(name)
    if form is not None:
        return _from_form(form)
    folder = _timm_folder(name)
    if folder is None:
        raise UnknownEncoder(f"{name!r} is not an image-only model", f"there is no {TIMM_CONFIG} of timm in it")
    config = _config(folder)
    assert config is not None, "a folder without a configuration is not in timm's layout"
    architecture, record, arguments = config
    weights = _given(Path(name)) if name.endswith(".safetensors") else _checked(folder)
    return ImageSource(
        name=name,
        family="timm",
        origin=f"{folder.resolve().name}/{weights.name}",  # no local path: exports may be moved to other machines
        architecture=architecture,
        record=record,
        pool="own",
        preprocessing=_preprocessing(record, None, None, name),
        weights=weights,
        licence=_licence(record),
        model_args=arguments,
    )


def hub_weights(record: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Hub repository of a checkpoint and the safetensors names to look for in it."""
    file = str(record.get("hf_hub_filename") or WEIGHTS)
    return str(record.get("hf_hub_id") or ""), (Path(file).stem + ".safetensors",)


def _from_form(form: ImageForm) -> ImageSource:
    architecture, record = find_checkpoint(form.checkpoint)
    row, arguments = form.row, {}
    if row is None:
        form = replace(form, model=f"{TIMM}{architecture}")
    if form.path:
        given = Path(form.path).expanduser().resolve()  # stored in the gallery, which is used from any folder
        form = replace(form, path=str(given))
        weights, origin = _given(given), f"{architecture} ({given.name})"
        config = _config(weights.parent)
        if config is not None:
            if config[0].partition(".")[0] != architecture.partition(".")[0]:
                raise WeightsUnavailable(
                    f"{weights.parent / TIMM_CONFIG} says {config[0]}, not {architecture}", f"use {TIMM}{config[0]}"
                )
            arguments = config[2]
    else:
        weights, origin = _cached(form, record), f"timm {architecture} ({record.get('hf_hub_id')})"
    pool = form.pool or (row.pool if row else "own")
    size = form.size or (row.size if row else None)
    # The authors' crop belongs to their evaluation size; at the trained size, timm's record uses the whole picture.
    crop = row.crop if row and size != _native(record) else None
    preprocessing = _preprocessing(record, size, crop, form.name)
    return ImageSource(
        name=form.name,
        family=row.family if row else "timm",
        origin=origin,
        architecture=architecture,
        record=record,
        pool=pool,
        preprocessing=preprocessing,
        weights=weights,
        licence=row.licence if row else _licence(record),
        model_args=arguments,
        meta_positions=bool(row and row.meta_positions and preprocessing.size != _native(record)),
        dim=0 if row is None or arguments else row.dim * (2 if pool == "cls+gap" else 1),
    )


def _preprocessing(record: Mapping[str, Any], size: int | None, crop: float | None, where: str) -> Preprocessing:
    """timm's rule: scale to floor(size / crop_pct), then crop the centre; ``squash`` scales both sides."""
    side = size or _native(record)
    share = crop or float(record.get("crop_pct") or 0.875)
    if not 0.1 <= share <= 1:
        raise WeightsUnavailable(f"{where} crops to {share} of the picture", "correct crop_pct in its record")
    mode = record.get("crop_mode") or "center"
    raw = {**record, "resize_mode": "shortest" if mode == "center" else mode}
    found = preprocessing_from(raw, side, where)
    scaled = math.floor(side / share)
    return Preprocessing(
        found.size, found.resize, found.interpolation, found.mean, found.std, scaled if scaled != side else None
    )


def _native(record: Mapping[str, Any]) -> int:
    """The side that the weights were trained for."""
    size = record.get("input_size")
    if not isinstance(size, list | tuple) or len(size) != 3 or size[1] != size[2] or not isinstance(size[1], int):
        raise WeightsUnavailable("the model's record has no square input_size", "use another model")
    return size[1]


def _licence(record: Mapping[str, Any]) -> str:
    licence = record.get("license")
    return _SPDX.get(licence, licence) if isinstance(licence, str) and licence else UNKNOWN_LICENCE


def _cached(form: ImageForm, record: Mapping[str, Any]) -> Path:
    repository, names = hub_weights(record)
    snapshot = cached_snapshot(repository) if repository else None
    for name in names if snapshot else ():
        assert snapshot is not None
        if (snapshot / name).is_file():
            check_safetensors(snapshot / name)
            return snapshot / name
    place = f" for {repository} ({', '.join(names)})" if repository else ""
    raise WeightsUnavailable(
        f"the weights of {form.name} are not on this machine; looked in {hub_cache()}{place}",
        f"photoseek models fetch --weights {form.name} (or, with no network, give {form.name}=FILE.safetensors)",
    )


def _given(path: Path) -> Path:
    """A weight file, or the one in a folder."""
    if path.is_dir():
        return _checked(path)
    if not path.is_file():
        raise WeightsUnavailable(f"there is no file {path}", "check the path")
    if path.suffix.lower() != ".safetensors" and path.suffix.lower() not in PICKLES:
        raise SettingsError(f"{path} is not a .safetensors file", "only safetensors weights are supported")
    check_safetensors(path)  # refuses pickles, with a hint how to convert them
    return path


def _checked(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        check_safetensors(folder / WEIGHTS)
        return folder / WEIGHTS
    for pickle in sorted(p for p in folder.iterdir() if p.suffix.lower() in PICKLES):
        check_safetensors(pickle)  # raises, with a hint how to convert it
    raise WeightsUnavailable(f"there is no {WEIGHTS} in {folder}", "put it there, or give the path of the file")


def _timm_folder(name: str) -> Path | None:
    """The folder of a name if it is in timm's layout, that is, if its configuration names an architecture."""
    if name.startswith(HF_HUB):
        folder = cached_snapshot(name.removeprefix(HF_HUB))
    else:
        folder = Path(name.removeprefix(LOCAL_DIR)).expanduser()
        folder = folder.parent if folder.suffix == ".safetensors" else folder
    if folder is None or (folder / CONFIG).is_file() or not (folder / TIMM_CONFIG).is_file():
        return None
    return folder if isinstance(load_json(folder / TIMM_CONFIG).get("architecture"), str) else None


def _config(folder: Path) -> tuple[str, Mapping[str, Any], dict[str, Any]] | None:
    """(architecture, record, arguments) of a folder's configuration, or None if it is not timm's."""
    if not (folder / TIMM_CONFIG).is_file():
        return None
    data = load_json(folder / TIMM_CONFIG)
    architecture = data.get("architecture")
    if not isinstance(architecture, str):
        return None
    tables = timm_tables()
    default = tables.architectures.get(architecture.partition(".")[0])
    if default is None:
        raise UnknownEncoder(f"{folder / TIMM_CONFIG}: timm has no {architecture}", "use another model")
    record = data.get("pretrained_cfg")
    if not isinstance(record, dict):
        raise WeightsUnavailable(
            f"{folder / TIMM_CONFIG} has no pretrained_cfg",
            "it says how pictures are prepared; they differ between models",
        )
    arguments = data.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise WeightsUnavailable(f"{folder / TIMM_CONFIG}: model_args is not an object", "correct it")
    for key, value in arguments.items():
        if key not in _ARGUMENTS or not _is_plain(value):
            raise WeightsUnavailable(f"{folder / TIMM_CONFIG}: model_args.{key} is not supported", "leave it out")
    # Properties of the architecture that older configurations do not contain.
    own = {key: tables.checkpoints.get(default, {}).get(key) for key in ("fixed_input_size", "classifier")}
    return architecture, {**own, **record}, dict(arguments)


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 16 and all(_is_plain(each) for each in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0 <= value <= _MOST
    return value is None or isinstance(value, bool | str)
