"""Encode a picture for a terminal: Kitty's graphics protocol, iTerm2's inline images, Sixel, or half-blocks.

No library fits: term-image needs Pillow below 11; textual-image (LGPL) does not support iTerm2, uses Kitty's
protocol in Kitty only, and queries the terminal when it is imported; libsixel-python needs a C library. PNG, colour
palettes and the colours of half-blocks are still produced by Pillow and rich.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from typing import IO, Literal

import numpy as np
from PIL import Image

_CHUNK = 4096  # Kitty's limit for one escape sequence
_SIXEL_COLOURS = 255  # one of 256 is reserved for transparent pixels
_BAND = 6  # rows of pixels in one row of sixels
_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


def kitty(picture: Image.Image, columns: int, rows: int) -> bytes:
    """RGBA picture, scaled by the terminal to this many cells.

    Source: sw.kovidgoyal.net/kitty/graphics-protocol ("Remote client", "Controlling displayed image layout").
    """
    data = base64.b64encode(_png(picture))
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    said = b""
    for number, chunk in enumerate(chunks):
        # q=2: no response, because nobody would read it. m=1: more chunks follow.
        keys = f"a=T,f=100,q=2,c={columns},r={rows}," if number == 0 else ""
        more = int(number < len(chunks) - 1)
        said += b"\x1b_G" + f"{keys}m={more};".encode() + chunk + b"\x1b\\"
    return said


def iterm(picture: Image.Image, columns: int, rows: int) -> bytes:
    """RGBA picture, scaled by the terminal to this many cells. Source: iterm2.com/documentation-images.html."""
    data = _png(picture)
    keys = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
    return b"\x1b]1337;File=" + keys.encode() + b":" + base64.b64encode(data) + b"\x07"


def sixel(picture: Image.Image) -> bytes:
    """RGBA picture, pixel by pixel, with up to 255 colours; transparent pixels are not drawn.

    Source: DEC, VT330/VT340 Programmer Reference Manual, volume 2, chapter 14. Rows below the last complete band of six
    are omitted, so that the picture takes no more lines of text than its height.
    """
    width, height = picture.width, max(picture.height // _BAND, 1) * _BAND
    picture = picture.crop((0, 0, width, height))
    table = picture.convert("RGB").quantize(_SIXEL_COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.array(table.getpalette() or [], dtype=np.int64).reshape(-1, 3)
    pixels = np.array(table, dtype=np.int16)
    pixels[np.asarray(picture)[:, :, 3] < 128] = -1
    used = np.unique(pixels[pixels >= 0]).tolist()
    colours = "".join("#{};2;{};{};{}".format(n, *((palette[n] * 100 + 127) // 255)) for n in used)
    bands = b"-".join(_band(pixels[top : top + _BAND]) for top in range(0, height, _BAND))
    return b"\x1bP0;1q" + f'"1;1;{width};{height}{colours}'.encode() + bands + b"\x1b\\"


def blocks(picture: Image.Image, out: IO[str]) -> None:
    """RGBA picture, with pixels one column wide and half a line high, written by rich in the colours of ``out``.

    If ``out`` is not a terminal: in 24-bit colour.
    """
    from rich.color import Color
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    pixels = np.asarray(picture)
    system: Literal["auto", "truecolor"] = "auto" if out.isatty() else "truecolor"
    console = Console(
        file=out, force_terminal=True, color_system=system, no_color=False, width=picture.width + 1, highlight=False
    )

    def colour(pixel: np.ndarray) -> Color | None:
        return Color.from_rgb(*pixel[:3].tolist()) if pixel[3] >= 128 else None

    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        line = Text(no_wrap=True)
        for top, bottom in zip(upper, lower, strict=True):
            above, below = colour(top), colour(bottom)
            if above is None and below is None:
                line.append(" ")
            elif above is None:
                line.append("▄", Style(color=below))
            else:
                line.append("▀", Style(color=above, bgcolor=below))
        console.print(line)


def _band(rows: np.ndarray) -> bytes:
    """Six rows of colour numbers (6, width), -1 for transparent, as one row of sixels per colour."""
    weights = (1 << np.arange(_BAND))[:, None]
    return b"$".join(_row(rows == colour, colour, weights) for colour in _colours_of(rows))


def _colours_of(rows: np.ndarray) -> Iterator[int]:
    return (colour for colour in np.unique(rows).tolist() if colour >= 0)


def _row(where: np.ndarray, colour: int, weights: np.ndarray) -> bytes:
    sixels = (63 + (where * weights).sum(axis=0)).astype(np.uint8).tobytes().rstrip(b"?")  # "?" is an empty sixel
    packed = _RUN.sub(lambda run: b"!%d%c" % (len(run[0]), run[0][0]), sixels)
    return b"#%d" % colour + packed


def _png(picture: Image.Image) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, "PNG", compress_level=3)
    return stored.getvalue()
