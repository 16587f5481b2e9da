"""Walk folders and list the picture files in them: no pixels, no database, one ``stat`` per candidate file (see
``found_files.py``).

The walk never guesses: a folder that cannot be listed is reported with the reason, so that the caller does not
treat its pictures as deleted.
"""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.catalog.exclusions import Exclusions
from retrieval.errors import SettingsError
from retrieval.indexing.found_files import Glances, Looks
from retrieval.indexing.found_folders import FoundFolder, is_candidate
from retrieval.indexing.ignore import IGNORE_FILE, IgnoreRules
from retrieval.indexing.source_walk import walk_source
from retrieval.paths import is_below, is_remote
from retrieval.pictures.optional import EXTRA_OF, readable_extensions
from retrieval.pictures.passed_over import HIDDEN, PassedOver, extension_of, kind_of
from retrieval.regular_files import describe_os_error
from retrieval.sources.addresses import spelled
from retrieval.sources.places import is_archive_name
from retrieval.sources.reading import source_of

__all__ = [
    "IGNORE_FILE",
    "FoundFolder",
    "Walk",
    "count_files",
    "is_mounted",
    "list_folder",
    "mount_point",
    "parent_device",
    "walk",
]


Walk = Iterator[FoundFolder]

Archives = Callable[[str], bool]
"""Whether the members of an archive that a walk meets are listed, by its path."""


def no_archives(path: str) -> bool:
    """Archives are passed over, unless they are named themselves."""
    del path
    return False


def walk(
    root: str | Path,
    *,
    exclude: Sequence[str] = (),
    lasting: Exclusions | None = None,
    seen: set[tuple[int, int]] | None = None,
    elsewhere: Sequence[str] = (),
    archives: Archives = no_archives,
) -> Walk:
    """List ``root`` and everything below it, folder by folder, in a stable order.

    Args:
        root: a folder or an archive; it is resolved, so that different spellings of it are equal.
        exclude: patterns in ``.gitignore`` syntax, relative to ``root``, in addition to each folder's own
            ``.photoseekignore``.
        lasting: the gallery's permanent exclusions.
        seen: (device, inode) of folders already listed; give the same set to several walks so that overlapping
            roots and symbolic-link cycles are listed once.
        elsewhere: other folders that are roots themselves, now or in another run. A symbolic link into one
            of them is not followed: its pictures would be known by one path after this run and by the other
            after the next.
        archives: which archives in the folders are listed like folders.

    Yields:
        Every folder once: real folders first, depth first and by name; then folders that are only reached through
        symbolic links, so that a picture is known by its real path if it has one below ``root``.
    """
    start = _start_of(root)
    rules = IgnoreRules(start, exclude, lasting)
    return _walk(start, rules, set() if seen is None else seen, Looks(), elsewhere, archives)


def _walk(
    start: str,
    rules: IgnoreRules,
    seen: set[tuple[int, int]],
    looks: Looks | Glances,
    elsewhere: Sequence[str] = (),
    archives: Archives = no_archives,
) -> Walk:
    readable = readable_extensions()
    if source_of(start) is not None:
        yield from walk_inside(start, rules, seen, readable)
        return
    waiting: deque[tuple[str, int | None]] = deque([(start, parent_device(start))])
    with looks:
        while waiting:
            links: list[tuple[str, int | None]] = []
            stack = [waiting.popleft()]
            while stack:
                path, device_above = stack.pop()
                folder, below, through_links = list_folder(path, device_above, rules, seen, looks, readable, archives)
                if folder is None:
                    continue
                yield folder
                for archive in folder.archives:
                    yield from walk_inside(archive, rules, seen, readable)
                stack.extend(reversed(below))
                links.extend(through_links)
            waiting.extend(link for link in links if not _is_walked_elsewhere(link[0], elsewhere))


def _is_walked_elsewhere(link: str, elsewhere: Sequence[str]) -> bool:
    target = os.path.realpath(link)
    # A hidden folder in one of them is not walked there.
    return any(is_below(target, other) and "/." not in target[len(other) :] for other in elsewhere)


def _start_of(root: str | Path) -> str:
    path = spelled(root)
    return path if is_remote(path) else os.path.realpath(path)


