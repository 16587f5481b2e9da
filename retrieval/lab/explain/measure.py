"""Images per second of the image tower on this machine, without decoding."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from retrieval.encoders.base import Encoder


class Speed(NamedTuple):
    """Images a second, over how many seconds, by how many callers with batches of what size, on what."""

    images_per_second: float
    seconds: float
    callers: int
    batch: int
    device: str


def measure(encoder: Encoder, seconds: float = 3.0) -> Speed:
    """Embed noise for some seconds with as many callers as the encoder likes; the first batch of each is not counted.

    Raises:
        EncoderError, WeightsUnavailable, RuntimeUnavailable: from the encoder.
    """
    size, batch, callers = encoder.spec.preprocessing.size, encoder.batch_size, encoder.streams
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: encoder.encode_images(pixels), range(callers)))
        started = time.perf_counter()

        def work(_: int) -> int:
            done = 0
            while not done or time.perf_counter() - started < seconds:
                encoder.encode_images(pixels)
                done += batch
            return done

        images = sum(pool.map(work, range(callers)))
    taken = time.perf_counter() - started
    return Speed(images / taken, taken, callers, batch, encoder.device)
