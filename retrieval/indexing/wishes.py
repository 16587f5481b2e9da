"""The options of a run: folders, exclusions and inclusions."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrieval.catalog.exclusions import Exclusion, Exclusions, changed
from retrieval.catalog.folders import roots_only_elsewhere
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import GalleryError, SettingsError
from retrieval.indexing.ignore import parse
from retrieval.indexing.scan import is_mounted
from retrieval.paths import is_below, is_remote
from retrieval.regular_files import describe_os_error
from retrieval.sources.addresses import spelled
from retrieval.sources.places import archive_of
from retrieval.undone import Refused, item


@dataclass(frozen=True)
class Wishes:
    """The exclusions and inclusions that a run was asked to apply from now on.

    Args:
        everywhere: patterns from the user's settings, which apply below every folder while they are in the settings,
            if nothing else decides.
    """

    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    no_exclude: bool = False
    everywhere: Sequence[str] = ()

    def check(self) -> None:
        """Raise SettingsError for an invalid pattern."""
        parse(self.exclude, "--exclude")
        parse(self.include, "--include")
        parse(self.everywhere, "the setting exclude or include")

    def applied(self, before: Exclusions, roots: Sequence[str], named: Sequence[str]) -> tuple[Exclusions, list[str]]:
        """The exclusions after applying these options to each of ``roots``, and the forgotten paths that are lifted.

        Args:
            named: folders that were named for this run: they are no longer excluded.
        """
        lifted: list[Exclusion] = [row for root in named for row in before.lifted(root)]
        again = [root for root in named if before.lifted(root)]
        after = Exclusions(row for row in before.rows if row not in lifted)
        for root in roots:
            after = Exclusions(changed(after, root, self.exclude, self.include, start_anew=self.no_exclude))
        return Exclusions(after.rows, self.everywhere), again


class Roots(NamedTuple):
    """Folders to walk, resolved, and known folders that are missing."""

    present: list[str]
    missing: list[str]


def resolved_roots(
    given: Sequence[str | Path],
    known: Sequence[str],
    count_present: Callable[[str], int],
    refused: Refused | None = None,
) -> Roots:
    """The folders of a run.

    Args:
        given: as a person named them; empty: every known folder.
        known: the folders that were given to earlier runs.
        count_present: how many present images lie at or below a folder.
        refused: called with a folder that does not exist and was never indexed; without it, an error is raised.

    Raises:
        SettingsError: such a folder; or no folder at all, or none that can be used.
        GalleryError: there are pictures, but no folders.
    """
    if not given and not known:
        if count_present(os.sep):  # no run leaves this state
            raise GalleryError(
                "the gallery has pictures, but no folder in which they were found: its catalog is damaged",
                "name the folders: photoseek index FOLDER, then run: photoseek verify",
            )
        raise SettingsError("no folder was given and none was indexed before", "run: photoseek index FOLDER")
    roots: list[str] = []
    gone: list[str] = []
    for folder in given or known:
        if is_remote(address := spelled(folder)):
            with item(folder, refused):
                _check_store(address, known)
                roots.append(address)
            continue
        path = Path(folder).expanduser()
        resolved = os.path.realpath(path)
        # Path.is_dir raises if a folder above is not accessible.
        if os.path.isdir(path) or archive_of(resolved) == resolved:  # noqa: PTH112
            roots.append(resolved)
            continue
        with item(folder, refused):
            if given and os.path.exists(path):  # noqa: PTH110
                raise SettingsError(
                    f"{folder} is not a folder",
                    "give the folder that holds the pictures, or a .tar or .parquet",
                )
            # The name under which it is known; there may be a link in its place now.
            names = (resolved, os.path.abspath(path))
            missing = next((name for name in names if name in known or count_present(name)), None)
            if missing is None:
                raise SettingsError(f"there is no folder {folder}", "check the spelling, or mount the drive")
            gone.append(missing)
    if not roots and not gone:
        raise SettingsError("none of these folders can be indexed", "check their spelling, or mount the drive")
    return Roots(list(dict.fromkeys(roots)), gone)


def _check_store(address: str, known: Sequence[str]) -> None:
    """Ask a store whether there is anything at an address that is new; what is known, the walk finds out."""
    from retrieval.sources.stores import STORES

    if any(is_below(address, root) for root in known):
        return
    try:
        STORES.check(address)
    except OSError as error:
        raise SettingsError(
            f"{address}: {describe_os_error(error)}", "check the network, and the keys that its tools use"
        ) from error


def only_elsewhere(reader: CatalogReader) -> list[str]:
    """The roots that another machine walked and that this one does not have, in a catalog that several share."""
    return roots_only_elsewhere(reader, socket.gethostname()) if reader.is_server else []


def unplugged(mounts: Sequence[str]) -> list[str]:
    """The mount points that are not mounted now, symbolic links to former ones included."""
    gone = [mount for mount in mounts if not is_mounted(mount)]
    links = [mount for mount in mounts if any(is_below(os.path.realpath(mount), drive) for drive in gone)]
    return list(dict.fromkeys(gone + links))


def checked_spec(text: str, dim: int) -> str | None:
    """The specification in its canonical spelling, None for ``auto``; SpecError before any work is done."""
    from indexes import IndexSpec, create_index
    from retrieval.index_servers import name_server, server_spec

    if text.lower() == "auto":
        return None
    spec = IndexSpec.parse(text)
    if (named := server_spec(text)) is not None:
        name_server(named)  # whoever asks for it may use it
    create_index(spec, dim).close()
    return str(spec)
