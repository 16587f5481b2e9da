"""Duplicates: found, told, and (only when asked twice) moved away or linked.

::

    finding.py     find_duplicates: same bytes, same picture, look-alikes
    candidates.py  pairs that are near in hash, shape and embedding; hamming.py does not compare all pairs
    turns.py       pictures turned and mirrored
    pixels.py      two pictures laid on each other as sketches
    compare.py, tiles.py  the same at their own detail: a copy, or another picture
    edits.py       what is the same all over a picture and makes another one of it: light, tint, sharpness
    evidence.py    what a file says about being an original
    looking.py     candidates, to groups of copies
    keeper.py      the one rule for who is kept, and why
    lookalikes.py  near embeddings, through the gallery's index
    groups.py      Group; stars
    rows.py        what is read of the catalog
    fill.py        hashes of pictures that have none yet
    plan.py        what would be done to whose file; links.py, sidecar_files.py: what hangs on a file
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
