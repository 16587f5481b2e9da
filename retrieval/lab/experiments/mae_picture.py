"""The input and output of a masked autoencoder, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from retrieval.lab.experiments.mae import patches_of, picture_of
from retrieval.lab.training.small import MEAN, STD

_GREY = 0.5
_GAP = 4
_SCALE = 2
_LEFT = 150
_LETTERS = 15


@dataclass(frozen=True)
class Shown:
    """Pictures with patches hidden, and the prediction.

    Attributes:
        title: of its rows.
        images: (n, 3, H, H) normalised.
        hidden: (n, t) 1 for a hidden patch.
        predicted: (n, t, P * P * 3) pixels, normalised as ``images``.
    """

    title: str
    images: Tensor
    hidden: Tensor
    predicted: Tensor

    def rows(self) -> tuple[Tensor, Tensor]:
        """Masked pictures and reconstructed ones, (n, 3, H, H) in 0..1: hidden patches grey, or as predicted.

        Visible patches are shown unchanged, as in the paper's figures 2 and 3, because the loss does not include them.
        """
        patch = round((self.predicted.shape[-1] / 3) ** 0.5)
        cut = patches_of(colours(self.images), patch)
        guessed = patches_of(colours(picture_of(self.predicted, patch)), patch)
        hidden = self.hidden[..., None].bool()
        masked, filled = torch.where(hidden, torch.tensor(_GREY), cut), torch.where(hidden, guessed, cut)
        return picture_of(masked, patch), picture_of(filled, patch)


def colours(images: Tensor) -> Tensor:
    """Convert normalised pictures back to 0..1."""
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    return (images * std + mean).clamp(0, 1)


def sheet(shown: Sequence[Shown]) -> Image.Image:
    """One column per picture: the original, and then a masked and a reconstructed row for each of ``shown``."""
    rows = [("input", colours(shown[0].images))]
    for each in shown:
        masked, filled = each.rows()
        rows += [(each.title, masked), ("reconstructed", filled)]
    count, side = len(shown[0].images), int(shown[0].images.shape[-1]) * _SCALE
    width, height = _LEFT + count * (side + _GAP), len(rows) * (side + _GAP) + _GAP
    page = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(_LETTERS)
    for at, (title, images) in enumerate(rows):
        top = _GAP + at * (side + _GAP)
        pen.text((8, top + side / 2), title, fill="#222222", font=font, anchor="lm")
        for column, image in enumerate(images):
            page.paste(_tile(image, side), (_LEFT + column * (side + _GAP), top))
    return page


def _tile(image: Tensor, side: int) -> Image.Image:
    pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
