"""The initial model of a training, and which parts of it are trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retrieval.encoders.files.description import DESCRIPTION
from retrieval.encoders.installed import folder_for, models_folder
from retrieval.encoders.names.known_models import BUILTIN, is_builtin
from retrieval.encoders.registry import load_on_torch
from retrieval.errors import EncoderError, SettingsError
from retrieval.lab.training.small import SIZES, from_scratch, is_small, load_small
from retrieval.lab.training.trainable import Trainable

SCRATCH = "scratch-"
DEFAULT_SIZE = "small"


@dataclass(frozen=True)
class Mode:
    """Which parts are trained: all, or the last blocks of both towers and the layers after them."""

    last_blocks: int | None = None

    @property
    def name(self) -> str:
        """A description for the user."""
        if self.last_blocks is None:
            return "everything"
        blocks = "block" if self.last_blocks == 1 else f"{self.last_blocks} blocks"
        return f"the last {blocks} of each tower"


def start_model(name: str, *, device: str = "auto", seed: int = 0) -> Trainable:
    """The initial model, on its device.

    Args:
        name: ``scratch-SIZE``; the folder (or installed name) of an earlier training; or any open_clip model, as
            ``MODEL/TAG``, ``local-dir:PATH`` or ``hf-hub:ORG/REPO``.
        seed: of the weights of a model from scratch.

    Raises:
        SettingsError: an unknown size; a model in its ONNX form, whose weights cannot be trained.
        EncoderError: the model cannot be loaded, or has no text tower.
    """
    model = _model(name, seed)
    model.module.to(_device(device))
    return model


def _model(name: str, seed: int) -> Trainable:
    if name.startswith(SCRATCH):
        return from_scratch(name.removeprefix(SCRATCH), seed=seed)
    folder = _folder(name)
    if folder is not None and is_small(folder):
        return load_small(folder)
    from retrieval.encoders.torch.clip import ClipEncoder
    from retrieval.lab.training.open_clip_training import OpenClipModel, is_open_clip

    if folder is not None:
        inner = is_open_clip(folder)
        if inner is None:
            raise SettingsError(
                f"{name} is in ONNX form, whose weights cannot be trained on",
                "add --adapter, which any model can carry; or give the model that it was made from",
            )
        name = str(inner)
    encoder = load_on_torch(name, device="cpu", precision="fp32")
    if not isinstance(encoder, ClipEncoder):
        raise EncoderError(f"{name} has no text tower to be trained", "take a CLIP or SigLIP model")
    return OpenClipModel(encoder)


def _folder(name: str) -> Path | None:
    """The folder of a model in ONNX form, given by path or installed; None for a name that must be known to torch."""
    if is_builtin(name):
        return models_folder() / BUILTIN
    path = Path(name).expanduser()
    if (path / DESCRIPTION).is_file():
        return path
    try:
        path = folder_for(name)
    except SettingsError:
        return None
    # An installed model may also be available on torch: then that one is trained.
    return path if is_small(path) or (path / "torch").is_dir() else None


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked != "cpu" and not torch.cuda.is_available():
        raise SettingsError(f"{asked} was asked for, but torch sees no GPU", "leave out --device")
    return asked


def sizes() -> str:
    """The sizes of models from scratch, for a help text."""
    return ", ".join(f"{SCRATCH}{size}" for size in SIZES)
