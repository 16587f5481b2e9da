"""Copy batches to a GPU and results back asynchronously, so that copying overlaps with computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from indexes.base import Vectors
from retrieval.encoders.base import Pixels

if TYPE_CHECKING:
    from torch import Tensor


class DeviceFeed:
    """Pinned double buffering for one CUDA device; tested on a GPU if there is one, but not timed.

    Batch i + 1 is copied on a separate stream from one of two pinned buffers while batch i, which came from the
    other, is computed. One thread starts batches; another may collect the results.

    Args:
        place: a CUDA device.
        forward: (n, 3, size, size) uint8 on it -> (n, dim) float32 on it; only enqueues its work.
    """

    def __init__(self, place: torch.device, forward: Callable[[Tensor], Tensor]) -> None:
        self._place, self._forward = place, forward
        self._copying = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]
        self._slots = (_Slot(), _Slot())
        self._turn = 0

    def start(self, pixels: Pixels) -> Callable[[], Vectors]:
        """Enqueue (n, 3, size, size) uint8; the returned function waits for it and returns (n, dim) float32.

        Waits only for the copy of the batch before the last one. Transferring uint8 takes a quarter of float32.
        """
        slot = self._slots[self._turn]
        self._turn = 1 - self._turn
        with torch.cuda.stream(self._copying):
            batch = slot.stage(pixels).to(self._place, non_blocking=True)
            slot.copied = _event(self._copying)
        computing = torch.cuda.current_stream(self._place)
        computing.wait_event(slot.copied)
        # The allocator only knows the stream on which the memory was allocated; this one reads it later.
        batch.record_stream(computing)
        features = self._forward(batch)
        result = torch.empty(features.shape, dtype=torch.float32, pin_memory=True)
        result.copy_(features, non_blocking=True)
        computed = _event(computing)

        def collect() -> Vectors:
            computed.synchronize()
            found: Vectors = result.numpy()
            return found

        return collect


class _Slot:
    """A pinned buffer that grows to the largest batch, and the event of the last copy from it."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self.copied: torch.cuda.Event | None = None

    def stage(self, pixels: Pixels) -> Tensor:
        if self.copied is not None:
            self.copied.synchronize()
        if self._buffer is None or len(self._buffer) < len(pixels):
            self._buffer = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
        staged = self._buffer[: len(pixels)]
        staged.numpy()[...] = pixels
        return staged


def _event(stream: torch.cuda.Stream) -> torch.cuda.Event:
    """An event that is waited for by sleeping: the default spins on a core that the decoders need."""
    event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    event.record(stream)
    return event
