"""Detect whether the files of this program have changed since a resident process was started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

_OURS = ("retrieval.", "indexes.")
_PACKAGES = os.path.dirname(os.path.dirname(np.__file__))
"""The folder in which other packages are installed."""


class ProgramFiles:
    """The present state of the files of this program and of the installed packages.

    Modules are loaded when first needed, so all files are recorded, but only those loaded by the time of a check count.
    """

    def __init__(self) -> None:
        root = Path(__file__).parent.parent
        files = [*root.rglob("*.py"), *(root.parent / "indexes").glob("*.py")]
        self._begun = {path: _state(path) for path in (_PACKAGES, *map(str, files))}
        self._loaded: tuple[int, list[str]] = (0, [])

    def are_exchanged(self) -> bool:
        """True if a loaded file has changed. Takes 0.3 ms."""
        if self._loaded[0] != len(sys.modules):
            names = [name for name in sys.modules if name.startswith(_OURS)]
            files = (getattr(sys.modules[name], "__file__", None) for name in names)
            self._loaded = len(sys.modules), [_PACKAGES, *(file for file in files if file)]
        return any(_state(path) != self._begun.get(path) for path in self._loaded[1])


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
