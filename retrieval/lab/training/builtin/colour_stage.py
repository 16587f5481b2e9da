"""Third stage: adds the colour dimensions to towers that are otherwise finished. Needs no labelled pictures.

The names of colours come from a survey (Munroe 2010: https://xkcd.com/color/rgb/, public domain); the usual colours of
pictures, from the cells of the collections; the colour requested in a text is predicted linearly from the
text tower's output, by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from retrieval.errors import SettingsError
from retrieval.lab.training.builtin.colour_words import ColourWords
from retrieval.lab.training.builtin.concepts import Vocabulary
from retrieval.lab.training.builtin.grids import colours
from retrieval.lab.training.builtin.sentences import coloured_lesson, weighted_names
from retrieval.lab.training.builtin.text_stage import said_by
from retrieval.lab.training.builtin.wordnet import WordNet
from retrieval.lab.training.hybrid import COLOURS, HybridTower, Painter
from retrieval.lab.training.towers import TextTower

_LIKE = {"gray": "grey", "violet": "purple", "magenta": "pink"}
"""Last words of the survey's entries that are synonyms of the basic terms."""

_GREYS = (("black", 0.0, 0.12, 20), ("grey", 0.22, 0.8, 40), ("white", 0.93, 1.0, 12))
"""The axis of greys, for which the survey has few names: term, from, to, points."""

_PLAIN = 4.0

PICTURE, TEXT = 0.06, 0.4
"""The length of a colour's usual deviation in a picture, and that of a colour word relative to the rest of a text."""


def survey(file: Path) -> tuple[Tensor, Tensor]:
    """Parse lines of a name, a tab and ``#rrggbb``; uses those whose last word is a basic term.

    Returns:
        (n, 3) float32, -1 to 1, and (n,) indices in :data:`COLOURS`, including the axis of greys.

    Raises:
        SettingsError: the file has another form.
    """
    points: list[list[float]] = []
    labels: list[int] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        name, _, code = line.partition("\t")
        word = name.replace("/", " ").split()[-1:]
        term = _LIKE.get(word[0], word[0]) if word else ""
        if term in COLOURS and code.startswith("#"):
            points.append([int(code[at : at + 2], 16) / 127.5 - 1 for at in (1, 3, 5)])
            labels.append(COLOURS.index(term))
    if not points:
        raise SettingsError(f"{file} names no colours", "give lines of a name, a tab and #rrggbb")
    for term, low, high, count in _GREYS:
        points += [[value * 2 - 1] * 3 for value in np.linspace(low, high, count).tolist()]
        labels += [COLOURS.index(term)] * count
    return torch.tensor(points), torch.tensor(labels)


def fit_namer(painter: Painter, points: Tensor, labels: Tensor, steps: int = 1200, seed: int = 0) -> float:
    """Train the painter's network to name the points; returns the fraction that it names as people do."""
    torch.manual_seed(seed)
    weights = 1 / torch.bincount(labels, minlength=len(COLOURS))[labels].float().sqrt()
    weights /= weights.mean()
    for layer in painter.namer:
        if isinstance(layer, torch.nn.Conv2d):
            layer.reset_parameters()
    optimizer = torch.optim.AdamW(painter.namer.parameters(), lr=5e-3, weight_decay=1e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / steps)
        near = (points + torch.randn_like(points) * 0.04).clamp(-1, 1)
        each = F.cross_entropy(_named(painter, near), labels, reduction="none", label_smoothing=0.02)
        optimizer.zero_grad(set_to_none=True)
        (each * weights).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        right = (_named(painter, points).argmax(1) == labels).float().mean()
        # Softer: a colour between two names is both of them.
        painter.namer[-1].weight.div_(2)  # type: ignore[operator]
        painter.namer[-1].bias.div_(2)  # type: ignore[operator]
    return float(right)


@torch.no_grad()
def set_usual(tower: HybridTower, cells: Sequence[NDArray[np.uint8]], size: float = PICTURE) -> None:
    """Measure the usual colours of pictures: (n, 3, 28, 28) cells of several collections."""
    painter = tower.painter
    painter.usual.zero_()
    painter.scale.fill_(1)
    painted = [painter(colours(part[at : at + 256])).mean((2, 3)) for part in cells for at in range(0, len(part), 256)]
    found = painter.shares(torch.cat(painted))
    painter.usual.copy_(found.mean(0))
    painter.scale.fill_(size / float(found.std(0).mean()))


def colour_rows(said: Tensor, wanted: Tensor, ridge: float = 1e-3) -> Tensor:
    """(12, d) float32: from a text tower's output to the colours that a text requests, by least squares.

    A text without a colour counts :data:`_PLAIN` times, because a falsely predicted colour disturbs good searches.

    Args:
        said: (n, d), not normalised.
        wanted: (n, 12), of unit length or zero, for texts whose ``said`` has unit length.
    """
    weighed = said * torch.where(wanted.any(1), 1.0, _PLAIN)[:, None]
    square = weighed.T @ said
    square += ridge * square.diagonal().mean() * torch.eye(len(square))
    out: Tensor = torch.linalg.solve(square, weighed.T @ (wanted * said.norm(dim=-1, keepdim=True))).T
    return out


def with_colours(projection: Tensor, words: int, rows: Tensor, size: float = TEXT) -> Tensor:
    """The last matrix of a text tower with its colour dimensions: (dim, width).

    Args:
        projection: (dim, width), whose first ``words`` rows are kept; the others are zero.
        rows: (12, words), from :func:`colour_rows`.
    """
    out = torch.zeros_like(projection)
    out[:words] = projection[:words]
    out[words : words + len(COLOURS)] = size * (rows @ projection[:words])
    return out


def read_colours(
    text: TextTower,
    wordnet: WordNet,
    vocabulary: Vocabulary,
    tokenized: Callable[[list[str]], Tensor],
    words: int,
    phrases: int = 20_000,
) -> dict[str, dict[str, float]]:
    """Give a text tower its colour dimensions, of what it says in the first ``words``.

    Returns:
        :func:`reading` of the texts that the colours were learned from, and of others.
    """
    asked = ColourWords(weighted_names(wordnet, vocabulary))
    rows, read = torch.empty(0), {}
    for seed, kept, count in ((0, "learned", phrases), (1, "others", phrases // 5)):
        written = coloured_lesson(wordnet, vocabulary, count, seed)
        with torch.inference_mode():
            said = F.normalize(said_by(text, tokenized(written))[:, :words], dim=-1)
        wanted = torch.from_numpy(np.stack([asked(each) for each in written]))
        rows = colour_rows(said, wanted) if seed == 0 else rows
        read[kept] = reading(said, wanted, rows)
    with torch.no_grad():
        text.project.weight.copy_(with_colours(text.project.weight, words, rows))
    return read


def _named(painter: Painter, points: Tensor) -> Tensor:
    """(n, 3) to (n, 11) logits."""
    out: Tensor = painter.namer(points[:, :, None, None]).flatten(1)
    return out


def reading(said: Tensor, wanted: Tensor, rows: Tensor) -> dict[str, float]:
    """Quality of the prediction from (n, d) texts: the fraction of coloured texts whose strongest colour is right, and
    the root mean square of the prediction for the others."""
    read = said @ rows.T / said.norm(dim=-1, keepdim=True)
    coloured = wanted.any(1)
    right = (read[coloured].argmax(1) == wanted[coloured].argmax(1)).float().mean()
    noise = math.sqrt(float(read[~coloured].square().sum(-1).mean()))
    return {"right": float(right), "length": float((read[coloured] * wanted[coloured]).sum(-1).mean()), "noise": noise}
