"""The folders that may be indexed over HTTP.

Otherwise anyone who can send a request to the server, such as another program or a page open in the browser, could
have any folder of this machine read, and then look at its pictures. So a folder has to lie in one that was indexed
before, or in one of those that ``browsing.py`` offers, unless the server was started with ``--allow-new-folders``.
Others are refused without checking whether they exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from retrieval.errors import SettingsError
from retrieval.paths import is_below, is_remote
from retrieval.sources.addresses import spelled


class FolderRefused(SettingsError):
    """The folder may not be indexed over HTTP."""


def allowed_folders(
    asked: Sequence[str], roots: Sequence[str], *, may_add: bool, is_offered: Callable[[str], bool] = lambda path: False
) -> list[str]:
    """The folders, symbolic links resolved.

    Args:
        asked: absolute paths; none means all roots.
        roots: the folders that were given to ``photoseek index``.
        may_add: other folders are allowed, too.
        is_offered: whether a resolved path is one that may be chosen, see ``browsing.is_allowed``.

    Raises:
        FolderRefused: a folder that is not known to the gallery.
        SettingsError: not an absolute path, nothing there, or not a folder; or no folders at all.
    """
    if not asked and not roots:
        raise SettingsError("no folder was given and none was indexed before", "run: photoseek index FOLDER")
    return list(dict.fromkeys(_allowed(folder, roots, may_add, is_offered) for folder in asked))


def _allowed(folder: str, roots: Sequence[str], may_add: bool, is_offered: Callable[[str], bool]) -> str:
    if is_remote(folder) and any(is_below(folder, root) for root in roots):
        return spelled(folder)
    try:
        if not os.path.isabs(folder):  # noqa: PTH117 - an odd text is refused below, as all of them
            raise SettingsError(f"{folder} is not a full path", "write it from the root, e.g. /home/me/Pictures")
        path = os.path.realpath(folder)
        if not (may_add or any(is_below(path, root) for root in roots) or is_offered(path)):
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
