"""What a watcher does to a gallery: runs of the indexer with an encoder that stays loaded, and imports of sidecars."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from retrieval.catalog.faces import has_ungrouped, unlooked
from retrieval.catalog.texts import unread
from retrieval.encoders.base import Encoder
from retrieval.encoders.choice import choose_for_indexing
from retrieval.errors import GalleryNotFound, SettingsError
from retrieval.faces.models import PACKAGED as FACES
from retrieval.faces.run import find_faces
from retrieval.gallery import Gallery
from retrieval.indexing.focus import Focus
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import IndexReport
from retrieval.labels.sidecars import import_xmp
from retrieval.paths import is_remote
from retrieval.pictures.optional import readable_extensions
from retrieval.pictures.video import FRAMES_PER_MINUTE
from retrieval.reading.models import PACKAGED as READING
from retrieval.reading.run import read_texts
from retrieval.sources.addresses import spelled

logger = logging.getLogger("photoseek")


class Follower:
    """A gallery, and the encoder that is loaded for it.

    Args:
        model: by name; None: the gallery's active model, even when another one becomes active.
        everywhere: see ``wishes.Wishes``.
        frames_per_minute: maximum for videos.
        reads_text: whether words in pictures are read; None: if the gallery's runs do (``index --ocr``).
    """

    def __init__(
        self,
        gallery: Gallery,
        model: str | None,
        everywhere: Sequence[str] = (),
        *,
        frames_per_minute: int = FRAMES_PER_MINUTE,
        reads_text: bool | None = None,
    ) -> None:
        self._gallery, self._model, self._everywhere = gallery, model, everywhere
        self._frames_per_minute, self._reads_text = frames_per_minute, reads_text
        gallery.bring_up_to_date()
        self._encoder: Encoder = choose_for_indexing(gallery, model)

    def roots(self, folders: Sequence[str | Path]) -> list[str]:
        """The folders to watch, resolved: the given ones, or all that were indexed before.

        Raises:
            SettingsError: a folder that does not exist and was never indexed, or no folder at all.
        """
        known: list[str] = []
        if self._gallery.exists():
            try:
                with self._gallery.reader() as reader:
                    known = reader.roots()
            except GalleryNotFound:  # created but never filled
                pass
        if not folders and not known:
            raise SettingsError("no folder was given and none was indexed before", "run: photoseek watch FOLDER")
        found = []
        known = [root for root in known if not is_remote(root)]  # no store says what changes in it
        for folder in folders:
            if is_remote(spelled(folder)):
                raise SettingsError("object stores cannot be watched", "run photoseek index from time to time instead")
            path = Path(os.path.expanduser(folder))  # noqa: PTH111 - pathlib's raises where there is no such user
            resolved = os.path.realpath(path)
            if not os.path.isdir(resolved) and resolved not in known:  # noqa: PTH112
                raise SettingsError(f"there is no folder {folder}", "check the spelling, or mount the drive")
            found.append(resolved)
        return list(dict.fromkeys(found or known))

    def run(self, roots: Sequence[str], focus: Focus, stop: Callable[[], bool]) -> IndexReport:
        """A run, see ``Indexer.run``."""
        self._follow_model()
        indexer = Indexer(
            self._gallery,
            self._encoder,
            workers=self._encoder.streams,
            frames_per_minute=self._frames_per_minute,
        )
        return indexer.run(roots, focus=focus, everywhere=self._everywhere, stop=stop)

    def read_text(self, stop: Callable[[], bool]) -> None:
        """Read the words in pictures that were not read yet, if that is wanted.

        Args:
            stop: once it returns True, reading ends, and what was read is kept.

        Raises:
            GalleryLocked: another process is writing.
        """
        if not self._gallery.exists() or not READING.are_installed():
            return
        with self._gallery.reader() as reader:
            wanted = reader.reads_text() if self._reads_text is None else self._reads_text
            if not wanted or not unread(reader, READING.version):
                return
        read_texts(self._gallery, encoder=self._encoder, stop=stop)

    def find_faces(self, stop: Callable[[], bool]) -> None:
        """Look for faces where that was not done yet, if the gallery's runs do (``index --faces``), and group them.

        Args:
            stop: as for :meth:`read_text`; what was found is grouped by a later call.

        Raises:
            GalleryLocked: another process is writing.
        """
        if not self._gallery.exists() or not FACES.are_installed():
            return
        with self._gallery.reader() as reader:
            if not reader.finds_faces() or not (unlooked(reader, FACES.version) or has_ungrouped(reader)):
                return
        find_faces(self._gallery, stop=stop)

    def use_the_quiet(self, stop: Callable[[], bool]) -> None:
        """The slow work on what runs have brought: words in pictures, then faces; see :meth:`read_text`."""
        for work in (self.read_text, self.find_faces):
            if not stop():
                work(stop)

    def _follow_model(self) -> None:
        """Use the model that searches use now, if none was named."""
        if self._model is not None or not self._gallery.exists():
            return
        try:
            with self._gallery.reader() as reader:
                active = reader.active_encoder()
        except GalleryNotFound:
            return
        if active is not None and active.fingerprint != self._encoder.spec.fingerprint:
            self._encoder = choose_for_indexing(self._gallery, None)

    def import_sidecars(self, paths: Sequence[str] | None) -> None:
        """Import the data of changed sidecars for their pictures; the data of a deleted sidecar is removed.

        Args:
            paths: None for all pictures of the gallery.
        """
        pictures = None if paths is None else {picture for path in paths for picture in self._pictures_of(path)}
        if pictures != set():
            report = import_xmp(self._gallery, () if pictures is None else sorted(pictures))
            for path, problem in report.problems.items():
                logger.warning("%s: %s", path, problem)

    def _pictures_of(self, sidecar: str) -> list[str]:
        """Pictures of the gallery that the sidecar may belong to: ``photo.jpg.xmp`` or ``photo.xmp``."""
        stem = sidecar[: -len(".xmp")]
        names = [stem, *(stem + extension for extension in readable_extensions())]
        folder = os.path.dirname(sidecar)
        try:
            here = {name.casefold(): name for name in os.listdir(folder)}  # noqa: PTH208
        except OSError:
            return []
        found = [
            os.path.join(folder, here[key]) for name in names if (key := os.path.basename(name).casefold()) in here
        ]
        with self._gallery.reader() as reader:
            return [path for path in dict.fromkeys(found) if reader.record_at(path) is not None]
