"""Decode and resize JPEGs on a GPU; the small picture is copied back. Not measured on a GPU.

Off by default. torchvision uses nvJPEG, which has a hardware engine for baseline files on data-centre GPUs (A100, H100
and later); on other GPUs, and for progressive files, its entropy decoding runs on one core
behind a lock, and the CPU's own decoders may well be faster.

Only decoding and resizing run on the GPU: header, EXIF, rotation, colour profile and perceptual hash are processed here
by the code that ``images.py`` uses, the last three on the small picture. Every file that nvJPEG might read differently
from libjpeg is passed to ``read_picture``, which also determines what is unreadable and why.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from retrieval.encoders.base import Encoder, OnTorch, Preprocessing
from retrieval.errors import RuntimeUnavailable, SettingsError, UnreadableImage
from retrieval.pictures.colour import average_colour, to_srgb
from retrieval.pictures.decoding import TURNS, WHOLE, Picture, cropped
from retrieval.pictures.exif import Exif, read_exif
from retrieval.pictures.formats import open_image, sniff
from retrieval.pictures.geometry import Fit, fit, upright_size
from retrieval.pictures.images import read_picture
from retrieval.pictures.jpeg_structure import jpeg_frame
from retrieval.pictures.page_likeness import looks_like_page
from retrieval.pictures.phash import MIN_SIDE, hashes_of_tiny, tiny_copy
from retrieval.pictures.quiet import quietly

if TYPE_CHECKING:
    import torch

DEVICE_PIXELS = 50_000_000
"""Maximum decoded at a time: 150 MB on the device, and four times as much for one picture of this size in float32."""

# CUDA's antialiased resize keeps the weights of 32 x 32 output pixels in 48 KiB of shared memory.
_MOST_SHRINK = 40

_PROCESSES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; the others are lossless or arithmetic
_END = b"\xff\xd9"
_PROBE = (8, 8)


_Bytes = NDArray[np.uint8]
_Passes = Sequence[tuple[int, int]]
"""(height, width) of a stored picture after each pass of its resize."""


@dataclass(frozen=True)
class DecodedOn:
    """How many pictures a GPU decoded, and how many were left to the CPU, by reason."""

    device: str
    pictures: int
    left_to_cpu: dict[str, int]


class _Plan(NamedTuple):
    """A JPEG that the device may decode: its header, as read by Pillow, and how to process it."""

    header: ImageFile
    exif: Exif
    width: int  # upright
    height: int
    fit: Fit

    @property
    def passes(self) -> _Passes:
        """Pillow resizes rows first; for a picture that is rotated later, these are its columns."""
        width, height = upright_size(self.fit.width, self.fit.height, self.exif.orientation)
        stored_width, stored_height = self.header.size
        first = (height, stored_width) if self.exif.orientation >= 5 else (stored_height, width)
        return first, (height, width)


class _OnCpuError(Exception):
    """The reason why a file is left to the CPU, short, so that reasons can be counted."""


class DeviceDecoder:
    """Reads pictures like ``read_picture``, decoding plain JPEGs on a device; may be called from any thread.

    Pictures are decoded at full size, whereas the CPU decodes large ones reduced: both agree with open_clip's resize.

    Args:
        preprocessing: of the encoder that will get the pixels.
        device: ``cuda``, ``cuda:N``, or ``cpu``, which runs the same steps, for tests.

    Raises:
        RuntimeUnavailable: torch, torchvision or the device is missing, or torchvision cannot decode JPEGs on it.
    """

    def __init__(self, preprocessing: Preprocessing, device: str = "cuda") -> None:
        self._preprocessing = preprocessing
        self._decoded = 0
        self._left_to_cpu: Counter[str] = Counter()
        self._counting = threading.Lock()
        # torchvision decodes behind a lock. Ours also covers the resize and the copy back: its decoder writes on a
        # separate stream to memory that torch may have reused from ours, so no work may be pending there.
        self._lock = threading.Lock()
        self._stream: Any = None
        try:
            import torch

            self._place = torch.device(device)
            if self._place.type == "cuda":
                self._stream = torch.cuda.Stream(self._place)  # type: ignore[no-untyped-call]
            with quietly():
                self._on_device([_black_jpeg()], [[_PROBE]])
        except (ImportError, RuntimeError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise RuntimeUnavailable(
                f"JPEGs cannot be decoded on {device}: {reason}",
                "install CUDA builds of torch and torchvision (photoseek[gpu]), or omit --gpu-decode",
            ) from error

    def read(self, files: Sequence[bytes]) -> list[Picture | UnreadableImage]:
        """For each file, the result of ``read_picture``, or the error that it raises."""
        pictures: dict[int, Picture] = {}
        with quietly():
            plans = self._plans(files)
            for group in _groups(plans):
                smalls = self._smalls([files[at] for at in group], [plans[at].passes for at in group])
                for at, small in zip(group, smalls, strict=True):
                    if small is not None:
                        pictures[at] = self._finished(small, plans[at])
        with self._counting:
            self._decoded += len(pictures)
        return [pictures.get(at) or self._on_cpu(data) for at, data in enumerate(files)]

    def taken(self) -> DecodedOn:
        """What was decoded where since the last call."""
        with self._counting:
            taken = DecodedOn(str(self._place), self._decoded, dict(self._left_to_cpu))
            self._decoded, self._left_to_cpu = 0, Counter()
        return taken

    def _plans(self, files: Sequence[bytes]) -> dict[int, _Plan]:
        plans = {}
        for at, data in enumerate(files):
            try:
                plans[at] = _plan(data, self._preprocessing)
            except _OnCpuError as reason:
                self.leave(str(reason))
            except Exception:  # whatever Pillow raises for a damaged header; the CPU's decoder will report it
                self.leave("damaged")
        return plans

    def _smalls(self, files: Sequence[bytes], passes: Sequence[_Passes]) -> list[_Bytes | None]:
        """Call :meth:`_on_device`; if it fails, for each file separately. None for a file that fails."""
        try:
            return list(self._on_device(files, passes))
        except RuntimeError:  # torchvision gives no details, and memory errors are of this type too
            if len(files) == 1:
                self.leave("the device's decoder refused it")
                return [None]
        return [self._smalls([data], [each])[0] for data, each in zip(files, passes, strict=True)]

    def _on_device(self, files: Sequence[bytes], passes: Sequence[_Passes]) -> list[_Bytes]:
        """Decode JPEGs to (height, width, 3) uint8 in host memory, resized, in stored orientation."""
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files]
        own = nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
        with self._lock, torch.inference_mode(), own:
            decoded = decode_jpeg(encoded, ImageReadMode.RGB, device=self._place)
            smalls = [self._resized(whole, each).cpu() for whole, each in zip(decoded, passes, strict=True)]
        return [np.ascontiguousarray(small.numpy().transpose(1, 2, 0)) for small in smalls]

    def _resized(self, small: torch.Tensor, passes: _Passes) -> torch.Tensor:
        """Rounded after each pass like Pillow: 86 dB from its result, but 57 dB if rounded only once."""
        from torch.nn.functional import interpolate

        mode = self._preprocessing.interpolation
        for size in passes:
            wide = interpolate(small[None].float(), size, mode=mode, antialias=True, align_corners=False)[0]
            small = wide.round_().clamp_(0, 255)
        return small.byte()

    def _finished(self, small: _Bytes, plan: _Plan) -> Picture:
        grey = plan.header.mode == "L"
        image = Image.fromarray(np.ascontiguousarray(small[..., 0]) if grey else small)
        turn = TURNS.get(plan.exif.orientation)
        upright = image if turn is None else image.transpose(turn)
        pixels = cropped(to_srgb(upright, plan.header), plan.fit, self._preprocessing.size)
        tiny = tiny_copy(upright)
        colour = average_colour(tiny, plan.header)
        is_page = looks_like_page(upright)
        return Picture(pixels, plan.width, plan.height, "JPEG", plan.exif, hashes_of_tiny(tiny), colour, is_page)

    def _on_cpu(self, data: bytes) -> Picture | UnreadableImage:
        try:
            return read_picture(data, self._preprocessing)
        except UnreadableImage as error:
            return error

    def leave(self, reason: str) -> None:
        """Count a file that is decoded elsewhere, and why."""
        with self._counting:
            self._left_to_cpu[reason] += 1


def device_decoder(encoder: Encoder) -> DeviceDecoder:
    """A decoder on the GPU that runs ``encoder``.

    Raises:
        SettingsError: the encoder does not run on a GPU.
        RuntimeUnavailable: see :class:`DeviceDecoder`.
    """
    place = encoder.torch_device() if isinstance(encoder, OnTorch) else "cpu"
    if not place.startswith("cuda"):
        raise SettingsError(
            f"pictures are decoded on the GPU that runs the model, and {encoder.spec.name} runs on {encoder.device}",
            "add --device cuda, or omit --gpu-decode",
        )
    return DeviceDecoder(encoder.spec.preprocessing, place)


def _plan(data: bytes, preprocessing: Preprocessing) -> _Plan:
    """How to process a file on the device; raises _OnCpuError if it is left to the CPU."""
    if sniff(data) != "JPEG":
        raise _OnCpuError("not a JPEG")
    if preprocessing.size < MIN_SIDE:
        raise _OnCpuError("the model's pictures are too small for the perceptual hash")
    frame = jpeg_frame(data)
    if frame is None or frame.process not in _PROCESSES or frame.precision != 8:
        raise _OnCpuError("a rare kind of JPEG")
    # A decoder that fills in what is missing would give a truncated file the embedding of its upper half.
    if data.rfind(_END, frame.scan) < 0:
        raise _OnCpuError("cut short")
    header = open_image(data, "JPEG")
    if header.mode not in ("L", "RGB") or frame.components == b"RGB" or header.info.get("adobe_transform") == 0:
        raise _OnCpuError("not in YCbCr or grey")
    if header.width * header.height > DEVICE_PIXELS:
        raise _OnCpuError("too many pixels")
    exif = read_exif(header)
    width, height = upright_size(*header.size, exif.orientation)
    plan = fit(width, height, preprocessing)
    shrink = max(width / plan.width, height / plan.height)
    if plan.width * plan.height > WHOLE * preprocessing.size**2 or shrink > _MOST_SHRINK:
        raise _OnCpuError("too long or too large to be resized whole")
    return _Plan(header, exif, width, height, plan)


def _groups(plans: dict[int, _Plan]) -> Iterator[list[int]]:
    """Files to decode together: in order, up to DEVICE_PIXELS."""
    group: list[int] = []
    pixels = 0
    for at, plan in plans.items():
        if group and pixels + plan.width * plan.height > DEVICE_PIXELS:
            yield group
            group, pixels = [], 0
        group.append(at)
        pixels += plan.width * plan.height
    if group:
        yield group


def _black_jpeg() -> bytes:
    import io

    out = io.BytesIO()
    Image.new("RGB", _PROBE).save(out, "JPEG")
    return out.getvalue()
