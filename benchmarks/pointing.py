"""Does a heat map point at the requested thing? Dense tokens and occlusion compared, for things pasted into pictures.

::

    python -m benchmarks.pointing [--model NAME] [--scenes FOLDER] [--pairs 100] [--seed 7]

The pointing game (Zhang et al. 2016, arXiv:1608.00507): a map hits if its largest value is in the box of the thing.
Two example photos (cut-outs on white) of different folders are pasted, one in each half of a scene, a third to half of
its side large; both are requested by their captions. Without a folder of scenes the background is noise of several
sizes. Chance is the mean fraction of the picture covered by the box. Intervals: 95 %, bootstrap over scenes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.encoders.base import Pixels
from retrieval.encoders.registry import load_encoder
from retrieval.lab.explain.heat import Method, make_heat

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "photos"
METHODS: tuple[Method, ...] = ("dense", "occlusion")
_WHITE = 245  # from this value on, a pixel of a cut-out is background


class Pasted(NamedTuple):
    """A thing in a scene: its name, and its box (left, top, right, bottom) in pixels."""

    text: str
    box: tuple[int, int, int, int]


def things(folder: Path = EXAMPLES) -> list[tuple[str, Path, str]]:
    """Folder, file and caption of the example photos."""
    lines = (folder / "captions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t")[:2] for line in lines if line and not line.startswith("#")]
    return [(name.partition("/")[0], folder / name, caption) for name, caption in rows if (folder / name).is_file()]


def scenes(count: int, size: int, seed: int, backgrounds: list[Path]) -> Iterator[tuple[Pixels, list[Pasted]]]:
    """``count`` pictures (3, size, size) uint8, each with two things of different folders."""
    random = np.random.default_rng(seed)
    known = things()
    while count:
        first, second = (known[at] for at in random.choice(len(known), 2, replace=False).tolist())
        if first[0] == second[0]:
            continue
        canvas = _ground(size, random, backgrounds)
        found = [_paste(canvas, each, half, random) for half, each in enumerate((first, second))]
        yield np.ascontiguousarray(np.asarray(canvas).transpose(2, 0, 1)), found
        count -= 1


def points_at(values: NDArray[np.float64], box: tuple[int, int, int, int], size: int) -> bool:
    """Whether the centre of the cell with the largest value is in the box."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    y, x = (row + 0.5) * size / values.shape[0], (column + 0.5) * size / values.shape[1]
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def interval(hits: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of (scenes, 2) hits when scenes are resampled."""
    random = np.random.default_rng(seed)
    means = [hits[random.integers(0, len(hits), len(hits))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _ground(size: int, random: np.random.Generator, backgrounds: list[Path]) -> Image.Image:
    if backgrounds:
        with Image.open(backgrounds[int(random.integers(len(backgrounds)))]) as picture:
            return picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    layers = [random.integers(60, 196, (cells, cells, 3)).astype(np.uint8) for cells in (3, 8, 28)]
    smooth = [
        np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC), float) for each in layers
    ]
    return Image.fromarray(np.mean(smooth, axis=0).astype(np.uint8))


def _paste(canvas: Image.Image, thing: tuple[str, Path, str], half: int, random: np.random.Generator) -> Pasted:
    """Paste a thing into the left (0) or right (1) half."""
    size = canvas.width
    with Image.open(thing[1]) as opened:
        cut = opened.convert("RGBA")
    flat = Image.new("RGBA", cut.size, "white")
    flat.alpha_composite(cut)
    inked = Image.fromarray((np.asarray(flat)[..., :3].min(axis=-1) < _WHITE).astype(np.uint8) * 255)
    bounds = inked.getbbox() or (0, 0, *cut.size)
    side = int(size * random.uniform(1 / 3, 1 / 2))
    scale = side / max(bounds[2] - bounds[0], bounds[3] - bounds[1])
    to = tuple(max(1, round(each * scale)) for each in (bounds[2] - bounds[0], bounds[3] - bounds[1]))
    small, mask = (each.crop(bounds).resize((to[0], to[1])) for each in (flat.convert("RGB"), inked))
    left = half * size // 2 + int(random.integers(0, size // 2 - to[0] + 1))
    top = int(random.integers(0, size - to[1] + 1))
    canvas.paste(small, (left, top), mask)
    return Pasted(thing[2], (left, top, left + to[0], top + to[1]))


def main(say: Callable[[str], None] = print) -> None:
    """Print how often each method points at the requested thing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="builtin-224")
    parser.add_argument("--scenes", type=Path, help="a folder of pictures to paste into (default: noise)")
    parser.add_argument("--pairs", type=int, default=100, help="scenes with two things each")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    encoder = load_encoder(given.model)
    size = encoder.spec.preprocessing.size
    backgrounds = sorted(given.scenes.glob("*.jpg")) if given.scenes else []
    hits: dict[str, list[list[bool]]] = {method: [] for method in METHODS}
    areas = []
    for pixels, found in scenes(given.pairs, size, given.seed, backgrounds):
        areas += [(b[2] - b[0]) * (b[3] - b[1]) / size**2 for _, b in found]
        for method in METHODS:
            maps = [make_heat(encoder, pixels, text=each.text, method=method) for each in found]
            hits[method].append(
                [points_at(heat.values, each.box, size) for heat, each in zip(maps, found, strict=True) if heat]
            )
    say(f"{given.model}: {2 * given.pairs} things in {given.pairs} scenes, chance {np.mean(areas):.3f}")
    for method, each in hits.items():
        array = np.array(each, float)
        low, high = interval(array)
        say(f"{method:10} {array.mean():.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
