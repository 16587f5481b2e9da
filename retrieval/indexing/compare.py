"""Compare a walked folder with what the catalog knows of it: what needs work, what came back, what is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from retrieval.catalog.batch import Batch, FailedImage
from retrieval.catalog.writer import Catalog, KnownFailure, KnownFile
from retrieval.indexing.pipeline import Candidate
from retrieval.indexing.report import IndexReport
from retrieval.indexing.scan import BROKEN_LINK, FoundFile, FoundFolder, mount_point
from retrieval.paths import is_below


class FolderComparison:
    """Decides for every file of a walk; one for a whole run.

    Absence is only believed where the folder was listed without an error, on the same mount as before, and is not
    suddenly empty altogether: an unplugged drive must not empty a gallery.

    Args:
        batch: returns the batch that is being filled (the run replaces it at each commit).
        report: gets the counts of unchanged files and the folders that could not be believed.
        unplugged: mount points that are not mounted now.
        missing: folders that the user named and that are not there; they are reported already.
    """

    def __init__(
        self,
        catalog: Catalog,
        encoder_id: int,
        batch: Callable[[], Batch],
        report: IndexReport,
        unplugged: Sequence[str],
        missing: Sequence[str],
        retry_failures: bool,
    ) -> None:
        self._catalog = catalog
        self._encoder_id = encoder_id
        self._batch = batch
        self._report = report
        self._unplugged = unplugged
        self._retry_failures = retry_failures
        # For the whole run: a folder below two roots is walked once, but its absence is judged for both.
        self._known: dict[str, tuple[int, bool]] = {}
        self._visited: set[int] = set()
        self._unbelieved = list(missing)

    def begin_root(self, root: str) -> None:
        """Start with a folder that the user named."""
        self._root = root
        self._known |= self._catalog.folders_below(root)

    def compare(self, folder: FoundFolder) -> list[Candidate]:
        """The files of a folder that have to be read; everything else about it goes into the batch."""
        if folder.problem is not None:
            self._keep(folder.path, folder.problem)
            return []
        folder_id, was_mount = self._known.get(folder.path, (None, False))
        if gone_mount := self._gone_mount(folder.path):
            self._keep(gone_mount, "no drive is mounted here, as there was before")
        elif folder.path == self._root and folder.is_empty and self._catalog.count_present(folder.path):
            self._keep(folder.path, "the folder is empty, as if its drive were not mounted")
        if folder_id is None and not folder.files and not folder.is_mount:
            return []
        if folder_id is None or (folder.is_mount and not was_mount):
            folder_id = self._catalog.folder_id(folder.path, is_mount=folder.is_mount)
            self._known[folder.path] = (folder_id, folder.is_mount)
            if folder.is_mount:  # a symbolic link to another drive is watched together with the drive
                self._catalog.folder_id(mount_point(folder.path), is_mount=True)
        self._visited.add(folder_id)
        return self._compare_files(folder, folder_id)

    def _compare_files(self, folder: FoundFolder, folder_id: int) -> list[Candidate]:
        known = self._catalog.known_files(folder_id, self._encoder_id)
        failed = self._catalog.known_failures(folder_id)
        batch = self._batch()
        candidates: list[Candidate] = []
        for file in folder.files:
            name, size, mtime_ns = file.name, file.size, file.mtime_ns
            row = known.pop(name, None)
            failure = failed.pop(name, None)
            if row is not None and row[1] == size and row[2] == mtime_ns and row[4] and failure is None:
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
            elif failure is not None and failure[1:] == (size, mtime_ns, False) and not self._retry_failures:
                self._report.unchanged += 1
            else:
                candidates.append(Candidate(folder_id, folder.path, name, size, mtime_ns))
        if not self._is_unbelieved(folder.path):
            _note_gone(batch, known, failed)
        return candidates

    def finish(self) -> None:
        """Retire what lies in known folders that no walk met, where their absence can be believed.

        Only after all roots: what one of them leaves out (by an ignore file, say) may be another.
        """
        for path, (folder_id, _) in self._known.items():
            if folder_id in self._visited:
                continue
            if gone_mount := self._gone_mount(path):
                self._keep(gone_mount, "no drive is mounted here, as there was before")
            if not self._is_unbelieved(path):
                known = self._catalog.known_files(folder_id, self._encoder_id)
                _note_gone(self._batch(), known, self._catalog.known_failures(folder_id))

    def _gone_mount(self, path: str) -> str | None:
        """The unplugged mount that ``path`` lies on, unless it was reported already."""
        if self._is_unbelieved(path):
            return None
        return next((mount for mount in self._unplugged if is_below(path, mount)), None)

    def _keep(self, path: str, reason: str) -> None:
        self._unbelieved.append(path)
        self._report.kept(path, reason, self._catalog.count_present(path))

    def _is_unbelieved(self, path: str) -> bool:
        return any(is_below(path, folder) for folder in self._unbelieved)


def _note_gone(batch: Batch, known: Mapping[str, KnownFile], failed: Mapping[str, KnownFailure]) -> None:
    """Retire the images of files that are not there any more, and forget their failures."""
    batch.retired += [row[0] for row in known.values() if not row[3]]
    batch.resolved += [failure[0] for failure in failed.values()]


def _not_looked_at(folder_id: int, file: FoundFile, problem: str, row: KnownFile | None) -> FailedImage:
    """The failure of a file that hides its size and time: with those of the indexed one, so that its image stays."""
    if row is None or problem == BROKEN_LINK:
        return FailedImage(folder_id, file.name, file.size, file.mtime_ns, problem, True)
    return FailedImage(folder_id, file.name, row[1], row[2], problem, True)
