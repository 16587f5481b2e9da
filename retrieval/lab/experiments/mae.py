"""A masked autoencoder (He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners"), written out.

``n`` is the batch, ``t`` patches per picture, ``v`` of them visible, ``d`` the encoder's width, ``P`` a patch's side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from retrieval.errors import SettingsError
from retrieval.lab.training.towers import Block, ImageTower

_EPS = 1e-6


@dataclass(frozen=True)
class DecoderConfig:
    """Form of the decoder, which is discarded after training and may be small (section 3, "MAE decoder").

    Args:
        width, layers, heads: of its transformer.
        per_patch: predict each patch's pixels normalised by the patch's own mean and deviation (section 3,
            "Reconstruction target"): gives better features, but nothing to look at.
    """

    width: int = 48
    layers: int = 1
    heads: int = 3
    per_patch: bool = False


class Masking(NamedTuple):
    """Which patches are hidden.

    Attributes:
        visible: (n, v) int64, positions of the visible ones, in the order in which the encoder reads them.
        restore: (n, t) int64, the position of each patch in (visible ones, hidden ones).
        hidden: (n, t) float32, 1 for a hidden patch.
    """

    visible: Tensor
    restore: Tensor
    hidden: Tensor


def mask(noise: Tensor, ratio: float) -> Masking:
    """Hide ``ratio`` of the patches, those with the largest noise (section 3, "Simple implementation").

    Args:
        noise: (n, t) uniform.
        ratio: 0 to below 1; t * (1 - ratio) patches stay visible, rounded down.
    """
    count, patches = noise.shape
    order = noise.argsort(dim=1)
    restore = order.argsort(dim=1)
    visible = int(patches * (1 - ratio))
    hidden = torch.ones(count, patches)
    hidden[:, :visible] = 0
    return Masking(order[:, :visible], restore, hidden.gather(1, restore))


def patches_of(images: Tensor, patch: int) -> Tensor:
    """(n, 3, H, W) to (n, t, P * P * 3): patches row by row, within each its pixels row by row, colours last."""
    n, c, height, width = images.shape
    cut = images.reshape(n, c, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def picture_of(patches: Tensor, patch: int) -> Tensor:
    """The inverse of :func:`patches_of` for square pictures (n, 3, H, H)."""
    n, t, _ = patches.shape
    side = round(t**0.5)
    cut = patches.reshape(n, side, side, patch, patch, 3)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(n, 3, side * patch, side * patch)


def sines(width: int, side: int) -> Tensor:
    """(1, 1 + side * side, width) fixed position embeddings: a row of zeros for the class token, then row by row.

    Appendix A.1: "sine-cosine" of Vaswani et al. 2017, section 3.5, in two dimensions. As in the authors' code, the
    quarters are sine and cosine of the column, sine and cosine of the row.
    """
    quarter = width // 4
    frequency = 1 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequency
    one = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    column = one[None].expand(side, -1, -1)
    row = one[:, None].expand(-1, side, -1)
    grid = torch.cat([column, row], dim=2).reshape(1, side * side, width)
    return torch.cat([torch.zeros(1, 1, width), grid.float()], dim=1)


class MaskedAutoencoder(nn.Module):
    """An encoder of visible patches, and a decoder that predicts the hidden ones.

    Args:
        tower: with linear patches and a class token; its projection is not used. It is trained in place, and
            afterwards encodes whole pictures.
        decoder: its form.

    Raises:
        SettingsError: another kind of tower.
    """

    def __init__(self, tower: ImageTower, decoder: DecoderConfig) -> None:
        super().__init__()
        config = tower.config
        if tower.cls is None or config.stem or config.width % 4 or decoder.width % 4:
            raise SettingsError("this tower cannot be trained by masking", "it needs a class token and widths of 4 n")
        self.tower = tower
        self.config = decoder
        with torch.no_grad():
            tower.positions.copy_(sines(config.width, config.grid))
        tower.positions.requires_grad_(False)
        tower.project.requires_grad_(False)
        nn.init.normal_(tower.cls, std=0.02)
        self.embed = nn.Linear(config.width, decoder.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder.width))
        self.register_buffer("positions", sines(decoder.width, config.grid))
        self.blocks = nn.Sequential(*[Block(decoder.width, decoder.heads) for _ in range(decoder.layers)])
        self.norm = nn.LayerNorm(decoder.width)
        self.predict = nn.Linear(decoder.width, config.patch**2 * 3)
        nn.init.normal_(self.mask_token, std=0.02)

    positions: Tensor

    def encode(self, images: Tensor, masking: Masking | None = None) -> Tensor:
        """(n, 1 + v, d) tokens after the last norm, the class token first; hidden patches are never computed.

        Section 3, "MAE encoder": there are no mask tokens here, which saves most of the time.
        """
        tower = self.tower
        assert tower.cls is not None
        x = tower.patches(images).flatten(2).transpose(1, 2) + tower.positions[:, 1:]
        if masking is not None:
            x = x.gather(1, masking.visible[..., None].expand(-1, -1, x.shape[-1]))
        first = (tower.cls + tower.positions[:, :1]).expand(len(x), -1, -1)
        out: Tensor = tower.norm(tower.blocks(torch.cat([first, x], dim=1)))
        return out

    def decode(self, tokens: Tensor, masking: Masking) -> Tensor:
        """(n, t, P * P * 3) predicted pixels for every patch, from the visible ones and a mask token for each other."""
        x = self.embed(tokens)
        n, patches = masking.hidden.shape
        gone = self.mask_token.expand(n, patches + 1 - x.shape[1], -1)
        all_patches = torch.cat([x[:, 1:], gone], dim=1)
        all_patches = all_patches.gather(1, masking.restore[..., None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([x[:, :1], all_patches], dim=1) + self.positions
        out: Tensor = self.predict(self.norm(self.blocks(x)))
        return out[:, 1:]

    def target(self, images: Tensor) -> Tensor:
        """(n, t, P * P * 3) the target of the decoder."""
        wanted = patches_of(images, self.tower.config.patch)
        if not self.config.per_patch:
            return wanted
        return (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + _EPS).sqrt()

    def loss(self, images: Tensor, masking: Masking) -> Tensor:
        """Mean squared error over the pixels of hidden patches only (section 3, "Reconstruction target")."""
        error = (self.decode(self.encode(images, masking), masking) - self.target(images)).square().mean(-1)
        return (error * masking.hidden).sum() / masking.hidden.sum()

    def features(self, images: Tensor) -> Tensor:
        """(n, d) mean of the patch tokens of whole pictures."""
        return self.encode(images)[:, 1:].mean(1)
