"""A small CLIP written out: a vision transformer, a text transformer, and their common space.

The code follows two papers: Dosovitskiy et al. 2021 ("An Image is Worth 16x16 Words", ViT, its equations 1 to 4) and
Radford et al. 2021 (CLIP). ``n`` is the batch, ``t`` tokens, ``d`` the width of a tower, ``dim`` of the common space.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pooling = Literal["mean", "cls"]


@dataclass(frozen=True)
class ImageTowerConfig:
    """Form of an image tower.

    Args:
        size: side of its square input in pixels.
        patch: side of a patch in pixels; with a convolutional stem, the product of its strides.
        width, layers, heads: of the transformer.
        dim: of the common space.
        pooling: ``mean`` of the patch tokens, or the ``cls`` token.
        stem: channels of the stages of a convolutional stem, each of stride 2, followed by the projection
            to ``width``; empty: one linear projection of each patch, as in the paper.
        blocks: residual blocks after each stage of the stem.
    """

    size: int = 64
    patch: int = 8
    width: int = 192
    layers: int = 6
    heads: int = 3
    dim: int = 256
    pooling: Pooling = "mean"
    stem: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.size // self.patch

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's description."""
        return asdict(self)


@dataclass(frozen=True)
class TextTowerConfig:
    """Form of a text tower: CLIP's causal transformer, pooled at the end token."""

    vocabulary: int
    context: int = 32
    width: int = 256
    layers: int = 4
    heads: int = 4
    dim: int = 256


class PatchEmbedding(nn.Module):
    """Cut into P x P patches and project each linearly (ViT, equation 1): a convolution with kernel = stride = P."""

    def __init__(self, patch: int, width: int, channels: int = 3) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) to (n, width, H / P, W / P)."""
        grid: Tensor = self.project(images)
        return grid


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016, "Deep Residual Learning")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, stride=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class ConvolutionalStem(nn.Module):
    """The hybrid of ViT's section 3.1: tokens are the positions of a small convolutional network's last map.

    Convolutions learn from a hundred thousand pictures what a transformer needs millions for (ViT, figure 4), and
    make training more stable (Xiao et al. 2021, "Early Convolutions Help Transformers See Better").
    """

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...], width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, after, count in zip((3, *channels), channels, blocks, strict=False):
            stages.append(_convolution(before, after, stride=2))
            stages += [ResidualBlock(after) for _ in range(count)]
        self.stages = nn.Sequential(*stages)
        self.project = nn.Conv2d(channels[-1], width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) to (n, width, H / 2^s, W / 2^s) with s stages."""
        grid: Tensor = self.project(self.stages(images))
        return grid


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017; ViT, equations 5 to 8 of its appendix)."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        query, key, value = self.query_key_value(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(n, t, d))
        return out


class Block(nn.Module):
    """A pre-norm encoder block: attention and a perceptron, each around a shortcut (ViT, equations 2 and 3)."""

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.perceptron(self.norm2(x))
        return out


class ImageTower(nn.Module):
    """A vision transformer that ends in the common space."""

    def __init__(self, config: ImageTowerConfig) -> None:
        super().__init__()
        self.config = config
        width, grid = config.width, config.grid
        self.patches: nn.Module = (
            ConvolutionalStem(config.stem, config.blocks, width) if config.stem else PatchEmbedding(config.patch, width)
        )
        tokens = grid * grid + (config.pooling == "cls")
        self.cls = nn.Parameter(torch.zeros(1, 1, width)) if config.pooling == "cls" else None
        self.positions = nn.Parameter(torch.zeros(1, tokens, width))
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.dim, bias=False)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) float, normalised, to (n, dim), not normalised.

        H and W may differ from the tower's own size if they are multiples of the patch: the
        position embeddings are interpolated (ViT, section 3.2).
        """
        grid = self.patches(images)
        x = grid.flatten(2).transpose(1, 2)  # (n, t, width)
        if self.cls is not None:
            # Not len(x), which would make the batch size a constant of a traced graph.
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.positions_for(*grid.shape[-2:])
        x = self.norm(self.blocks(x))
        out: Tensor = self.project(x.mean(1) if self.cls is None else x[:, 0])
        return out

    def positions_for(self, height: int, width: int) -> Tensor:
        """(1, t, width) position embeddings for a grid of patches other than the tower's own."""
        side = self.config.grid
        if (height, width) == (side, side):
            return self.positions
        first = self.positions.shape[1] - side * side
        square = self.positions[:, first:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        other = F.interpolate(square, (height, width), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
        return torch.cat([self.positions[:, :first], other], dim=1)


class TextTower(nn.Module):
    """CLIP's text transformer: causal, pooled at the end token, which must be the largest id in each row."""

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.zeros(config.context, config.width))
        self.blocks = nn.Sequential(*[Block(config.width, config.heads, causal=True) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(config.width, config.dim, bias=False)
        self.apply(_initialise)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t) int token ids, t <= context, padded with zeros after the end token, to (n, dim)."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        x = self.norm(self.blocks(x))
        ends = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=1)]
        out: Tensor = self.project(ends)
        return out


class SmallClip(nn.Module):
    """Two towers, and the temperature (and bias) that convert their cosines to logits."""

    def __init__(
        self, image: ImageTower, text: TextTower, *, scale: float = 1 / 0.07, bias: float | None = None
    ) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias)) if bias is not None else None

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-length embeddings (n, dim) of images and of texts."""
        return F.normalize(self.image(images).float(), dim=-1), F.normalize(self.text(tokens).float(), dim=-1)

    def scale(self) -> Tensor:
        """The learned scale, limited to 100 as in CLIP (section 2.5: larger ones made training unstable)."""
        return self.log_scale.exp().clamp(max=100.0)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
