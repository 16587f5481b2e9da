"""The image tower of the built-in model: a pretrained body, transformer blocks over its grid, and a memory of kinds.

The hybrid of Dosovitskiy et al. 2021 (ViT, section 3.1): the tokens are the positions of a convolutional network's last
map. Three things are joined in it:

* the memory of kinds: what the body believes of its 1,000 kinds, as the mean of these kinds' embeddings weighted by
  that belief (ConSE, Norouzi et al. 2014, equation 4, over all kinds and with a learned sharpness);
* what the blocks add to it: drawings, colours, looks and kinds that the body was never told of;
* dimensions of the picture's own, in which every text is zero: they tell pictures apart that words do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.lab.training.lite import FEATURES, GRID_CHANNELS, KINDS, SIZE, LiteBody
from retrieval.lab.training.towers import Block

CELL = 8
"""Pixels of a side of the cells whose mean colours the tokens see beside the body's features."""


@dataclass(frozen=True)
class HybridConfig:
    """Form of the tower.

    Args:
        width, layers, heads: of the blocks.
        words: dimensions that texts and pictures share.
        own: dimensions that only pictures use.
        own_share: part of a picture's squared length that lies in its own dimensions.
        size: pixels of a side of the square input, a multiple of 32.
    """

    width: int = 320
    layers: int = 1
    heads: int = 5
    words: int = 256
    own: int = 128
    own_share: float = 0.5
    size: int = SIZE

    @property
    def dim(self) -> int:
        """Of an embedding."""
        return self.words + self.own

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.size // 32


class HybridTower(nn.Module):
    """From normalised pictures to embeddings of unit length."""

    def __init__(self, config: HybridConfig, body: LiteBody | None = None) -> None:
        super().__init__()
        self.config = config
        self.body = LiteBody() if body is None else body
        width = config.width
        self.project_grid = nn.Conv2d(GRID_CHANNELS, width, 1)
        self.patches = nn.Conv2d(3, width, 32 // CELL, stride=32 // CELL, bias=False)  # ViT, equation 1
        self.positions = nn.Parameter(torch.zeros(1, config.grid**2, width))
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.log_sharpness = nn.Parameter(torch.zeros(()))
        self.kinds = nn.Parameter(torch.zeros(KINDS, config.words))
        self.learned = nn.Linear(width, config.words, bias=False)
        self.own = nn.Linear(FEATURES, config.own)
        for block in (self.project_grid, self.patches):
            nn.init.normal_(block.weight, std=0.02)
        nn.init.zeros_(self.project_grid.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.zeros_(self.learned.weight)  # a fresh tower says what its memory says

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) float, normalised as the body wants it, to (n, words + own) of unit length."""
        grid = self.body(images)
        return self.behind(grid, cells(images), self.body.head(grid))

    def behind(self, grid: Tensor, colours: Tensor, features: Tensor) -> Tensor:
        """What follows the body.

        Args:
            grid: (n, 320, g, g), of the body.
            colours: (n, 3, 4 g, 4 g), of :func:`cells`.
            features: (n, 1280, g, g), of the body's head; or their mean, (n, 1280, 1, 1).
        """
        tokens = self.tokens(grid, colours)
        if features.shape[-1] == 1:
            seen, known = tokens.mean((2, 3)), features.flatten(1)
        else:
            # One mean over both: what stands behind it can be asked of each position alone (explain's dense tokens).
            both = torch.cat([tokens, features], dim=1).mean((2, 3))
            seen, known = both[:, : self.config.width], both[:, self.config.width :]
        return self.joined(seen, known)

    def at_size(self, size: int) -> HybridTower:
        """A copy for another input: its positions are interpolated (ViT, section 3.2)."""
        made = HybridTower(replace(self.config, size=size), LiteBody())
        weights, side = dict(self.state_dict()), self.config.grid
        square = self.positions.detach().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        other = F.interpolate(square, (made.config.grid,) * 2, mode="bicubic", antialias=True)
        weights["positions"] = other.flatten(2).transpose(1, 2)
        made.load_state_dict(weights)
        return made.train(self.training)

    def tokens(self, grid: Tensor, colours: Tensor) -> Tensor:
        """(n, width, g, g): the blocks' tokens in the places of the grid."""
        patches = self.project_grid(grid) + self.patches(colours)
        x = patches.flatten(2).transpose(1, 2) + self.positions
        x = self.norm(self.blocks(x))
        # The grid's side is a constant of the graph; the number of pictures must not become one.
        out: Tensor = x.transpose(1, 2).reshape(-1, self.config.width, self.config.grid, self.config.grid)
        return out

    def joined(self, seen: Tensor, known: Tensor) -> Tensor:
        """(n, width) mean tokens and (n, 1280) mean features to (n, words + own) of unit length."""
        belief = (self.log_sharpness.exp() * self.body.classifier(known)).softmax(-1)
        words = F.normalize(belief @ self.kinds + self.learned(seen), dim=-1)
        own = F.normalize(self.own(known), dim=-1)
        share = self.config.own_share
        return torch.cat([math.sqrt(1 - share) * words, math.sqrt(share) * own], dim=-1)


def cells(images: Tensor) -> Tensor:
    """(n, 3, H, W) to (n, 3, H / 8, W / 8): mean colours of cells."""
    return F.avg_pool2d(images, CELL)
