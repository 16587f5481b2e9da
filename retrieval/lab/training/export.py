"""From our own towers on torch to the form of all other encoders: ``image.onnx`` and ``text.safetensors``.

The towers are first written in float32 and must agree with torch to 1e-4; then their matrices are rounded to
float16, and the resulting change of embeddings is also measured and limited.
"""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from indexes.base import Vectors
from retrieval.encoders.base import Pixels, Preprocessing, unit
from retrieval.encoders.files.description import EncoderFolder, TokenizerSpec, write_encoder_description
from retrieval.encoders.files.description import ImageTower as ImageRow
from retrieval.encoders.files.description import TextTower as TextRow
from retrieval.encoders.files.merges import MergeTable
from retrieval.encoders.install.export import PARITY_GATE, PARITY_TEXTS, parity_pixels
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.tokenizer import load_tokenizer
from retrieval.encoders.torch.graph import write_graph
from retrieval.errors import EncoderError
from retrieval.lab.training.halving import halve_matrices, in_half
from retrieval.lab.training.hybrid import HybridTower
from retrieval.lab.training.towers import Block, ImageTower, TextTower

ROUNDING_GATE = 5e-3
"""How much rounding the matrices to float16 may change any component of a unit vector. The built-in model's towers stay
below 1e-3; a model that changes more has weights that float16 cannot represent."""

_IMAGE, _TEXT, _MERGES = "image.onnx", "text.safetensors", "merges.bin"
DEFAULT_TEMPLATES = ("a photo of a {}.", "{}", "a picture of a {}", "a close-up photo of a {}")


@dataclass(frozen=True)
class TowerParity:
    """Maximal absolute differences of any component of a unit vector between torch and the exported encoder.

    Args:
        image, text: with the weights in float32, as in torch.
        image_rounded, text_rounded: as shipped, matrices in float16.
        gate, rounding_gate: the limits for them.
        bytes: size of each file.
        seconds: duration of the whole export.
    """

    image: float
    text: float
    image_rounded: float
    text_rounded: float
    gate: float
    rounding_gate: float
    bytes: dict[str, int]
    seconds: float


