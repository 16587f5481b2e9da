"""Convert Immich's published ONNX exports to our model folders: configuration translated, graphs validated.

Their layout: ``config.json`` (open_clip's architecture description), ``visual/model.onnx`` with
``visual/preprocess_cfg.json``, ``textual/model.onnx`` with ``tokenizer.json`` and ``tokenizer_config.json``,
and external weight files next to graphs over 2 GB. Revision ``main`` has graphs for one prepared float32
picture (1, 3, size, size) and one row of int32 ids, truncated and padded to the context length; later revisions
take uint8 (n, size, size, 3) and normalise inside the graph, which is not supported here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from retrieval.encoders.files.checks import check_inside, check_present, damaged, load_json, mapping, whole
from retrieval.encoders.files.description import (
    Clean,
    EncoderFolder,
    ImageTower,
    TextTower,
    TokenizerSpec,
    write_encoder_description,
)
from retrieval.encoders.files.staging import check_disk_space, folder_name, install, staging
from retrieval.encoders.names.open_clip import family_of, preprocessing_from
from retrieval.encoders.names.open_clip_weights import licence_of
from retrieval.encoders.onnx.graph_ends import GraphEnd, read_graph_ends
from retrieval.errors import EncoderError, WeightsUnavailable
from retrieval.regular_files import read_regular

VISUAL, TEXTUAL = "visual/model.onnx", "textual/model.onnx"
PREPROCESS, TOKENIZER = "visual/preprocess_cfg.json", "textual/tokenizer.json"
TOKENIZER_CONFIG, CONFIG = "textual/tokenizer_config.json", "config.json"
NEEDED = (VISUAL, TEXTUAL, PREPROCESS, TOKENIZER, TOKENIZER_CONFIG, CONFIG)
NOT_ONNX = (".armnn", ".rknn", ".md")
MAX_TOKENIZER_BYTES = 64 << 20

P = ParamSpec("P")
T = TypeVar("T")


def import_immich_folder(
    path: Path, models_folder: Path, *, name: str | None = None, licence: str | None = None
) -> Path:
    """Copy a local folder in Immich's layout into ``models_folder``; return the new model folder.

    Args:
        name: the model's name from now on; by default the folder's name.
        licence: of its weights; by default from our table, if it has the name.

    Raises:
        WeightsUnavailable: a file is missing or damaged.
        EncoderError: unsupported graphs or preprocessing.
    """
    name = name or path.name.replace("__", "/", 1)
    files = wanted_files(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    check_disk_space(models_folder, sum((path / file).stat().st_size for file in files))
    with staging(models_folder, name) as folder:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path / file, folder / file)
        source = f"Immich's export, copied from {path}"
        describe(folder, name=name, source=source, licence=licence or licence_of(name))
        return install(folder, models_folder / folder_name(name))


def wanted_files(names: Iterable[str]) -> list[str]:
    """The files of an export that we use: the six of the layout, and external weights next to the graphs."""
    kept = []
    for name in sorted(names):
        folder, _, file = name.rpartition("/")
        if name in NEEDED or (folder in ("visual", "textual") and not file.endswith(NOT_ONNX)):
            kept.append(name)
    return kept


def describe(folder: Path, *, name: str, source: str, licence: str) -> EncoderFolder:
    """Write ``encoder.json`` into a folder in Immich's layout, based on its configuration and graphs.

    Raises:
        WeightsUnavailable, EncoderError: see :func:`import_immich_folder`.
    """
    for file in NEEDED:
        check_present(folder / file, None)
    config, raw = load_json(folder / CONFIG), load_json(folder / PREPROCESS)
    preprocessing = preprocessing_from(raw, raw.get("size"), str(folder / PREPROCESS))
    image, dim, external = _image_tower(folder, preprocessing.size)
    text, text_dim, text_external = _text_tower(folder, config)
    wanted = config.get("embed_dim")
    if not isinstance(wanted, int) or any(found not in (None, 0, wanted) for found in (dim, text_dim)):
        raise WeightsUnavailable(
            f"{folder}: {CONFIG} says embeddings of {wanted}, the graphs give {dim} and {text_dim}",
            "the files belong to different models; fetch them again",
        )
    return write_encoder_description(
        folder,
        name=name,
        family=family_of(name),
        source=source,
        dim=wanted,
        preprocessing=preprocessing,
        image=image,
        text=text,
        licence=licence,
        extra_files=sorted(external | text_external),
    )


def _image_tower(folder: Path, size: int) -> tuple[ImageTower, int | None, set[str]]:
    ends = read_graph_ends(folder / VISUAL)
    if len(ends.inputs) != 1 or not ends.outputs:
        raise _unsupported(VISUAL, ends.inputs)
    (picture,) = ends.inputs
    if picture.dtype != "float32" or picture.shape[1:] not in ((3, size, size), (None,) * 3, (3, None, None)):
        raise _unsupported(VISUAL, ends.inputs)
    tower = ImageTower(VISUAL, picture.name, ends.outputs[0].name)
    return tower, _last(ends.outputs[0]), _external(folder, "visual", ends.external)


def _text_tower(folder: Path, config: Mapping[str, Any]) -> tuple[TextTower, int | None, set[str]]:
    ends = read_graph_ends(folder / TEXTUAL)
    if len(ends.inputs) != 1 or not ends.outputs or ends.inputs[0].dtype not in ("int32", "int64"):
        raise _unsupported(TEXTUAL, ends.inputs)
    (ids,) = ends.inputs
    text_cfg = config.get("text_cfg")
    if not isinstance(text_cfg, dict):
        raise damaged(folder / CONFIG, "text_cfg is missing")
    length = text_cfg.get("context_length", 77)
    _valid(folder / CONFIG, whole, "text_cfg.context_length", length, 2)
    if len(ids.shape) != 2 or ids.shape[1] not in (length, None):
        raise WeightsUnavailable(
            f"{TEXTUAL} takes ids of shape {ids.shape}, {CONFIG} says {length} tokens",
            "the files belong to different models; fetch them again",
        )
    tower = TextTower(
        file=TEXTUAL,
        kind="onnx",
        tokenizer=_tokenizer(folder, text_cfg, length),
        context_length=length,
        input=ids.name,
        output=ends.outputs[0].name,
        ids_dtype="int32" if ids.dtype == "int32" else "int64",
    )
    return tower, _last(ends.outputs[0]), _external(folder, "textual", ends.external)


def _tokenizer(folder: Path, text_cfg: Mapping[str, Any], length: int) -> TokenizerSpec:
    """Padded to the context length with the pad token, however the tower treats it."""
    config = load_json(folder / TOKENIZER_CONFIG)
    path = folder / TOKENIZER
    try:
        data = json.loads(read_regular(path, MAX_TOKENIZER_BYTES))
        added = {token["content"]: token["id"] for token in data.get("added_tokens", ())}
        vocabulary = data["model"]["vocab"]
        known = vocabulary if isinstance(vocabulary, dict) else {v[0]: i for i, v in enumerate(vocabulary)}
    except OSError as error:
        raise damaged(path, str(error.strerror)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, f"it is no tokenizer ({type(error).__name__})") from error

    def token_id(key: str) -> int | None:
        token = config.get(key)
        content = token.get("content") if isinstance(token, dict) else token
        return added.get(content, known.get(content)) if isinstance(content, str) else None

    pad = token_id("pad_token")
    if pad is None:
        raise damaged(folder / TOKENIZER_CONFIG, "its pad_token is not in the vocabulary")
    options = _valid(folder / CONFIG, mapping, text_cfg.get("tokenizer_kwargs") or {}, "tokenizer_kwargs")
    # CLIP's own tokenizer lower-cases first; the others only clean white space unless the model has other settings.
    usual: Clean = "whitespace" if text_cfg.get("hf_tokenizer_name") else "lower"
    return _valid(
        folder / CONFIG,
        TokenizerSpec,
        kind="tokenizers",
        file=TOKENIZER,
        pad_id=pad,
        pad_to=length,
        clean=options.get("clean", usual),
        strip_id=token_id("sep_token") if options.get("strip_sep_token") else None,
    )


def _external(folder: Path, part: str, names: frozenset[str]) -> set[str]:
    files = {f"{part}/{name.removeprefix('./')}" for name in names}
    for file in files:
        _valid(folder / f"{part}/model.onnx", check_inside, file)
        check_present(folder / file, None)
    return files


def _valid(path: Path, make: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
    """``make(...)``; if it refuses the values with ValueError or TypeError, the file at ``path`` is damaged."""
    try:
        return make(*values, **named)
    except (ValueError, TypeError) as error:
        raise damaged(path, str(error)) from error


def _last(end: GraphEnd) -> int | None:
    return end.shape[-1] if end.shape else None


def _unsupported(file: str, ends: tuple[GraphEnd, ...]) -> EncoderError:
    found = ", ".join(f"{e.name}: {e.dtype} {list(e.shape)}" for e in ends) or "nothing"
    return EncoderError(
        f"{file} takes {found}; we run graphs that take one prepared float32 picture or one row of token ids",
        "fetch revision main of the export, or make one with `photoseek models export`",
    )
