"""Folders as labels: one folder of pictures per class, and the names of the classes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes.base import Ids
from retrieval.errors import QueryError
from retrieval.indexing.scan import walk
from retrieval.regular_files import read_regular

_MAX_FILE_BYTES = 1 << 26
_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Labelled:
    """Pictures with one class each.

    Attributes:
        paths: the pictures.
        labels: (n,) int64, rows of ``folders``.
        folders: the classes' folders, sorted.
        names: the classes' names, in the order of ``folders``; two may be equal.
    """

    paths: tuple[Path, ...]
    labels: Ids
    folders: tuple[str, ...]
    names: tuple[str, ...]


def read_class_folders(
    folder: str | Path, labels_file: str | Path | None = None, *, folders: Sequence[str] = ()
) -> Labelled:
    """The pictures below each subfolder of ``folder``; those directly in ``folder`` have no class and are left out.

    Args:
        folder: ``folder/class/.../picture``, as in torchvision's ImageFolder and ImageNet's ``val`` in folders.
        labels_file: the names of the classes, see :func:`read_labels`. By default, a class has the name of its
            folder, with underscores replaced by spaces.
        folders: the classes to use, in this order, for a second folder of the same classes; default: all.

    Raises:
        QueryError: no such folder, fewer than two classes, a class that is not among ``folders`` or not in
            ``labels_file``, or ImageNet's numbers without a ``labels_file``.
    """
    root = Path(os.path.realpath(Path(folder).expanduser()))
    if not root.is_dir():
        raise QueryError(f"there is no folder {folder}", "give a folder with a folder of pictures for each class")
    found = list(pictures_by_class(root))
    present = sorted({name for name, _ in found})
    classes = list(folders) or present
    if len(classes) < 2 or not found:
        raise QueryError(f"{folder} has pictures of fewer than two classes", "give a folder of pictures for each class")
    unknown = sorted(set(present) - set(classes))
    if unknown:
        raise QueryError(f"the class {unknown[0]!r} is not known", "use the same folders on both sides")
    row = {name: number for number, name in enumerate(classes)}
    labels = np.array([row[name] for name, _ in found], dtype=np.int64)
    return Labelled(tuple(path for _, path in found), labels, tuple(classes), _names(classes, labels_file))


def pictures_by_class(root: Path) -> Iterator[tuple[str, Path]]:
    """The class folder and the path of every picture below ``root``, with links in a folder's own path resolved."""
    for listed in walk(root):
        # The pictures in a linked folder have the path of the link's target.
        inside = Path(os.path.relpath(listed.path, root)).parts
        if inside and inside[0] != os.pardir:
            yield from ((inside[0], Path(listed.path, file.name)) for file in listed.files if file.problem is None)


def _names(folders: Sequence[str], labels_file: str | Path | None) -> tuple[str, ...]:
    if labels_file is None:
        if any(_WNID.fullmatch(folder) for folder in folders):
            raise QueryError(
                "these classes are called by ImageNet's numbers, which say nothing to a model",
                "give --labels FILE with a number, a tab and a name a line",
            )
        return tuple(folder.replace("_", " ").strip() or folder for folder in folders)
    known = read_labels(labels_file)
    missing = [folder for folder in folders if folder not in known]
    if missing:
        raise QueryError(f"{labels_file} does not name {missing[0]!r}", "give each folder a line: folder, tab, name")
    return tuple(known[folder] for folder in folders)


def read_labels(file: str | Path) -> dict[str, str]:
    """Folder -> name. A line is ``folder<TAB>name``, or as in ImageNet's ``LOC_synset_mapping.txt``
    ``n01440764 tench, Tinca tinca`` (the first name is used); a ``.json`` is either ``{"folder": "name"}`` or
    Keras' ``imagenet_class_index.json``.

    Raises:
        QueryError: the file cannot be read, or a line has neither form.
    """
    path = Path(file).expanduser()
    try:
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig")
        pairs = _from_json(json.loads(text)) if path.suffix.lower() == ".json" else _from_lines(text)
    except OSError as error:
        raise QueryError(
            f"cannot read {path}: {error.strerror}", "give a file with a folder, a tab and a name a line"
        ) from None
    except (ValueError, TypeError, RecursionError):
        raise QueryError(
            f"{path} does not name classes", "give a file with a folder, a tab and a name a line"
        ) from None
    return pairs


def _from_lines(text: str) -> dict[str, str]:
    pairs = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        folder, tab, name = line.partition("\t")
        if not tab:
            folder, _, names = line.strip().partition(" ")
            name = names.partition(",")[0] if _WNID.fullmatch(folder) else ""
        if not name.strip():
            raise QueryError(f"line {number} names no class", "give a folder, a tab and a name a line")
        pairs[folder.strip()] = name.strip()
    return pairs


def _from_json(body: object) -> dict[str, str]:
    if not isinstance(body, dict):
        raise ValueError("not an object")
    pairs = [(value[0], value[1]) if isinstance(value, list) and len(value) == 2 else (key, value)
             for key, value in body.items()]  # fmt: skip
    if not all(isinstance(folder, str) and isinstance(name, str) and name.strip() for folder, name in pairs):
        raise ValueError("not texts")
    return {folder: name.replace("_", " ").strip() for folder, name in pairs}
