"""Training data: pictures with their captions, classes or tags, from any of five formats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids
from retrieval.catalog.labels import texts_said
from retrieval.errors import GalleryError, QueryError, SettingsError
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
    """Pictures and their meanings.

    A *meaning* is one statement with one or several wordings: a caption has one wording, a class or a tag one for
    each template. Two pictures with the same meaning are not negatives of each other.

    Attributes:
        sources: the pictures.
        said: the meanings of each picture, as rows of ``meanings``; at least one.
        meanings: the wordings of each; the first one is used if only one is needed.
        classes: rows of ``meanings`` that are the classes of a zero-shot test, empty if there are none.
        names: the names of those classes, without a template.
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
        """The pictures at ``rows``, in that order; the numbers of meanings do not change."""
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
        """(n, m) bool: whether each meaning belongs to each picture."""
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
            :func:`.sources.read_tar`; its name and type determine which one is used.
        templates: wordings of class names.
        disliked: a file of captions, each of which does *not* belong to its picture.

    Raises:
        QueryError: there are no training data, or they cannot be read.
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
    """Pairs from the captions and tags given by people to the pictures of a gallery.

    Args:
        templates, disliked: see :func:`read_pairs`.

    Raises:
        GalleryNotFound, GalleryError: there is no gallery, or its pictures have no tags or captions.
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
    """From pictures with captions, and tags that are put into templates. Equal texts are one meaning."""
    numbers: dict[tuple[str, ...], int] = {}
    sources, said = [], []
    for source, captions, tags in rows:
        ways = [(caption,) for caption in captions] + [_ways(tag, templates) for tag in tags]
        if ways:
            sources.append(source)
            said.append(tuple(dict.fromkeys(numbers.setdefault(each, len(numbers)) for each in ways)))
    return Pairs(tuple(sources), tuple(said), tuple(numbers))


def _with_disliked(pairs: Pairs, file: Path) -> Pairs:
    """Add disliked pairs; their pictures and texts may be in the pairs, or new ones that match nothing."""
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


def split_by_content(digests: Sequence[bytes], share: float, seed: int = 0) -> tuple[Ids, Ids]:
    """Rows for training and rows for validation, both ascending.

    Files with the same digest stay together. The side of a digest depends only on itself and ``seed``, except for
    the exact boundary: if pictures are added, most of those that were held out are still held out.

    Args:
        digests: the content hash of each picture.
        share: fraction of the distinct pictures that are held out; at least one is, and at least one is not.

    Raises:
        SettingsError: a share that is not between 0 and 1.
        QueryError: all pictures are copies of one.
    """
    if not 0 < share < 1:
        raise SettingsError(f"{share} of the pictures cannot be held out", "give a share between 0 and 1")
    distinct = sorted(set(digests), key=lambda digest: hashlib.blake2b(digest + seed.to_bytes(8, "little")).digest())
    if len(distinct) < 2:
        raise QueryError("there is only one picture", "give several different ones")
    held = set(distinct[: min(max(1, round(share * len(distinct))), len(distinct) - 1)])
    is_held = np.array([digest in held for digest in digests])
    return np.flatnonzero(~is_held).astype(np.int64), np.flatnonzero(is_held).astype(np.int64)
