"""The on-disk form of a model that runs without torch: ``encoder.json`` and the files it names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from retrieval.encoders.base import EncoderSpec, Interpolation, Preprocessing, Resize
from retrieval.encoders.files.checks import (
    build_row,
    check_inside,
    check_present,
    damaged,
    hex_digest,
    load_json,
    mapping,
    number_or_none,
    one_of,
    reason_of,
    whole,
    write_atomically,
)
from retrieval.errors import WeightsUnavailable

FORMAT = 1
DESCRIPTION = "encoder.json"
ADAPTER = "adapter.json"

MOST_SIDE = 4096
"""Pixels of a side of the input. Sizes in a description decide how much memory is reserved, before files are hashed."""

MOST_DIM, MOST_TOKENS, MOST_HEADS = 65_536, 8192, 1024

TextKind = Literal["clip-weights", "onnx"]
TokenizerKind = Literal["clip-bpe", "tokenizers"]
Clean = Literal["none", "whitespace", "lower", "canonicalize"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
Pool = Literal["argmax", "eos", "last"]
IdsDtype = Literal["int32", "int64"]


def is_adapter(path: Path) -> bool:
    """True for a folder that contains an adapter (``adapter.py``)."""
    return (path / ADAPTER).is_file()


@dataclass(frozen=True)
class ImageTower:
    """An ONNX graph: (n, 3, size, size) float32 RGB, scaled and normalised -> (n, dim), not yet of unit length."""

    file: str
    input: str = "pixels"
    output: str = "embedding"


@dataclass(frozen=True)
class TokenizerSpec:
    """How a text is converted to token ids.

    Args:
        kind: ``clip-bpe`` is our own byte-pair encoder over a merge table (``tokenizer.write_clip_merges``);
            ``tokenizers`` a ``tokenizer.json`` of the library of that name.
        file: the merge table or ``tokenizer.json``.
        start, end: ids added around the text by ``clip-bpe``; a ``tokenizer.json`` has its own.
        pad_id: the id used for padding up to ``pad_to``.
        pad_to: every row gets exactly this many ids (SigLIP: 64, it pools the last position); ``None`` leaves
            rows as long as their text.
        clean: open_clip's cleaning of the same name, applied before tokenizing.
        strip_id: this id is replaced by 0 afterwards (open_clip's ``strip_sep_token``).
    """

    kind: TokenizerKind
    file: str
    start: int | None = None
    end: int | None = None
    pad_id: int = 0
    pad_to: int | None = None
    clean: Clean = "lower"
    strip_id: int | None = None

    def __post_init__(self) -> None:
        one_of("tokenizer.kind", self.kind, TokenizerKind)
        one_of("tokenizer.clean", self.clean, Clean)
        whole("tokenizer.pad_id", self.pad_id, 0)
        for name, value in (("start", self.start), ("end", self.end), ("strip_id", self.strip_id)):
            if value is not None:
                whole(f"tokenizer.{name}", value, 0)
        if self.pad_to is not None:
            whole("tokenizer.pad_to", self.pad_to, 1, MOST_TOKENS)
        if self.kind == "clip-bpe" and (self.start is None or self.end is None):
            raise ValueError("a clip-bpe tokenizer needs start and end ids")


@dataclass(frozen=True)
class TextTower:
    """The text tower.

    Args:
        kind: ``clip-weights`` is a safetensors file with the tensor names of open_clip's text transformer
            (``token_embedding.weight``, ``transformer.resblocks.N...``, no ``text.`` prefix), run by numpy;
            ``onnx`` a graph from ids (n, length) to (n, dim).
        context_length: maximal number of tokens, including both end tokens.
        heads, activation, eps: of the transformer, for ``clip-weights``. ``eps`` is LayerNorm's.
        causal: False if every token attends to every other (SigLIP, MobileCLIP): then the tokenizer pads each row.
        pool: which position becomes the embedding: ``argmax`` the first of the largest id (CLIP), ``eos`` the
            first of the tokenizer's ``end`` id, ``last`` the last one (SigLIP).
        input, output, ids_dtype: names and type of the graph's input and output, for ``onnx``.
    """

    file: str
    kind: TextKind
    tokenizer: TokenizerSpec
    context_length: int
    heads: int = 0
    activation: Activation = "gelu"
    eps: float = 1e-5
    causal: bool = True
    pool: Pool = "argmax"
    input: str = "ids"
    output: str = "embedding"
    ids_dtype: IdsDtype = "int64"

    def __post_init__(self) -> None:
        one_of("text.kind", self.kind, TextKind)
        one_of("text.activation", self.activation, Activation)
        one_of("text.pool", self.pool, Pool)
        one_of("text.ids_dtype", self.ids_dtype, IdsDtype)
        whole("text.context_length", self.context_length, 2, MOST_TOKENS)
        whole("text.heads", self.heads, 1 if self.kind == "clip-weights" else 0, MOST_HEADS)
        if not isinstance(self.causal, bool):
            raise ValueError("text.causal is not true or false")
        if not (isinstance(self.eps, float) and 0 < self.eps < 1e-2):
            raise ValueError("text.eps is not a small positive number")
        if self.tokenizer.pad_to is not None and self.tokenizer.pad_to > self.context_length:
            raise ValueError("tokenizer.pad_to is longer than text.context_length")
        if self.kind == "clip-weights" and not self.causal and self.tokenizer.pad_to is None:
            raise ValueError("a text tower that is not causal needs tokenizer.pad_to")
        if self.pool == "eos" and self.tokenizer.end is None:
            raise ValueError("text.pool is eos, but tokenizer.end is not given")


@dataclass(frozen=True)
class FileRecord:
    """Size and content hash (blake3, hex) of one file in the folder."""

    bytes: int
    blake3: str

    def __post_init__(self) -> None:
        whole("files.bytes", self.bytes, 1)
        hex_digest("files.blake3", self.blake3)


@dataclass(frozen=True)
class EncoderFolder:
    """A folder whose description was read and whose files exist with the recorded sizes."""

    path: Path
    spec: EncoderSpec
    image: ImageTower
    text: TextTower | None
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def fingerprint_of_files(self) -> str:
        """The fingerprint computed from the recorded hashes. An exported model has that of its torch form instead,
        which can only be confirmed with the weights of that form."""
        weights = [record.blake3 for record in self.files.values()]
        return fingerprint_of(self.spec.preprocessing, text=text_settings(self.text), weights=weights)

    def file(self, name: str) -> Path:
        """The path of a file in this folder."""
        return self.path / name


def read_encoder_folder(path: Path) -> EncoderFolder:
    """Read ``encoder.json`` and check that the files it names exist inside the folder with the recorded sizes.

    Raises:
        WeightsUnavailable: missing or unreadable description, unknown format, a field that is missing, unknown
            or out of range, a path that leaves the folder, a missing file, a git-LFS pointer, another size.
    """
    data = load_json(path / DESCRIPTION)
    if data.get("format") != FORMAT:
        raise WeightsUnavailable(
            f"{path / DESCRIPTION} has format {data.get('format')!r}, this version of photoseek reads {FORMAT}",
            "export or fetch the model again, or use a newer photoseek",
        )
    try:
        folder = _parse(path, data)
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path / DESCRIPTION, reason_of(error)) from error
    for name, record in folder.files.items():
        check_present(folder.file(name), record.bytes)
    return folder


def write_encoder_description(
    path: Path,
    *,
    name: str,
    family: str,
    source: str,
    dim: int,
    preprocessing: Preprocessing,
    image: ImageTower,
    text: TextTower | None,
    licence: str,
    fingerprint: str | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
    prompt_templates: Sequence[str] = ("a photo of a {}.",),
    extra_files: Sequence[str] = (),
) -> EncoderFolder:
    """Write ``encoder.json`` (atomically) for files that are already in ``path``; return what was written.

    Every file that the towers name is hashed, and also ONNX external data (``X.data``) and
    ``extra_files``. An exported model passes the ``fingerprint`` of the model it was made from, so that
    a gallery built with one can be searched with the other; by default it is computed from the files.

    Raises:
        WeightsUnavailable: a named file is missing or a setting is out of range.
    """
    names = [image.file, *([text.file, text.tokenizer.file] if text else []), *extra_files]
    names += [f"{n}.data" for n in (image.file, text.file if text else "") if (path / f"{n}.data").is_file()]
    for each in names:
        try:
            check_inside(each)
        except ValueError as error:
            raise damaged(path, str(error)) from error
        check_present(path / each, None)
    files = {n: FileRecord((path / n).stat().st_size, hash_file(path / n)) for n in dict.fromkeys(names)}
    if fingerprint is None:
        fingerprint = fingerprint_of(
            preprocessing, text=text_settings(text), weights=[r.blake3 for r in files.values()]
        )
    data: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "family": family,
        "source": source,
        "licence": licence,
        "dim": dim,
        "fingerprint": fingerprint,
        "logit_scale": logit_scale,
        "logit_bias": logit_bias,
        "prompt_templates": list(prompt_templates),
        "preprocessing": preprocessing.as_json(),
        "image": asdict(image),
        "text": asdict(text) if text else None,
        "files": {n: asdict(r) for n, r in files.items()},
    }
    write_atomically(path / DESCRIPTION, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return read_encoder_folder(path)


def fingerprint_of(
    preprocessing: Preprocessing,
    *,
    text: Mapping[str, object] | None,
    weights: Iterable[str],
    image: Mapping[str, object] | None = None,
) -> str:
    """Identity of an embedding space: blake3 (hex, 64) of canonical JSON of all that determines an embedding.

    Args:
        preprocessing: how pictures are converted to input.
        text: settings of tokenizer and text tower; see :func:`text_settings` (contains no file names).
        weights: content hashes of all weight and tokenizer files, in any order.
        image: architecture and pooling of an image-only tower, if the weights do not determine them.
    """
    from blake3 import blake3

    body = {"preprocessing": preprocessing.as_json(), "text": text, "weights": sorted(weights)}
    if image is not None:
        body["image"] = image
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def text_settings(text: TextTower | None) -> dict[str, object] | None:
    """The settings of a text tower that affect its embeddings: no file names, no input or output names."""
    if text is None:
        return None
    tokenizer = {k: v for k, v in asdict(text.tokenizer).items() if k != "file"}
    kept = ("context_length", "activation", "heads", "eps", "causal", "pool")
    return {"tokenizer": tokenizer, **{k: getattr(text, k) for k in kept}}


def verify_encoder_folder(folder: EncoderFolder, *, without_text: bool = False) -> None:
    """Compare every file with its recorded hash (350 MB: about 0.1 s), so that a damaged or replaced file never fills
    a gallery with embeddings under another model's name.

    Args:
        without_text: leave out the text tower, whose embeddings are never stored in the catalog.

    Raises:
        WeightsUnavailable: a file differs from its description.
    """
    text = {folder.text.file, folder.text.tokenizer.file} if folder.text and without_text else set()
    for name, record in folder.files.items():
        if name in text:
            continue
        check_present(folder.file(name), record.bytes)
        if hash_file(folder.file(name)) != record.blake3:
            raise damaged(folder.file(name), "its content differs from the recorded hash")


def hash_file(path: Path) -> str:
    """blake3 of a file's content, hex."""
    from blake3 import blake3

    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


def _parse(path: Path, data: Mapping[str, Any]) -> EncoderFolder:
    image = build_row(ImageTower, data["image"], "image")
    text = None
    if data["text"] is not None:
        raw = dict(mapping(data["text"], "text"))
        raw["tokenizer"] = build_row(TokenizerSpec, raw.get("tokenizer"), "text.tokenizer")
        text = build_row(TextTower, raw, "text")
    files = {n: build_row(FileRecord, r, f"files.{n}") for n, r in mapping(data["files"], "files").items()}
    for name in (image.file, *((text.file, text.tokenizer.file) if text else ()), *files):
        check_inside(name)
        if name not in files:
            raise ValueError(f"{name} has no entry under files")
    whole("dim", data["dim"], 1, MOST_DIM)
    hex_digest("fingerprint", data["fingerprint"])
    for key in ("name", "family", "source", "licence"):
        if not isinstance(data[key], str) or not data[key]:
            raise ValueError(f"{key} is not a text")
    spec = EncoderSpec(
        name=data["name"],
        family=data["family"],
        source=data["source"],
        dim=data["dim"],
        preprocessing=parse_preprocessing(data["preprocessing"]),
        has_text=text is not None,
        context_length=text.context_length if text else 0,
        licence=data["licence"],
        fingerprint=data["fingerprint"],
        logit_scale=number_or_none("logit_scale", data.get("logit_scale")),
        logit_bias=number_or_none("logit_bias", data.get("logit_bias")),
        prompt_templates=parse_templates(data["prompt_templates"]),
    )
    return EncoderFolder(path, spec, image, text, files)


def parse_templates(raw: Any) -> tuple[str, ...]:
    """Prompt templates from JSON; ValueError if they are not a list of texts with ``{}`` in them."""
    if not isinstance(raw, list) or not all(isinstance(text, str) and "{}" in text for text in raw):
        raise ValueError("prompt_templates is not a list of texts with {} in them")
    return tuple(raw)


def parse_preprocessing(raw: Any) -> Preprocessing:
    """Preprocessing settings from JSON; ValueError or TypeError if one is missing, unknown or out of range."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping(raw, "preprocessing").items()}
    row = build_row(Preprocessing, values, "preprocessing")
    whole("preprocessing.size", row.size, 1, MOST_SIDE)
    if row.resize_to is not None:
        whole("preprocessing.resize_to", row.resize_to, row.size, MOST_SIDE)
    one_of("preprocessing.resize", row.resize, Resize)
    one_of("preprocessing.interpolation", row.interpolation, Interpolation)
    for key, triple in (("mean", row.mean), ("std", row.std)):
        if len(triple) != 3 or any(number_or_none(key, v) is None for v in triple):
            raise ValueError(f"preprocessing.{key} is not three numbers")
    if min(row.std) <= 0:
        raise ValueError("preprocessing.std is not positive")
    return row