def walk_inside(
    path: str, rules: IgnoreRules, seen: set[tuple[int, int]], readable: frozenset[str] | None = None
) -> Walk:
    """The folders inside an archive or a store, unless listed before; with a problem if it is damaged or gone."""
    readable = readable_extensions() if readable is None else readable

    def is_new(folder: str) -> bool:
        key = (-1, hash(folder))
        if is_remote(folder) and key in seen:
            return False
        seen.add(key)
        return True

    try:
        own = None if is_remote(path) else os.stat(path)
        source = source_of(path)
    except OSError as error:
        yield FoundFolder(path, problem=describe_os_error(error))
        return
    if source is None or (own is not None and (own.st_dev, own.st_ino) in seen):
        return
    if own is not None:
        seen.add((own.st_dev, own.st_ino))
    yield from walk_source(source, path, rules, readable, is_new)


_Below = list[tuple[str, int | None]]


def list_folder(
    path: str,
    device_above: int | None,
    rules: IgnoreRules,
    seen: set[tuple[int, int]],
    looks: Looks | Glances,
    readable: frozenset[str] | None = None,
    archives: Archives = no_archives,
) -> tuple[FoundFolder | None, _Below, _Below]:
    """One folder, its real subfolders and those behind symbolic links; None if it was listed before.

    Args:
        device_above: device of the parent folder.
        looks: examines the files.
        readable: extensions; by default those of all formats of this installation.
        archives: as for :func:`walk`; the archives themselves are not opened here.
    """
    readable = readable_extensions() if readable is None else readable
    try:
        own = os.stat(path)
        if (own.st_dev, own.st_ino) in seen:
            return None, [], []
        with os.scandir(path) as entries:
            listed = sorted(entries, key=_name)
        rules.enter(path, any(entry.name == IGNORE_FILE for entry in listed))
    except OSError as error:
        return FoundFolder(path, problem=describe_os_error(error)), [], []
    except SettingsError as error:
        return FoundFolder(path, problem=error.message), [], []
    seen.add((own.st_dev, own.st_ino))
    files: list[os.DirEntry[str]] = []
    unsure: list[os.DirEntry[str]] = []
    unreadable: list[os.DirEntry[str]] = []
    within: list[str] = []
    passed_over: PassedOver = Counter()
    below: _Below = []
    links: _Below = []
    for entry in listed:
        name = entry.name
        is_folder = _is_folder(entry, readable)
        why = rules.why_left_out(name, is_folder=is_folder)
        if why is not None:
            if why[0] != HIDDEN:
                passed_over[why] += 1
        elif is_folder:
            (links if entry.is_symlink() else below).append((entry.path, own.st_dev))
        elif is_candidate(name, readable):
            files.append(entry)
        elif is_archive_name(name) and archives(entry.path):
            within.append(entry.path)
        elif (extension := extension_of(name)) is not None:
            passed_over[kind_of(extension), extension] += 1
            if f".{extension}" in EXTRA_OF:
                unreadable.append(entry)
        else:
            unsure.append(entry)
    is_mount = device_above is not None and own.st_dev != device_above
    found = FoundFolder(
        path,
        [file for file in looks(files) if file is not None],
        [file for file in looks(unsure) if file is not None and file.problem is None],
        [file for file in looks(unreadable) if file is not None],
        passed_over,
        within,
        is_mount=is_mount,
        is_empty=not listed,
    )
    return found, below, links


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str], readable: frozenset[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        # A link to an inaccessible place: treated as a folder it is reported, and known images below it are kept.
        return error.errno != errno.ELOOP and not is_candidate(entry.name, readable)


def count_files(
    root: str | Path,
    *,
    exclude: Sequence[str] = (),
    lasting: Exclusions | None = None,
    seen: set[tuple[int, int]] | None = None,
    elsewhere: Sequence[str] = (),
    archives: Archives = no_archives,
    stop: Callable[[], bool],
) -> int:
    """How many candidates a walk of ``root`` will find, without examining any file (for a progress bar).

    Args:
        exclude, lasting, seen, elsewhere, archives: as for :func:`walk`.
        stop: called once per folder; when it returns True the count so far is returned.
    """
    total = 0
    with suppress(SettingsError):  # a bad pattern: the walk itself reports it
        start = _start_of(root)
        rules = IgnoreRules(start, exclude, lasting)
        for folder in _walk(start, rules, set() if seen is None else seen, Glances(), elsewhere, archives):
            total += len(folder.files)
            if stop():
                break
    return total


def parent_device(path: str) -> int | None:
    """The device of the folder that contains a path."""
    try:
        return os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return None


def is_mounted(path: str) -> bool:
    """True if ``path``, or the folder that it links to, is on another file system than its parent."""
    try:
        return os.path.ismount(path) or os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return False


def mount_point(path: str | Path) -> str:
    """The nearest folder at or above ``path`` on which a file system is mounted."""
    current = os.path.realpath(path)
    while not os.path.ismount(current):
        current = os.path.dirname(current)
    return current
