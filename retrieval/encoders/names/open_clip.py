"""Names of open_clip models: ``MODEL/TAG`` to architecture, preprocessing and hub repository."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.checks import number_or_none, write_atomically
from retrieval.errors import EncoderError, RuntimeUnavailable, UnknownEncoder, WeightsUnavailable

log = logging.getLogger("photoseek")

QUICKGELU = "-quickgelu"
INSTALL_TORCH = 'pip install "photoseek[torch]"'
RESIZE_MODES = ("shortest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")

T = TypeVar("T")


@dataclass(frozen=True)
class Tables:
    """open_clip's own registries: architecture per model name, and settings per model name and tag."""

    models: Mapping[str, Mapping[str, Any]]
    tags: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class TaggedModel:
    """One published checkpoint of open_clip's table.

    Args:
        model: architecture name; the ``-quickgelu`` variant if the checkpoint was trained with it.
        tag: as open_clip spells it.
        model_cfg: towers, widths, image size, tokenizer.
        tag_cfg: mean, std, resize mode, hub repository of the weights.
    """

    model: str
    tag: str
    model_cfg: Mapping[str, Any]
    tag_cfg: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.model}/{self.tag}"


def split_name(name: str) -> tuple[str, str]:
    """``MODEL/TAG``, ``MODEL:TAG`` or ``MODEL__TAG`` -> (model, tag).

    Raises:
        UnknownEncoder: none of these forms.
    """
    for separator in ("__", "/", ":"):
        model, found, tag = name.partition(separator)
        if found and model and tag:
            return model, tag
    raise UnknownEncoder(
        f"{name!r} is not a model name", "write MODEL/TAG, for example ViT-B-32-256/datacomp_s34b_b86k"
    )


def find_tagged(name: str) -> TaggedModel:
    """Look up a name in open_clip's tables; a checkpoint trained with QuickGELU gets that architecture.

    open_clip only warns when ``ViT-B-32/openai`` is built with plain GELU, which costs 2.7 points of
    zero-shot accuracy (LAION-400M B/32), so the name is corrected here.

    Raises:
        UnknownEncoder: no such model or tag; the hint contains the nearest names.
        RuntimeUnavailable: open_clip is not installed.
    """
    tables = open_clip_tables()
    model, tag = split_name(name)
    tags = tables.tags.get(model, {})
    spelled = {clean_tag(t): t for t in tags}
    if model not in tables.models or clean_tag(tag) not in spelled:
        raise _unknown(name, model, tables)
    tag = spelled[clean_tag(tag)]
    config = tables.models[model]
    # In the opposite case (roberta-ViT-B-32) the architecture is right and the tag's record lacks the setting.
    if tags[tag].get("quick_gelu") and not config.get("quick_gelu"):
        model = f"{model}{QUICKGELU}"
        if model not in tables.models:
            raise UnknownEncoder(
                f"{name} was trained with QuickGELU, and open_clip has no such architecture",
                "use another tag of this model",
            )
        config = tables.models[model]
    return TaggedModel(model, tag, config, tags[tag])


def clean_tag(tag: str) -> str:
    """Tags are compared case-insensitively, with ``-`` equal to ``_`` (published exports are named that way)."""
    return tag.lower().replace("-", "_")


def family_of(name: str) -> str:
    """The family that a model name belongs to; determines only the advice given."""
    lowered = name.lower()
    for family in ("siglip2", "siglip", "mobileclip", "pe-core"):
        if family in lowered:
            return family.removesuffix("-core")
    return "clip"


