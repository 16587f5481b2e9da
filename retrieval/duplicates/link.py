"""Replace files with the same bytes by hard links to one of them.

Afterwards the names are names of one file: its space is taken once, editing one in place changes all of them, and the
replaced ones have the keeper's owner, permissions, times and extended attributes. The pictures' own metadata (EXIF) is
part of the bytes and so the same by definition. Programs that save by writing a new file and renaming it, as most do,
end the link. It cannot be undone by photoseek: a copy of the file is all it takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import Checked, NotSafe, Outcome, Tell, check, check_apart, sync_folder
from retrieval.duplicates.groups import Group, Member
from retrieval.gallery import Gallery

_PIECE = 1 << 20


def link_duplicates(gallery: Gallery, groups: Iterable[Group], tell: Tell = lambda _: None) -> list[Outcome]:
    """Make every duplicate of the first kind a hard link to its group's keeper, where both are on one file system.

    Both files are read and compared, byte by byte, right before; the link is made under another name and then renamed
    over the duplicate in one step, so that its name is never without a file.

    Raises:
        GalleryLocked: another process is writing to the gallery.
    """
    outcomes: list[Outcome] = []
    with gallery.writer() as catalog:
        for group in groups:
            if group.kind == "same bytes":
                for outcome in _link_others(group, catalog):
                    outcomes.append(outcome)
                    tell(outcome)
    return outcomes


def _link_others(group: Group, catalog: Catalog) -> Iterable[Outcome]:
    try:
        keeper = check(group.keeper)
    except NotSafe as reason:
        for member in group.others:
            yield Outcome("link", member.image.path, False, f"the picture to keep, {group.keeper.path}: {reason}")
        return
    for member in group.others:
        path = member.image.path
        try:
            _link_one(member, keeper)
        except NotSafe as reason:
            yield Outcome("link", path, False, str(reason))
        except OSError as error:
            yield Outcome("link", path, False, f"it cannot be linked: {error.strerror or error}")
        else:
            _note(catalog, member, keeper)
            yield Outcome("link", path, True, keeper.path)


def _link_one(member: Member, keeper: Checked) -> None:
    path = member.image.path
    checked = check(member.image)
    check_apart(checked, keeper)
    if checked.device != keeper.device:
        raise NotSafe(f"it is on another file system than {keeper.path}")
    if not _equal(path, keeper.path):
        raise NotSafe(f"its bytes are not those of {keeper.path}")
    folder = os.path.dirname(path)
    new = os.path.join(folder, f".photoseek-link-{member.image.id}")
    if os.path.lexists(new):
        if not Path(new).samefile(keeper.path):
            raise NotSafe(f"{new} is in the way")
        Path(new).unlink()  # left by a run that was killed here
    os.link(keeper.path, new)
    try:
        if not keeper.is_unchanged() or not checked.is_unchanged():
            raise NotSafe("it, or the picture to keep, changed meanwhile")
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
    sync_folder(folder)


def _equal(one: str, other: str) -> bool:
    with Path(one).open("rb") as first, Path(other).open("rb") as second:
        while True:
            piece = first.read(_PIECE)
            if piece != second.read(_PIECE):
                return False
            if not piece:
                return True


def _note(catalog: Catalog, member: Member, keeper: Checked) -> None:
    """The name has the keeper's time now; unnoted, searches would leave the picture out as changed."""
    with catalog.transaction() as connection:
        sql = "UPDATE images SET mtime_ns = ? WHERE id = ? AND content_hash = ?"
        connection.exec_driver_sql(sql, (keeper.mtime_ns, member.image.id, member.image.content_hash))
