"""The recorded path of a gallery's model, and the error if it is no longer there."""

from __future__ import annotations

from pathlib import Path

from retrieval.encoders.files.description import ADAPTER, DESCRIPTION
from retrieval.encoders.names.image_models import parse_image_name
from retrieval.encoders.names.models import BUILTIN
from retrieval.errors import ModelGone

_CONFIGURATIONS = (DESCRIPTION, ADAPTER, "open_clip_config.json", "config.json")
"""Files of which a model's folder holds one: ours, open_clip's, timm's."""


def recorded_place(name: str, source: str) -> Path | None:
    """The folder or weight file that a catalog's row of an encoder names; None for models that are found by name.

    Args:
        name: may hold a path: ``local-dir:PATH``, a weight file, ``MODEL=PATH``.
        source: a path for models in our form that were given by path.
    """
    form = parse_image_name(name)
    for text in (source, name.removeprefix("local-dir:") if form is None else form.path):
        path = Path(text).expanduser()
        if path.is_absolute():
            return path
    return None


def holds_model(place: Path) -> bool:
    """True for a weight file, and for a folder with a model's description in it."""
    return place.is_file() or any((place / name).is_file() for name in _CONFIGURATIONS)


def model_gone(name: str, place: Path) -> ModelGone:
    """The error for a model that is not at ``place``.

    Words cannot be searched without it: what they mean is known by the very model alone that made the embeddings.
    """
    return ModelGone(
        f"the model {name} of this gallery is no longer in {place}",
        "put it back, or give its new folder: photoseek index --model FOLDER; "
        f"if it is lost: photoseek index --model {BUILTIN}, or another",
    )
