"""From a name to the subject of an explanation: a model's record, its shape or counted parts, and if it can be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.encoders.adapter import AdaptedEncoder
from retrieval.encoders.base import Encoder, EncoderSpec, Preprocessing
from retrieval.encoders.files.description import EncoderFolder
from retrieval.encoders.names.image_models import TIMM, ImageForm, parse_image_name
from retrieval.encoders.names.known_models import MODELS, canonical_name
from retrieval.encoders.names.open_clip import family_of, find_tagged, preprocessing_from, split_name
from retrieval.encoders.registry import load_encoder
from retrieval.errors import (
    CpuOnly,
    EncoderError,
    RetrievalError,
    RuntimeUnavailable,
    UnknownEncoder,
    WeightsUnavailable,
)
from retrieval.lab.explain.configs import config_shape, config_text
from retrieval.lab.explain.cost import Part, image_parts, text_parts
from retrieval.lab.explain.families import open_clip_shape, timm_shape
from retrieval.lab.explain.graph import read_graph
from retrieval.lab.explain.graph_cost import graph_cost
from retrieval.lab.explain.graph_shape import graph_shape, text_shape
from retrieval.lab.explain.shape import ModelShape, TextShape, VisionShape, check_patches

FORMULAS, GRAPH, COUNTED, TORCH, TABLE = (
    "formulas over its shape",
    "formulas over the shape read from image.onnx",
    "counted over the graph in image.onnx",
    "counted by torch on its meta device",
    "the table of models",
)


@dataclass(frozen=True)
class Anatomy:
    """The composition of a model.

    Args:
        shape: None if it is not a supported kind of vision transformer.
        image, text: parts of the towers, empty if they cannot be counted.
        counted: how they were determined.
        trained_size: size in pixels of the stored position embeddings, if it is another one.
        grid: positions along a side of the pooled map, for models other than plain vision transformers;
            ``text_shape`` of its text tower.
    """

    shape: ModelShape | None
    image: tuple[Part, ...]
    text: tuple[Part, ...]
    counted: str
    trained_size: int | None = None
    grid: int | None = None
    text_shape: TextShape | None = None


@dataclass(frozen=True)
class Subject:
    """A model to explain.

    Args:
        name, family, licence: as in ``photoseek models``.
        anatomy: see there.
        preprocessing: None if neither the model nor the library that has it is installed.
        spec: of the encoder, if it is installed.
        encoder: the same, without loaded towers.
        missing: why it cannot be run, "" if it can.
        stands_on: the base encoder of an adapter.
        trained_here: trained by photoseek, so the family's published recipe does not apply.
    """

    name: str
    family: str
    licence: str
    anatomy: Anatomy
    preprocessing: Preprocessing | None
    encoder: Encoder | None = None
    missing: str = ""
    stands_on: str = ""
    trained_here: bool = False

    @property
    def spec(self) -> EncoderSpec | None:
        """The record of the model, if it is installed."""
        return None if self.encoder is None else self.encoder.spec


def find_subject(name: str, *, device: str | None = None) -> Subject:
    """The subject with this name; no weights are loaded, nothing is downloaded.

    Args:
        name: from the table, of open_clip (``MODEL/TAG`` or only the architecture), of timm (``timm:NAME`` or
            only the architecture), an adapter, or a path; see ``registry.load_encoder``.

    Raises:
        UnknownEncoder: the name is unknown.
        WeightsUnavailable: a path whose model is damaged.
        EncoderError, SettingsError: an invalid shape, or a damaged model.
    """
    if (bare := _bare_architecture(name)) is not None:
        return bare
    try:
        encoder = load_encoder(name, device=device)
    except CpuOnly:
        raise
    except (WeightsUnavailable, RuntimeUnavailable) as error:
        if Path(name).expanduser().exists() or name.startswith(("local-dir:", "hf-hub:")) or "=" in name:
            raise
        return _by_name(name, error)
    return _installed(encoder)


def _installed(encoder: Encoder) -> Subject:
    stands_on = ""
    inner: Any = encoder
    if isinstance(encoder, AdaptedEncoder):
        inner, stands_on = encoder.base, encoder.base.spec.name
    spec, folder = encoder.spec, getattr(inner, "folder", None)
    source: Any = getattr(inner, "source", None)
    if isinstance(folder, EncoderFolder):
        anatomy = _of_folder(folder)
    elif hasattr(source, "model_cfg"):
        anatomy = _of_config(source.model_cfg, inner.spec.name)
    else:
        form = parse_image_name(inner.spec.name)
        arguments = getattr(source, "model_args", {})
        anatomy = _of_timm(getattr(source, "architecture", ""), inner.spec.preprocessing.size, form, arguments)
    return Subject(
        spec.name,
        spec.family,
        spec.licence,
        anatomy,
        spec.preprocessing,
        encoder=encoder,
        stands_on=stands_on,
        # A model found by its path has the folder's path instead of "trained" as its source.
        trained_here=spec.source in ("builtin", "trained") or anatomy.counted in (GRAPH, COUNTED),
    )


def _of_folder(folder: EncoderFolder) -> Anatomy:
    size = folder.spec.preprocessing.size
    known = _known_shape(folder.spec.name, size)
    if known is not None:
        return _formulas(known, FORMULAS)
    graph = read_graph(folder.file(folder.image.file))
    image, text = graph_shape(graph, size), text_shape(folder)
    parts = text_parts(text) if text else ()
    if image is None:
        cost = graph_cost(graph, size)
        if cost is None:
            return Anatomy(None, (Part("all weights", graph.parameters, 0),), parts, GRAPH)
        return Anatomy(None, cost.parts, parts, COUNTED, grid=cost.grid, text_shape=text)
    return Anatomy(ModelShape(image, text), image_parts(image), parts, GRAPH)


def _known_shape(name: str, size: int) -> ModelShape | None:
    """The shape of an exported model whose name identifies its architecture."""
    form = parse_image_name(name)
    if form is not None:
        shape = timm_shape(form.checkpoint, size)
        return None if shape is None else ModelShape(_pooled(shape, form))
    shape_ = open_clip_shape(name.partition("/")[0]) if name in MODELS else None
    return None if shape_ is None or shape_.image.size != size else shape_


def _by_name(name: str, error: EncoderError) -> Subject:
    form, missing = parse_image_name(name), error.message
    if form is not None:
        row = MODELS.get(form.row.name) if form.row else None
        size = form.size or (row.size if row else None)
        return Subject(
            form.name,
            row.family if row else "timm",
            row.licence if row else "see timm's record",
            _of_timm(form.checkpoint, size, form, {}),
            None,
            missing=missing,
        )
    known = canonical_name(name)
    row, cfg, prepared = MODELS.get(known), None, None
    if find_spec("open_clip") is not None:
        tagged = find_tagged(known)
        known, cfg = tagged.name, tagged.model_cfg
        row = MODELS.get(known)
        prepared = _prepared(tagged.tag_cfg, cfg, known)
    return Subject(
        known,
        row.family if row else family_of(known),
        row.licence if row else "see where the weights come from",
        _of_config(cfg, known) if cfg is not None else _of_architecture(split_name(known)[0], known),
        prepared,
        missing=missing,
    )


def _prepared(tag_cfg: Mapping[str, Any], cfg: Mapping[str, Any], name: str) -> Preprocessing | None:
    try:
        return preprocessing_from(tag_cfg, cfg["vision_cfg"].get("image_size", 224), name)
    except RetrievalError:
        return None


def _bare_architecture(name: str) -> Subject | None:
    """An architecture without weights: ``ViT-B-16``, ``vit_base_patch8_224``."""
    if Path(name).expanduser().exists():
        return None
    image = timm_shape(name)
    shape = open_clip_shape(name) if image is None else ModelShape(check_patches(image, name))
    if shape is None:
        return None
    family = "vit" if image is not None else family_of(name)
    return Subject(
        name, family, "no weights named", _formulas(shape, FORMULAS), None, missing=f"{name} is an architecture"
    )


def _of_config(cfg: Mapping[str, Any], name: str) -> Anatomy:
    known = config_shape(cfg) or (open_clip_shape(name.partition("/")[0]) if name in MODELS else None)
    if known is not None:
        return _formulas(known, FORMULAS)
    if find_spec("torch") is None or find_spec("open_clip") is None:
        return _tabled(name)
    from retrieval.lab.explain.built import open_clip_parts

    text = config_text(cfg)
    return Anatomy(None, open_clip_parts(cfg), text_parts(text) if text else (), TORCH)


def _of_architecture(model: str, name: str) -> Anatomy:
    known = open_clip_shape(model)
    return _tabled(name) if known is None else _formulas(known, FORMULAS)


def _of_timm(checkpoint: str, size: int | None, form: ImageForm | None, arguments: Mapping[str, Any]) -> Anatomy:
    architecture = checkpoint.removeprefix(TIMM).partition(".")[0]
    shape = None if arguments else timm_shape(architecture, size)
    if shape is not None:
        anatomy = _formulas(ModelShape(check_patches(_pooled(shape, form), architecture)), FORMULAS)
        own = timm_shape(architecture)
        return replace(anatomy, trained_size=own.size if own and own.size != shape.size else None)
    if find_spec("torch") is None or find_spec("timm") is None:
        return _tabled(form.row.name if form and form.row else "")
    from retrieval.lab.explain.built import timm_parts

    return Anatomy(None, timm_parts(architecture, size, arguments), (), TORCH)


def _pooled(shape: VisionShape, form: ImageForm | None) -> VisionShape:
    asked = form.pool or (form.row.pool if form.row else None) if form else None
    return replace(shape, pool="mean") if asked == "gap" else shape


def _formulas(shape: ModelShape, counted: str) -> Anatomy:
    return Anatomy(shape, image_parts(shape.image), text_parts(shape.text) if shape.text else (), counted)


def _tabled(name: str) -> Anatomy:
    row = MODELS.get(name)
    if row is None:
        raise UnknownEncoder(
            f"the shape of {name or 'this model'} is not known without torch", "pip install 'photoseek[torch]'"
        )
    image = Part("all weights", round(row.image_params * 1e6), round(row.gflops * 1e9))
    text = (Part("all weights", round(row.text_params * 1e6), 0),) if row.text_params else ()
    return Anatomy(None, (image,), text, TABLE)
