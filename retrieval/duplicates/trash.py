"""Move duplicates to the gallery's trash as planned, if both they and their keepers are still as indexed."""

from __future__ import annotations

import os

from retrieval.catalog.batch import Batch
from retrieval.catalog.records import ImageRecord
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import Checked, NotSafe, Outcome, Tell, check, check_apart, file_hash, move
from retrieval.duplicates.manifest import Entry, TrashFolder
from retrieval.duplicates.plan import Plan, Step
from retrieval.gallery import Gallery
from retrieval.labels.merging import add_merged, said_about
from retrieval.labels.pairing import BACKUP


def trash_duplicates(gallery: Gallery, plan: Plan, tell: Tell = lambda _: None) -> list[Outcome]:
    """Carry out a plan for the trash; returns an outcome for each step, including refused ones.

    Keeper and duplicate are read and compared with the catalog's hash immediately before; a file that is not as indexed
    stays where it is, and its outcome says so. XMP sidecars are moved together with their picture. Every move is
    recorded on disk beforehand (``manifest.py``). Tags and captions of a moved picture are added to its keeper. Moved
    pictures no longer count as present in the catalog.

    Raises:
        GalleryLocked: another process is writing to the gallery.
        GalleryError: the trash cannot be written to; files moved before that are in the manifest.
    """
    outcomes: list[Outcome] = []
    gone: list[int] = []
    with gallery.reader() as reader:
        encoder_id = gallery.active_encoder(reader).id
    with gallery.writer() as catalog, TrashFolder(gallery.path) as folder:
        mover = _Mover(catalog, folder)
        try:
            for step in plan.steps:
                outcome = mover.do(step)
                if outcome.done:
                    gone.append(step.image.id)
                outcomes.append(outcome)
                tell(outcome)
        finally:
            if gone:
                catalog.commit(Batch(retired=gone), encoder_id)
    return outcomes


class _Mover:
    def __init__(self, catalog: Catalog, folder: TrashFolder) -> None:
        self._catalog = catalog
        self._folder = folder
        self._keepers: dict[int, Checked | NotSafe] = {}

    def do(self, step: Step) -> Outcome:
        """Move one picture, or return the reason why not."""
        path = step.image.path
        try:
            if step.refusal is not None:
                raise NotSafe(step.refusal)
            return Outcome("trash", path, True, self._move(step))
        except NotSafe as reason:
            return Outcome("trash", path, False, str(reason))
        except OSError as error:
            return Outcome("trash", path, False, f"it cannot be moved: {error.strerror or error}")

    def _keeper(self, image: ImageRecord) -> Checked:
        if image.id not in self._keepers:
            try:
                self._keepers[image.id] = check(image)
            except NotSafe as reason:
                self._keepers[image.id] = reason
        found = self._keepers[image.id]
        if isinstance(found, NotSafe):
            raise NotSafe(f"the picture to keep, {image.path}: {found}")
        return found

    def _move(self, step: Step) -> str:
        """Move one picture; returns the new path."""
        image, keeper = step.image, self._keeper(step.keeper)
        checked = check(image)
        check_apart(checked, keeper)
        entry, folder = self._folder.plan(image, step.keeper, sidecars_of(image.path))
        target = os.path.join(folder, entry.name)
        if not keeper.is_unchanged() or not checked.is_unchanged():
            raise NotSafe("it, or the picture to keep, changed meanwhile")
        self._merge_labels(step)
        move(image.path, target, image.content_hash)
        if not keeper.is_unchanged():
            # Two paths to one place (a folder mounted twice): the moved file was the keeper itself.
            move(target, image.path, image.content_hash)
            raise NotSafe(f"it is the same file as {keeper.path} already")
        try:
            self._move_sidecars(entry, str(folder))
        except BaseException:
            move(target, image.path, image.content_hash)
            raise
        return target

    def _merge_labels(self, step: Step) -> None:
        with self._catalog.transaction() as transaction:
            labels = said_about(transaction, step.image.id)
            if labels:
                add_merged(transaction, step.keeper.id, labels)

    def _move_sidecars(self, entry: Entry, folder: str) -> None:
        moved: list[tuple[str, str]] = []
        try:
            for name, trashed in entry.sidecars.items():
                source, target = os.path.join(os.path.dirname(entry.path), name), os.path.join(folder, trashed)
                move(source, target, file_hash(source))
                moved.append((source, target))
        except BaseException:
            for source, target in reversed(moved):
                move(target, source, file_hash(target))
            raise


def sidecars_of(path: str) -> list[str]:
    """Names of the sidecars that belong to a picture: ``a.jpg.xmp``, and ``a.xmp`` unless it is shared; and of the
    copies of them that were kept before photoseek wrote into them.

    ``a.xmp`` belongs to all files called ``a``: while another one exists in the folder (a RAW), it stays.
    """
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0].casefold()  # noqa: PTH122 - names need not be text
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    own = []
    for other in names:
        root, extension = os.path.splitext(other)  # noqa: PTH122
        if extension.casefold() != ".xmp" or not os.path.isfile(os.path.join(folder, other)):  # noqa: PTH113
            continue
        if root.casefold() == name.casefold() or (root.casefold() == stem and not _is_shared(names, name, stem)):
            own.append(other)
    return own + [name + BACKUP for name in own if name + BACKUP in names]


def _is_shared(names: list[str], name: str, stem: str) -> bool:
    for other in names:
        root, extension = os.path.splitext(other)  # noqa: PTH122
        if other != name and root.casefold() == stem and extension.casefold() != ".xmp":
            return True
    return False
