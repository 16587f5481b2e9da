"""Which files and folders a walk leaves out: ``--exclude`` patterns and ``.photoseekignore`` files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import SettingsError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".photoseekignore"


class IgnoreRules:
    """Ignore patterns in ``.gitignore`` syntax, each relative to the folder it was given for.

    The deepest file that has an opinion decides, as in git, so that a subfolder can take back (``!``) what a
    folder above it leaves out.

    Raises:
        SettingsError: a pattern that is no pattern.
    """

    def __init__(self, root: str, exclude: Sequence[str] = ()) -> None:
        self._specs: dict[str, GitIgnoreSpec] = {}
        self._root = root
        if exclude:
            self._specs[root] = _parse(exclude, "--exclude")

    def enter(self, folder: str, has_ignore_file: bool) -> None:
        """Read the folder's own ignore file, if it has one; to be called before ``leaves_out`` for its entries."""
        if not has_ignore_file:
            return
        source = Path(folder, IGNORE_FILE)
        try:
            lines = source.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError as error:
            raise SettingsError(f"cannot read {source}: {error.strerror}", "make it readable, or remove it") from error
        inherited = self._specs.get(folder)
        own = _parse(lines, str(source))
        self._specs[folder] = inherited + own if inherited is not None else own

    def leaves_out(self, folder: str, name: str, *, is_folder: bool) -> bool:
        """True if the entry ``name`` of ``folder`` is to be left out."""
        if not self._specs:  # the common case, on the hot path of the walk
            return False
        path = os.path.join(folder, name)
        above = folder
        while True:
            spec = self._specs.get(above)
            if spec is not None:
                relative = os.path.relpath(path, above) + ("/" if is_folder else "")
                verdict = spec.check_file(relative).include
                if verdict is not None:
                    return verdict
            parent = os.path.dirname(above)
            if above == self._root or parent == above:
                return False
            above = parent


def _parse(lines: Sequence[str], source: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error) as error:
        raise SettingsError(f"{source} holds a pattern that is not one: {error}", "use .gitignore syntax") from error
