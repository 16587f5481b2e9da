"""From a name to an encoder. Loading is cheap: a description is read, no engine is imported."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from retrieval.encoders.base import Encoder, EncoderSpec
from retrieval.encoders.files.description import DESCRIPTION, EncoderFolder, is_adapter, read_encoder_folder
from retrieval.encoders.files.staging import folder_name
from retrieval.encoders.moved import holds_model, model_gone, recorded_place
from retrieval.encoders.names.image_models import TIMM, parse_image_name
from retrieval.encoders.names.models import BUILTIN, MODELS, PREFERENCE, canonical_name, is_builtin, unknown_encoder
from retrieval.encoders.onnx.encoder import OnnxEncoder, Precision
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

Runtime = Literal["auto", "onnx", "torch"]
BUILTIN_FOLDER = Path(__file__).with_name("builtin")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_TORCH_FORMS = ("local-dir:", "hf-hub:", TIMM)
"""Beginnings of names that say where a model for torch comes from."""


def models_folder() -> Path:
    """Where fetched and exported models are: PHOTOSEEK_MODELS, else ``models`` in the user's data folder."""
    given = os.environ.get("PHOTOSEEK_MODELS")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("photoseek")) / "models"


def folder_for(name: str) -> Path:
    """The folder that a fetched or exported model of this name gets: ``MODEL__TAG``.

    Raises:
        SettingsError: the name cannot be a folder's.
    """
    plain = canonical_name(name).replace("/", "__")
    if not plain or plain.startswith(".") or any(c in '\\:*?"<>|\0' for c in plain):
        raise SettingsError(f"{name!r} cannot be the name of an installed model", "use MODEL/TAG")
    return models_folder() / plain


def installed() -> list[EncoderSpec]:
    """Models that run without torch: the built-in one, then those in the models folder, by name; then adapters."""
    return [*(folder.spec for folder in _installed_folders()), *(adapter.spec for adapter in _installed_adapters())]


def default_encoder_name() -> str:
    """The best installed model in the order of ``models.PREFERENCE`` that has text and no research licence."""
    here = {spec.name for spec in installed()}
    rest = [name for name, row in MODELS.items() if name not in PREFERENCE and name != BUILTIN]
    for name in (*PREFERENCE, *rest):
        if name in here and MODELS[name].has_text and not MODELS[name].research_only:
            return name
    return BUILTIN


def load_encoder(
    name: str,
    *,
    runtime: Runtime = "auto",
    precision: Precision | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Encoder:
    """The encoder of a name; its towers wake at their first use.

    Args:
        name: ``builtin-224``, an installed model, a folder with ``encoder.json``; for the torch runtime an
            open_clip ``MODEL/TAG``, ``local-dir:PATH``, ``hf-hub:ORG/REPO``, or an image-only model (``image_models``).
        runtime: ``auto`` takes the ONNX form where it is installed, unless ``device`` asks for a GPU.
        precision: of the image tower; ``None`` reads PHOTOSEEK_PRECISION, else ``auto``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU that cannot be used is an error, never the CPU instead.
        threads: for the ONNX form on a CPU; ``None`` for all that this process may use.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, SettingsError.
    """
    if runtime not in get_args(Runtime):
        raise SettingsError(f"no runtime is called {runtime!r}", f"use one of {', '.join(get_args(Runtime))}")
    adapter = _find_adapter(name)
    if adapter is not None:
        return _with_base(adapter, runtime=runtime, precision=precision, device=device, threads=threads)
    chosen = _precision(precision)
    if device is not None and not _DEVICE.fullmatch(device):
        raise SettingsError(f"unknown device {device!r}", "use auto, cpu, cuda or cuda:N")
    wants_torch = _wants_torch(runtime, device)
    if not wants_torch or _is_folder_only(name):
        folder = _find_folder(name)
        if folder is not None and runtime == "torch":
            raise SettingsError(f"{name} is in ONNX form and cannot run on torch", "leave out the runtime")
        if folder is not None:
            if device not in (None, "auto", "cpu"):
                raise CpuOnly(
                    f"{folder.spec.name} runs on the CPU alone, and {device} was asked for",
                    "leave out --device, or name a model for torch with --model (see: photoseek models)",
                )
            return OnnxEncoder(folder, precision=chosen, threads=threads)
        path = Path(name).expanduser()
        if path.is_absolute() and not path.exists():
            raise UnknownEncoder(f"there is no {path}, so no model in it", "look at the path, or name a model")
        if runtime == "onnx":
            raise _not_installed(name)
    return load_on_torch(name, precision=chosen, device=device)


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
    """The encoder that a gallery was built with, whatever engine runs it.

    An installed model with this fingerprint is taken first, whatever its name; then the folder that the
    recorded ``source`` names, if it is one; else ``name`` is loaded as :func:`load_encoder` does it. Whether it runs in
    int8 is up to the gallery alone: those embeddings have a fingerprint of their own.

    Raises:
        EarlierBuiltin: it is the built-in model of an earlier version, whose weights are gone.
        EncoderMismatch: what is called ``name`` today, or lies where it was, is another model.
        ModelGone: its folder was moved or removed.
        WeightsUnavailable, RuntimeUnavailable, SettingsError: see :func:`load_encoder`.
    """
    for adapter in _adapters_that_may_be(name, source):
        if adapter.spec.fingerprint == fingerprint:
            return _with_base(adapter, runtime=runtime, precision=precision, device=device, threads=threads)
    chosen = _precision(precision)
    if chosen == "int8":
        chosen = "auto"
    if not _wants_torch(runtime, device):
        for folder in _folders_that_may_be(name, source):
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
                "does not have: it cannot read new words or pictures",
                f"run `photoseek index`: it encodes every picture again, with {BUILTIN}; "
                "until then earlier searches and `similar` go on",
            )
        raise EncoderMismatch(
            f"this gallery was built with {name} of fingerprint {fingerprint[:12]}, but the "
            f"{encoder.spec.name} of today has {encoder.spec.fingerprint[:12]}: other weights or settings",
            "install the model it was built with, or build the gallery again with `photoseek index --model`",
        )
    return encoder


