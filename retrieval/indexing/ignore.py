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

    The deepest list that has an opinion decides, as in git, so that a subfolder can take back (``!``) what a folder
    above it leaves out, a hidden name or a default included. In one folder its ignore file comes last.

    Args:
        root: where the walk starts; it is never left out itself.
        exclude: more patterns, relative to ``root``.
        lasting: what the gallery leaves out; patterns of folders above ``root`` hold below it, too.

    Raises:
        SettingsError: a pattern that is no pattern.
    """

    def __init__(self, root: str, exclude: Sequence[str] = (), lasting: Exclusions | None = None) -> None:
        self._lists: dict[str, list[GitIgnore]] = {}  # of a folder, the one that decides first in front
        self._lasting = Exclusions() if lasting is None else lasting
        for folder in self._lasting.folders():
            self._lists[folder] = [parse(self._lasting.patterns(folder), "--exclude")]
        if exclude:
            self._lists.setdefault(root, []).insert(0, parse(exclude, "--exclude"))
        self._folder = ""
        self._own_name = ""
        self._here: list[tuple[GitIgnore, tuple[str, ...]]] = []

    def enter(self, folder: str, has_ignore_file: bool) -> None:
        """Turn to a folder and read its own ignore file, if it has one; before ``why_left_out`` for its entries.

        Raises:
            SettingsError: the file cannot be read, is no file, is too large, or holds a pattern that is none.
        """
        self._folder, self._own_name = folder, os.path.basename(folder)
        if has_ignore_file:
            self._lists.setdefault(folder, []).insert(0, _read(Path(folder, IGNORE_FILE)))
        self._here = []
        if not self._lists:  # the common case
            return
        above = folder
        below: tuple[str, ...] = ()
        while True:
            self._here += [(patterns, below) for patterns in self._lists.get(above, ())]
            parent, name = os.path.split(above)
            if parent == above:
                return
            above, below = parent, (name, *below)

    def why_left_out(self, name: str, *, is_folder: bool) -> tuple[str, str] | None:
        """Why the entry ``name`` of the folder entered last is left out: a kind of ``passed_over`` and what of it.
        None: it is not left out."""
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
        SettingsError: one of them is none; the message names ``source``.
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
