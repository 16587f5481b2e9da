"""Which files and folders a walk excludes, and why: ``.photoseekignore`` files, the gallery's permanent exclusions,
and the default exclusions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from retrieval.catalog.exclusions import Exclusions
from retrieval.errors import SettingsError
from retrieval.indexing.default_exclusions import left_out_as
from retrieval.indexing.gitignore import GitIgnore
from retrieval.pictures.passed_over import BY_DEFAULT, BY_PATTERN, FORGOTTEN, HIDDEN
from retrieval.regular_files import read_regular

IGNORE_FILE = ".photoseekignore"

MAX_IGNORE_BYTES = 256 << 10


class IgnoreRules:
    """Rules for one walk.

    The deepest list with a matching pattern decides, as in git, so that a subfolder can include again (``!``) what a
    folder above it excludes, even a hidden name or a default. Within one folder its ignore file has precedence.

    Args:
        root: where the walk starts; it is never excluded itself.
        exclude: more patterns, relative to ``root``.
        lasting: the gallery's permanent exclusions; patterns of folders above ``root`` apply below it, too.

    Raises:
        SettingsError: an invalid pattern.
    """

    def __init__(self, root: str, exclude: Sequence[str] = (), lasting: Exclusions | None = None) -> None:
        self._lists: dict[str, list[GitIgnore]] = {}  # for each folder, by precedence
        self._lasting = Exclusions() if lasting is None else lasting
        for folder in self._lasting.folders():
            self._lists[folder] = [parse(self._lasting.patterns(folder), "--exclude")]
        if exclude:
            self._lists.setdefault(root, []).insert(0, parse(exclude, "--exclude"))
        self._root = root
        self._everywhere: GitIgnore | None = None
        if self._lasting.everywhere:
            self._everywhere = parse(self._lasting.everywhere, "the setting exclude or include")
        self._folder = ""
        self._own_name = ""
        self._here: list[tuple[GitIgnore, tuple[str, ...]]] = []

    def enter(self, folder: str, has_ignore_file: bool) -> None:
        """Enter a folder and read its own ignore file, if it has one; called before ``why_left_out`` for its entries.

        Raises:
            SettingsError: the file cannot be read, is not a regular file, is too large, or holds an invalid pattern.
        """
        self._folder, self._own_name = folder, os.path.basename(folder)
        if has_ignore_file:
            self._lists.setdefault(folder, []).insert(0, _read(Path(folder, IGNORE_FILE)))
        self._here = []
        if not self._lists and self._everywhere is None:  # the common case
            return
        above = folder
        below: tuple[str, ...] = ()
        from_root: tuple[str, ...] = ()
        while True:
            self._here += [(patterns, below) for patterns in self._lists.get(above, ())]
            if above == self._root:
                from_root = below
            parent, name = os.path.split(above)
            if parent == above:
                break
            above, below = parent, (name, *below)
        if self._everywhere is not None:
            self._here.append((self._everywhere, from_root))

    def why_left_out(self, name: str, *, is_folder: bool) -> tuple[str, str] | None:
        """Why the entry ``name`` of the folder entered last is excluded: a kind of ``passed_over`` and its detail.
        None: it is not excluded."""
        verdict = self._verdict(name, is_folder) if self._here else None
        if verdict:
            return BY_PATTERN, "folders" if is_folder else "files"
        if verdict is None:
            if name.startswith("."):
                return HIDDEN, ""
            if is_folder and (entry := left_out_as(self._own_name, name)) is not None:
                return BY_DEFAULT, entry
        if self._lasting.leaves_out(os.path.join(self._folder, name)):
            return FORGOTTEN, "folders" if is_folder else "files"
        return None

    def _verdict(self, name: str, is_folder: bool) -> bool | None:
        for patterns, below in self._here:
            verdict = patterns.verdict((*below, name), is_folder=is_folder)
            if verdict is not None:
                return verdict
        return None


def parse(lines: Sequence[str], source: str) -> GitIgnore:
    """Patterns from text.

    Raises:
        SettingsError: one of them is invalid; the message names ``source``.
    """
    try:
        return GitIgnore(lines)
    except ValueError as error:
        raise SettingsError(f"{source} holds a pattern that is not one: {error}", "use .gitignore syntax") from error


def _read(source: Path) -> GitIgnore:
    try:
        data = read_regular(source, MAX_IGNORE_BYTES)
    except OSError as error:
        raise SettingsError(f"cannot read {source}: {error.strerror}", "make it readable, or remove it") from error
    return parse(data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").splitlines(), str(source))
