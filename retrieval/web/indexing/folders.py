"""The folders that may be indexed over HTTP.

Whoever can send a request to the server could otherwise have any folder of this machine read, and then look at its
pictures: another program, or a page that the browser has open. So a folder has to lie in one that was once given on
the command line, unless the server was started with ``--allow-new-folders``. Others are refused without looking
whether they exist.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from retrieval.errors import SettingsError
from retrieval.paths import is_below


class FolderRefused(SettingsError):
    """Not a folder that may be indexed over HTTP."""


def allowed_folders(asked: Sequence[str], roots: Sequence[str], *, may_add: bool) -> list[str]:
    """The folders, symbolic links resolved.

    Args:
        asked: whole paths; none stands for all roots.
        roots: the folders that were given to ``photoseek index``.
        may_add: others are allowed, too.

    Raises:
        FolderRefused: a folder that the gallery does not know.
        SettingsError: not a whole path, nothing there, or not a folder; or nothing to do at all.
    """
    if not asked and not roots:
        raise SettingsError("no folder was given and none was indexed before", "run: photoseek index FOLDER")
    return list(dict.fromkeys(_allowed(folder, roots, may_add) for folder in asked))


def _allowed(folder: str, roots: Sequence[str], may_add: bool) -> str:
    try:
        if not os.path.isabs(folder):  # noqa: PTH117 - an odd text is refused below, as all of them
            raise SettingsError(f"{folder} is not a full path", "write it from the root, e.g. /home/me/Pictures")
        path = os.path.realpath(folder)
        if not may_add and not any(is_below(path, root) for root in roots):
            raise FolderRefused(
                f"{folder} is not in the gallery",
                f"index it once on the command line: photoseek index {folder}",
            )
        if os.path.isdir(path) or path in roots:  # noqa: PTH112 - a root may be on a drive that is not mounted now
            return path
        exists = os.path.exists(path)  # noqa: PTH110
    except (ValueError, OSError):
        raise SettingsError("this is not a path of a folder", "give the folder that holds the pictures") from None
    if exists:
        raise SettingsError(f"{folder} is not a folder", "give the folder that holds the pictures")
    raise SettingsError(f"there is no folder {folder}", "check the spelling, or mount the drive")
