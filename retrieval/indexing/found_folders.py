"""One listed folder, as a walk yields it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.indexing.found_files import FoundFile
from retrieval.pictures.passed_over import PassedOver


@dataclass(frozen=True, slots=True)
class FoundFolder:
    """One listed folder. If ``problem`` is set, nothing is known about its contents at any depth.

    Attributes:
        path: absolute, with symbolic links only where the walk followed one.
        files: candidates, sorted by name.
        unsure: files whose names have no extension, sorted by name: pictures, if their first bytes show it.
        unreadable: pictures in formats that this installation cannot read, sorted by name; also in ``passed_over``.
        passed_over: the other files, and excluded entries, by kind.
        archives: names of the archives in it whose members are listed like folders; not in ``passed_over``.
        is_mount: True if this folder is on another device than its parent.
        is_empty: True if the folder has no entries at all, not even ones that the walk excludes.
    """

    path: str
    files: Sequence[FoundFile] = field(default_factory=tuple)
    unsure: Sequence[FoundFile] = field(default_factory=tuple)
    unreadable: Sequence[FoundFile] = field(default_factory=tuple)
    passed_over: PassedOver = field(default_factory=Counter)
    archives: Sequence[str] = field(default_factory=tuple)
    is_mount: bool = False
    is_empty: bool = False
    problem: str | None = None


def is_candidate(name: str, readable: frozenset[str]) -> bool:
    """True for a file name with one of the readable extensions."""
    dot = name.rfind(".")
    return dot > 0 and name[dot:].lower() in readable
