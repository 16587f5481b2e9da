"""Pictures for the duplicates benchmark: scenes and documents, copies of them, and pictures that only look like copies.

Everything comes from one seed. A *copy* is the same picture stored in another way, also rotated or mirrored; an *edit*
has other light or colours; a *crop* less or more of it; *too small* is a copy in which text is no longer legible; a
*burst* is the same scene a moment later; a *false friend* is another picture of the same structure (a page with other
words, an invoice of another month, another gradient; ``duplicate_documents.py``).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from benchmarks.duplicate_documents import DOCUMENTS, group_photo

COPY, SMALL, EDIT, CROP, BURST, FRIEND = "copy", "too small", "edit", "crop", "burst", "false friend"

_MARGIN = 0.08  # of a side: as much as a burst may shift the view
_WORDS = ("invoice", "total", "paid", "and", "the", "river", "stone", "march", "seven", "garden", "window", "north")


@dataclass(frozen=True)
class Variant:
    """A file of the set.

    Attributes:
        name: of the file, with its extension.
        base: number of the original.
        kind: ``copy``, ``too small``, ``edit``, ``crop``, ``burst`` or ``false friend`` of that original; empty for the
            original itself.
        case: how it was made.
        data: the file.
    """

    name: str
    base: int
    kind: str
    case: str
    data: bytes


def duplicate_set(numbers: Iterable[int], seed: int = 0) -> Iterator[Variant]:
    """The files of the originals with these numbers, and of everything made from each.

    The kinds alternate: 0 and 1 are scenes, 2 a page, 3 a gradient, 4 to 12 ``DOCUMENTS``, 13 a scene again.
    """
    for number in numbers:
        draws = (scene, scene, page, gradient)
        at = number % (len(draws) + len(DOCUMENTS))
        yield from _around(number, draws[at], seed) if at < len(draws) else _documents(number, at - len(draws), seed)


def write_set(folder: Path, numbers: Iterable[int], seed: int = 0) -> list[Variant]:
    """Write :func:`duplicate_set` into ``folder``; the variants in order."""
    folder.mkdir(parents=True, exist_ok=True)
    variants = list(duplicate_set(numbers, seed))
    for variant in variants:
        (folder / variant.name).write_bytes(variant.data)
    return variants


def scene(seed: int, moved: float = 0.0) -> Image.Image:
    """An RGB picture with a photograph's spectrum, some objects, and a margin; ``moved`` shifts one object."""
    rng = np.random.default_rng(seed)
    width, height = (720, 540) if rng.random() < 0.7 else (540, 720)
    image = Image.fromarray(_clouds(rng, width, height))
    pen = ImageDraw.Draw(image)
    things = int(rng.integers(6, 12))
    for thing in range(things):
        x, y = rng.random(2) * (width, height)
        w, h = (0.05 + 0.2 * rng.random(2)) * (width, height)
        x += moved * width if thing == things - 1 else 0  # the foremost one
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        shape = pen.ellipse if rng.random() < 0.6 else pen.rectangle
        shape((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
    return image


def page(seed: int, moved: float = 0.0) -> Image.Image:
    """A page of text: seeds (and ``moved``) differ only in their words."""
    rng = np.random.default_rng([seed, int(1000 * moved)])
    image = Image.new("RGB", (600, 780), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((60, 60, 540, 90), fill=(40, 60, 120))
    for line in range(28):
        pen.text((60, 120 + 21 * line), " ".join(rng.choice(_WORDS, 11)), fill="black", font_size=14)
    return image


def gradient(seed: int, moved: float = 0.0) -> Image.Image:
    """A smooth two-colour gradient, like a sky or a wallpaper."""
    rng = np.random.default_rng([seed, int(1000 * moved)])
    ends = rng.integers(0, 256, (2, 3)).astype(np.float64)
    angle = rng.random() * 2 * np.pi
    y, x = np.mgrid[0:480, 0:640] / 480
    along = x * np.cos(angle) + y * np.sin(angle)
    along = (along - along.min()) / np.ptp(along)
    return Image.fromarray((ends[0] + along[..., None] * (ends[1] - ends[0])).astype(np.uint8))


def _clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 noise whose amplitude falls with frequency as 1/f, as in photographs."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / max(width, height))
    planes = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        plane = np.fft.irfft2(amplitude * phases, (height, width))
        planes.append(plane / plane.std())
    grey = planes[0]
    stacked = np.stack([0.8 * grey + 0.4 * plane for plane in planes], axis=-1)
    return (128 + 45 * stacked).clip(0, 255).astype(np.uint8)


def _view(image: Image.Image, dx: float = 0.0, dy: float = 0.0) -> Image.Image:
    """A camera's view of a scene, shifted by ``dx``, ``dy`` (fractions of a side)."""
    width, height = image.size
    left, top = round(width * (_MARGIN + dx)), round(height * (_MARGIN + dy))
    return image.crop((left, top, left + round(width * (1 - 2 * _MARGIN)), top + round(height * (1 - 2 * _MARGIN))))


def _around(number: int, draw: Callable[[int, float], Image.Image], seed: int) -> Iterator[Variant]:
    own = 1000 * seed + number
    whole = draw(own, 0.0)
    base = _view(whole)
    yield from _copies(number, base, is_text=draw is page)
    if draw is scene:
        yield _sharpened(number, base)
        for shift in (0.01, 0.03, 0.06):
            yield _made(number, BURST, f"shifted {shift:.0%}", _view(whole, shift, shift / 2))
        yield _made(number, BURST, "a thing moved", _view(draw(own, 0.1)))
    else:
        for other in (1, 2, 3):
            yield _made(number, FRIEND, f"{draw.__name__} {other}", _view(draw(own, other / 10)))


def _documents(number: int, which: int, seed: int) -> Iterator[Variant]:
    draw = DOCUMENTS[which]
    own = 1000 * seed + number
    is_photo = draw is group_photo
    yield from _copies(number, draw(own, 0), is_text=not is_photo)
    if is_photo:
        yield _sharpened(number, draw(own, 0))
    for version in (1, 2, 3):
        other = draw(own, version)
        kind, case = (BURST if is_photo else FRIEND), draw.__name__.replace("_", " ")
        yield _made(number, kind, f"{case} {version}", other, quality=95)
        # A copy of another document is also another document.
        half = other.resize((other.width // 2, other.height // 2), Image.Resampling.LANCZOS)
        yield _made(number, kind, f"{case} {version}, half the size", half, quality=85)
        yield _made(number, kind, f"{case} {version}, quality 30", other, quality=30)


def _made(number: int, kind: str, case: str, image: Image.Image, extension: str = "jpg", **options: object) -> Variant:
    stored = io.BytesIO()
    settings = {"quality": 92} | options if extension in ("jpg", "webp", "avif") else options
    image.save(stored, {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper()), **settings)
    name = f"{number:03d} {kind} {case.replace('/', '-')}.{extension}".replace("  ", " ")
    return Variant(name, number, kind, case, stored.getvalue())


def _copies(number: int, base: Image.Image, *, is_text: bool) -> Iterator[Variant]:
    """The original, its copies, edits and crops."""
    yield _made(number, "", "original", base, quality=95)
    for quality in (30, 50, 75, 90, 95):
        # Quality 95 of the same pixels would give the same bytes, but not without chroma subsampling.
        yield _made(number, COPY, f"quality {quality}", base, quality=quality, subsampling=0 if quality == 95 else 2)
    for extension in ("png", "webp", "tif", "avif"):
        yield _made(number, COPY, f"as {extension}", base, extension)
    yield _made(number, COPY, "as webp at 30", base, "webp", quality=30)
    for share in (0.25, 0.5, 0.75, 1.5, 2.0):
        size = round(base.width * share), round(base.height * share)
        kind = SMALL if is_text and share < 0.5 else COPY
        yield _made(number, kind, f"resized {share:g}", base.resize(size, Image.Resampling.LANCZOS), quality=85)
    half = base.width // 2, base.height // 2
    for name, resample in (("box", Image.Resampling.BOX), ("bilinear", Image.Resampling.BILINEAR)):
        yield _made(number, COPY, f"half by {name}", base.resize(half, resample), "png")
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
        yield _made(number, COPY, f"turned by EXIF {orientation}", base.transpose(back[orientation]), exif=exif)
    for turn in Image.Transpose:
        yield _made(number, COPY, f"pixels {turn.name.lower()}", base.transpose(turn), quality=85)
    if not is_text:  # in documents, paper stays white and ink black
        yield _made(number, EDIT, "brighter 5 %", ImageEnhance.Brightness(base).enhance(1.05))
        yield _made(number, EDIT, "contrast 10 %", ImageEnhance.Contrast(base).enhance(1.1))
    yield _made(number, EDIT, "darker 5 %", ImageEnhance.Brightness(base).enhance(0.95))
    yield _made(number, EDIT, "warmer 4 %", _tinted(base))
    for share in (0.02, 0.05):
        yield _made(number, CROP, f"crop {share:.0%}", _cropped(base, share))
    border = round(base.width * 0.02)
    framed = Image.new("RGB", (base.width + 2 * border, base.height + 2 * border), "black")
    framed.paste(base, (border, border))
    yield _made(number, CROP, "a border", framed)


def _sharpened(number: int, image: Image.Image) -> Variant:
    return _made(number, EDIT, "sharpened", image.filter(ImageFilter.UnsharpMask(1, 80, 0)))


def _tinted(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float32) * (1.04, 1.0, 0.96)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(width * share), round(height * share), width, height))
