"""Load encoders by name or fingerprint. Loading is cheap: it reads a description and imports no runtime."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from retrieval.config.process import lookup
from retrieval.encoders.base import FROM_PACKAGE, Encoder, EncoderFamily, Precision, RunOptions, Runtime
from retrieval.encoders.files.staging import folder_name
from retrieval.encoders.installed import (
    TORCH_FORMS,
    adapters_that_may_be,
    find_adapter,
    find_folder,
    folders_that_may_be,
    holds_model,
    installed,
    is_folder_only,
    model_gone,
    models_folder,
    recorded_place,
)
from retrieval.encoders.names.image_models import parse_image_name
from retrieval.encoders.names.known_models import BUILTIN, MODELS, canonical_name, is_builtin, unknown_encoder
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.int8 import int8_fingerprint
from retrieval.errors import (
    CpuOnly,
    EarlierBuiltin,
    EncoderError,
    EncoderMismatch,
    ModelGone,
    RetrievalError,
    RuntimeUnavailable,
    SettingsError,
    UnknownEncoder,
    WeightsUnavailable,
)

if TYPE_CHECKING:
    from retrieval.encoders.adapter import AdapterFolder
    from retrieval.encoders.torch.encoder import TorchEncoder

log = logging.getLogger("photoseek")

ENTRY_POINTS = "photoseek.encoders"
"""The entry-point group in which other packages declare a family: its name, and an :class:`EncoderFamily`."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_FAMILY = re.compile(r"[a-z][a-z0-9_-]+")


