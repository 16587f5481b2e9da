"""Move duplicates to the gallery's trash: only what is still what was indexed, and only beside a keeper that is."""

from __future__ import annotations

import os
from collections.abc import Iterable

from retrieval.catalog.batch import Batch
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import Checked, NotSafe, Outcome, Tell, check, check_apart, move
from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.manifest import TrashFolder
from retrieval.gallery import Gallery


def trash_duplicates(gallery: Gallery, groups: Iterable[Group], tell: Tell = lambda _: None) -> list[Outcome]:
    """Move every picture but the keeper of each group of the first two kinds to the trash.

    Look-alikes are other pictures, and stay. Keeper and duplicate are read and compared with the catalog's hash right
    before; a file that is not what was indexed stays where it is, and its outcome says so. Every move is noted on disk
    before it happens (``manifest.py``). What was moved leaves the catalog's present pictures.

    Raises:
        GalleryLocked: another process is writing to the gallery.
        GalleryError: the trash cannot be written; what was moved before is in the manifest.
    """
    outcomes: list[Outcome] = []
    gone: list[int] = []

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    with gallery.reader() as reader:
        encoder_id = gallery.active_encoder(reader).id
    with gallery.writer() as catalog, TrashFolder(gallery.path) as folder:
        try:
            for group in groups:
                if group.kind != "look-alike":
                    _trash_others(group, folder, told, gone)
        finally:
            _retire(catalog, gone, encoder_id)
    return outcomes


def _trash_others(group: Group, folder: TrashFolder, tell: Tell, gone: list[int]) -> None:
    try:
        keeper = check(group.keeper)
    except NotSafe as reason:
        for member in group.others:
            tell(Outcome("trash", member.image.path, False, f"the picture to keep, {group.keeper.path}: {reason}"))
        return
    for member in group.others:
        try:
            where = _trash_one(member, keeper, folder)
        except NotSafe as reason:
            tell(Outcome("trash", member.image.path, False, str(reason)))
        except OSError as error:
            tell(Outcome("trash", member.image.path, False, f"it cannot be moved: {error.strerror or error}"))
        else:
            gone.append(member.image.id)
            tell(Outcome("trash", member.image.path, True, where))


def _trash_one(member: Member, keeper: Checked, folder: TrashFolder) -> str:
    """Move one picture; where to."""
    image = member.image
    checked = check(image)
    check_apart(checked, keeper)
    if not os.access(os.path.dirname(image.path), os.W_OK):
        raise NotSafe("its folder cannot be written")  # before anything is noted or copied
    _, target = folder.plan(image.path, image.id, image.content_hash, keeper.path)
    if not keeper.is_unchanged() or not checked.is_unchanged():
        raise NotSafe("it, or the picture to keep, changed meanwhile")
    move(image.path, target, image.content_hash)
    if not keeper.is_unchanged():
        # Two paths to one place (a folder mounted twice): what was moved was the keeper itself.
        move(target, image.path, image.content_hash)
        raise NotSafe(f"it is the same file as {keeper.path} already")
    return target


def _retire(catalog: Catalog, gone: list[int], encoder_id: int) -> None:
    if gone:
        catalog.commit(Batch(retired=gone), encoder_id)
