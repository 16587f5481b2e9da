"""What a model is trained on: pictures, and what is said about each, from any of five forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.catalog.labels import texts_said
from retrieval.errors import GalleryError, QueryError
from retrieval.lab.evaluation.captions_file import read_captions
from retrieval.lab.evaluation.class_folders import read_class_folders
from retrieval.lab.training.sources import Source, read_tar
from retrieval.labels.zeroshot import PLACE, check_templates
from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes.base import Ids
    from retrieval.gallery import Gallery

CAPTION_FILES = frozenset({".tsv", ".txt", ".csv", ".jsonl", ".json"})
CLASS_TEMPLATES = ("a photo of a {}.", "a picture of a {}", "a {}", "{}")


@dataclass(frozen=True)
class Pairs:
    """Pictures and what is said about them.

    A *meaning* is one thing that can be said, in one or several ways: a caption has one way, a class or a tag one for
    each template. Two pictures with one meaning are no negatives of each other.

    Attributes:
        sources: the pictures.
        said: the meanings of each picture, as rows of ``meanings``; one at least.
        meanings: the ways to say each; the first one stands for it where only one is wanted.
        classes: rows of ``meanings`` that are the classes of a zero-shot test, empty where there are none.
        names: what those classes are called, without a template.
        refused: (picture, meaning) that do not belong together, for an adapter.
    """

    sources: tuple[Source, ...]
    said: tuple[tuple[int, ...], ...]
    meanings: tuple[tuple[str, ...], ...]
    classes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    refused: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: Ids) -> Pairs:
        """The pictures at ``rows``, in that order; meanings keep their numbers."""
        place = {int(row): at for at, row in enumerate(rows)}
        return Pairs(
            tuple(self.sources[row] for row in place),
            tuple(self.said[row] for row in place),
            self.meanings,
            self.classes,
            self.names,
            tuple((place[picture], meaning) for picture, meaning in self.refused if picture in place),
        )

    def means(self, rows: Ids, meanings: Ids) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """(n, m) bool: whether each meaning is said of each picture."""
        asked: dict[int, list[int]] = {}
        for at, meaning in enumerate(meanings.tolist()):
            asked.setdefault(meaning, []).append(at)
        found = np.zeros((len(rows), len(meanings)), dtype=bool)
        for at, row in enumerate(rows.tolist()):
            for meaning in self.said[row]:
                found[at, asked.get(meaning, [])] = True
        return found


def read_pairs(
    place: str | Path, *, templates: Sequence[str] = CLASS_TEMPLATES, disliked: str | Path | None = None
) -> Pairs:
    """Pairs from a file of captions, a folder of class folders, or a tar.

    Args:
        place: see :func:`.captions_file.read_captions`, :func:`.class_folders.read_class_folders` and
            :func:`.sources.read_tar`; which one it is, its name and kind say.
        templates: how class names are said.
        disliked: a file of captions, each of which does *not* belong to its picture.

    Raises:
        QueryError: there is nothing to be trained on, or it cannot be read.
        SettingsError: a template without ``{}``.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        pairs = _from_folders(path, check_templates(templates))
    elif path.suffix.lower() == ".tar":
        pairs = _from_said((source, captions, ()) for source, captions in read_tar(path))
    elif path.suffix.lower() in CAPTION_FILES:
        pairs = _from_file(path)
    else:
        raise QueryError(
            f"{place} is no file of captions, no folder and no tar",
            "give captions.tsv, .csv or .jsonl, a folder with a folder for each class, or a .tar",
        )
    if disliked is not None:
        pairs = _with_disliked(pairs, Path(disliked).expanduser())
    return _checked(pairs, str(place))


def pairs_of_gallery(
    gallery: Gallery, *, templates: Sequence[str] = CLASS_TEMPLATES, disliked: str | Path | None = None
) -> Pairs:
    """Pairs from the captions and tags that people gave to the pictures of a gallery.

    Args:
        templates, disliked: see :func:`read_pairs`.

    Raises:
        GalleryNotFound, GalleryError: there is no gallery, or nobody said anything about its pictures.
    """
    templates = check_templates(templates)
    with gallery.reader() as reader:
        said: dict[int, tuple[list[str], list[str]]] = {}
        for image, text, is_tag in texts_said(reader):
            said.setdefault(image, ([], []))[is_tag].append(text)
        records = reader.records(list(said))
    if not records:
        raise GalleryError(
            f"nobody said anything about the pictures in {gallery.path}",
            'photoseek label PICTURE --tag dog --caption "our dog on the beach"',
        )
    pairs = _from_said(((Source(Path(each.path)), *said[each.id]) for each in records), templates)
    if disliked is not None:
        pairs = _with_disliked(pairs, Path(disliked).expanduser())
    return _checked(pairs, str(gallery.path))


def _from_file(path: Path) -> Pairs:
    captions = read_captions(path)
    said: list[list[str]] = [[] for _ in captions.paths]
    for row, text in captions.pairs:
        said[row].append(text)
    return _from_said((Source(file), texts, ()) for file, texts in zip(captions.paths, said, strict=True))


def _from_folders(path: Path, templates: tuple[str, ...]) -> Pairs:
    found = read_class_folders(path)
    return Pairs(
        tuple(map(Source, found.paths)),
        tuple((label,) for label in found.labels.tolist()),
        tuple(_ways(name, templates) for name in found.names),
        tuple(range(len(found.names))),
        found.names,
    )


def _from_said(rows: Iterable[tuple[Source, Sequence[str], Sequence[str]]], templates: tuple[str, ...] = ()) -> Pairs:
    """From pictures with captions, and tags that stand in templates. Equal texts are one meaning."""
    numbers: dict[tuple[str, ...], int] = {}
    sources, said = [], []
    for source, captions, tags in rows:
        ways = [(caption,) for caption in captions] + [_ways(tag, templates) for tag in tags]
        if ways:
            sources.append(source)
            said.append(tuple(dict.fromkeys(numbers.setdefault(each, len(numbers)) for each in ways)))
    return Pairs(tuple(sources), tuple(said), tuple(numbers))


def _with_disliked(pairs: Pairs, file: Path) -> Pairs:
    """A disliked pair speaks about pictures and texts that are in the pairs, or brings new ones that nothing fits."""
    captions = read_captions(file)
    pictures = {source.path.resolve(): row for row, source in enumerate(pairs.sources)}
    numbers = {ways: at for at, ways in enumerate(pairs.meanings)}
    known = {way: at for at, ways in enumerate(pairs.meanings) for way in ways}
    known |= dict(zip(pairs.names, pairs.classes, strict=True))
    sources, said, refused = list(pairs.sources), list(pairs.said), list(pairs.refused)
    for row, text in captions.pairs:
        path = captions.paths[row].resolve()
        if path not in pictures:
            pictures[path] = len(sources)
            sources.append(Source(captions.paths[row]))
            said.append(())
        meaning = known.get(text)
        if meaning is None:
            meaning = known[text] = numbers.setdefault((text,), len(numbers))
        refused.append((pictures[path], meaning))
    return Pairs(tuple(sources), tuple(said), tuple(numbers), pairs.classes, pairs.names, tuple(refused))


def _ways(name: str, templates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(template.replace(PLACE, name) for template in templates)


def _checked(pairs: Pairs, where: str) -> Pairs:
    if len(pairs) < 4 or len({meaning for said in pairs.said for meaning in said}) < 2:
        raise QueryError(
            f"{where} has {plural(len(pairs), 'picture')} with captions, too few to learn anything from",
            "give four pictures at least, with two different captions",
        )
    return pairs
