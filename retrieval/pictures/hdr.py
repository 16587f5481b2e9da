"""Simple conversion of high dynamic range to sRGB: without metadata of the video, and without local contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics by their numbers in ITU-T H.273."""

_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"""Linear BT.2020 to BT.709 (ITU-R BT.2087-0)."""

_WHITE = 203.0  # nits of a white page in HDR (ITU-R BT.2408)
_KNEE = 0.8  # fraction of white up to which brightness is unchanged
_HLG_PEAK = 1000.0


def standard(seen: NDArray[Any], transfer: int) -> NDArray[np.uint8]:
    """BT.2020 with PQ or HLG (ITU-R BT.2100) to sRGB: unchanged up to a knee, compressed above it.

    Args:
        seen: (h, w, 3) uint16, full range.
        transfer: :data:`PQ` or :data:`HLG`.

    Returns:
        (h, w, 3) uint8.
    """
    signal: NDArray[np.float32] = (seen / np.float32(65535)).astype(np.float32)
    nits = _pq(signal) if transfer == PQ else _hlg(signal)
    linear = np.maximum(nits @ _TO_709.T, 0.0) / _WHITE
    bright = np.maximum(linear.max(axis=2, keepdims=True), 1e-6)
    rest = 1 - _KNEE
    linear *= np.where(bright > _KNEE, _KNEE + rest * (1 - np.exp((_KNEE - bright) / rest)), bright) / bright
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    bits: NDArray[np.uint8] = np.rint(np.clip(shown, 0.0, 1.0) * 255).astype(np.uint8)
    return bits


def _pq(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Nits (SMPTE ST 2084)."""
    power = signal ** (1 / 78.84375)
    nits: NDArray[np.float32] = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
        1 / 0.1593017578125
    )
    return nits


def _hlg(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Nits on a screen of 1000 nits, with the system gamma of 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    light = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    nits: NDArray[np.float32] = _HLG_PEAK * np.maximum(light, 1e-9)[..., None] ** 0.2 * scene
    return nits
