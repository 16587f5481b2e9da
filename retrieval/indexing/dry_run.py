"""What a run would do, without doing it: folders are walked and compared, files opened if necessary."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from indexes import IndexSpec
from retrieval.catalog.batch import Batch, KnownFile
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.known import KnownToReader, SameBytes
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.stored import damaged_images
from retrieval.encoders.choice import spec_for_indexing
from retrieval.errors import GalleryNotFound, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.indexing.absence import ROOT_IS_GONE
from retrieval.indexing.candidates import SNIFFED_BYTES, Candidate, hash_candidate, is_video, read_candidate
from retrieval.indexing.comparison import FolderComparison, Looks
from retrieval.indexing.report import IndexReport, Progress
from retrieval.indexing.scan import walk
from retrieval.indexing.wishes import Wishes, only_elsewhere, resolved_roots, unplugged
from retrieval.paths import is_below
from retrieval.pictures.formats import sniff
from retrieval.pictures.images import content_hash
from retrieval.pictures.passed_over import PassedOver, as_json
from retrieval.sources.base import UNKNOWN_SIZE
from retrieval.sources.reading import is_gone, open_anywhere
from retrieval.undone import Refused

_PROGRESS_SECONDS = 0.1
_NO_ENCODER = -1


class DryRun:
    """Reads folders and a gallery that another process may be writing; writes nothing and loads no model.

    Only a real run detects files that are damaged after their first bytes: here they count as new or changed.

    Args:
        gallery: need not exist, and is not created.
        model, precision: as for ``choice.choose_for_indexing``.
    """

    def __init__(self, gallery: Gallery, *, model: str | None = None, precision: str | None = None) -> None:
        self._gallery, self._model, self._precision = gallery, model, precision

    def run(
        self,
        folders: Sequence[str | Path],
        wishes: Wishes,
        looks: Looks,
        *,
        index_spec: str | None = None,
        on_begin: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        refused: Refused | None = None,
    ) -> IndexReport:
        """The report that ``Indexer.run`` with the same options would return, as far as it is known without decoding.

        Args:
            on_begin: called with the name of the model.
            refused: as for ``Indexer.run``.

        Raises:
            RetrievalError: as ``Indexer.run``; GalleryOutdated also for a gallery that a run would upgrade.
        """
        started = time.perf_counter()
        wishes.check()
        if index_spec is not None and index_spec.lower() != "auto":
            IndexSpec.parse(index_spec)
        with ExitStack() as stack:
            reader: CatalogReader | None = None
            if self._gallery.exists():
                with suppress(GalleryNotFound):  # created but never filled
                    reader = stack.enter_context(self._gallery.reader(upgrades=False))
            spec = spec_for_indexing(reader, self._model, precision=self._precision)
            rows = [] if reader is None else reader.encoders()
            row = next((each for each in rows if each.fingerprint == spec.fingerprint), None)
            attempt = _Attempt(reader, row, spec.name, looks, stop)
            attempt.walk(folders, wishes, lambda: on_begin(spec.name), on_progress, refused)
        attempt.report.seconds["total"] = time.perf_counter() - started
        return attempt.report


class _Attempt:
    """One dry run: the shared state of its steps."""

    def __init__(
        self,
        reader: CatalogReader | None,
        row: EncoderRow | None,
        name: str,
        looks: Looks,
        stop: Callable[[], bool],
    ) -> None:
        damaged = damaged_images(reader, row) if reader is not None and row is not None else []
        self._encoder_id = _NO_ENCODER if row is None else row.id
        self._known = KnownToReader(reader, self._encoder_id, damaged)
        self._looks, self._stop = looks, stop
        self._batch = Batch()
        self.report = IndexReport(encoder=name, damaged=len(damaged), is_dry_run=True)
        self.report.failures_known = 0 if reader is None else reader.failure_count()
        self.report.images = 0 if reader is None or row is None else self._known.count_embedded()
        self._progress = Progress()
        self._elsewhere = [] if reader is None else only_elsewhere(reader)
        self._unplugged = self._elsewhere
        self._started = time.perf_counter()

    def walk(
        self,
        given: Sequence[str | Path],
        wishes: Wishes,
        on_begin: Callable[[], None],
        on_progress: Callable[[Progress], None],
        refused: Refused | None,
    ) -> None:
        known = [root for root in self._known.roots() if root not in self._elsewhere]
        roots, missing = resolved_roots(given, known, self._known.count_present, refused)
        if self._looks.prune:
            self._prune(missing)
            known = [root for root in known if root not in missing]
        else:
            self._unplugged = [*unplugged(self._known.mounts()), *self._elsewhere]
            for folder in missing:
                self.report.kept(folder, ROOT_IS_GONE, self._known.count_present(folder), is_absence=True)
        all_roots = {*known, *roots}
        asked = roots if given else sorted(all_roots)
        lasting, self.report.lifted = wishes.applied(self._known.exclusions(), asked, roots if given else ())
        on_begin()
        comparison = FolderComparison(
            self._known,
            self._encoder_id,
            lambda: self._batch,
            self.report,
            all_roots,
            self._unplugged,
            () if self._looks.prune else missing,
            self._looks,
        )
        seen: set[tuple[int, int]] = set()
        last = self._started
        for root in roots:
            comparison.begin_root(root)
            others = [other for other in all_roots if other != root]
            for found in walk(root, lasting=lasting, seen=seen, elsewhere=others, archives=comparison.lists):
                for candidate in comparison.compare(found):
                    if self._stop():
                        break
                    self._judge(candidate)
                self._progress.done += len(found.files)
                self._progress.failed = self.report.counts.failed
                now = time.perf_counter()
                if now - last >= _PROGRESS_SECONDS:
                    last, self._progress.seconds = now, now - self._started
                    on_progress(self._progress)
                if self._stop():
                    self.report.interrupted = True
                    break
            if self.report.interrupted:
                break
        else:
            comparison.finish()
        self._settle()
        comparison.tell_doubts()
        passed_over: PassedOver = sum(comparison.passed_over.values(), Counter())
        self.report.passed_over = as_json(passed_over)

    def _prune(self, missing: Sequence[str]) -> None:
        """What ``index --prune`` treats as deleted before it walks."""
        for folder in missing:
            for folder_id, _ in self._known.folders_below(folder).values():
                files = self._known.known_files(folder_id, self._encoder_id)
                self._batch.retired += [row[0] for row in files.values() if not row[3]]
                self._batch.resolved += [row[0] for row in self._known.known_failures(folder_id).values()]

    def _judge(self, candidate: Candidate) -> None:
        """Determine what a run would do with a file that it has to read; the rules are those of ``Catalog.commit``."""
        row = self._known.file(candidate.folder_id, candidate.name)
        is_same_file = row is not None and (row[1], row[2]) == (candidate.size, candidate.mtime_ns)
        has_failed = self._known.has_failed(candidate.folder_id, candidate.name)
        try:
            is_moving = is_video(candidate)  # known only to its decoder
            with open_anywhere(os.path.join(candidate.folder, candidate.name)) as opened:
                head = opened.read(SNIFFED_BYTES)
            may_be_known = candidate.size == UNKNOWN_SIZE or self._known.may_know(candidate.size)
            if not is_moving or not head:
                sniff(head)
            has_to_be_hashed = may_be_known if row is None else bool(row[3]) or is_same_file
            digest = b""
            if has_to_be_hashed:
                digest = hash_candidate(candidate)[0] if is_moving else content_hash(read_candidate(candidate)[0])
        except (OSError, UnreadableImage) as error:
            is_kept = is_same_file and isinstance(error, OSError)
            self._failed(row, is_kept=is_kept, has_failed=has_failed)
            return
        self.report.failures_known -= has_failed
        same = self._known.same_bytes(digest) if digest else []
        if row is None:
            self._met_at_a_new_place(same)
            return
        has_same_bytes = any(each.id == row[0] for each in same)
        counts = self.report.counts
        if row[3]:
            counts.restored += has_same_bytes
            counts.added += not has_same_bytes
        elif is_same_file and has_same_bytes:
            counts.verified += bool(row[4])
            counts.encoded_again += not row[4]
        else:
            counts.updated += 1
        self.report.images += row[0] not in self._known.counted

    def _met_at_a_new_place(self, same: Sequence[SameBytes]) -> None:
        """New, unless it is a known file that is gone from its old place, which is not on an unmounted drive."""
        for image in same:
            is_away = any(is_below(image.path, mount) for mount in self._unplugged)
            if not is_away and image.id not in self._known.moved and is_gone(image.path):
                self.report.counts.moved += 1
                self.report.images += image.is_retired or not image.is_embedded
                self._known.moved[image.id] = os.path.dirname(image.path)
                return
        self.report.counts.added += 1
        self.report.images += 1

    def _failed(self, row: KnownFile | None, *, is_kept: bool, has_failed: bool) -> None:
        self.report.counts.failed += 1
        self.report.failures_known += not has_failed
        if row is not None and not is_kept and row[0] in self._known.counted:
            self.report.images -= 1

    def _settle(self) -> None:
        """Count the decisions of the comparison, once it is known which files have only moved."""
        for failure in self._batch.failed:
            row = self._known.file(failure.folder_id, failure.name)
            is_kept = failure.is_transient and row is not None and row[1:3] == (failure.size, failure.mtime_ns)
            has_failed = self._known.has_failed(failure.folder_id, failure.name)
            self._failed(row, is_kept=is_kept, has_failed=has_failed)
        retired = set(self._batch.retired) - self._known.moved.keys()
        self.report.counts.retired += len(retired)
        self.report.counts.restored += len(self._batch.restored)
        self.report.images += len(self._batch.restored) - len(retired & self._known.counted)
        self.report.failures_known -= len(set(self._batch.resolved))
