"""Vocabularies: the built-in everyday words, a user's file, or a list."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from retrieval.errors import SettingsError
from retrieval.folding import fold
from retrieval.regular_files import read_regular
from retrieval.tag_text import clean_tag, split_names

BUILTIN = "builtin"
MAX_LABELS = 50_000
_EVERYDAY = Path(__file__).with_name("prompts") / "everyday-labels.txt"
_MAX_FILE_BYTES = 4 << 20


def read_labels(*choices: str) -> tuple[str, ...]:
    """The labels of several choices, in their order, each once (``Dog`` and ``dog`` are one).

    Args:
        choices: ``builtin`` (the default); a UTF-8 file with one label per line, where lines that begin with # are
            ignored; labels separated by commas; or several of these.

    Raises:
        SettingsError: the file cannot be read or holds no label.
        QueryError: a label cannot be a tag (see ``tag_text.clean_tag``).
    """
    found: list[str] = []
    for choice in choices or (BUILTIN,):
        path = _EVERYDAY if choice == BUILTIN else Path(choice).expanduser()
        looks_like_a_file = os.sep in choice or "." in choice
        if choice != BUILTIN and not _is_file(path) and ("," in choice or not looks_like_a_file):
            found += split_names([choice])
        else:
            found += _lines(path, choice)
    return _checked(found, ", ".join(choices or (BUILTIN,)))


def _lines(path: Path, choice: str) -> list[str]:
    try:
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"no labels in {choice!r}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}",
            "give builtin, a list such as cat,dog,car, or a text file with one label per line",
        ) from error
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def _checked(labels: Iterable[str], source: str) -> tuple[str, ...]:
    # As people wrote them, for the prompts; the stored form only determines which labels are equal.
    unique: dict[str, str] = {}
    for label in filter(str.strip, labels):
        unique.setdefault(fold(clean_tag(label)), " ".join(label.split()))
    if not unique:
        raise SettingsError(
            f"there is no label in {source!r}", "give one label per line, or a list such as cat,dog,car"
        )
    if len(unique) > MAX_LABELS:
        raise SettingsError(f"{len(unique):,} labels are too many", f"give {MAX_LABELS:,} at most")
    return tuple(unique.values())


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # a list can be longer than a file name may be
        return False
