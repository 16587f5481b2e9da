"""Move duplicates to the gallery's trash as planned: only what is still what was indexed, beside a keeper that is."""

from __future__ import annotations

import os

from retrieval.catalog.batch import Batch
from retrieval.catalog.records import ImageRecord
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import Checked, NotSafe, Outcome, Tell, check, check_apart, file_hash, move
from retrieval.duplicates.manifest import Entry, TrashFolder
from retrieval.duplicates.plan import Plan, Step
from retrieval.duplicates.sidecar_files import sidecars_of
from retrieval.gallery import Gallery
from retrieval.labels.merging import add_merged, said_about


def trash_duplicates(gallery: Gallery, plan: Plan, tell: Tell = lambda _: None) -> list[Outcome]:
    """Carry out a plan for the trash; an outcome for each of its steps, also for those that it refuses.

    Keeper and duplicate are read and compared with the catalog's hash right before; a file that is not what was indexed
    stays where it is, and its outcome says so. Its XMP sidecars go along. Every move is noted on disk before it happens
    (``manifest.py``). What people said about a picture that goes is said about its keeper from then on. What was moved
    leaves the catalog's present pictures.

    Raises:
        GalleryLocked: another process is writing to the gallery.
        GalleryError: the trash cannot be written; what was moved before is in the manifest.
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
        """Move one picture, or say why not."""
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
        """Where to."""
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
            # Two paths to one place (a folder mounted twice): what was moved was the keeper itself.
            move(target, image.path, image.content_hash)
            raise NotSafe(f"it is the same file as {keeper.path} already")
        self._move_sidecars(entry, str(folder))
        return target

    def _merge_labels(self, step: Step) -> None:
        with self._catalog.transaction() as transaction:
            labels = said_about(transaction, step.image.id)
            if labels:
                add_merged(transaction, step.keeper.id, labels)

    def _move_sidecars(self, entry: Entry, folder: str) -> None:
        for name, trashed in entry.sidecars.items():
            source = os.path.join(os.path.dirname(entry.path), name)
            move(source, os.path.join(folder, trashed), file_hash(source))
