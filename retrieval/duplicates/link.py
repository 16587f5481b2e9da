"""Replace files with the same bytes by hard links to one of them.

Afterwards the names refer to one file: its space is used once, editing one in place changes all of them, and the
replaced ones have the keeper's owner, permissions, times and extended attributes. The pictures' own metadata (EXIF) are
part of the bytes and therefore equal. Programs that save by writing a new file and renaming it, as most do,
end the link. photoseek cannot undo it: to separate the names, copy the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from retrieval.catalog.images import set_mtime
from retrieval.catalog.records import ImageRecord
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import Checked, NotSafe, Outcome, Tell, check, check_apart
from retrieval.duplicates.plan import Plan, Step
from retrieval.gallery import Gallery
from retrieval.regular_files import sync_folder

_PIECE = 1 << 20


def link_duplicates(gallery: Gallery, plan: Plan, tell: Tell = lambda _: None) -> list[Outcome]:
    """Carry out a plan for links: make duplicates of the first kind hard links to their keepers.

    Both files are read and compared, byte by byte, immediately before; the link is created under another name and then
    renamed over the duplicate in one step, so that its name always refers to a file.

    Raises:
        GalleryLocked: another process is writing to the gallery.
    """
    outcomes: list[Outcome] = []
    keepers: dict[int, Checked | NotSafe] = {}
    with gallery.writer() as catalog:
        for step in plan.steps:
            outcome = _link(step, keepers, catalog)
            outcomes.append(outcome)
            tell(outcome)
    return outcomes


def _link(step: Step, keepers: dict[int, Checked | NotSafe], catalog: Catalog) -> Outcome:
    path = step.image.path
    try:
        if step.refusal is not None:
            raise NotSafe(step.refusal)
        if step.keeper.id not in keepers:
            try:
                keepers[step.keeper.id] = check(step.keeper)
            except NotSafe as reason:
                keepers[step.keeper.id] = reason
        keeper = keepers[step.keeper.id]
        if isinstance(keeper, NotSafe):
            raise NotSafe(f"the picture to keep, {step.keeper.path}: {keeper}")
        _link_one(step.image, keeper)
    except NotSafe as reason:
        return Outcome("link", path, False, str(reason))
    except OSError as error:
        return Outcome("link", path, False, f"it cannot be linked: {error.strerror or error}")
    _note(catalog, step.image, keeper)
    return Outcome("link", path, True, keeper.path)


def _link_one(image: ImageRecord, keeper: Checked) -> None:
    path = image.path
    checked = check(image)
    check_apart(checked, keeper)
    if checked.device != keeper.device:
        raise NotSafe(f"it is on another file system than {keeper.path}")
    if not _equal(path, keeper.path):
        raise NotSafe(f"its bytes are not those of {keeper.path}")
    folder = os.path.dirname(path)
    new = os.path.join(folder, f".photoseek-link-{image.id}")
    if os.path.lexists(new):
        if not Path(new).samefile(keeper.path):
            raise NotSafe(f"{new} is in the way")
        Path(new).unlink()  # left by a run that was killed at this point
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


def _note(catalog: Catalog, image: ImageRecord, keeper: Checked) -> None:
    """Store the keeper's time for the linked name; otherwise searches would treat the picture as changed."""
    with catalog.transaction() as transaction:
        set_mtime(transaction, image, keeper.mtime_ns)
