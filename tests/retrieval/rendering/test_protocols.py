"""The output is decoded again by decoders written from the protocols' descriptions."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.gallery import Gallery
from retrieval.rendering.preview import write_preview
from retrieval.rendering.protocols import blocks, iterm, kitty, sixel
from retrieval.rendering.terminal import Terminal
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.query import Query


def picture(width: int, height: int) -> Image.Image:
    """Four colours in squares of 4 pixels, transparent in the last two columns."""
    colours = np.array([[200, 30, 30, 255], [30, 200, 30, 255], [30, 30, 200, 255], [220, 220, 220, 255]], np.uint8)
    y, x = np.mgrid[:height, :width]
    pixels = colours[(x // 4 + 2 * (y // 4)) % 4]
    pixels[:, -2:] = 0
    return Image.fromarray(pixels)


def test_kitty_sends_a_png_in_chunks() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 4), dtype=np.uint8)
    said = kitty(Image.fromarray(noise), 8, 3)
    parts = re.findall(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", said)
    assert b"".join(b"\x1b_G%s;%s\x1b\\" % part for part in parts) == said
    assert parts[0][0] == b"a=T,f=100,q=2,c=8,r=3,m=1"
    assert [keys for keys, _ in parts[1:]] == [b"m=1"] * (len(parts) - 2) + [b"m=0"] and len(parts) > 2
    assert all(len(data) <= 4096 and len(data) % 4 == 0 for _, data in parts)
    seen = Image.open(io.BytesIO(base64.b64decode(b"".join(data for _, data in parts))))
    assert np.array_equal(np.asarray(seen), noise)


def test_iterm_sends_a_png_with_its_size() -> None:
    said = iterm(picture(20, 12), 5, 2)
    match = re.fullmatch(rb"\x1b\]1337;File=inline=1;size=(\d+);width=5;height=2;preserveAspectRatio=1:(.*)\x07", said)
    assert match
    data = base64.b64decode(match[2])
    assert len(data) == int(match[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(picture(20, 12)))


def read_sixel(said: bytes) -> np.ndarray:
    """RGBA pixels of a Sixel picture, by the VT340's manual."""
    match = re.fullmatch(rb'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', said, re.DOTALL)
    assert match
    width, height = int(match[1]), int(match[2])
    pixels, colours, colour, x, y = np.zeros((height, width, 4), np.uint8), {}, 0, 0, 0
    for token in re.finditer(rb"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|(?:!(\d+))?([?-~])|([$-])", match[3]):
        if token[1]:
            colours[int(token[1])] = [round(int(token[n]) * 255 / 100) for n in (2, 3, 4)] + [255]
        elif token[5]:
            colour = int(token[5])
        elif token[7]:
            for _ in range(int(token[6] or 1)):
                for bit in range(6):
                    if (token[7][0] - 63) >> bit & 1:
                        pixels[y + bit, x] = colours[colour]
                x += 1
        else:
            x, y = 0, y + 6 * (token[8] == b"-")
    return pixels


def test_sixel_is_the_picture() -> None:
    seen = read_sixel(sixel(picture(40, 25)))  # the 25th row is no whole band
    wanted = np.asarray(picture(40, 25))[:24]
    assert seen.shape == wanted.shape
    assert np.array_equal(seen[:, :, 3], wanted[:, :, 3])
    assert np.abs(seen.astype(int) - wanted).max() <= 2  # colours are told in per cent
    assert b"!4" in sixel(picture(40, 25))


def test_sixel_with_more_colours_than_there_are() -> None:
    smooth = np.dstack([*np.mgrid[0:60, 0:120].astype(np.uint8) * 2, np.full((60, 120), 99, np.uint8)])
    seen = read_sixel(sixel(Image.fromarray(smooth).convert("RGBA")))
    assert np.abs(seen[:, :, :3].astype(int) - smooth).mean() < 8


def test_blocks_are_two_pixels_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")  # about text
    out = io.StringIO()
    blocks(picture(8, 8), out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert re.findall(r"[▀▄ ]", re.sub(r"\x1b\[[\d;]*m", "", lines[0])) == ["▀"] * 6 + [" "] * 2
    # rows 0 and 1 are of one colour, rows 3 and 4 of two
    assert lines[0].startswith("\x1b[38;2;200;30;30;48;2;200;30;30m▀")


@pytest.fixture
def hits(indexed: Gallery, encoder: object) -> list[Hit]:
    with QueryEngine(indexed, encoder, remember_texts=False) as engine:  # type: ignore[arg-type]
        return engine.search(Query.text("red", k=5))


@pytest.mark.parametrize("protocol", ["kitty", "iterm", "sixel", "blocks"])
def test_hits_are_drawn_in_rows_with_captions(protocol: str, hits: list[Hit]) -> None:
    out = io.StringIO()
    write_preview(hits, Terminal(protocol, 80, (4, 8)), out)  # type: ignore[arg-type]
    beside = 2 if protocol == "blocks" else 3
    captions = re.findall(r"^(\d  0\.\d{3}.*)$", out.getvalue(), re.MULTILINE)
    assert [len(re.findall(r"\d  0\.", caption)) for caption in captions] == [beside] * (5 // beside) + [5 % beside]
    assert [f"{hit.rank}  {hit.score:.3f}" for hit in hits] == re.findall(r"\d  0\.\d{3}", " ".join(captions))


def test_the_right_picture_stands_over_its_caption(hits: list[Hit]) -> None:
    out = io.StringIO()
    Path(hits[1].image.path).unlink()
    write_preview(hits[:3], Terminal("sixel", 200, (4, 8)), out)
    said = out.getvalue()
    assert "no picture" in said
    seen = read_sixel(said[: said.index("\x1b\\") + 2].encode())
    step = 26 * 4
    means = [seen[:, n * step : n * step + 96] for n in range(3)]
    assert means[1][:, :, 3].max() == 0
    for n in (0, 2):
        with Image.open(hits[n].image.path) as file:
            wanted = np.asarray(file.convert("RGB")).mean(axis=(0, 1))
        inked = means[n][means[n][:, :, 3] > 0][:, :3].mean(axis=0)
        assert np.abs(inked - wanted).max() < 12
