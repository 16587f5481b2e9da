"""Tars of small pictures, good ones and bad ones."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from tests.pictures import picture


def jpeg(colour: str, seed: int = 0) -> bytes:
    """A small picture of one colour as a JPEG."""
    made = io.BytesIO()
    picture(colour, seed=seed).save(made, "JPEG", quality=95)
    return made.getvalue()


def save_tar(path: Path, files: Iterable[tuple[str, bytes]], *more: tarfile.TarInfo) -> Path:
    """Write a tar of files with these names and bytes, then members without bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in more:
            tar.addfile(entry)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """A link in a tar."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry
