"""Decide whether missing pictures are deleted; never merely because a drive, share or folder is not mounted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from retrieval.paths import is_below, is_remote
from retrieval.sources.places import archive_of

LARGE_FOLDER = 1_000
"""A folder with this many pictures is not believed to be deleted, since a drive may have been mounted there ..."""

MOST_OF_A_ROOT = 100
"""... nor one with this many, if they are more than half of the pictures of its root."""

NOT_MOUNTED = "no drive is mounted here, as there was before"
ROOT_IS_GONE = "the folder is gone or not mounted"
ROOT_IS_EMPTY = "the folder is empty, as if its drive were not mounted"
LINK_LEADS_NOWHERE = "the symbolic link leads nowhere"
LARGE_IS_GONE = "the folder is gone, with all that was in it"
LARGE_IS_EMPTY = "the folder is empty, and held many"


class Absence:
    """Judges folders that a walk did not find, or found empty.

    Args:
        roots: every folder that was ever given to ``index`` and not forgotten.
        unplugged: mount points that are not mounted now.
        count_present: how many present images lie at or below a folder.
    """

    def __init__(self, roots: Iterable[str], unplugged: Sequence[str], count_present: Callable[[str], int]) -> None:
        self._roots = sorted(roots, key=len, reverse=True)
        self._unplugged = unplugged
        self._count_present = count_present
        self._counts: dict[str, int] = {}

    def gone_mount(self, path: str) -> str | None:
        """The unplugged mount that a path is on."""
        return next((mount for mount in self._unplugged if is_below(path, mount)), None)

    def doubt_empty(self, path: str) -> str | None:
        """The reason why an empty folder is not believed to have lost its pictures."""
        if path in self._roots and self._count(path):
            return ROOT_IS_EMPTY
        return LARGE_IS_EMPTY if self._is_large(path) else None

    def doubt_unmet(self, path: str, met: set[str]) -> tuple[str, str] | None:
        """(folder, reason) for a known folder that no walk of this run found, if its deletion is doubted; ("", "") if
        nothing is reported because a run over another root decides.

        Args:
            met: the known folders that a walk found, and the roots that were walked.
        """
        root = self._root_of(path)
        if root is not None and root not in met:
            is_there = is_remote(root) or _is_folder(root) or archive_of(root)
            return ("", "") if is_there else (root, ROOT_IS_GONE)
        if archive_of(path) is not None:
            return None  # an archive is listed whole: what it does not have is not in it
        missing = path if is_remote(path) else _topmost_missing(path)
        if missing is None:
            return None  # excluded by a rule
        if os.path.islink(missing):  # noqa: PTH114 - names need not be text
            return missing, LINK_LEADS_NOWHERE
        return (missing, LARGE_IS_GONE) if self._is_large(missing) else None

    def _root_of(self, path: str) -> str | None:
        """The nearest root at or above the path."""
        return next((root for root in self._roots if is_below(path, root)), None)

    def _is_large(self, path: str) -> bool:
        held = self._count(path)
        if held >= LARGE_FOLDER:
            return True
        if held < MOST_OF_A_ROOT:
            return False
        root = self._root_of(path)
        return root is not None and 2 * held > self._count(root)

    def _count(self, path: str) -> int:
        if path not in self._counts:
            self._counts[path] = self._count_present(path)
        return self._counts[path]


def _topmost_missing(path: str) -> str | None:
    """The outermost missing folder on the way to ``path``; None if ``path`` exists."""
    missing = None
    while not _is_folder(path):
        missing = path
        parent = os.path.dirname(path)
        if parent == path:
            break
        path = parent
    return missing


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises if a folder above is not accessible
