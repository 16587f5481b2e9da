"""The image tower of the built-in model: a pretrained body, transformer blocks over its grid, and a memory of kinds.

The hybrid of Dosovitskiy et al. 2021 (ViT, section 3.1): the tokens are the positions of a convolutional network's last
map. It combines four parts:

* the memory of kinds: the body's prediction over its 1,000 kinds, as the mean of these kinds' embeddings weighted by
  probability (ConSE, Norouzi et al. 2014, equation 4, over all kinds and with a learned sharpness);
* what the blocks add to it: drawings, colours, looks and kinds on which the body was not trained;
* the amount of each colour, weighted towards the middle and non-grey areas, in dimensions that only texts with a
  colour word use;
* dimensions of pictures only, in which every text is zero: they distinguish pictures beyond what words can.
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
"""Side in pixels of the cells whose mean colours are input of the tokens in addition to the body's features."""

COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey"),
    "colourless",
)
"""The meaning of the colour dimensions, in order: the basic colour terms of English (Berlin & Kay 1969), and a
picture without colours."""

PAINTED = len(COLOURS) + 1
"""Numbers per position from which a picture's colours are computed."""

_CELLS = 32 // CELL
"""Cells along a side of a token."""

_MIDDLE, _GREY, _VIVID = 0.2, 0.1, 0.03
"""Standard deviation of the weight in the middle, in sides; weight of a grey place, relative to the difference of
the largest and smallest of red, green and blue; and the mean difference below which a picture counts as colourless."""


