"""Formats that are only readable with an extra, each with its library, and how to install it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from retrieval.pictures.formats import IMAGE_EXTENSIONS, RAW_EXTENSIONS, VIDEO_EXTENSIONS


class Extra(NamedTuple):
    """One of these kinds of pictures.

    Args:
        name: of the extra in ``pyproject.toml``.
        kind: the name under which the files are counted.
        module: the library that reads them.
        extensions: lower-case, with the dot.
    """

    name: str
    kind: str
    module: str
    extensions: frozenset[str]

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install 'photoseek[{self.name}]'"

    def is_installed(self) -> bool:
        """Whether its library is installed; it is not imported."""
        return find_spec(self.module) is not None


_NOT_BY_LIBRAW = frozenset({".ari", ".braw", ".eip", ".gpr", ".r3d", ".rwz"})

EXTRAS = (
    Extra("raw", "RAW", "rawpy", RAW_EXTENSIONS - _NOT_BY_LIBRAW),
    Extra("jxl", "JPEG XL", "pillow_jxl", frozenset({".jxl"})),
    Extra("svg", "SVG", "resvg_py", frozenset({".svg"})),
    Extra("video", "video", "av", VIDEO_EXTENSIONS),
)

EXTRA_OF = {extension: extra for extra in EXTRAS for extension in extra.extensions}


def readable_extensions() -> frozenset[str]:
    """The extensions that this installation can read."""
    return IMAGE_EXTENSIONS.union(*(extra.extensions for extra in EXTRAS if extra.is_installed()))


def install_hint(kind: str, extensions: Iterable[str]) -> str | None:
    """How to read some of the unread files of this kind; None if nothing that can be installed reads them.

    Args:
        extensions: of the files, without the dot.
    """
    found = (extra for extra in EXTRAS if extra.kind == kind and not extra.is_installed())
    return next((e.install for e in found if any(f".{name}" in e.extensions for name in extensions)), None)
