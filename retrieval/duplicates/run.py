"""The steps of ``photoseek duplicates``: find, report, and with ``--yes`` act."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from retrieval.catalog.folders import all_folders
from retrieval.duplicates.files import Outcome
from retrieval.duplicates.finding import DEFAULT_LOOK_ALIKE, Found, find_duplicates
from retrieval.duplicates.keeper import ORIGINAL, KeeperRule
from retrieval.duplicates.link import link_duplicates
from retrieval.duplicates.page import check_page_path, write_page
from retrieval.duplicates.plan import Plan, make_plan
from retrieval.duplicates.report import (
    linked_line,
    plan_line,
    summary_lines,
    write_groups,
    write_outcome,
    write_plan,
)
from retrieval.duplicates.trash import trash_duplicates
from retrieval.duplicates.undo import undo_trash
from retrieval.errors import SettingsError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.streams import plural


@dataclass(frozen=True)
class Options:
    """The flags.

    Raises:
        SettingsError: mutually exclusive flags.
    """

    look_alikes: bool = False
    min_score: float | None = None
    as_json: bool = False
    html: Path | None = None
    trash: bool = False
    link: bool = False
    undo: bool = False
    yes: bool = False
    rule: KeeperRule = ORIGINAL

    def __post_init__(self) -> None:
        if self.trash + self.link + self.undo > 1:
            raise SettingsError("--trash, --link and --undo exclude each other", "give one of them")
        if self.yes and not (self.trash or self.link):
            raise SettingsError("--yes says that something is to be done, but not what", "add --trash or --link")
        if self.undo and (self.look_alikes or self.html is not None or self.rule != ORIGINAL):
            raise SettingsError("--undo finds no duplicates", "give it alone")
        if self.min_score is not None and not self.look_alikes:
            raise SettingsError("--min-score only applies to look-alikes", "add --look-alikes")
        if self.html is not None:
            check_page_path(self.html)


def run(gallery: Gallery, where: Filter | None, asked: Options, out: IO[str], say: Callable[[str], None]) -> bool:
    """Carry out the command; False if some file was not moved, linked or put back although it should have been."""
    if asked.undo:
        if where is not None and not where.is_empty():
            raise SettingsError("--undo puts everything back", "give it without filters")
        outcomes = undo_trash(gallery, lambda outcome: write_outcome(outcome, out, as_json=asked.as_json))
        if not outcomes and not asked.as_json:
            out.write("nothing is in the trash\n")
        return _told(outcomes, "put back", say)
    least = None
    if asked.look_alikes:
        least = DEFAULT_LOOK_ALIKE if asked.min_score is None else asked.min_score
    with _shown_progress(sys.stderr) as on_progress:
        found = find_duplicates(gallery, where, look_alikes=least, rule=asked.rule, on_progress=on_progress)
    if asked.html is not None:
        write_page(found.groups, asked.html)
    plan = _plan(gallery, found, asked)
    if asked.yes and plan is not None:
        act = link_duplicates if plan.action == "link" else trash_duplicates
        outcomes = act(gallery, plan, lambda outcome: write_outcome(outcome, out, as_json=asked.as_json))
        if not outcomes and not asked.as_json:
            out.write("no duplicates: nothing to do\n")
        if found.linked:
            say(linked_line(found))
        if asked.trash and any(outcome.done for outcome in outcomes):
            say("to put everything back: photoseek duplicates --undo")
        return _told(outcomes, "linked" if asked.link else "moved to the trash", say)
    write_groups(found.groups, out, as_json=asked.as_json)
    for line in summary_lines(found):
        say(line)
    if plan is not None:
        write_plan(plan, out, as_json=asked.as_json)
        say(plan_line(plan))
    return True


def _plan(gallery: Gallery, found: Found, asked: Options) -> Plan | None:
    if asked.link:
        return make_plan(found.groups, "link", asked.rule)
    if not asked.trash:
        return None
    with gallery.reader() as reader:
        folders = list(all_folders(reader).values())
    return make_plan(found.groups, "trash", asked.rule, targets_of_links(folders))


def _told(outcomes: list[Outcome], did: str, say: Callable[[str], None]) -> bool:
    done = sum(outcome.done for outcome in outcomes)
    say(f"{plural(done, 'picture')} {did}")
    if done < len(outcomes):
        say(f"{len(outcomes) - done:,} left where they are, for the reasons given")
    return done == len(outcomes)


class _shown_progress:  # noqa: N801 - used like a function
    """A progress line that is rewritten on a terminal; nothing elsewhere."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._shown = ""

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self._show if self._out.isatty() else lambda *_: None

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _show(self, stage: str, done: int, total: int) -> None:
        line = f"{stage} {100 * done // total} %" if total else stage
        if line != self._shown:
            self._shown = line
            self._out.write(f"\r\x1b[K{line}")
            self._out.flush()


def targets_of_links(folders: Iterable[str]) -> dict[str, str]:
    """From the real path of each file that a symbolic link below these folders points to, to (one) such link.

    Links to links are resolved, and a link may go through other linked folders. Links whose names are not those of
    pictures count too. Links elsewhere on the disk cannot be known. Folders that cannot be listed are skipped.
    Only names are read: about 100,000 per second.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for folder in folders:
        for link in _links(os.path.realpath(folder), seen):
            target = os.path.realpath(link)
            if os.path.isfile(target):  # noqa: PTH113 - names need not be text
                found.setdefault(target, link)
    return found


def _links(root: str, seen: set[str]) -> Iterator[str]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        yield entry.path
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
