"""Automatic copies of what cannot be computed again: tags, captions, ratings, albums, persons, lists of the trash.

They are in the gallery's folder ``label-copies``, a file of a few hundred bytes for each hundred labels. A command or
a server that may have changed labels writes one if the newest is older than an hour and says something else. Kept are
the newest three, the newest of each of the last seven days, and the newest of each of the last five weeks that have
any.
"""

from __future__ import annotations

import logging
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.label_copies import (
    contents_of,
    digest_of_contents,
    digest_of_copy,
    put_back,
    read_copy,
    write_copy,
)
from retrieval.errors import GalleryError, RetrievalError, SettingsError
from retrieval.maintenance.backup import is_trash_manifest, newest_first, trash_manifests
from retrieval.regular_files import read_regular, replacing

if TYPE_CHECKING:
    from retrieval.gallery import Gallery

logger = logging.getLogger("photoseek")

EVERY = timedelta(hours=1)
_NEWEST, _DAYS, _WEEKS = 3, 7, 5
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.sqlite")
_STEM = "%Y-%m-%dT%H-%M-%SZ"
_MOMENT = f"{_STEM}.sqlite"
_MOST_MANIFEST = 1 << 28


def copies_of_labels(gallery: Gallery, now: datetime | None = None) -> list[Path]:
    """The copies in a gallery, the newest first; those of the future last (see ``backup.newest_first``)."""
    folder = gallery.label_copies_path
    names = [path.stem for path in folder.glob("*.sqlite") if _NAME.fullmatch(path.name)]
    return [folder / f"{name}.sqlite" for name in newest_first(names, None if now is None else f"{now:{_STEM}}")]


def keep_labels(gallery: Gallery, now: datetime | None = None) -> Path | None:
    """Write a copy if one is due and anything has changed; its path. Never raises: the command that asks has succeeded.

    Args:
        now: UTC; default: the present moment.
    """
    now = now or datetime.now(UTC)
    try:
        return _kept(gallery, now)
    except (RetrievalError, OSError) as error:
        logger.warning("the labels were not copied to %s: %s", gallery.label_copies_path, error)
        return None


def restore_labels(gallery: Gallery, name: str | None = None) -> tuple[Path, int]:
    """Add what the gallery lacks of a copy. Nothing that it has is changed.

    Args:
        name: of the copy; default: the newest.

    Returns:
        The copy, and how many labels were added.

    Raises:
        GalleryError: there is none, or it is damaged.
        SettingsError: there is none of this name.
        GalleryLocked: a process is writing the gallery.
    """
    copies = copies_of_labels(gallery)
    if not copies:
        raise GalleryError(
            f"there is no copy of labels in {gallery.label_copies_path}", "restore a backup: photoseek restore FOLDER"
        )
    chosen = copies[0] if name is None else next((path for path in copies if path.stem == name), None)
    if chosen is None:
        raise SettingsError(f"there is no copy {name}", f"there are: {', '.join(path.stem for path in copies)}")
    contents = read_copy(chosen)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        added = put_back(transaction, contents)
    for file, content in contents["manifests"]:
        path = gallery.path / str(file)
        if is_trash_manifest(str(file)) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as out:
                out.write(content)
    return chosen, added


def _kept(gallery: Gallery, now: datetime) -> Path | None:
    copies = copies_of_labels(gallery, now)
    if copies and abs(now.timestamp() - copies[0].stat().st_mtime) < EVERY.total_seconds():
        return None
    with gallery.reader() as reader:
        contents = contents_of(reader)
    contents["manifests"] = [(name, read_regular(path, _MOST_MANIFEST)) for name, path in trash_manifests(gallery.path)]
    if not any(contents.values()):
        return None
    if copies and digest_of_copy(copies[0]) == digest_of_contents(contents):
        os.utime(copies[0])  # it is up to date
        return None
    folder = gallery.label_copies_path
    folder.mkdir(exist_ok=True)
    path = folder / now.strftime(_MOMENT)
    write_copy(contents, path)
    for old in superfluous(copies_of_labels(gallery, now)):
        old.unlink(missing_ok=True)
    return path


def superfluous(copies: list[Path]) -> list[Path]:
    """Those of the copies (the newest first) that are not kept any longer."""
    kept = set(copies[:_NEWEST])
    for length, count in ((10, _DAYS), (None, _WEEKS)):
        newest: dict[object, Path] = {}
        for path in copies:
            day = datetime.strptime(path.name, _MOMENT).date()
            newest.setdefault(path.name[:length] if length else day.isocalendar()[:2], path)
        kept |= set(list(newest.values())[:count])
    return [path for path in copies if path not in kept]