@dataclass(frozen=True)
class HybridConfig:
    """Form of the tower.

    Args:
        width, layers, heads: of the blocks.
        words: dimensions that texts and pictures share.
        own: dimensions that only pictures use.
        own_share: fraction of a picture's squared length in its own dimensions and those of :data:`COLOURS`.
        size: side of the square input in pixels, a multiple of 32.
    """

    width: int = 320
    layers: int = 1
    heads: int = 5
    words: int = 256
    own: int = 116
    own_share: float = 0.5
    size: int = SIZE

    @property
    def dim(self) -> int:
        """Embedding dimension."""
        return self.words + len(COLOURS) + self.own

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
        self.patches = nn.Conv2d(3, width, _CELLS, stride=_CELLS, bias=False)  # ViT, equation 1
        self.positions = nn.Parameter(torch.zeros(1, config.grid**2, width))
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.log_sharpness = nn.Parameter(torch.zeros(()))
        self.kinds = nn.Parameter(torch.zeros(KINDS, config.words))
        self.learned = nn.Linear(width, config.words, bias=False)
        self.own = nn.Linear(FEATURES, config.own)
        self.painter = Painter(config.grid)
        for block in (self.project_grid, self.patches):
            nn.init.normal_(block.weight, std=0.02)
        nn.init.zeros_(self.project_grid.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.positions, std=0.02)
        nn.init.zeros_(self.learned.weight)  # a new tower returns its memory

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) float, normalised for the body, to (n, dim) of unit length."""
        grid = self.body(images)
        return self.behind(grid, cells(images), self.body.head(grid))

    def behind(self, grid: Tensor, colours: Tensor, features: Tensor) -> Tensor:
        """The layers after the body.

        Args:
            grid: (n, 320, g, g), from the body.
            colours: (n, 3, 4 g, 4 g), from :func:`cells`.
            features: (n, 1280, g, g), from the body's head; or their mean, (n, 1280, 1, 1).
        """
        seen = torch.cat([self.tokens(grid, colours), self.painter(colours)], dim=1)
        if features.shape[-1] == 1:
            both = torch.cat([seen.mean((2, 3)), features.flatten(1)], dim=1)
        else:
            # One mean over all, so that the layers after it can be run on each position (explain's dense tokens).
            both = torch.cat([seen, features], dim=1).mean((2, 3))
        width = self.config.width
        return self.joined(both[:, :width], both[:, width:-FEATURES], both[:, -FEATURES:])

    def at_size(self, size: int) -> HybridTower:
        """A copy for another input size: its positions are interpolated (ViT, section 3.2)."""
        made = HybridTower(replace(self.config, size=size), LiteBody())
        weights, side = dict(self.state_dict()), self.config.grid
        square = self.positions.detach().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        other = F.interpolate(square, (made.config.grid,) * 2, mode="bicubic", antialias=True)
        weights["positions"] = other.flatten(2).transpose(1, 2)
        made.load_state_dict(weights)
        return made.train(self.training)

    def tokens(self, grid: Tensor, colours: Tensor) -> Tensor:
        """(n, width, g, g): the blocks' tokens at their positions in the grid."""
        patches = self.project_grid(grid) + self.patches(colours)
        x = patches.flatten(2).transpose(1, 2) + self.positions
        x = self.norm(self.blocks(x))
        # The grid's side is a constant of the graph, but the number of pictures must not become one.
        out: Tensor = x.transpose(1, 2).reshape(-1, self.config.width, self.config.grid, self.config.grid)
        return out

    def said(self, seen: Tensor, known: Tensor) -> Tensor:
        """(n, width) mean tokens and (n, 1280) mean features to (n, words) of unit length: the text part."""
        belief = (self.log_sharpness.exp() * self.body.classifier(known)).softmax(-1)
        return F.normalize(belief @ self.kinds + self.learned(seen), dim=-1)

    def joined(self, seen: Tensor, painted: Tensor, known: Tensor) -> Tensor:
        """(n, width) mean tokens, (n, 13) of the painter and (n, 1280) mean features to (n, dim) of unit length."""
        colours = self.painter.shares(painted)
        own = F.normalize(self.own(known), dim=-1)
        share = self.config.own_share
        rest = (share - colours.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
        return torch.cat([math.sqrt(1 - share) * self.said(seen, known), colours, rest * own], dim=-1)


class Painter(nn.Module):
    """The amount of each of :data:`COLOURS`.

    A small network predicts the name of a colour. Places have more weight the closer they are to the middle and the
    less grey they are: people call a picture of a red car on a grey road red.

    Args:
        grid: tokens along a side.
    """

    middle: Tensor

    def __init__(self, grid: int) -> None:
        super().__init__()
        named = len(COLOURS) - 1
        self.namer = nn.Sequential(nn.Conv2d(3, 32, 1), nn.GELU(), nn.Conv2d(32, 32, 1), nn.GELU())
        self.namer.append(nn.Conv2d(32, named, 1))
        self.usual = nn.Parameter(torch.zeros(len(COLOURS)))
        self.scale = nn.Parameter(torch.zeros(()))
        side = grid * _CELLS
        away = (torch.arange(side) - (side - 1) / 2) / (_MIDDLE * side)
        near = torch.exp(-0.5 * away.square())
        self.register_buffer("middle", near[:, None] * near, persistent=False)

    def forward(self, cells: Tensor) -> Tensor:
        """(n, 3, 4 g, 4 g), from :func:`cells`, to (n, 13, g, g): weighted colours, the weight, and the saturation."""
        vivid = (cells.amax(1, keepdim=True) - cells.amin(1, keepdim=True)) / 2
        weight = self.middle * (vivid + _GREY)
        return F.avg_pool2d(torch.cat([self.namer(cells).softmax(1) * weight, weight, vivid], dim=1), _CELLS)

    def shares(self, painted: Tensor) -> Tensor:
        """(n, 13), means of the above, to (n, 12): a picture's values in the colour dimensions."""
        named, weight, vivid = painted[:, :-2], painted[:, -2:-1], painted[:, -1:]
        found = torch.cat([(named / weight.clamp(min=1e-6)).sqrt(), torch.exp(-vivid / _VIVID)], dim=1)
        return self.scale * (found - self.usual)


def cells(images: Tensor) -> Tensor:
    """(n, 3, H, W) to (n, 3, H / 8, W / 8): mean colours of cells."""
    return F.avg_pool2d(images, CELL)
