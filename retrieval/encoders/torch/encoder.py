"""Shared code of torch models: device, precision, batch size; the image tower."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from indexes.base import Vectors
from retrieval.config.process import lookup
from retrieval.encoders.base import EncoderSpec, Pixels, unit
from retrieval.encoders.names.open_clip import INSTALL_TORCH
from retrieval.errors import EncoderError, RuntimeUnavailable, SettingsError

if TYPE_CHECKING:
    import torch

    from retrieval.encoders.torch.device_feed import DeviceFeed

log = logging.getLogger("photoseek")

Precision = Literal["fp32", "bf16", "fp16"]
CPU_BATCH = 16  # batch 8 reaches 92 % of the best on a CPU, and nothing is gained above 32
# Three batches wait in memory, one is gathered and two are pinned: 300 MB of 256 px pictures. 256 of them are 16,640
# rows for a ViT-B-32's matrices, enough to fully use a GPU (calculated, not measured).
GPU_BATCH_LIMIT = 256
MEMORY_SHARE = 0.6
"""Share of the free device memory that one batch may take; the rest is for fragmentation and other programs."""
PROBE_IMAGES = 8
COMPILE_VARIABLE = "PHOTOSEEK_TORCH_COMPILE"
_COMPILER = "inductor"


@dataclass(frozen=True)
class _Awake:
    """The result of the first use: the model on a device."""

    model: Any
    offset: torch.Tensor
    scale: torch.Tensor


def require_modules(name: str, *modules: str) -> None:
    """Raise RuntimeUnavailable unless all modules that the model ``name`` needs are installed; imports nothing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise RuntimeUnavailable(f"{name} needs {' and '.join(missing)}, not installed", INSTALL_TORCH)


