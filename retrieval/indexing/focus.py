"""A run over some folders only: which folders, and which files have to wait.

A watcher of folders reports where something happened; what happened is determined by the same walk and comparison
as in a run over everything, so that a wrong or repeated hint costs only time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator

from retrieval.catalog.exclusions import Exclusions
from retrieval.errors import SettingsError
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.found_files import Looks
from retrieval.indexing.found_folders import FoundFolder
from retrieval.indexing.ignore import IGNORE_FILE, IgnoreRules
from retrieval.indexing.scan import Archives, list_folder, no_archives, parent_device, walk, walk_inside
from retrieval.paths import is_below

SAVED_AFTER = 2048
"""Changed files after which a run over some folders saves the index; searches replay fewer changes themselves."""


class Focus:
    """Where a run looks.

    Args:
        folders: listed themselves; new folders in them are walked completely, and missing ones retired.
        trees: walked with everything below them.
        is_held: True for an incomplete file; it keeps its known state, and a later run indexes it.
        is_whole: the roots are walked as in any run; only ``is_held`` applies.
    """

    def __init__(
        self,
        folders: Collection[str] = (),
        trees: Collection[str] = (),
        is_held: Callable[[Candidate], bool] = lambda _: False,
        *,
        is_whole: bool = False,
    ) -> None:
        self.folders, self.trees, self.is_held, self.is_whole = folders, trees, is_held, is_whole
        self.settled: set[str] = set()
        """Trees that were walked completely, or are gone: known folders below them that were not found are
        retired."""

    def covers(self, path: str) -> bool:
        """True for a known folder that a run must have found if it exists."""
        if self.is_whole:
            return True
        while path not in self.settled:
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above
        return True


def walk_focus(
    root: str,
    focus: Focus | None,
    known_below: Callable[[str], Collection[str]],
    *,
    lasting: Exclusions,
    seen: set[tuple[int, int]],
    elsewhere: Collection[str],
    archives: Archives = no_archives,
) -> Iterator[FoundFolder]:
    """List the folders of a focus that are below a root, with the same rules as ``scan.walk``.

    Args:
        root: resolved.
        focus: None, or one that is whole: everything below the root.
        known_below: the known direct subfolders of a folder.
        lasting, seen, elsewhere, archives: as for ``scan.walk``.
    """
    if focus is None or focus.is_whole:
        yield from walk(root, lasting=lasting, seen=seen, elsewhere=list(elsewhere), archives=archives)
        return
    rules = IgnoreRules(root, (), lasting)
    trees = {path for path in focus.trees if is_below(path, root)}
    with Looks() as looks:
        for path in sorted({*trees, *(path for path in focus.folders if is_below(path, root))}):
            if not os.path.isdir(path):  # noqa: PTH112
                if not os.path.lexists(path):
                    focus.settled.add(path)
                elif archives(path) and _enter(rules, root, path):
                    focus.settled.add(path)
                    yield from walk_inside(path, rules, seen)
                continue
            if not _enter(rules, root, path):
                continue
            is_tree = path in trees
            if is_tree:
                focus.settled.add(path)
            waiting: deque[tuple[str, int | None]] = deque([(path, parent_device(path))])
            while waiting:
                at, device = waiting.popleft()
                folder, below, links = list_folder(at, device, rules, seen, looks, archives=archives)
                if folder is None:
                    continue
                yield folder
                for archive in folder.archives:
                    focus.settled.add(archive)
                    yield from walk_inside(archive, rules, seen)
                if is_tree or at != path:
                    waiting.extend(below)
                    waiting.extend(link for link in links if not _is_elsewhere(link[0], elsewhere))
                    continue
                known = known_below(path)
                new = [each for each in (*below, *links) if each[0] not in known]
                waiting.extend(each for each in new if each in below or not _is_elsewhere(each[0], elsewhere))
                focus.settled.update(each[0] for each in new)
                if folder.problem is None:
                    focus.settled.update(each for each in known if not os.path.lexists(each))


def _enter(rules: IgnoreRules, root: str, path: str) -> bool:
    """Read the rules of the folders above one; False if one of them excludes it, or cannot be read (a run over
    everything reports that)."""
    above = root
    for name in _names(path, root):
        try:
            rules.enter(above, os.path.exists(os.path.join(above, IGNORE_FILE)))  # noqa: PTH110
        except SettingsError:
            return False
        if rules.why_left_out(name, is_folder=True) is not None:
            return False
        above = os.path.join(above, name)
    return True


def _names(path: str, root: str) -> list[str]:
    """The names on the way from a root to a folder below it."""
    return [name for name in path[len(root) :].split(os.sep) if name]  # noqa: PTH206


def _is_elsewhere(link: str, elsewhere: Collection[str]) -> bool:
    target = os.path.realpath(link)
    return any(is_below(target, other) and "/." not in target[len(other) :] for other in elsewhere)
