"""Compare a walked folder with the catalog: new, changed, restored and missing files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.catalog.batch import Batch, FailedImage, KnownFailure, KnownFile
from retrieval.errors import UnreadableImage
from retrieval.indexing.absence import NOT_MOUNTED, Absence
from retrieval.indexing.candidates import SNIFFED_BYTES, Candidate
from retrieval.indexing.found_files import BROKEN_LINK, FoundFile
from retrieval.indexing.found_folders import FoundFolder
from retrieval.indexing.report import IndexReport
from retrieval.indexing.scan import mount_point
from retrieval.paths import is_below, is_remote
from retrieval.pictures.formats import sniff
from retrieval.pictures.passed_over import WITHOUT_EXTENSION, PassedOver
from retrieval.sources.base import UNKNOWN_SIZE
from retrieval.sources.places import archives_in
from retrieval.sources.reading import open_anywhere


class KnownImages(Protocol):
    """The queries of a comparison to a catalog: the writer's, or a read-only one."""

    def folder_id(self, path: str, *, is_root: bool = False, is_mount: bool = False) -> int: ...

    def folders_below(self, root: str) -> dict[str, tuple[int, bool]]: ...

    def known_files(self, folder_id: int, encoder_id: int) -> dict[str, KnownFile]: ...

    def known_failures(self, folder_id: int) -> dict[str, KnownFailure]: ...

    def is_known(self, folder_id: int, name: str) -> bool: ...

    def count_present(self, below: str) -> int: ...


@dataclass(frozen=True)
class Looks:
    """How closely known files are examined.

    Args:
        retry_failures: also retry files that failed and have not changed.
        verify_content: read every file, whatever its size and times.
        prune: treat everything missing as deleted, however much it is.
        archives: also list the members of archives in folders; those that were indexed before always are.
    """

    retry_failures: bool = False
    verify_content: bool = False
    prune: bool = False
    archives: bool = False


_AS_USUAL = Looks()


