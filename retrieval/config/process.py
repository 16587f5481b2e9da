"""The settings of this process, from its environment, the gallery's file and the user's file, in this order.

A program calls :func:`begin` and then ``checking.check`` if there is a file; a library user's process
uses only its environment. During a search without a file, nothing else of this package is imported.
"""

from __future__ import annotations

import os

from retrieval.config import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Source = tuple[str, str, bytes]  # USER or GALLERY, path, content

USER, GALLERY = "user", "gallery"

_sources: list[Source] = []
_held: dict[str, tuple[object, Source]] = {}


def begin() -> None:
    """Read the user's file, at the start of a program; discards the results of an earlier call.

    Raises:
        SettingsError: the file cannot be read.
    """
    _sources.clear()
    _held.clear()
    _add(USER, files.user_file())


def begin_gallery(gallery: str) -> None:
    """Read the file of the program's gallery, after :func:`begin`.

    Raises:
        SettingsError: the file cannot be read.
    """
    _add(GALLERY, files.gallery_file(gallery))


def _add(scope: str, path: str) -> None:
    if data := files.read(path):
        _sources.append((scope, path, data))


def sources() -> list[Source]:
    """The existing files, in the order in which one replaces values of the other."""
    return _sources


def hold(name: str, value: object, source: Source) -> None:
    """Apply a validated value from now on."""
    _held[name] = (value, source)


def lookup(name: str, variable: str) -> Any:
    """A setting: the text of its variable, else the value in a file, else None. See ``values.setting`` for its type."""
    if given := os.environ.get(variable):
        return given
    found = _held.get(name)
    return None if found is None else found[0]


def origin(name: str) -> Source | None:
    """The file that a setting's value is from, if no variable is set."""
    found = _held.get(name)
    return None if found is None else found[1]


def of_user(name: str) -> object:
    """The value in the user's file, before validation: for a client of a resident process, whose answer confirms
    that it has read the same files."""
    for scope, _, data in _sources:
        if scope == USER:
            try:
                return files.parsed(data).get(name)
            except ValueError:  # told by ``checking.check``
                return None
    return None


def contents() -> str:
    """The content of all files as text: processes with equal content and environment have equal settings."""
    return "\n".join(data.hex() for _, _, data in _sources)
