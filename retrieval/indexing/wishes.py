"""The options of a run: folders, exclusions and inclusions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retrieval.catalog.exclusions import Exclusion, Exclusions, changed
from retrieval.errors import SettingsError
from retrieval.indexing.ignore import parse
from retrieval.indexing.scan import is_mounted
from retrieval.paths import is_below
from retrieval.undone import Refused, item


@dataclass(frozen=True)
class Wishes:
    """What a run was asked to leave out from now on, and to take back."""

    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    no_exclude: bool = False

    def check(self) -> None:
        """Raises SettingsError for a pattern that is none."""
        parse(self.exclude, "--exclude")
        parse(self.include, "--include")

    def applied(self, before: Exclusions, roots: Sequence[str], named: Sequence[str]) -> tuple[Exclusions, list[str]]:
        """What is left out when this has been done for each of ``roots``, and what had been forgotten and no more is.

        Args:
            named: folders that were named for this run: they are not left out any more.
        """
        lifted: list[Exclusion] = [row for root in named for row in before.lifted(root)]
        again = [root for root in named if before.lifted(root)]
        after = Exclusions(row for row in before.rows if row not in lifted)
        for root in roots:
            after = Exclusions(changed(after, root, self.exclude, self.include, start_anew=self.no_exclude))
        return after, again


class Roots(NamedTuple):
    """Folders to walk, resolved, and those that are not there but known."""

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
        given: as a person named them; none: every one that is known.
        known: the folders that were given to earlier runs.
        count_present: how many present images lie at or below a folder.
        refused: told of a folder that does not exist and was never indexed; without it, that is raised.

    Raises:
        SettingsError: such a folder; or no folder at all, or none that can be used.
    """
    if not given and not known:
        raise SettingsError("no folder was given and none was indexed before", "run: photoseek index FOLDER")
    roots: list[str] = []
    gone: list[str] = []
    for folder in given or known:
        path = Path(folder).expanduser()
        resolved = os.path.realpath(path)
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be looked into
            roots.append(resolved)
            continue
        with item(folder, refused):
            if given and os.path.exists(path):  # noqa: PTH110
                raise SettingsError(f"{folder} is not a folder", "give the folder that holds the pictures")
            # The name under which it is known; a link may lie in its place by now.
            names = (resolved, os.path.abspath(path))
            missing = next((name for name in names if name in known or count_present(name)), None)
            if missing is None:
                raise SettingsError(f"there is no folder {folder}", "check the spelling, or mount the drive")
            gone.append(missing)
    if not roots and not gone:
        raise SettingsError("none of these folders can be indexed", "check their spelling, or mount the drive")
    return Roots(list(dict.fromkeys(roots)), gone)


def unplugged(mounts: Sequence[str]) -> list[str]:
    """Those that are not mounted now, symbolic links to where one of them was included."""
    gone = [mount for mount in mounts if not is_mounted(mount)]
    links = [mount for mount in mounts if any(is_below(os.path.realpath(mount), drive) for drive in gone)]
    return list(dict.fromkeys(gone + links))


def checked_spec(text: str, dim: int) -> str | None:
    """The specification in its canonical spelling, None for ``auto``; SpecError before any work is done."""
    from indexes import IndexSpec, create_index

    if text.lower() == "auto":
        return None
    spec = IndexSpec.parse(text)
    create_index(spec, dim).close()
    return str(spec)