class TorchEncoder(ABC):
    """The ``Encoder`` protocol over a torch module with ``encode_image``; subclasses build it, and encode texts.

    Args:
        spec: of the model; its files are already checked.
        weights: the file that the model is built from.
        device: ``auto`` or None (cuda if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` or None is bf16 on a GPU and fp32 on a CPU.
        compiled: run the image tower through ``torch.compile``; None reads PHOTOSEEK_TORCH_COMPILE=1. It takes up to
            a minute at the first batch and needs a C++ compiler (on a GPU also Triton), so it is for large folders.

    Raises:
        SettingsError: an unknown device or precision.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        weights: Path,
        *,
        device: str | None = None,
        precision: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        device, precision = device or "auto", None if precision == "auto" else precision
        if device not in ("auto", "cpu", "cuda") and not device.removeprefix("cuda:").isdigit():
            raise SettingsError(f"unknown device {device!r}", "known: auto, cpu, cuda, cuda:0, cuda:1, ...")
        if precision is not None and precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise SettingsError(f"unknown precision {precision!r}", f"known: {known}")
        self.spec, self.weights = spec, weights
        self._asked, self._precision = device, precision
        self._lock = threading.RLock()
        self._awake: _Awake | None = None
        self._placed: torch.device | None = None
        self._batch: int | None = None
        self._wants_compiled = lookup("compile", COMPILE_VARIABLE) in ("1", True) if compiled is None else compiled
        self._compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._feed: DeviceFeed | None = None

    @property
    def streams(self) -> int:
        """1: a GPU needs one caller, and on a CPU torch's own threads share one batch."""
        return 1

    @property
    def batch_size(self) -> int:
        """Images per call; on a GPU determined once from the memory used by a small batch."""
        self._wake()
        if self._batch is None:
            self._batch = self._measured_batch() if self._place().type == "cuda" else CPU_BATCH
        return self._batch

    @property
    def device(self) -> str:
        """``cuda:0 (NVIDIA ..., bf16)`` or ``cpu (torch, fp32)``; raises like the first encode."""
        place = self._place()
        how = f"{self.precision}, compiled" if self._wants_compiled else self.precision
        if place.type == "cuda":
            import torch

            return f"{place} ({torch.cuda.get_device_name(place)}, {how})"
        return f"cpu (torch, {how})"

    def torch_device(self) -> str:
        """``cpu`` or ``cuda:N``; raises like the first encode."""
        return str(self._place())

    def compile_images(self) -> None:
        """Run the image tower through ``torch.compile`` from now on, see ``compiled``."""
        self._wants_compiled = True

    @property
    def precision(self) -> str:
        """The precision of the image tower. Texts are always fp32: they are few and cheap."""
        return self._precision or ("bf16" if self._place().type == "cuda" else "fp32")

    @property
    def model(self) -> Any:
        """The module in evaluation mode (``torch.nn.Module``); loads it."""
        return self._wake().model

    def encode_images(self, pixels: Pixels) -> Vectors:
        """(n, 3, size, size) uint8 -> (n, dim) float32 unit vectors.

        Raises:
            EncoderError: another shape or type, non-finite output, or one image does not fit the device.
            WeightsUnavailable, RuntimeUnavailable: from the first use.
        """
        self._check(pixels)
        if not len(pixels):
            return np.empty((0, self.spec.dim), np.float32)
        features, worked = in_batches(self._forward_images, pixels, self.batch_size)
        if worked < self.batch_size:
            log.warning("the device ran out of memory: batches now have %d images", worked)
            self._batch = worked
        return unit(features)

    def start_images(self, pixels: Pixels) -> Callable[[], Vectors]:
        """:meth:`encode_images` without waiting for a GPU: the next batch may be started before this one is collected.

        On a CPU, or if the batch does not fit, all the work is done before this returns.
        """
        self._check(pixels)
        if self._place().type == "cuda" and 0 < len(pixels) <= self.batch_size:
            import torch

            with contextlib.suppress(torch.cuda.OutOfMemoryError):
                collect = self._on_device(pixels)
                return lambda: unit(collect())
        vectors = self.encode_images(pixels)
        return lambda: vectors

    def _check(self, pixels: Pixels) -> None:
        size = self.spec.preprocessing.size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (3, size, size):
            raise EncoderError(
                f"pixels are {pixels.dtype} {pixels.shape}, not uint8 (n, 3, {size}, {size})",
                "prepare pictures with this encoder's preprocessing",
            )

    @abstractmethod
    def _build(self) -> torch.nn.Module:
        """The module on the CPU in float32 and evaluation mode, with all weights loaded; called once."""

    @abstractmethod
    def in_fp32(self) -> TorchEncoder:
        """The same model in float32 on the CPU: the reference for exports."""

    @abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (n, dim) float32 unit vectors."""

    @abstractmethod
    def is_cut(self, text: str) -> bool:
        """True if the tokenizer truncates ``text``."""

    def _forward_images(self, pixels: Pixels) -> Vectors:
        """Encode one batch: (n, dim) features as the tower returns them."""
        if self._place().type == "cuda":
            return self._on_device(pixels)()
        import torch

        features: Vectors = self._features(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()
        return features

    def _on_device(self, pixels: Pixels) -> Callable[[], Vectors]:
        from retrieval.encoders.torch.device_feed import DeviceFeed

        with self._lock:
            if self._feed is None:
                self._feed = DeviceFeed(self._place(), self._features)
            return self._feed.start(pixels)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) uint8 -> (n, dim) float32, both on the model's device."""
        import torch

        awake = self._wake()
        with self._lock, torch.inference_mode(), self._autocast():
            x = (batch.float() * awake.scale - awake.offset).contiguous(memory_format=torch.channels_last)
            return self._encoded(awake.model, x).float()

    def _encoded(self, model: Any, x: torch.Tensor) -> torch.Tensor:
        """Run the tower, compiled if requested. It is compiled for one batch size, so smaller batches are padded.

        Batches of at most half that size are not compiled (a query picture should not wait for a compiler), nor are
        the batches that measure how much fits.
        """
        import torch

        size = self._batch
        if not self._wants_compiled or size is None or not size // 2 < len(x) <= size:
            plain: torch.Tensor = model.encode_image(x)
            return plain
        if self._compiled is None:
            self._compiled = torch.compile(model.encode_image, dynamic=False, backend=_COMPILER)
        full = x if len(x) == size else torch.cat([x, x.new_zeros((size - len(x), *x.shape[1:]))])
        try:
            return self._compiled(full.contiguous(memory_format=torch.channels_last))[: len(x)]
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # no compiler, no Triton, or an unsupported operation: many exception types
            reason = str(getattr(error, "inner_exception", error)).strip().partition("\n")[0]
            log.warning("torch.compile failed, continuing without it: %s", reason)
            self._wants_compiled = False
            return self._encoded(model, x)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        import torch

        if self.precision == "fp32":
            return contextlib.nullcontext()
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self._place().type, dtype=kind)

    def _place(self) -> torch.device:
        """The device to run on; never a CPU if a GPU was requested by name."""
        with self._lock:
            if self._placed is None:
                self._placed = _device(self._asked)
            return self._placed

    def _wake(self) -> _Awake:
        with self._lock:
            if self._awake is None:
                import torch

                place = self._place()
                model = self._build().to(place).to(memory_format=torch.channels_last)
                self._awake = _Awake(model, *self._normalisation(place))
            return self._awake

    def _normalisation(self, place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(v / 255 - mean) / std as v * scale - offset, one pass over the batch."""
        import torch

        mean, std = (
            torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1)
            for v in (self.spec.preprocessing.mean, self.spec.preprocessing.std)
        )
        return (mean / std).float().to(place), (1 / (255 * std)).float().to(place)

    def _measured_batch(self) -> int:
        import torch

        place, size = self._place(), self.spec.preprocessing.size
        probe = np.zeros((PROBE_IMAGES, 3, size, size), np.uint8)
        self._forward_images(probe[:1])  # cudnn and cublas allocate their workspaces once
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
        self._forward_images(probe)
        per_image = max(1, (torch.cuda.max_memory_allocated(place) - before) // PROBE_IMAGES)
        free, _ = torch.cuda.mem_get_info(place)
        fits = int(MEMORY_SHARE * free / per_image)
        return max(1, min(GPU_BATCH_LIMIT, fits // 8 * 8 or fits))


def in_batches(forward: Callable[[Pixels], Vectors], pixels: Pixels, limit: int) -> tuple[Vectors, int]:
    """Run ``forward`` over batches of at most ``limit``; out of device memory, halve the batch and continue.

    Returns:
        (n, dim) features in order, and the batch size that worked last.

    Raises:
        EncoderError: not even one image fits.
    """
    import torch

    rows, done = [], 0
    while done < len(pixels):
        try:
            rows.append(forward(pixels[done : done + limit]))
        except torch.cuda.OutOfMemoryError as error:
            if limit == 1:
                raise EncoderError(
                    "the GPU has no memory left for a single image",
                    "close other programs that use it, use a smaller model, or --device cpu",
                ) from error
            limit = max(1, min(limit, len(pixels) - done) // 2)
        else:
            done += len(rows[-1])
            continue
        # Outside the handler: while the exception exists, its traceback keeps the failed batch's tensors alive.
        torch.cuda.empty_cache()
    return np.concatenate(rows), limit


def _device(asked: str) -> torch.device:
    try:
        import torch
    except ImportError as error:
        raise RuntimeUnavailable(f"torch cannot be imported ({error})", INSTALL_TORCH) from error

    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(asked.partition(":")[2] or 0)
    if number >= count:
        raise RuntimeUnavailable(
            f"device {asked} was requested, but torch {torch.__version__} finds {count} GPUs",
            "install a CUDA build of torch and the driver, or use --device cpu",
        )
    return torch.device("cuda", number)
