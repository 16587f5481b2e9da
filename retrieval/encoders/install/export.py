"""Export a torch model to a folder that runs without torch, and measure the difference."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from retrieval.encoders.base import Pixels
from retrieval.encoders.files.description import EncoderFolder, ImageTower, TextTower, write_encoder_description
from retrieval.encoders.files.staging import check_disk_space, folder_name, install, staging
from retrieval.encoders.install.export_text import text_tower
from retrieval.encoders.names.image_models import parse_image_name
from retrieval.encoders.names.open_clip_weights import HF_HUB, LOCAL_DIR
from retrieval.encoders.torch.clip import ClipEncoder
from retrieval.encoders.torch.encoder import TorchEncoder, require_modules
from retrieval.encoders.torch.graph import write_graph
from retrieval.errors import EncoderError

if TYPE_CHECKING:
    import torch

PARITY_GATE = 1e-4
"""Maximal difference of any component of a unit vector, float32 against torch. Cosines would hide errors: with
random weights, two unrelated pictures have a cosine of .95."""
PARITY_TEXTS = (
    "a red bird on a branch",
    "Two dogs, playing in the snow!",
    "a",
    "naïve café — señor's 3 naps",
    "a photo of a very long street in an old town with many small shops and people who walk " * 6,
)
PARITY_IMAGES = 6
WeightType = Literal["float32", "float16"]


@dataclass(frozen=True)
class ExportReport:
    """The result of an export, and its maximal differences from torch.

    Args:
        folder: the installed model folder.
        image_difference, text_difference: maximal absolute difference of any component of a unit vector, over
            seeded pictures and texts, towers in float32; None without a text tower.
        gate: the limit for the differences.
        bytes: size of each file.
        seconds: duration of the whole export.
    """

    folder: Path
    image_difference: float
    text_difference: float | None
    gate: float
    bytes: dict[str, int]
    seconds: float


def export_onnx(
    encoder: TorchEncoder,
    models_folder: Path,
    *,
    weight_type: WeightType = "float32",
    text_onnx: bool = False,
) -> ExportReport:
    """Write ``MODEL__TAG`` into ``models_folder``: image tower as ONNX, text tower (if any) as weights or ONNX.

    The folder appears only when everything is written and agrees with torch; a failed export leaves nothing.

    Args:
        encoder: a loaded or loading model.
        weight_type: of the text weights; float16 halves their size and raises the limit for texts to 2e-3.
        text_onnx: write the text tower as a graph even if the numpy tower can run its weights.

    Raises:
        EncoderError: the difference exceeds the limit, or there is not enough disk space.
        RuntimeUnavailable: torch, onnx or the engine that checks the result is not installed.
    """
    start = time.perf_counter()
    require_modules("an export", "torch", "onnx", "openvino")
    spec = encoder.spec
    check_disk_space(models_folder, 2 * encoder.weights.stat().st_size)
    name = export_name(spec.name)
    with staging(models_folder, name) as folder:
        image = _write_image_tower(encoder, folder)
        text: TextTower | None = None
        extra: tuple[str, ...] = ()
        if isinstance(encoder, ClipEncoder):
            text, extra = text_tower(encoder, folder, weight_type=weight_type, as_onnx=text_onnx)
        written = _describe(encoder, folder, name, image, text, extra)
        image_difference, text_difference = measure_parity(encoder, written)
        text_gate = PARITY_GATE if weight_type == "float32" else 2e-3
        # Not "if larger": comparisons with NaN are false.
        if not (image_difference <= PARITY_GATE and (text_difference is None or text_difference <= text_gate)):
            text_said = "none" if text_difference is None else f"{text_difference:.1e}"
            raise EncoderError(
                f"the export of {spec.name} disagrees with torch: image {image_difference:.1e}, "
                f"text {text_said}, allowed {PARITY_GATE:.0e} and {text_gate:.0e}; "
                "nothing was installed",
                "use this model with torch, and please report it",
            )
        sizes = {name: record.bytes for name, record in written.files.items()}
        target = install(folder, models_folder / folder_name(name))
    return ExportReport(target, image_difference, text_difference, PARITY_GATE, sizes, time.perf_counter() - start)


def export_name(name: str) -> str:
    """The name of an exported model: ``MODEL/TAG`` unchanged, the folder's name for paths, or the repository.

    An export may be moved to another machine, so its name contains no local path.
    """
    if name.startswith(HF_HUB):
        return name.removeprefix(HF_HUB)
    form = parse_image_name(name)
    if form is not None:
        return replace(form, path="").name
    path = Path(name.removeprefix(LOCAL_DIR)).expanduser()
    if name.startswith(LOCAL_DIR) or path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name if path.is_file() else name


def measure_parity(encoder: TorchEncoder, folder: EncoderFolder) -> tuple[float, float | None]:
    """Maximal absolute differences (image, text or None) between torch and the folder's own runtime, in float32.

    Raises:
        RuntimeUnavailable: the engine that runs the folder is not installed.
    """
    from retrieval.encoders.onnx.encoder import OnnxEncoder

    pixels = parity_pixels(encoder.spec.preprocessing.size)
    reference = encoder.in_fp32() if _reduced(encoder) else encoder
    candidate = OnnxEncoder(folder, precision="fp32")
    image = np.abs(reference.encode_images(pixels) - candidate.encode_images(pixels)).max()
    if folder.text is None:
        return float(image), None
    text = np.abs(reference.encode_texts(PARITY_TEXTS) - candidate.encode_texts(PARITY_TEXTS)).max()
    return float(image), float(text)


def parity_pixels(size: int) -> Pixels:
    """The seeded pictures of the parity check: noise, one grey, one gradient."""
    rng = np.random.default_rng(17)
    noise = rng.integers(0, 256, (PARITY_IMAGES - 2, 3, size, size), np.uint8)
    flat = np.stack([np.full((3, size, size), 20, np.uint8), _gradient(size)])
    return np.concatenate([noise, flat])


def _write_image_tower(encoder: TorchEncoder, folder: Path) -> ImageTower:
    import torch

    class Images(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: torch.Tensor) -> Any:
            return self.model.encode_image(pixels)

    size = encoder.spec.preprocessing.size
    place = next(encoder.model.parameters()).device
    # Two pictures: with one, a broadcast over the batch would be traced without a broadcast.
    example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(3)).to(place)
    write_graph(Images(encoder.model), example, folder / "image.onnx", input_name="pixels", dynamic={0: "n"})
    return ImageTower("image.onnx")


def _describe(
    encoder: TorchEncoder, folder: Path, name: str, image: ImageTower, text: TextTower | None, extra: tuple[str, ...]
) -> EncoderFolder:
    spec = encoder.spec
    named = {image.file, *((text.file, text.tokenizer.file) if text else ()), *extra}
    # Above 2 GB, torch writes one file per tensor next to the graph.
    loose = sorted(p.name for p in folder.iterdir() if p.name not in named)
    return write_encoder_description(
        folder,
        name=name,
        family=spec.family,
        source=spec.source,
        dim=spec.dim,
        preprocessing=spec.preprocessing,
        image=image,
        text=text,
        licence=spec.licence,
        fingerprint=spec.fingerprint,
        logit_scale=spec.logit_scale,
        logit_bias=spec.logit_bias,
        prompt_templates=spec.prompt_templates,
        extra_files=(*extra, *loose),
    )


def _reduced(encoder: TorchEncoder) -> bool:
    """True if the encoder computes in less than float32; parity is measured in float32."""
    return encoder.precision != "fp32"


def _gradient(size: int) -> Any:
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    rows = np.tile(ramp, (size, 1))
    return np.stack([rows, rows.T, rows[:, ::-1]])
