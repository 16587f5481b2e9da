"""Duplicates: found, told, and (only when asked twice) moved away or linked.

::

    finding.py     find_duplicates: same bytes, same picture, look-alikes
    hamming.py     pairs of near hashes without comparing all pairs
    pixels.py      two pictures laid on each other: a copy, or another picture
    lookalikes.py  near embeddings, through the gallery's index
    groups.py      Group; who is kept; stars
    rows.py        what is read of the catalog
    fill.py        hashes of pictures that have none yet
    files.py       is a file still what was indexed; moving one and losing none
    manifest.py    the trash's folders and lists
    trash.py, undo.py, link.py: what is done to files
    report.py, page.py: lines, JSON, HTML
    run.py         what ``photoseek duplicates`` does, in order

Importing this package imports nothing else: each public name loads its module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.duplicates.files import Outcome
    from retrieval.duplicates.finding import Found, find_duplicates
    from retrieval.duplicates.groups import Group, Member
    from retrieval.duplicates.link import link_duplicates
    from retrieval.duplicates.page import write_page
    from retrieval.duplicates.trash import trash_duplicates
    from retrieval.duplicates.undo import undo_trash

_HOME = {
    "Found": "finding",
    "Group": "groups",
    "Member": "groups",
    "Outcome": "files",
    "find_duplicates": "finding",
    "link_duplicates": "link",
    "trash_duplicates": "trash",
    "undo_trash": "undo",
    "write_page": "page",
}

__all__ = [
    "Found",
    "Group",
    "Member",
    "Outcome",
    "find_duplicates",
    "link_duplicates",
    "trash_duplicates",
    "undo_trash",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
