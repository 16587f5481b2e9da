"""The encoder of an indexing run if the user named none, and advice on better ones."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retrieval.encoders.base import Encoder, EncoderSpec, OnTorch
from retrieval.encoders.installed import default_encoder_name
from retrieval.encoders.names.known_models import BUILTIN, PREFERENCE, canonical_name, is_builtin
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import (
    CpuOnly,
    EarlierBuiltin,
    EncoderError,
    GalleryNotFound,
    ModelGone,
    SettingsError,
    WeightsUnavailable,
)

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.gallery import Gallery

logger = logging.getLogger("photoseek")


class ModelInUse(NamedTuple):
    """A model that was not loaded; ``fingerprint`` is empty if it is only known after loading."""

    name: str
    fingerprint: str


def choose_encoder(
    gallery: Gallery,
    name: str | None,
    *,
    device: str = "auto",
    precision: str | None = None,
    compiled: bool = False,
) -> Encoder:
    """The encoder for a gallery.

    The model is the one named, else the one that the gallery was built with, else the best one installed. With
    ``device="auto"`` it runs on a GPU if torch finds one and has the model's weights; ``Encoder.device`` tells
    which is used.

    Args:
        compiled: run the image tower through torch.compile (see ``torch.encoder.TorchEncoder``).

    Raises:
        EncoderError: the model cannot be loaded (see ``registry.load_encoder``).
        SettingsError: an unknown device, or ``compiled`` with a model that does not run on torch.
    """
    encoder = _chosen(gallery, name, device, precision)
    if compiled:
        if not isinstance(encoder, OnTorch):
            raise SettingsError(
                f"only torch models can be compiled, and {encoder.spec.name} runs on {encoder.device}",
                "omit --compile, or give a torch model and --device cuda",
            )
        encoder.compile_images()
    return encoder


def choose_for_indexing(
    gallery: Gallery,
    name: str | None,
    *,
    device: str = "auto",
    precision: str | None = None,
    compiled: bool = False,
) -> Encoder:
    """:func:`choose_encoder` for ``photoseek index``: an earlier version of the built-in model is replaced by today's.

    Searches use the old embeddings until the new model has encoded every picture (``Indexer``).
    """
    try:
        return choose_encoder(gallery, name, device=device, precision=precision, compiled=compiled)
    except EarlierBuiltin:
        logger.warning("this gallery's model is of an earlier photoseek: every picture is encoded again by %s", BUILTIN)
        return choose_encoder(gallery, BUILTIN, device=device, precision=precision, compiled=compiled)


def spec_for_indexing(reader: CatalogReader | None, name: str | None, *, precision: str | None = None) -> ModelInUse:
    """The model that :func:`choose_for_indexing` would choose, without loading it.

    Args:
        reader: of the gallery; None if there is no gallery yet.

    Raises:
        EncoderError: an unknown or damaged model, or another one than the gallery was built with.
    """
    row = reader.active_encoder() if reader is not None and name is None else None
    try:
        if row is None:
            spec = load_encoder(name or default_encoder_name(), runtime="onnx", precision=precision).spec  # type: ignore[arg-type]  # checked there
        else:
            spec = load_encoder_by_fingerprint(
                row.fingerprint,
                row.name,
                row.source,
                runtime="onnx",
                precision=precision,  # type: ignore[arg-type]  # checked there
            ).spec
    except EarlierBuiltin:
        spec = load_encoder(BUILTIN, runtime="onnx").spec
    except ModelGone:
        raise
    except WeightsUnavailable:  # a model on torch: identified by the name that it has in the gallery
        if row is None and reader is not None:
            row = next((each for each in reader.encoders() if each.name == canonical_name(name or "")), None)
        return ModelInUse(name or "", "") if row is None else ModelInUse(row.name, row.fingerprint)
    return ModelInUse(spec.name, spec.fingerprint)


def _chosen(gallery: Gallery, name: str | None, device: str, precision: str | None) -> Encoder:
    if device == "auto" and not is_builtin(name or "") and _torch_sees_a_gpu():
        try:
            return _load(gallery, name, "cuda", precision)
        except CpuOnly:
            pass
        except EncoderError as error:
            logger.warning("there is a GPU, but it is not used: %s", error.message)
    return _load(gallery, name, None if device == "auto" else device, precision)


def _load(gallery: Gallery, name: str | None, device: str | None, precision: str | None) -> Encoder:
    if name is not None:
        return load_encoder(name, device=device, precision=precision)  # type: ignore[arg-type]  # checked there
    if gallery.exists():
        try:
            with gallery.reader() as reader:
                row = reader.active_encoder()
        except GalleryNotFound:  # a first run was interrupted before it created any table: the catalog is empty
            row = None
        if row is not None:
            return load_encoder_by_fingerprint(
                row.fingerprint,
                row.name,
                row.source,
                device=device,
                precision=precision,  # type: ignore[arg-type]  # checked there
            )
    return load_encoder(default_encoder_name(), device=device, precision=precision)  # type: ignore[arg-type]


def _torch_sees_a_gpu() -> bool:
    """Ask torch only if a driver's device file exists: importing torch takes longer than a small run."""
    if not Path("/dev/nvidiactl").exists() or find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def advice(spec: EncoderSpec) -> list[str]:
    """What the user should know about the chosen model; empty unless it is the built-in one."""
    if spec.name != BUILTIN:
        return []
    return [
        "        (small and offline: it knows everyday things, but no people, actions or places;",
        f"        a real model is one command away: photoseek models fetch {PREFERENCE[0]})",
    ]
