"""The effect of words other than the name of a thing in a query: colours, numbers, and "without", each measured on
pictures that are otherwise equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retrieval.encoders.base import Encoder
from retrieval.lab.training.builtin.judge import Judging, picture_of, precision_at
from retrieval.lab.training.builtin.looks import HUES, recoloured
from retrieval.lab.training.builtin.names import COLOUR_TEXTS
from retrieval.lab.training.builtin.phrases import Phrases, article

NUMBERS = ("one", "two", "three", "four")

Variants = Callable[[Image.Image], Sequence[Image.Image] | None]


def hues(encoder: Encoder, judge: Judging, count: int = 300) -> dict[str, float]:
    """Do colour words distinguish the colours of one thing ("a red car")?

    Each of ``count`` pictures with a main colour is changed to every hue of :data:`.looks.HUES`.

    Returns:
        ``hues``: fraction of the changed pictures whose own colour word is the nearest. ``hues_found``: fraction of the
        words whose nearest picture is the right one. ``hues_pictures``: number of changed pictures.
    """

    def turned(picture: Image.Image) -> Sequence[Image.Image] | None:
        made = [recoloured(picture, colour) for colour in HUES]
        return [each for each in made if each is not None] if None not in made else None

    images, names = _embedded(encoder, judge, turned, count)
    texts = [form.format(name) for name in names for form in COLOUR_TEXTS.values()]
    return _told_apart("hues", images, _texts(encoder, texts, len(HUES)))


def counts(encoder: Encoder, judge: Judging, count: int = 300) -> dict[str, float]:
    """Do numbers distinguish one, two, three and four copies of a picture ("three dogs")?

    The copies have equal size, in quarters of a canvas with the picture's edge colour.

    Returns:
        Like :func:`hues`, under ``counts``.
    """
    random = np.random.default_rng(0)
    images, names = _embedded(encoder, judge, lambda picture: [copies(picture, n + 1, random) for n in range(4)], count)
    plural = Phrases(judge.names, [1.0] * len(judge.names), {}).plural
    texts = [f"{number} {name if number == 'one' else plural(name)}" for name in names for number in NUMBERS]
    return _told_apart("counts", images, _texts(encoder, texts, len(NUMBERS)))


def copies(picture: Image.Image, count: int, random: np.random.Generator) -> Image.Image:
    """``count`` (1 to 4) copies of a square picture, at half its size, on its mean edge colour."""
    side = picture.width
    pixels = np.asarray(picture, np.float32)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).mean(axis=0)
    canvas = Image.new("RGB", (side, side), tuple(int(value) for value in edge))
    small = picture.resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    for quarter in random.permutation(4)[:count].tolist():
        canvas.paste(small, (quarter % 2 * (side // 2), quarter // 2 * (side // 2)))
    return canvas


def negations(encoder: Encoder, judge: Judging, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Does "without" exclude a kind?

    Args:
        images, labels: (n, dim) embedded pictures and (n,) indices of their kinds, -1 for none.

    Returns:
        ``p10_with``: fraction of the kind among the ten nearest to "a photo of a dog"; ``p10_without``: the same for "a
        photo without a dog", which should be near 0.
    """
    relevant = labels[None, :] == torch.arange(len(judge.names))[:, None]
    found = {}
    for key, form in (("p10_with", "a photo of {}"), ("p10_without", "a photo without {}")):
        texts = [form.format(article(name)) for name in judge.names]
        found[key] = precision_at(images, torch.from_numpy(encoder.encode_texts(texts)), relevant)
    return found


def _told_apart(key: str, images: Tensor, texts: Tensor) -> dict[str, float]:
    """(n, v, dim) variants of n pictures, and the texts of their variants: how often the right one ranks first."""
    scores = torch.einsum("nvd,nwd->nvw", images, texts)
    own = torch.arange(scores.shape[1])
    return {
        key: (scores.argmax(2) == own).float().mean().item(),
        f"{key}_found": (scores.argmax(1) == own).float().mean().item(),
        f"{key}_chance": 1 / len(own),
        f"{key}_pictures": len(scores),
    }


def _texts(encoder: Encoder, texts: list[str], variants: int) -> Tensor:
    vectors = torch.from_numpy(encoder.encode_texts(texts))
    return vectors.view(-1, variants, vectors.shape[-1])


def _embedded(encoder: Encoder, judge: Judging, variants: Variants, count: int) -> tuple[Tensor, list[str]]:
    """(count, v, dim) variants of pictures drawn with a fixed seed, and the names of their content."""
    order = torch.randperm(len(judge.files), generator=torch.Generator().manual_seed(0)).tolist()
    vectors: list[Tensor] = []
    names: list[str] = []
    for at in order:
        if len(names) >= count:
            break
        picture = _square(encoder, judge, at)
        made = variants(picture) if picture is not None else None
        if made is not None:
            pixels = np.stack([np.asarray(each).transpose(2, 0, 1) for each in made])
            vectors.append(torch.from_numpy(encoder.encode_images(pixels)))
            names.append(judge.names[int(judge.labels[at])])
    return torch.stack(vectors), names


def _square(encoder: Encoder, judge: Judging, at: int) -> Image.Image | None:
    """A picture as input of the encoder; None if it shows none of the kinds or cannot be read."""
    pixels = picture_of(encoder, judge.files[at]) if judge.labels[at] >= 0 else None
    return None if pixels is None else Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
