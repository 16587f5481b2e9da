"""Duplicates: found, reported, and (only with an explicit flag) moved away or linked.

::

    finding.py     find_duplicates: same bytes, same picture, look-alikes
    candidates.py  pairs with similar hash, proportions and embedding; hamming.py avoids comparing all pairs
    turns.py       rotated and mirrored pictures
    pixels.py      comparison of two pictures as sketches
    compare.py, tiles.py  comparison in full detail: a copy, or another picture
    edits.py, crops.py  differences that no single tile shows: light, tint, sharpness; a missing margin
    evidence.py    evidence in a file for being an original
    looking.py     from candidates to groups of copies
    keeper.py      the rule that determines which picture is kept, and why
    lookalikes.py  similar embeddings, through the gallery's index
    groups.py      Group; stars
    rows.py        the columns that are read from the catalog
    fill.py        computes missing hashes
    plan.py        the planned action for each file
    files.py       checks that a file is still as indexed; moves files without losing any
    manifest.py    the trash's folders and lists
    trash.py, undo.py, link.py: the actions on files
    report.py, page.py: lines, JSON, HTML
    run.py         the steps of ``photoseek duplicates``

Importing this package imports nothing else: each public name loads its module when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval.duplicates.files import Outcome
    from retrieval.duplicates.finding import Found, find_duplicates
    from retrieval.duplicates.groups import Group, Member
    from retrieval.duplicates.keeper import KeeperRule
    from retrieval.duplicates.link import link_duplicates
    from retrieval.duplicates.page import write_page
    from retrieval.duplicates.plan import Plan, make_plan
    from retrieval.duplicates.trash import trash_duplicates
    from retrieval.duplicates.undo import undo_trash

_HOME = {
    "Found": "finding",
    "Group": "groups",
    "KeeperRule": "keeper",
    "Member": "groups",
    "Outcome": "files",
    "Plan": "plan",
    "find_duplicates": "finding",
    "link_duplicates": "link",
    "make_plan": "plan",
    "trash_duplicates": "trash",
    "undo_trash": "undo",
    "write_page": "page",
}

__all__ = [
    "Found",
    "Group",
    "KeeperRule",
    "Member",
    "Outcome",
    "Plan",
    "find_duplicates",
    "link_duplicates",
    "make_plan",
    "trash_duplicates",
    "undo_trash",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
