"""Folders as a tree: what lies directly below one of them, or bears a name, with the pictures at any depth."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from retrieval.folding import fold
from retrieval.paths import as_text, is_below
from retrieval.web.facets.models import FolderNode


def roots_of(own: Mapping[str, int], roots: Sequence[str]) -> list[FolderNode]:
    """The outermost folders that were indexed, those without pictures left out.

    Args:
        own: path -> pictures directly in it.
    """
    return _nodes(own, topmost(roots))


def below(own: Mapping[str, int], folder: str, most: int) -> list[FolderNode]:
    """The folders one level below another one, those with the most pictures, by name.

    Args:
        folder: as text, as an answer told it.
    """
    children = {child(path, folder) for path in own if is_below(path, folder) and path != folder}
    return _largest(_nodes(own, children), most)


def named(own: Mapping[str, int], text: str, most: int) -> list[FolderNode]:
    """The folders that have a text in their name, those with the most pictures, by name."""
    asked = fold(text.strip())
    every = {above for path in own for above in _and_above(path)}
    return _largest(_nodes(own, (path for path in every if asked in fold(os.path.basename(path)))), most)


def topmost(folders: Sequence[str]) -> list[str]:
    """Those that lie in none of the others."""
    return [folder for folder in folders if not any(is_below(folder, other) for other in folders if other != folder)]


def child(path: str, folder: str) -> str:
    """The folder one level below ``folder`` that equals or contains ``path``."""
    begin = len(folder.rstrip(os.sep)) + 1
    end = path.find(os.sep, begin)
    return path if end < 0 else path[:end]


def _and_above(path: str) -> Iterable[str]:
    while len(path) > 1:
        yield path
        path = os.path.dirname(path)


def _nodes(own: Mapping[str, int], folders: Iterable[str]) -> list[FolderNode]:
    asked = set(folders)
    counts: Counter[str] = Counter()
    deeper: set[str] = set()
    for path, count in own.items():
        for above in _and_above(path):
            if above in asked:
                counts[above] += count
                if above != path:
                    deeper.add(above)
    return [_node(path, count, path in deeper) for path, count in sorted(counts.items()) if count]


def _largest(nodes: Sequence[FolderNode], most: int) -> list[FolderNode]:
    kept = sorted(nodes, key=lambda node: -node.count)[:most]
    return sorted(kept, key=lambda node: fold(node.name))


def _node(path: str, count: int, has_folders: bool) -> FolderNode:
    text = as_text(path)
    return FolderNode(path=text, name=os.path.basename(text) or text, count=count, has_folders=has_folders)