def export_towers(
    image: ImageTower | HybridTower,
    text: TextTower,
    folder: Path,
    *,
    merges: Path,
    preprocessing: Preprocessing,
    name: str,
    licence: str,
    scale: float | None,
    bias: float | None = None,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    family: str = "clip",
    source: str = "trained",
) -> TowerParity:
    """Write an encoder folder: graph, text weights under open_clip's tensor names, merge table, description.

    The towers are not changed. ``preprocessing.size`` may differ from the size for which an :class:`.ImageTower` was
    made: its position embeddings are then interpolated once, here.

    Args:
        folder: created if it is missing; files of the same names in it are replaced.
        merges: table of the tokenizer that the text tower was trained with; its start and end ids are the two after
            the last merge.
        scale, bias: the learned temperature (exponentiated) and the bias of a sigmoid loss.

    Raises:
        EncoderError: the written encoder and torch differ by more than the gates; or the vocabularies differ.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    image = at_size(image, preprocessing.size) if isinstance(image, ImageTower) else copy.deepcopy(image)
    image, text = image.cpu().eval(), copy.deepcopy(text).cpu().eval()
    for tower in (image, text):
        for key, value in tower.state_dict().items():
            in_half(value.float().numpy(), key)
    shutil.copyfile(merges, folder / _MERGES)
    row = text_row(text, merges)
    _write_image(image, preprocessing, folder / _IMAGE)
    found: list[tuple[float, float]] = []
    for half in (False, True):
        if half:
            halve_matrices(folder / _IMAGE)
        _write_text(text, folder / _TEXT, half=half)
        written = write_encoder_description(
            folder,
            name=name,
            family=family,
            source=source,
            dim=image.config.dim,
            preprocessing=preprocessing,
            image=ImageRow(_IMAGE),
            text=row,
            licence=licence,
            logit_scale=scale,
            logit_bias=bias,
            prompt_templates=tuple(templates),
        )
        found.append(measure(image, text, written))
        _check(name, found[-1], ROUNDING_GATE if half else PARITY_GATE)
    (exact_image, exact_text), (image_rounded, text_rounded) = found
    return TowerParity(
        image=exact_image,
        text=exact_text,
        image_rounded=image_rounded,
        text_rounded=text_rounded,
        gate=PARITY_GATE,
        rounding_gate=ROUNDING_GATE,
        bytes={n: record.bytes for n, record in written.files.items()},
        seconds=time.perf_counter() - started,
    )


def at_size(tower: ImageTower, size: int) -> ImageTower:
    """A copy with position embeddings for ``size`` pixels; ONNX has no antialiased interpolation."""
    config = replace(tower.config, size=size)
    made = ImageTower(config)
    weights = dict(tower.state_dict())
    with torch.no_grad():
        weights["positions"] = tower.positions_for(config.grid, config.grid).detach().clone()
    made.load_state_dict(weights)
    return made


def text_row(text: TextTower, merges: Path) -> TextRow:
    """The description of one of our text towers.

    Raises:
        EncoderError: the tower's vocabulary is not that of the merge table.
    """
    start = MergeTable.id_of(len(MergeTable(merges)))
    if text.config.vocabulary != start + 2:
        raise EncoderError(
            f"the text tower knows {text.config.vocabulary} tokens, {merges} makes {start + 2}",
            "give the table that the tower was trained with",
        )
    return TextRow(
        file=_TEXT,
        kind="clip-weights",
        tokenizer=TokenizerSpec("clip-bpe", _MERGES, start=start, end=start + 1),
        context_length=text.config.context,
        heads=text.config.heads,
        activation="gelu",
        causal=True,
        pool="argmax",
    )


def text_weights(text: TextTower) -> dict[str, Tensor]:
    """The tower's tensors under the names of open_clip's ``TextTransformer``."""
    weights = {
        "token_embedding.weight": text.tokens.weight,
        "positional_embedding": text.positions,
        "text_projection.weight": text.project.weight,
    }
    norms: list[tuple[str, nn.Module]] = [("ln_final", text.norm)]
    for number, module in enumerate(text.blocks):
        block = cast(Block, module)
        prefix = f"transformer.resblocks.{number}."
        fused = block.attention.query_key_value
        weights |= {f"{prefix}attn.in_proj_weight": fused.weight, f"{prefix}attn.in_proj_bias": fused.bias}
        norms += [
            (f"{prefix}ln_1", block.norm1),
            (f"{prefix}ln_2", block.norm2),
            (f"{prefix}attn.out_proj", block.attention.out),
            (f"{prefix}mlp.c_fc", block.perceptron[0]),
            (f"{prefix}mlp.c_proj", block.perceptron[2]),
        ]
    for prefix, layer in norms:
        weights |= {f"{prefix}.{name}": value for name, value in layer.named_parameters()}
    return {name: value.detach() for name, value in weights.items()}


def measure(image: ImageTower | HybridTower, text: TextTower, folder: EncoderFolder) -> tuple[float, float]:
    """Maximal absolute differences (image, text) between torch and a folder run as by users, in float32."""
    written = OnnxEncoder(folder, precision="fp32", threads=1)
    pixels = parity_pixels(folder.spec.preprocessing.size)
    images = np.abs(written.encode_images(pixels) - torch_images(image, pixels, folder.spec.preprocessing)).max()
    if folder.text is None:
        raise EncoderError(f"{folder.path} has no text tower", "export it again")
    tokenizer = load_tokenizer(folder.file(folder.text.tokenizer.file), folder.text)
    rows = [tokenizer.encode(each) for each in PARITY_TEXTS]
    texts = np.abs(written.encode_texts(PARITY_TEXTS) - torch_texts(text, rows)).max()
    return float(images), float(texts)


@torch.inference_mode()
def torch_images(tower: nn.Module, pixels: Pixels, preprocessing: Preprocessing) -> Vectors:
    """(n, dim) unit vectors of uint8 pixels by a tower on torch, in float32."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    features: Tensor = tower((torch.from_numpy(pixels).float() / 255 - mean) / std)
    return unit(features.numpy())


@torch.inference_mode()
def torch_texts(tower: nn.Module, rows: Sequence[Sequence[int]]) -> Vectors:
    """(n, dim) unit vectors of rows of token ids, padded with zeros, by a tower on torch."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
    features: Tensor = tower(ids)
    return unit(features.numpy())


def _write_image(tower: ImageTower | HybridTower, preprocessing: Preprocessing, path: Path) -> None:
    # Two pictures: with one, a broadcast over the batch would be traced without a broadcast.
    side = preprocessing.size
    example = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))
    write_graph(tower, example, path, input_name="pixels", dynamic={0: "n"})


def _write_text(tower: TextTower, path: Path, *, half: bool) -> None:
    from safetensors.numpy import save_file

    weights = {name: value.float().cpu().numpy() for name, value in text_weights(tower).items()}
    stored: dict[str, NDArray[np.floating]] = {
        name: in_half(value, name) if half and value.ndim >= 2 else np.ascontiguousarray(value)
        for name, value in weights.items()
    }
    save_file(stored, str(path))


def _check(name: str, differences: tuple[float, float], gate: float) -> None:
    # Not "if larger": comparisons with NaN are false.
    if not max(differences) <= gate:
        raise EncoderError(
            f"the export of {name} disagrees with torch: image {differences[0]:.1e}, text {differences[1]:.1e}, "
            f"allowed {gate:.0e}",
            "train with a smaller --rate, or report it",
        )
