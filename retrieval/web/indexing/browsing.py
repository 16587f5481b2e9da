"""Folders of this machine, a level at a time, for whoever chooses one on the page to have it indexed.

Only what lies in allowed folders is told: the home folder and mounted drives while the server can be reached from this
machine alone, and the folders of ``serve --allow-folder``. Symbolic links are resolved before that is decided. Hidden
folders, in which programs keep keys and passwords, are neither told nor taken.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.errors import SettingsError
from retrieval.paths import as_text, is_below
from retrieval.pictures.formats import IMAGE_EXTENSIONS, RAW_EXTENSIONS, VIDEO_EXTENSIONS
from retrieval.web.indexing.folders import FolderRefused
from retrieval.web.indexing.models import FolderEntry, FolderListing
from retrieval.web.settings import Settings

MOST_FOLDERS = 1000
"""Folders of one level that are told, by name."""

_MOST_LOOKED_AT = 20_000  # entries of one folder
_LOOPBACK = ("127.", "::1", "localhost")
_DRIVES = ("/media", "/run/media", "/mnt", "/Volumes")


def browsable(settings: Settings) -> list[str]:
    """The folders in which those to be indexed may be chosen, symbolic links resolved; outermost ones only."""
    roots = [os.path.realpath(folder) for folder in settings.allowed_folders]
    if settings.host.startswith(_LOOPBACK):
        roots += [os.path.realpath(Path.home()), *_drives()]
    kept = [root for root in dict.fromkeys(roots) if os.path.isdir(root)]  # noqa: PTH112 - texts, as everywhere here
    return [root for root in kept if not any(is_below(root, other) for other in kept if other != root)]


def is_allowed(path: str, roots: Sequence[str]) -> bool:
    """Whether a resolved path lies in one of the roots, with no hidden folder on the way."""
    for root in roots:
        if is_below(path, root):
            return not any(part.startswith(".") for part in Path(path).relative_to(root).parts)
    return False


def listing(folder: str | None, roots: Sequence[str]) -> FolderListing:
    """The folders in a folder, and how many pictures lie directly in it.

    Args:
        folder: an absolute path; None: the roots themselves.
        roots: of :func:`browsable`.

    Raises:
        FolderRefused: it is in none of the roots; whether it exists is not told.
        SettingsError: it is no folder, or this user may not look into it.
    """
    if folder is None:
        return FolderListing(path=None, parent=None, pictures=0, folders=[_entry(root, root) for root in roots])
    path = os.path.realpath(folder) if _is_path(folder) else ""
    if not path or not is_allowed(path, roots):
        raise FolderRefused(f"{folder} cannot be chosen here", "choose one of the folders that are offered")
    try:
        entries = list(_entries(path))
    except NotADirectoryError:
        raise SettingsError(f"{folder} is not a folder", "choose the folder that holds the pictures") from None
    except OSError as error:
        raise SettingsError(f"{folder} cannot be looked into: {error.strerror}", "choose another folder") from error
    folders = sorted((name for name, is_folder in entries if is_folder), key=str.casefold)
    known = tuple(IMAGE_EXTENSIONS | RAW_EXTENSIONS | VIDEO_EXTENSIONS)
    parent = os.path.dirname(path)
    return FolderListing(
        path=as_text(path),
        parent=as_text(parent) if is_allowed(parent, roots) else None,
        pictures=sum(1 for name, is_folder in entries if not is_folder and name.lower().endswith(known)),
        folders=[_entry(os.path.join(path, name), name) for name in folders[:MOST_FOLDERS]],
    )


def _entries(path: str) -> Iterator[tuple[str, bool]]:
    """Name, and whether it is a folder, of what is not hidden; links are left out, for they lead elsewhere."""
    with os.scandir(path) as found:
        for at, entry in enumerate(found):
            if at == _MOST_LOOKED_AT:
                return
            if not entry.name.startswith("."):
                with suppress(OSError):
                    yield entry.name, entry.is_dir(follow_symlinks=False)


def _entry(path: str, name: str) -> FolderEntry:
    return FolderEntry(path=as_text(path), name=as_text(os.path.basename(name) or name))


def _is_path(text: str) -> bool:
    return os.path.isabs(text) and "\0" not in text  # noqa: PTH117 - an odd text is refused, as all of them


def _drives() -> Iterator[str]:
    """Folders at which drives are mounted, on this system's usual places; one level deeper for each user's own."""
    with suppress(OSError, KeyError):
        user = getpass.getuser()
        for place in _DRIVES:
            for above in (place, os.path.join(place, user)):
                with suppress(OSError), os.scandir(above) as found:
                    yield from (os.path.realpath(each.path) for each in found if os.path.ismount(each.path))