def load_encoder(
    name: str,
    *,
    runtime: Runtime = "auto",
    precision: Precision | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Encoder:
    """The encoder with this name; its towers are loaded at their first use.

    Args:
        name: ``builtin-224``, an installed model, a folder with ``encoder.json``; for the torch runtime an
            open_clip ``MODEL/TAG``, ``local-dir:PATH``, ``hf-hub:ORG/REPO``, or an image-only model (``image_models``);
            ``FAMILY:NAME`` of another package (see :class:`.base.EncoderFamily`).
        runtime: ``auto`` uses the ONNX form if it is installed, unless ``device`` requests a GPU.
        precision: of the image tower; ``None`` reads PHOTOSEEK_PRECISION, else ``auto``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; an unusable GPU is an error, there is no fallback to the CPU.
        threads: for the ONNX form on a CPU; ``None`` for all that this process may use.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, SettingsError.
    """
    if runtime not in get_args(Runtime):
        raise SettingsError(f"there is no runtime {runtime!r}", f"use one of {', '.join(get_args(Runtime))}")
    if device is not None and not _DEVICE.fullmatch(device):
        raise SettingsError(f"unknown device {device!r}", "use auto, cpu, cuda or cuda:N")
    options = RunOptions(runtime, _precision(precision), device, threads)
    for family in FAMILIES:
        found = family(name, options)
        if found is not None:
            return found
    raise _unknown(name)


def load_encoder_by_fingerprint(
    fingerprint: str,
    name: str,
    source: str = "",
    *,
    runtime: Runtime = "auto",
    precision: Precision | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Encoder:
    """The encoder that a gallery was built with, on any engine.

    An installed model with this fingerprint is preferred, whatever its name; then the folder recorded in
    ``source``, if it is one; else ``name`` is loaded as in :func:`load_encoder`. Only the gallery determines whether
    it runs in int8, because int8 embeddings have a separate fingerprint.

    Raises:
        EarlierBuiltin: it is an earlier version of the built-in model, whose weights no longer exist.
        EncoderMismatch: the model that now has this name or location is another one.
        ModelGone: its folder was moved or removed.
        WeightsUnavailable, RuntimeUnavailable, SettingsError: see :func:`load_encoder`.
    """
    chosen = _precision(precision)
    ours = "auto" if precision is None and chosen == "int8" else chosen  # only the gallery determines int8
    options = RunOptions(runtime, ours, device, threads)
    for adapter in adapters_that_may_be(name, source):
        if adapter.spec.fingerprint == fingerprint:
            return _with_base(adapter, options)
    if chosen == "int8":
        chosen = "auto"
    if not options.wants_torch:
        for folder in folders_that_may_be(name, source):
            if fingerprint == folder.spec.fingerprint:
                if precision == "int8":
                    log.warning("this gallery is not in int8: give --model %s too, to encode it again", name)
                return OnnxEncoder(folder, precision=chosen, threads=threads)
            if fingerprint == int8_fingerprint(folder.spec.fingerprint):
                return OnnxEncoder(folder, precision="int8", threads=threads)
    place = recorded_place(name, source)
    gone = place is not None and not holds_model(place)
    try:
        encoder = load_encoder(name, runtime=runtime, precision=chosen, device=device, threads=threads)
    except EncoderError as error:
        family = name.partition(":")[0]
        if isinstance(error, UnknownEncoder) and _FAMILY.fullmatch(family) and source.startswith(FROM_PACKAGE):
            raise ModelGone(
                f"no installed package has the encoders of {family}:, one of which made this gallery",
                f"install {source.removeprefix(FROM_PACKAGE)} again, or encode anew: photoseek index --model {BUILTIN}",
            ) from error
        if gone or (place is None and isinstance(error, UnknownEncoder)):
            raise model_gone(name, place or models_folder() / folder_name(name)) from error
        if not isinstance(error, UnknownEncoder):
            raise
        encoder = load_encoder(str(place), runtime=runtime, precision=chosen, device=device, threads=threads)
    if encoder.spec.fingerprint != fingerprint:
        if gone and place is not None:
            raise model_gone(name, place)
        if is_builtin(name):
            raise EarlierBuiltin(
                f"this gallery was built with {name} of an earlier photoseek ({fingerprint[:12]}), which this version "
                "does not have: it cannot encode new texts or pictures",
                f"run `photoseek index`: it encodes every picture again, with {BUILTIN}; "
                "until then earlier searches and `similar` go on",
            )
        raise EncoderMismatch(
            f"this gallery was built with {name} with fingerprint {fingerprint[:12]}, but the "
            f"{encoder.spec.name} of today has {encoder.spec.fingerprint[:12]}: other weights or settings",
            "install the model it was built with, or build the gallery again with `photoseek index --model`",
        )
    return encoder


def _adapter(name: str, options: RunOptions) -> Encoder | None:
    """Adapters: another encoder and a linear map."""
    adapter = find_adapter(name)
    return None if adapter is None else _with_base(adapter, options)


def _model_folder(name: str, options: RunOptions) -> Encoder | None:
    """The built-in model, and folders in our own form."""
    if options.wants_torch and not is_folder_only(name):
        return None
    folder = find_folder(name)
    if folder is not None and options.runtime == "torch":
        raise SettingsError(f"{name} is in ONNX form and cannot run on torch", "leave out the runtime")
    if folder is not None:
        if options.device not in (None, "auto", "cpu"):
            raise CpuOnly(
                f"{folder.spec.name} runs on the CPU only, but {options.device} was requested",
                "omit --device, or name a torch model with --model (see: photoseek models)",
            )
        return OnnxEncoder(folder, precision=options.precision, threads=options.threads)
    path = Path(name).expanduser()
    if path.is_absolute() and not path.exists():
        raise UnknownEncoder(f"there is no {path}, so no model in it", "look at the path, or name a model")
    if options.runtime == "onnx":
        raise _not_installed(name)
    return None


def _on_torch(name: str, options: RunOptions) -> Encoder:
    """All other supported names."""
    return load_on_torch(name, precision=options.precision, device=options.device)


def _of_another_package(name: str, options: RunOptions) -> Encoder | None:
    """``FAMILY:NAME``, if an installed package has declared the family."""
    family, colon, rest = name.partition(":")
    if not colon or not _FAMILY.fullmatch(family):
        return None
    from importlib.metadata import entry_points  # takes longer than a query, so only for names of this form

    for entry in entry_points(group=ENTRY_POINTS, name=family):
        load: EncoderFamily = entry.load()
        encoder = load(rest, options)
        if encoder.spec.name != name:
            raise EncoderError(
                f"{entry.value} gave an encoder called {encoder.spec.name!r} for {name!r}",
                "a gallery could not load it again: its name has to be the one that was asked for",
            )
        return encoder
    return None


FAMILIES: tuple[Callable[[str, RunOptions], Encoder | None], ...] = (
    _of_another_package, _adapter, _model_folder, _on_torch,
)  # fmt: skip
"""Tried in this order; the first that recognises a name loads it."""


def _with_base(adapter: AdapterFolder, options: RunOptions) -> Encoder:
    from retrieval.encoders.adapter import adapted

    try:
        base = load_encoder_by_fingerprint(
            adapter.base.fingerprint,
            adapter.base.name,
            adapter.base.source,
            runtime=options.runtime,
            precision=options.precision,
            device=options.device,
            threads=options.threads,
        )
    except ModelGone as error:  # the base's location is stored in the adapter, which no command changes
        raise ModelGone(
            f"{error.message}, and {adapter.spec.name} was trained on it",
            f"put it back, or into the models folder {models_folder()}",
        ) from error
    except EarlierBuiltin as error:
        raise EncoderMismatch(
            f"{adapter.spec.name} was trained on {adapter.base.name} of an earlier photoseek, not on {BUILTIN}",
            f"train it again, or continue without it: photoseek index --model {BUILTIN}",
        ) from error
    return adapted(adapter, base)


def load_on_torch(name: str, *, precision: str | None = None, device: str | None = None) -> TorchEncoder:
    """The torch form of a name, regardless of other installed forms.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, SettingsError.
    """
    if not Path(name).expanduser().exists():  # a path is not a name: "__" in it is kept
        name = canonical_name(name)
    is_image_only = parse_image_name(name) is not None
    engine = "timm" if is_image_only else "open_clip"
    if find_spec("torch") is None or find_spec(engine) is None:
        if name not in MODELS and not name.startswith(TORCH_FORMS) and not is_image_only:
            raise _unknown(name)
        hint = "pip install 'photoseek[torch]'"
        if name in MODELS and MODELS[name].onnx_repo:
            hint = f"`photoseek models fetch {name}` brings a form that needs no torch; or {hint}"
        raise RuntimeUnavailable(f"{name} is not installed, and torch is not there to run it", hint)
    from retrieval.encoders.names.timm_weights import is_image_only as is_image_only_here

    if is_image_only or is_image_only_here(name):
        from retrieval.encoders.torch.image_only import load_image_encoder

        return load_image_encoder(name, device=device, precision=precision)
    from retrieval.encoders.torch.clip import load_clip_encoder

    return load_clip_encoder(name, device=device, precision=precision)


def _not_installed(name: str) -> RetrievalError:
    known = canonical_name(name)
    if known not in MODELS and not known.startswith(TORCH_FORMS) and parse_image_name(known) is None:
        return _unknown(name)
    verbs = ["fetch", "export"] if known in MODELS and MODELS[known].onnx_repo else ["export"]
    return WeightsUnavailable(
        f"{known} is not installed in its ONNX form (looked in {models_folder()})",
        " or ".join(f"`photoseek models {verb} {known}`" for verb in verbs),
    )


def _unknown(name: str) -> RetrievalError:
    return unknown_encoder(name, tuple(spec.name for spec in installed()))


def _precision(given: Precision | None) -> Precision:
    value = given or lookup("precision", "PHOTOSEEK_PRECISION") or "auto"
    for known in get_args(Precision):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"there is no precision {value!r}", f"use one of {', '.join(get_args(Precision))}")
