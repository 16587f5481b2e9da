"""Installed models that need no torch: the built-in one, the models folder, adapters, folders given by path."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.config.process import lookup
from retrieval.encoders.base import EncoderSpec
from retrieval.encoders.files.description import ADAPTER, DESCRIPTION, EncoderFolder, is_adapter, read_encoder_folder
from retrieval.encoders.names.image_models import TIMM, parse_image_name
from retrieval.encoders.names.known_models import BUILTIN, MODELS, PREFERENCE, canonical_name, is_builtin
from retrieval.encoders.onnx.int8 import int8_fingerprint
from retrieval.errors import ModelGone, SettingsError, WeightsUnavailable

if TYPE_CHECKING:
    from retrieval.encoders.adapter import AdapterFolder

log = logging.getLogger("photoseek")

BUILTIN_FOLDER = Path(__file__).with_name("builtin")
TORCH_FORMS = ("local-dir:", "hf-hub:", TIMM)
"""Prefixes of names that state the source of a model for torch."""

_CONFIGURATIONS = (DESCRIPTION, ADAPTER, "open_clip_config.json", "config.json")
"""A model's folder contains one of these files: ours, open_clip's, timm's."""


def models_folder() -> Path:
    """The folder of fetched and exported models: the setting ``models``, else ``models`` in the user's data folder."""
    given = lookup("models", "PHOTOSEEK_MODELS")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_data_dir

    return Path(user_data_dir("photoseek")) / "models"


def folder_for(name: str) -> Path:
    """The folder of a fetched or exported model with this name: ``MODEL__TAG``.

    Raises:
        SettingsError: the name cannot be the name of a folder.
    """
    plain = canonical_name(name).replace("/", "__")
    if not plain or plain.startswith(".") or any(c in '\\:*?"<>|\0' for c in plain):
        raise SettingsError(f"{name!r} cannot be the name of an installed model", "use MODEL/TAG")
    return models_folder() / plain


def installed() -> list[EncoderSpec]:
    """Models that run without torch: the built-in one, then those in the models folder by name, then adapters."""
    return [*(folder.spec for folder in _installed_folders()), *(adapter.spec for adapter in _installed_adapters())]


def default_encoder_name() -> str:
    """The setting ``model``, else the best installed model in the order of ``PREFERENCE`` with a text tower and no
    research-only licence."""
    if wanted := lookup("model", "PHOTOSEEK_MODEL"):
        return str(wanted)
    here = {spec.name for spec in installed()}
    rest = [name for name, row in MODELS.items() if name not in PREFERENCE and name != BUILTIN]
    for name in (*PREFERENCE, *rest):
        if name in here and MODELS[name].has_text and not MODELS[name].research_only:
            return name
    return BUILTIN


def find_adapter(name: str) -> AdapterFolder | None:
    """The adapter with this path or name."""
    path = Path(name).expanduser()
    if is_adapter(path):
        return _adapter_at(path)
    return next((each for each in _installed_adapters() if each.spec.name.casefold() == name.casefold()), None)


def adapters_that_may_be(name: str, source: str) -> Iterator[AdapterFolder]:
    """Candidates for a name. One stat if the source is another kind of model: ordinary queries read no folder."""
    if source and is_adapter(Path(source)):
        yield _adapter_at(Path(source))
    elif source in ("", "trained") or (Path(source).is_absolute() and not holds_model(Path(source))):
        yield from _installed_adapters()


def find_folder(name: str) -> EncoderFolder | None:
    """The ONNX form of a name or path; a folder that exists but is damaged raises, it is not skipped."""
    if is_builtin(name):
        return read_encoder_folder(BUILTIN_FOLDER)
    if name.startswith(TORCH_FORMS) and not name.startswith(TIMM):
        return None
    path = Path(name).expanduser()
    if (path / DESCRIPTION).is_file():
        return _from_path(path)
    try:
        path = folder_for(name)
    except SettingsError:
        path = models_folder()  # image-only names may contain ":" or "@": found below by the name in the description
    if (path / DESCRIPTION).is_file():
        return _read(path)
    wanted = canonical_name(name).casefold()
    return next((f for f in _installed_folders() if f.spec.name.casefold() == wanted), None)


def folders_that_may_be(name: str, source: str) -> Iterator[EncoderFolder]:
    """Candidates for a name; the folder with that name is first, so that an ordinary query reads no other one."""
    first = find_folder(name)
    if first is not None:
        yield first
    if source and (Path(source) / DESCRIPTION).is_file():
        yield _from_path(Path(source))
    yield from _installed_folders()


def is_folder_only(name: str) -> bool:
    """True for models that exist only in ONNX form: the built-in one, and folders given by path."""
    if name.startswith(TORCH_FORMS):
        return False
    return is_builtin(name) or (Path(name).expanduser() / DESCRIPTION).is_file()


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
            log.warning("model folder %s is ignored: %s", path.name, error)


def _installed_adapters() -> Iterator[AdapterFolder]:
    try:
        paths = sorted(path for path in models_folder().iterdir() if is_adapter(path))
    except OSError:
        return
    for path in paths:
        try:
            yield _read_adapter(path)
        except WeightsUnavailable as error:
            log.warning("adapter %s is ignored: %s", path.name, error)


def _read(path: Path) -> EncoderFolder:
    """Read an untrusted folder: it is accepted as the built-in model only if its files are the same.

    Raises:
        WeightsUnavailable: see :func:`read_encoder_folder`; or it falsely claims the built-in model's fingerprint.
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


def _read_adapter(path: Path) -> AdapterFolder:
    from retrieval.encoders.adapter import read_adapter  # rarely needed, and slow to import for a cold query

    return read_adapter(path)


def _adapter_at(path: Path) -> AdapterFolder:
    """An adapter outside the models folder; its path becomes its source, as in :func:`_from_path`."""
    found = _read_adapter(path)
    return replace(found, spec=replace(found.spec, source=str(path.resolve())))


def _from_path(path: Path) -> EncoderFolder:
    """A folder outside the models folder; its path becomes its source, so that a gallery can find it again."""
    folder = _read(path)
    return replace(folder, spec=replace(folder.spec, source=str(path.resolve())))


def recorded_place(name: str, source: str) -> Path | None:
    """The folder or weight file in a catalog's row of an encoder; None for models that are found by name.

    Args:
        name: may contain a path: ``local-dir:PATH``, a weight file, ``MODEL=PATH``.
        source: a path for models in our form that were given by path.
    """
    form = parse_image_name(name)
    for text in (source, name.removeprefix("local-dir:") if form is None else form.path):
        path = Path(text).expanduser()
        if path.is_absolute():
            return path
    return None


def holds_model(place: Path) -> bool:
    """True for a weight file, and for a folder that contains a model's description."""
    return place.is_file() or any((place / name).is_file() for name in _CONFIGURATIONS)


def model_gone(name: str, place: Path) -> ModelGone:
    """The error for a model that is no longer at ``place``.

    Without it, text cannot be searched: only the model that made the embeddings can encode a query for them.
    """
    return ModelGone(
        f"the model {name} of this gallery is no longer in {place}",
        "put it back, or give its new folder: photoseek index --model FOLDER; "
        f"if it is lost: photoseek index --model {BUILTIN}, or another",
    )
