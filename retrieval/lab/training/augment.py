"""Augmentation: a batch of pictures with random variations, all drawn from one generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Variation:
    """The range of variation of a picture.

    Args:
        area: smallest fraction of the picture in a crop (Szegedy et al. 2015, section 6; CLIP: 0.9).
        ratio: largest stretch of that crop, as width to height.
        mirror: probability of mirroring; 0 for pictures with text.
        light: brightness and contrast are scaled by up to this fraction.
    """

    area: float = 0.5
    ratio: float = 4 / 3
    mirror: float = 0.5
    light: float = 0.2


def vary(pixels: Tensor, size: int, variation: Variation, generator: torch.Generator) -> Tensor:
    """Random crops of (n, 3, H, W) uint8 as (n, 3, size, size) float32 in 0..1, on the device of the pixels."""
    n, place = len(pixels), pixels.device

    def draw(low: float, high: float) -> Tensor:
        # On the CPU for all devices: the same seed gives the same pictures everywhere.
        return (low + (high - low) * torch.rand(n, generator=generator)).to(place)

    area = draw(variation.area, 1.0)
    stretch = draw(-1.0, 1.0).mul(torch.tensor(variation.ratio).log().item() / 2).exp()
    width = (area.sqrt() * stretch).clamp(max=1.0)
    height = (area.sqrt() / stretch).clamp(max=1.0)
    x, y = draw(-1.0, 1.0) * (1 - width), draw(-1.0, 1.0) * (1 - height)
    turned = torch.where(draw(0.0, 1.0) < variation.mirror, -width, width)
    zero = torch.zeros_like(x)
    affine = torch.stack([torch.stack([turned, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    grid = F.affine_grid(affine, [n, 3, size, size], align_corners=False)
    out = F.grid_sample(pixels.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
    bright, contrast = (draw(1 - variation.light, 1 + variation.light).view(n, 1, 1, 1) for _ in range(2))
    mean = out.mean((1, 2, 3), keepdim=True)
    return ((out - mean) * contrast + mean * bright).clamp_(0, 1)


def normalised(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Convert pixels in 0..1 to the tower's input, channels last in memory."""
    shape = (1, 3, 1, 1)
    offset, scale = (torch.tensor(v, device=pixels.device).view(shape) for v in (mean, std))
    return ((pixels - offset) / scale).contiguous(memory_format=torch.channels_last)