def preprocessing_from(raw: Mapping[str, Any], size: object, where: str) -> Preprocessing:
    """Convert open_clip's preprocessing settings to ours.

    Args:
        raw: ``mean`` and ``std`` are required, because the families differ and a wrong guess would go unnoticed;
            ``resize_mode`` and ``interpolation`` default to open_clip's ``shortest`` and ``bicubic``.
        size: side in pixels, or [height, width].

    Raises:
        WeightsUnavailable: mean or std is missing or not three numbers.
        EncoderError: an unsupported resize mode, interpolation or size.
    """
    side = _side(size, where)
    resize = str(raw.get("resize_mode") or "shortest")
    interpolation = str(raw.get("interpolation") or "bicubic")
    if resize not in RESIZE_MODES or interpolation not in INTERPOLATIONS:
        raise EncoderError(
            f"{where} asks for resize mode {resize!r} and interpolation {interpolation!r}",
            f"supported are {', '.join(RESIZE_MODES)} and {', '.join(INTERPOLATIONS)}; use another model",
        )
    mean, std = (_triple(raw.get(key), key, where) for key in ("mean", "std"))
    if min(std) <= 0:
        raise WeightsUnavailable(f"{where}: std must be positive", "correct preprocess_cfg")
    return Preprocessing(side, resize, interpolation, mean, std)  # type: ignore[arg-type]


@cache
def open_clip_tables() -> Tables:
    """The registries of the installed open_clip, from a cached copy if there is one.

    Importing open_clip takes 3.4 s (torch), so its tables are stored as JSON next to the cached digests,
    one file per version.

    Raises:
        RuntimeUnavailable: open_clip is not installed.
    """
    return cached_tables("open_clip", "open_clip_torch", Tables, _import_tables)


def cached_tables(library: str, distribution: str, kind: type[T], read: Callable[[], T]) -> T:
    """A library's registries: read by ``read`` once per version, then from JSON.

    Args:
        library: its import name.
        distribution: its name on PyPI.
        kind: a dataclass of plain values.

    Raises:
        RuntimeUnavailable: the library is not installed.
    """
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise RuntimeUnavailable(f"{library} is not installed", INSTALL_TORCH) from error
    path = cache_folder() / f"{library}-{version}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return kind(**{name: data[name] for name in kind.__annotations__})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        tables = read()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(vars(tables)))
    except OSError as error:
        log.debug("%s's tables were not cached: %s", library, error)
    return tables


def cache_folder() -> Path:
    """The folder for cached data that can be computed again."""
    from platformdirs import user_cache_path

    return user_cache_path("photoseek", appauthor=False)


def _import_tables() -> Tables:
    try:
        import open_clip
    except ImportError as error:
        raise RuntimeUnavailable(f"open_clip cannot be imported ({error})", INSTALL_TORCH) from error
    models = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    tags: dict[str, dict[str, Any]] = {}
    for model, tag in open_clip.list_pretrained():
        tags.setdefault(model, {})[tag] = dict(open_clip.get_pretrained_cfg(model, tag))
    # Through JSON, so that the first and later runs see the same types (tuples become lists).
    raw = json.loads(json.dumps({"models": models, "tags": tags}))
    return Tables(raw["models"], raw["tags"])


def _unknown(name: str, model: str, tables: Tables) -> UnknownEncoder:
    known = {f"{m}/{t}".lower(): f"{m}/{t}" for m, tags in tables.tags.items() for t in tags}
    same = [n for n in known.values() if n.partition("/")[0].lower() == model.lower()]
    wanted = "/".join(split_name(name)).lower()
    near = [known[n] for n in difflib.get_close_matches(wanted, known, 5, 0.5)]
    hint = f"nearest: {', '.join(offered)}" if (offered := (near or same)[:5]) else "`photoseek models` lists some"
    return UnknownEncoder(f"open_clip has no model {name!r}", hint)


def _side(size: object, where: str) -> int:
    sides = size if isinstance(size, list | tuple) else [size]
    side = sides[0] if sides and all(each == sides[0] for each in sides) else None
    if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= 4096:
        raise EncoderError(f"{where} asks for pictures of size {size!r}", "only square inputs are supported")
    return side


def _triple(value: object, key: str, where: str) -> tuple[float, float, float]:
    try:
        if isinstance(value, list | tuple) and len(value) == 3:
            first, second, third = (number_or_none(key, v) for v in value)
            if first is not None and second is not None and third is not None:
                return first, second, third
    except ValueError:
        pass
    raise WeightsUnavailable(
        f"{where} does not say which {key} pictures are normalised with",
        "add preprocess_cfg {mean, std, resize_mode, interpolation} of this checkpoint; they differ between models",
    )
