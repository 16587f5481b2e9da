"""Which paths of a catalog are not plain files, decided by the path and the file system alone.

A member of an archive is stored as if the archive were a folder: ``/data/shard-0001.tar`` and the member's name. No row
says of which kind it is, because the file system decides it without ambiguity: ``/data/shard-0001.tar`` is a file or a
folder, never both, and a path below a file cannot be opened as a file. A marker in the catalog could only contradict
what is on the disk; after ``tar x`` in its place, the same paths are plain files, and the same pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

ARCHIVES = (".tar", ".parquet")
"""Extensions of archives, in lower case."""

_INSIDE = re.compile(r"\.(?:tar|parquet)[/\\]", re.IGNORECASE)

_DOTS = {".": "%2E", "..": "%2E%2E"}


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is an archive whose members may be pictures."""
    return name[-8:].lower().endswith(ARCHIVES)


def is_table_name(name: str) -> bool:
    """Whether a file of this name is a parquet file, whose rows are members."""
    return name[-8:].lower() == ".parquet"


def archive_of(path: str) -> str | None:
    """The archive (an existing file) inside which the path is, or which it is; None for everything else.

    Nearly every path is decided by its text; only for one that names something like an archive the disk is asked.
    """
    for found in _INSIDE.finditer(path):
        at = path[: found.end() - 1]
        if os.path.isfile(at):  # noqa: PTH113 - names need not be text
            return at
    return path if is_archive_name(path) and os.path.isfile(path) else None  # noqa: PTH113


def archives_in(folders: Iterable[str]) -> set[str]:
    """The paths, among those of known folders and all above them, that are named like archives."""
    return {path[: found.end()].rstrip("/\\") for path in folders for found in _INSIDE.finditer(path + os.sep)}


def plain_member(name: str) -> tuple[str, str]:
    """(folder, name) of a member inside its archive, both relative; the folder may be empty.

    Names in archives are those of strangers: a catalog's paths are compared and normalised as text, so that ``..``,
    an absolute path or a doubled slash would name another file. Empty parts are dropped, dots are written ``%2E``.
    """
    parts = [_DOTS.get(part, part) for part in name.replace("\0", "%00").split("/") if part not in ("", ".")]
    return "/".join(parts[:-1]), parts[-1] if parts else ""