def _with_base(
    adapter: AdapterFolder,
    *,
    runtime: Runtime,
    precision: Precision | None,
    device: str | None,
    threads: int | None,
) -> Encoder:
    from retrieval.encoders.adapter import adapted

    try:
        base = load_encoder_by_fingerprint(
            adapter.base.fingerprint,
            adapter.base.name,
            adapter.base.source,
            runtime=runtime,
            precision=precision,
            device=device,
            threads=threads,
        )
    except ModelGone as error:  # its place is written in the adapter, which no command changes
        raise ModelGone(
            f"{error.message}, and {adapter.spec.name} was trained on it",
            f"put it back, or into the models folder {models_folder()}",
        ) from error
    except EarlierBuiltin as error:
        raise EncoderMismatch(
            f"{adapter.spec.name} was trained on {adapter.base.name} of an earlier photoseek, not on {BUILTIN}",
            f"train it again, or go on without it: photoseek index --model {BUILTIN}",
        ) from error
    return adapted(adapter, base)


def _wants_torch(runtime: Runtime, device: str | None) -> bool:
    return runtime == "torch" or (runtime == "auto" and device not in (None, "auto", "cpu"))


def _folders_that_may_be(name: str, source: str) -> Iterator[EncoderFolder]:
    """The one of this name first, so that an ordinary query reads no other description."""
    first = _find_folder(name)
    if first is not None:
        yield first
    if source and (Path(source) / DESCRIPTION).is_file():
        yield _from_path(Path(source))
    yield from _installed_folders()


def _installed_folders() -> Iterator[EncoderFolder]:
    yield read_encoder_folder(BUILTIN_FOLDER)
    root = models_folder()
    try:
        paths = sorted(path for path in root.iterdir() if (path / DESCRIPTION).is_file())
    except OSError:
        return
    for path in paths:
        try:
            yield _read(path)
        except WeightsUnavailable as error:
            log.warning("model folder %s is left out: %s", path.name, error)


def _read(path: Path) -> EncoderFolder:
    """A folder that somebody else may have written: it is the built-in model only if its files are the same.

    Raises:
        WeightsUnavailable: see :func:`read_encoder_folder`; or it claims the built-in model's fingerprint.
    """
    folder = read_encoder_folder(path)
    claimed = folder.spec.fingerprint
    if claimed != folder.fingerprint_of_files():
        shipped = read_encoder_folder(BUILTIN_FOLDER).spec.fingerprint
        if claimed in (shipped, int8_fingerprint(shipped)):
            raise WeightsUnavailable(
                f"{path / DESCRIPTION} claims the fingerprint of {BUILTIN}, and its files are others",
                f"use {BUILTIN} itself, or export the model again, which gives it a fingerprint of its own",
            )
    return folder


def _installed_adapters() -> Iterator[AdapterFolder]:
    try:
        paths = sorted(path for path in models_folder().iterdir() if is_adapter(path))
    except OSError:
        return
    for path in paths:
        try:
            yield _read_adapter(path)
        except WeightsUnavailable as error:
            log.warning("adapter %s is left out: %s", path.name, error)


def _read_adapter(path: Path) -> AdapterFolder:
    from retrieval.encoders.adapter import read_adapter  # few have one, and a cold query would wait for the module

    return read_adapter(path)


def _find_adapter(name: str) -> AdapterFolder | None:
    """The adapter of a path or name."""
    path = Path(name).expanduser()
    if is_adapter(path):
        return _adapter_at(path)
    return next((each for each in _installed_adapters() if each.spec.name.casefold() == name.casefold()), None)


def _adapters_that_may_be(name: str, source: str) -> Iterator[AdapterFolder]:
    """One stat where the source is another kind of model, so that an ordinary query reads no folder for it."""
    if source and is_adapter(Path(source)):
        yield _adapter_at(Path(source))
    elif source in ("", "trained") or (Path(source).is_absolute() and not holds_model(Path(source))):
        yield from _installed_adapters()


def _adapter_at(path: Path) -> AdapterFolder:
    """An adapter outside the models folder; its path becomes its source, as for :func:`_from_path`."""
    found = _read_adapter(path)
    return replace(found, spec=replace(found.spec, source=str(path.resolve())))


def _find_folder(name: str) -> EncoderFolder | None:
    """The ONNX form of a name or path; a folder that is there but damaged raises, it is not passed over."""
    if is_builtin(name):
        return read_encoder_folder(BUILTIN_FOLDER)
    if name.startswith(_TORCH_FORMS) and not name.startswith(TIMM):
        return None
    path = Path(name).expanduser()
    if (path / DESCRIPTION).is_file():
        return _from_path(path)
    try:
        path = folder_for(name)
    except SettingsError:
        path = models_folder()  # an image-only model's ":" or "@": below, it is found by what its folder says
    if (path / DESCRIPTION).is_file():
        return _read(path)
    wanted = canonical_name(name).casefold()
    return next((f for f in _installed_folders() if f.spec.name.casefold() == wanted), None)


def _from_path(path: Path) -> EncoderFolder:
    """A folder outside the models folder; its path becomes the source, for a gallery to find it again."""
    folder = _read(path)
    return replace(folder, spec=replace(folder.spec, source=str(path.resolve())))


def _is_folder_only(name: str) -> bool:
    """True for what exists in ONNX form alone: the built-in model, and folders given by path."""
    if name.startswith(_TORCH_FORMS):
        return False
    return is_builtin(name) or (Path(name).expanduser() / DESCRIPTION).is_file()


def load_on_torch(name: str, *, precision: str | None = None, device: str | None = None) -> TorchEncoder:
    """The torch form of a name, whatever else is installed under it.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, SettingsError.
    """
    if not Path(name).expanduser().exists():  # a path is not a name: its own "__" stays
        name = canonical_name(name)
    is_image_only = parse_image_name(name) is not None
    engine = "timm" if is_image_only else "open_clip"
    if find_spec("torch") is None or find_spec(engine) is None:
        if name not in MODELS and not name.startswith(_TORCH_FORMS) and not is_image_only:
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
    if known not in MODELS and not known.startswith(_TORCH_FORMS) and parse_image_name(known) is None:
        return _unknown(name)
    verbs = ["fetch", "export"] if known in MODELS and MODELS[known].onnx_repo else ["export"]
    return WeightsUnavailable(
        f"{known} is not installed in its ONNX form (looked in {models_folder()})",
        " or ".join(f"`photoseek models {verb} {known}`" for verb in verbs),
    )


def _unknown(name: str) -> RetrievalError:
    return unknown_encoder(name, tuple(spec.name for spec in installed()))


def _precision(given: Precision | None) -> Precision:
    value = given or os.environ.get("PHOTOSEEK_PRECISION") or "auto"
    for known in get_args(Precision):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"no precision is called {value!r}", f"use one of {', '.join(get_args(Precision))}")
