"""Drawings of a picture: the model's input, divided into its patches, and with its heat map."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retrieval.encoders.base import Pixels
from retrieval.errors import SettingsError
from retrieval.lab.explain.cells import HeatMap, cut

SIDE = 448
_GAP = 4
_PAPER, _BETWEEN = (255, 255, 255), (120, 125, 150)  # gaps are also visible on white pictures
_MARGIN, _CAPTION = 16, 24
# Dark violet to light yellow: distinguishable by brightness alone, also in grey and for the colour-blind.
_COLOURS = np.array([[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], np.float64)


class Panel(NamedTuple):
    """A drawing and its caption."""

    image: Image.Image
    caption: str


def panels(pixels: Pixels, patch: int | None, heat: HeatMap | None) -> list[Panel]:
    """The drawings of a picture, each with sides of 448 pixels or slightly more.

    Args:
        pixels: (3, size, size) uint8, the input of the encoder.
        patch: side of its patches; None for a model without.
    """
    size = pixels.shape[-1]
    found = [Panel(as_seen(pixels), f"as the model sees it: {size} x {size} pixels")]
    if patch is not None:
        grid = size // patch
        found.append(
            Panel(in_patches(pixels, patch), f"cut into {grid} x {grid} = {grid * grid} patches of {patch} pixels")
        )
    if heat is not None:
        found.append(Panel(with_heat(pixels, heat), f"heat map by {heat.method}{heat.about}"))
    return found


def as_seen(pixels: Pixels) -> Image.Image:
    """(3, size, size) enlarged; if there are few pixels, they remain visible."""
    image = _image(pixels)
    few = pixels.shape[-1] < SIDE // 2
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST if few else Image.Resampling.BICUBIC)


def in_patches(pixels: Pixels, patch: int) -> Image.Image:
    """The patches in their positions with gaps between them."""
    pieces = cut(pixels, patch)
    grid = round(len(pieces) ** 0.5)
    gap = _GAP if grid <= 24 else 2
    side = max(2, (SIDE - gap * (grid - 1)) // grid)
    sheet = Image.new("RGB", ((side + gap) * grid - gap,) * 2, _BETWEEN)
    for number, piece in enumerate(pieces):
        row, column = divmod(number, grid)
        small = _image(piece).resize((side, side), Image.Resampling.NEAREST if patch < side else Image.Resampling.BOX)
        sheet.paste(small, (column * (side + gap), row * (side + gap)))
    framed = Image.new("RGB", (max(SIDE, sheet.width),) * 2, _PAPER)
    framed.paste(sheet, ((framed.width - sheet.width) // 2,) * 2)
    return framed


def with_heat(pixels: Pixels, heat: HeatMap) -> Image.Image:
    """The picture in grey with the heat in colour, most opaque where it is largest."""
    shares = Image.fromarray(heat.shares().astype(np.float32), mode="F")
    smooth = np.clip(np.asarray(shares.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64), 0, 1)
    grey = np.asarray(as_seen(pixels).convert("L"), np.float64)[..., None]
    opacity = 0.15 + 0.6 * smooth[..., None]
    mixed = (1 - opacity) * grey + opacity * colours(smooth)
    return Image.fromarray(np.round(mixed).astype(np.uint8), "RGB")


def colours(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) in 0..1 -> (..., 3) in 0..255."""
    at = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(shares, at, _COLOURS[:, channel]) for channel in range(3)], axis=-1)


def sheet(drawn: Sequence[Panel]) -> Image.Image:
    """Panels side by side with their captions under them."""
    width = sum(panel.image.width + _MARGIN for panel in drawn) + _MARGIN
    height = max(panel.image.height for panel in drawn) + 2 * _MARGIN + _CAPTION
    whole = Image.new("RGB", (width, height), _PAPER)
    pen, left = ImageDraw.Draw(whole), _MARGIN
    font = ImageFont.load_default(15)
    for panel in drawn:
        whole.paste(panel.image, (left, _MARGIN))
        pen.text((left, height - _MARGIN - _CAPTION + 6), panel.caption, fill=(34, 34, 34), font=font)
        left += panel.image.width + _MARGIN
    return whole


def data_uri(image: Image.Image) -> str:
    """A PNG as a data URI."""
    stored = io.BytesIO()
    image.save(stored, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode("ascii")


def write_sheet(drawn: Sequence[Panel], path: Path) -> None:
    """Write the panels as one PNG.

    Raises:
        SettingsError: the name does not end in ``.png``, or the file cannot be written.
    """
    check_name(path, ".png")
    try:
        sheet(drawn).save(path)
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(path, error, "name another file") from error


def check_name(path: Path, *endings: str) -> None:
    """Raise SettingsError for another file extension, so that a typing error cannot overwrite pictures."""
    if path.suffix.lower() not in endings:
        raise SettingsError(f"{path} is not a name for this file", f"end it in {' or '.join(endings)}")


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)), "RGB")
