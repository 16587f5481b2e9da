"""Walk what is not a folder of plain files, by the same rules as a folder (see ``scan.py``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from retrieval.indexing.found_files import FoundFile
from retrieval.indexing.found_folders import FoundFolder, is_candidate
from retrieval.indexing.ignore import IgnoreRules
from retrieval.pictures.formats import is_video_name
from retrieval.pictures.optional import EXTRA_OF
from retrieval.pictures.passed_over import HIDDEN, OTHER, PassedOver, extension_of, kind_of
from retrieval.sources.base import Entry, Listing, Source

LINKS = "links, devices, odd names"


def walk_source(
    source: Source, root: str, rules: IgnoreRules, readable: frozenset[str], is_new: Callable[[str], bool]
) -> Iterator[FoundFolder]:
    """List ``root`` and everything below it.

    Args:
        readable: extensions of pictures; videos among them are passed over: their frames are read from plain files.
        is_new: False for a folder of a store that was listed before, below another root.
    """
    left_out: dict[str, PassedOver] = {}

    def enters(folder: str, name: str) -> bool:
        rules.enter(folder, False)
        why = rules.why_left_out(name, is_folder=True)
        if why is not None and why[0] != HIDDEN:
            left_out.setdefault(folder, Counter())[why] += 1
        return why is None and is_new(f"{folder}/{name}")

    if not is_new(root):
        return
    for listing in source.folders(root, enters):
        if listing.problem is not None:
            yield FoundFolder(listing.path, problem=listing.problem)
            continue
        rules.enter(listing.path, False)
        yield _found(listing, left_out.pop(listing.path, Counter()), rules, readable)
    for folder, counts in left_out.items():
        yield FoundFolder(folder, passed_over=counts)


def _found(listing: Listing, passed_over: PassedOver, rules: IgnoreRules, readable: frozenset[str]) -> FoundFolder:
    files: list[FoundFile] = []
    unsure: list[FoundFile] = []
    unreadable: list[FoundFile] = []
    if listing.others:
        passed_over[OTHER, LINKS] += listing.others
    for entry in listing.entries:
        name = entry.name
        why = rules.why_left_out(name, is_folder=False)
        if why is not None:
            if why[0] != HIDDEN:
                passed_over[why] += 1
        elif entry.is_picture or (is_candidate(name, readable) and not is_video_name(name)):
            files.append(_file(entry))
        elif (extension := extension_of(name)) is not None:
            passed_over[kind_of(extension), extension] += 1
            if f".{extension}" in EXTRA_OF and not is_video_name(name):
                unreadable.append(_file(entry))
        elif entry.problem is None:
            unsure.append(_file(entry))
    return FoundFolder(listing.path, files, unsure, unreadable, passed_over, is_empty=listing.is_empty)


def _file(entry: Entry) -> FoundFile:
    size, mtime_ns, ctime_ns = entry.found
    return FoundFile(entry.name, size, mtime_ns, entry.problem, ctime_ns)