class FolderComparison:
    """Decides for every file of a walk; one object for a whole run.

    Absence is only believed if the folder was listed without an error, on the same mount as before, and has not
    suddenly become empty: an unplugged drive must not empty a gallery (see ``absence.py``).

    Args:
        batch: returns the batch that is being filled (the run replaces it at each commit).
        report: gets the counts of unchanged files and the folders whose absence is not believed.
        roots: every folder that the gallery tracks.
        unplugged: mount points that are not mounted now.
        missing: folders that the user named and that do not exist; they are reported already.
    """

    def __init__(
        self,
        catalog: KnownImages,
        encoder_id: int,
        batch: Callable[[], Batch],
        report: IndexReport,
        roots: Iterable[str],
        unplugged: Sequence[str],
        missing: Sequence[str],
        looks: Looks = _AS_USUAL,
    ) -> None:
        self._catalog = catalog
        self._encoder_id = encoder_id
        self._batch = batch
        self._report = report
        self._roots = list(roots)
        self._looks = looks
        self._unplugged = unplugged
        self._absence = Absence(self._roots, () if looks.prune else unplugged, catalog.count_present)
        # Kept for the whole run: a folder below two roots is walked once, but its absence is judged for both.
        self._known: dict[str, tuple[int, bool]] = {}
        self._children: dict[str, set[str]] | None = None
        self._visited: set[int] = set()
        self._walked: set[str] = set()
        self._archives: set[str] = set()
        self._unbelieved = list(missing)
        self._doubted: dict[str, str] = {}
        self.passed_over: dict[str, PassedOver] = {}

    def begin_root(self, root: str) -> None:
        """Start with a folder that the user named."""
        mount = "" if is_remote(root) else mount_point(root)
        if mount and mount != mount_point("/"):
            self._catalog.folder_id(mount, is_mount=True)
        # An unplugged drive's folder stays a mount: later runs must not empty it either.
        self._catalog.folder_id(root, is_root=True, is_mount=mount == root or root in self._unplugged)
        self._walked.add(root)
        self._known |= self._catalog.folders_below(root)
        self._archives |= archives_in(self._known)
        self._children = None
        for each in self._roots:
            if is_below(each, root):
                self.passed_over.setdefault(each, Counter())

    def compare(self, folder: FoundFolder) -> list[Candidate]:
        """The files of a folder that have to be read; everything else about it goes into the batch."""
        if folder.problem is not None:
            self._keep(folder.path, folder.problem)
            return []
        folder_id, was_mount = self._known.get(folder.path, (None, False))
        if gone_mount := self._gone_mount(folder.path):
            self._keep(gone_mount, NOT_MOUNTED, is_absence=True)
        elif folder.is_empty and not self._looks.prune and (why := self._absence.doubt_empty(folder.path)):
            self._keep(folder.path, why, is_absence=True)
        sniffed = [file for file in folder.unsure if self._is_picture(folder, file, folder_id)]
        self._count_passed_over(folder, len(folder.unsure) - len(sniffed))
        if folder_id is None and not folder.files and not sniffed and not folder.is_mount:
            return []
        if folder_id is None or (folder.is_mount and not was_mount):
            folder_id = self._catalog.folder_id(folder.path, is_mount=folder.is_mount)
            self._known[folder.path] = (folder_id, folder.is_mount)
            if folder.is_mount:  # a symbolic link to another drive belongs to that drive
                self._catalog.folder_id(mount_point(folder.path), is_mount=True)
        self._visited.add(folder_id)
        return self._compare_files(folder, [*folder.files, *sniffed], folder_id)

    def _is_picture(self, folder: FoundFolder, file: FoundFile, folder_id: int | None) -> bool:
        """Whether a file without an extension is a picture, by its first bytes; known files keep their status."""
        if folder_id is not None and self._catalog.is_known(folder_id, file.name):
            return True
        try:
            with open_anywhere(os.path.join(folder.path, file.name)) as opened:
                sniff(opened.read(SNIFFED_BYTES))
        except (OSError, UnreadableImage):
            return False
        return True

    def _count_passed_over(self, folder: FoundFolder, unsure: int) -> None:
        if not folder.passed_over and not unsure:
            return
        root = max((root for root in self.passed_over if is_below(folder.path, root)), key=len, default=None)
        if root is not None:
            self.passed_over[root] += folder.passed_over
            if unsure:
                self.passed_over[root][WITHOUT_EXTENSION, ""] += unsure

    def _compare_files(self, folder: FoundFolder, files: Sequence[FoundFile], folder_id: int) -> list[Candidate]:
        known = self._catalog.known_files(folder_id, self._encoder_id)
        failed = self._catalog.known_failures(folder_id)
        batch = self._batch()
        candidates: list[Candidate] = []
        for file in (*files, *(file for file in folder.unreadable if file.name in known)):  # indexed by another setup
            name, size, mtime_ns = file.name, file.size, file.mtime_ns
            row = known.pop(name, None)
            failure = failed.pop(name, None)
            if size == UNKNOWN_SIZE and (before := failure or row) is not None:
                size = before[1]
            if (
                row is not None and row[1] == size and row[2] == mtime_ns and row[4] and failure is None
            ) and not self._has_to_be_read(row, file):
                if row[5] is None and file.ctime_ns is not None:
                    batch.noted.append((row[0], file.ctime_ns))
                if row[3]:
                    batch.restored.append(row[0])
                else:
                    self._report.unchanged += 1
            elif file.problem is not None:
                problem = _not_looked_at(folder_id, file, file.problem, row)
                if failure is not None and failure[1:3] == (problem.size, problem.mtime_ns):
                    self._report.unchanged += 1
                else:
                    batch.failed.append(problem)
            elif failure is not None and failure[1:] == (size, mtime_ns, False) and not self._looks.retry_failures:
                self._report.unchanged += 1
            else:
                candidates.append(Candidate(folder_id, folder.path, name, size, mtime_ns, file.ctime_ns))
        if not self._is_unbelieved(folder.path):
            _note_gone(batch, known, failed)
        return candidates

    def _has_to_be_read(self, row: KnownFile, file: FoundFile) -> bool:
        """True for a file of the same size and modification time whose content may differ.

        Programs set the modification time back (``exiftool -P``), but not the time of change. Other things alter that,
        too (permissions, hard links, a restored backup): the content hash decides, and nothing is encoded again.
        """
        if self._looks.verify_content:
            return True
        return row[5] is not None and file.ctime_ns is not None and row[5] != file.ctime_ns

    def lists(self, archive: str) -> bool:
        """Whether the members of an archive in a folder are listed: if that was asked for now or in an earlier run."""
        return self._looks.archives or archive in self._archives

    def known_below(self, folder: str) -> set[str]:
        """The direct subfolders of a folder that are known, or contain known folders at any depth."""
        if self._children is None:
            self._children = {}
            for path in self._known:
                while (above := os.path.dirname(path)) != path:
                    beside = self._children.setdefault(above, set())
                    if path in beside:
                        break
                    beside.add(path)
                    path = above
        return self._children.get(folder, set())

    def finish(self, covers: Callable[[str], bool] = lambda _: True) -> None:
        """Retire everything in known folders that no walk found, if their absence can be believed.

        Called after all roots: a folder that one of them leaves out (by an ignore file, say) may be another root.

        Args:
            covers: False for known folders that the walks were not meant to find.
        """
        met = {path for path, (folder_id, _) in self._known.items() if folder_id in self._visited} | self._walked
        for path, (folder_id, _) in self._known.items():
            if folder_id in self._visited or not covers(path):
                continue
            if gone_mount := self._gone_mount(path):
                self._keep(gone_mount, NOT_MOUNTED, is_absence=True)
            if self._is_unbelieved(path):
                continue
            doubt = None if self._looks.prune else self._absence.doubt_unmet(path, met)
            if doubt is None:
                known = self._catalog.known_files(folder_id, self._encoder_id)
                _note_gone(self._batch(), known, self._catalog.known_failures(folder_id))
            elif doubt[0]:
                self._unbelieved.append(doubt[0])
                self._doubted[doubt[0]] = doubt[1]

    def tell_doubts(self) -> None:
        """Report the folders whose absence was not believed; called after all commits, when their pictures found
        elsewhere have been moved there."""
        for path, reason in self._doubted.items():
            if kept := self._catalog.count_present(path):
                self._report.kept(path, reason, kept, is_absence=True)

    def _gone_mount(self, path: str) -> str | None:
        """The unplugged mount that ``path`` is on, unless it was reported already."""
        return None if self._is_unbelieved(path) else self._absence.gone_mount(path)

    def _keep(self, path: str, reason: str, *, is_absence: bool = False) -> None:
        self._unbelieved.append(path)
        self._report.kept(path, reason, self._catalog.count_present(path), is_absence=is_absence)

    def _is_unbelieved(self, path: str) -> bool:
        return any(is_below(path, folder) for folder in self._unbelieved)


def _note_gone(batch: Batch, known: Mapping[str, KnownFile], failed: Mapping[str, KnownFailure]) -> None:
    """Retire the images of missing files, and delete their failures."""
    batch.retired += [row[0] for row in known.values() if not row[3]]
    batch.resolved += [failure[0] for failure in failed.values()]


def _not_looked_at(folder_id: int, file: FoundFile, problem: str, row: KnownFile | None) -> FailedImage:
    """The failure of a file whose size and time cannot be read: with those of the indexed file, to keep its image."""
    if row is None or problem == BROKEN_LINK:
        return FailedImage(folder_id, file.name, file.size, file.mtime_ns, problem, True)
    return FailedImage(folder_id, file.name, row[1], row[2], problem, True)
