"""The indexer: update a gallery from folders on disk."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

from retrieval.catalog.batch import Batch
from retrieval.catalog.exclusions import Exclusions, all_exclusions, replace_exclusions
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.shots import note_shots
from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import Encoder
from retrieval.gallery import Gallery
from retrieval.index_keeper import IndexKeeper
from retrieval.indexing.absence import ROOT_IS_GONE
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.comparison import FolderComparison, Looks
from retrieval.indexing.counting import counted_ahead, elsewhere
from retrieval.indexing.doubtful_notes import DoubtfulNotes
from retrieval.indexing.embeddings import adapt_stored, choose_active, drop_damaged
from retrieval.indexing.executor import MakeExecutor, Work, on_this_machine
from retrieval.indexing.focus import SAVED_AFTER, Focus, walk_focus
from retrieval.indexing.forgetting import finish_earlier, prune
from retrieval.indexing.outcomes import Results, take
from retrieval.indexing.report import IndexReport, Progress
from retrieval.indexing.sharing import share_work
from retrieval.indexing.wishes import Wishes, checked_spec, only_elsewhere, resolved_roots, unplugged
from retrieval.pictures.device_images import DeviceDecoder
from retrieval.pictures.passed_over import PassedOver, as_json
from retrieval.pictures.quiet import native_messages
from retrieval.pictures.video import FRAMES_PER_MINUTE
from retrieval.places.locating import name_places
from retrieval.sync import leave_stores
from retrieval.system_errors import explained
from retrieval.undone import Refused

COMMIT_SECONDS = 2.0
"""A killed run loses at most the work of this time ..."""

COMMIT_IMAGES = 256
"""... or this many images, whichever is less."""

QUIET_SECONDS = 0.5
"""After a walk finds nothing new for this time, a partial chunk is passed on instead of waiting for a full one."""

logger = logging.getLogger("photoseek")


class Indexer:
    """Encodes picture folders into a gallery; every run continues where the last one ended, even if it was killed.

    Args:
        gallery: created if it does not exist.
        encoder: its embeddings are kept beside those of other encoders; searches switch to it when every reachable
            image has one, unless it is image-only and the active encoder is not.
        workers: threads, or processes of the executor; the default fits.
        decoder: decodes pictures on the GPU (``device_images.device_decoder(encoder)``).
        frames_per_minute: maximum for videos that are new or changed.
        executor: what reads and encodes the files.
    """

    def __init__(
        self,
        gallery: Gallery,
        encoder: Encoder,
        *,
        workers: int | None = None,
        decoder: DeviceDecoder | None = None,
        frames_per_minute: int = FRAMES_PER_MINUTE,
        executor: MakeExecutor = on_this_machine,
    ) -> None:
        self.gallery, self.encoder, self.decoder = gallery, encoder, decoder
        self.frames_per_minute = frames_per_minute
        self._workers, self._executor = workers, executor

    def run(
        self,
        folders: Sequence[str | Path] | str | Path = (),
        *,
        exclude: Sequence[str] = (),
        index_spec: str | None = None,
        include: Sequence[str] = (),
        no_exclude: bool = False,
        everywhere: Sequence[str] = (),
        retry_failures: bool = False,
        verify_content: bool = False,
        prune: bool = False,
        archives: bool = False,
        focus: Focus | None = None,
        on_begin: Callable[[], None] = lambda: None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        refused: Refused | None = None,
    ) -> IndexReport:
        """Index the folders (by default every folder that was ever given) and report the results.

        Args:
            exclude: patterns in ``.gitignore`` syntax, relative to each folder, from now on. Images that they match are
                retired.
            include: patterns to include again, whether ``exclude``, ``forget`` or the defaults exclude them.
            everywhere: see ``wishes.Wishes``.
            no_exclude: first drop the existing exclusions of these folders.
            index_spec: kind of vector index from now on; ``auto`` restores the choice by size.
            retry_failures, verify_content, prune, archives: see ``compare.Looks``.
            focus: examine only some folders, below ``folders``; the run is not recorded, skipped files are not counted.
            on_begin: called once, when all options have been checked.
            on_progress: called a few times a second, in this thread.
            stop: called between chunks; once True, the work in progress is committed and the run ends.
            refused: called with a folder that does not exist and was never indexed, and the others are indexed; without
                it, an error is raised and nothing is done.

        Raises:
            SettingsError: such a folder; or no folder at all, or none that can be used.
            GalleryLocked: another process is writing to the gallery, and does not share its work (see ``sharing.py``).
        """
        given = [folders] if isinstance(folders, str | Path) else list(folders)
        finish_earlier(self.gallery)
        with self.gallery.writer(admits_labels=True, admits_runs=True) as catalog:
            if verify_content and catalog.mend_words():
                logger.warning("the index of names and captions was damaged, and was made anew")
            looks = Looks(retry_failures, verify_content, prune, archives)
            run = _Run(self, catalog, looks, on_progress, stop, focus)
            return run.execute(given, Wishes(exclude, include, no_exclude, everywhere), index_spec, on_begin, refused)


class _Run:
    """One run: the shared state of its steps, for the duration of ``Indexer.run``."""

    def __init__(
        self,
        indexer: Indexer,
        catalog: Catalog,
        looks: Looks,
        on_progress: Callable[[Progress], None],
        stop: Callable[[], bool],
        focus: Focus | None,
    ) -> None:
        self._focus = focus
        self._is_partial = focus is not None and not focus.is_whole
        self._gallery = indexer.gallery
        self._encoder = indexer.encoder
        self._workers, self._executor = indexer._workers, indexer._executor
        self._frames_per_minute = indexer.frames_per_minute
        self._decoder = indexer.decoder
        self._catalog = catalog
        self._looks = looks
        self._lasting = Exclusions()
        self._on_progress = on_progress
        self._stop = stop
        self._started = time.perf_counter()
        self._last_commit = self._last_progress = self._started
        self._batch = Batch()
        self.report = IndexReport(encoder=indexer.encoder.spec.name)
        self._progress = Progress()
        self._notes = DoubtfulNotes(self._gallery.doubtful_path, forget=looks.retry_failures)
        self._missing: list[str] = []
        self._comparison: FolderComparison | None = None
        self._all_roots: set[str] = set()

    def execute(
        self,
        given: Sequence[str | Path],
        wishes: Wishes,
        index_spec: str | None,
        on_begin: Callable[[], None],
        refused: Refused | None,
    ) -> IndexReport:
        wishes.check()  # an invalid pattern is rejected before any work
        self._shared = share_work(self._catalog, self._encoder.spec, self._frames_per_minute, self.report, self._looks)
        roots = self._roots(given, refused)
        with self._gallery.reader() as reader:
            self._asked_before = reader.index_spec()
        if index_spec is not None:
            self._catalog.set_index_spec(checked_spec(index_spec, self._encoder.spec.dim))
        self._leave_out(
            roots if given else sorted(self._all_roots), wishes, is_named=bool(given) and self._focus is None
        )
        drives = [] if self._looks.prune else unplugged(self._catalog.mounts())
        self._drives, self._unplugged = drives, [*drives, *self._elsewhere]
        self._encoder_id = self._catalog.register_encoder(self._encoder.spec)
        run_id = None if self._is_partial else self._catalog.begin_run(self._encoder_id, roots)
        on_begin()
        try:
            self._work(roots)
        except Exception as error:
            # Recorded for ``info``, which would otherwise report a killed run.
            known = explained(error)
            message = f"a fault in the program: {type(error).__name__}" if known is None else known.message
            with suppress(Exception):  # the disk may be full: the first error is the one to report
                self._catalog.roll_back()
                if run_id is not None:
                    self._catalog.finish_run(run_id, "failed", {"error": message})
            raise
        self.report.seconds["total"] = time.perf_counter() - self._started
        outcome = "interrupted" if self.report.interrupted else "complete"
        if run_id is not None:
            self._catalog.finish_run(run_id, outcome, self.report.as_dict())
        return self.report

    def _work(self, roots: Sequence[str]) -> None:
        with self._gallery.reader() as reader:
            if not self._is_partial:  # this reads every embedding
                self.report.damaged = drop_damaged(self._catalog, reader, self._encoder_id)
        self.report.adapted = adapt_stored(self._catalog, self._encoder, self._encoder_id, stop=self._stop)
        with self._gallery.reader() as reader:
            keeper = self._keeper(reader)
            try:
                self._index(self._own(self._candidates(roots)), roots, keeper)
                while rest := self._left_to_others(keeper):
                    self._index(rest, (), keeper)
            except KeyboardInterrupt:
                # It may have occurred within a transaction, or during a change to the index in memory.
                self._catalog.roll_back()
                keeper.close()
                keeper = self._keeper(reader)
                self.report.interrupted = True
            self.report.interrupted |= self._stop()
            if self._decoder is not None:
                self.report.decoded_on = self._decoder.taken()
            self.report.decoder_lines, self.report.decoder_first = native_messages()
            if not self.report.interrupted:
                self._progress.total = self._progress.done
            self._commit(keeper)
            if not self.report.interrupted and not self._is_partial:
                self._notes.clear()
            if any(vars(self.report.counts).values()):
                with self._catalog.transaction() as transaction:
                    note_shots(transaction)
            self._tell_of_the_walk()
            self.report.places_named = name_places(self._catalog, lambda: self.report.interrupted or self._stop())
            choose_active(self._catalog, reader, self._encoder, self._encoder_id, self._drives, self.report)
            self._show("index", force=True)
            started = time.perf_counter()
            if self._saves_index():
                with self._index_turn(keeper, wait_s=60.0) as is_ours:
                    keeper.look_again(is_shared=self._shared is not None)
                    self.report.index = keeper.finish() if is_ours else "kept up to date by another run"
                    leave_stores(self._asked_before, self._gallery.index_path, reader)
            keeper.close()
            self.report.seconds["index"] += time.perf_counter() - started
            failures = reader.failures()
            self.report.failures_known = len(failures)
            self.report.failures_passing = sum(failure.is_passing for failure in failures)
            self.report.images = reader.count(self._encoder_id)

    def _saves_index(self) -> bool:
        """False while searches can replay the changes of a few files as quickly themselves."""
        return not self._is_partial or sum(vars(self.report.counts).values()) >= SAVED_AFTER

    def _leave_out(self, roots: Sequence[str], wishes: Wishes, *, is_named: bool) -> None:
        """Record the exclusions that apply from now on; a folder that is named is no longer excluded."""
        with self._catalog.transaction() as transaction:
            before = all_exclusions(transaction)
            self._lasting, self.report.lifted = wishes.applied(before, roots, roots if is_named else ())
            if self._shared is not None and self._lasting.rows != before.rows:
                self._shared.refuse_if_others("these options would change what it leaves out")
            replace_exclusions(transaction, self._lasting.rows)

    def _tell_of_the_walk(self) -> None:
        """Report skipped files, and folders not believed to be deleted; called after the last commit."""
        if self._comparison is None:
            return
        self._comparison.tell_doubts()
        total: PassedOver = Counter()
        for root, counts in self._comparison.passed_over.items():
            total += counts
            if not self.report.interrupted and not self._is_partial:
                self._catalog.note_passed_over(root, json.dumps(as_json(counts)))
        self.report.passed_over = as_json(total)

    def _keeper(self, reader: CatalogReader) -> IndexKeeper:
        row = next(e for e in reader.encoders() if e.id == self._encoder_id)
        return IndexKeeper(self._gallery.index_path(row.fingerprint), reader, row)

    def _index(self, candidates: Iterator[Candidate | None], roots: Sequence[str], keeper: IndexKeeper) -> None:
        work = Work(
            self._gallery, self._encoder, self._encoder_id, self._workers, self._decoder, self._notes,
            self._frames_per_minute,
        )  # fmt: skip
        native_messages()  # discard messages from earlier work
        if self._decoder is not None:
            self._decoder.taken()  # likewise
        with (
            nullcontext()
            if self._is_partial or not roots
            else counted_ahead(roots, self._lasting, self._all_roots, self._lists, self._progress)
        ):
            for results in self._executor(work).run(candidates, stop=partial(self._is_stopping, keeper)):
                self._take(results, keeper)

    # The folders

    def _roots(self, given: Sequence[str | Path], refused: Refused | None) -> list[str]:
        """The folders to walk, resolved; known folders that are gone are reported and left out."""
        with self._gallery.reader() as reader:
            self._elsewhere = only_elsewhere(reader)
            known = [root for root in reader.roots() if root not in self._elsewhere]
        roots, self._missing = resolved_roots(given, known, self._catalog.count_present, refused)
        if self._looks.prune:
            self.report.counts.retired += prune(self._catalog, self._missing)
            known = [root for root in known if root not in self._missing]
        else:
            for folder in self._missing:
                self.report.kept(folder, ROOT_IS_GONE, self._catalog.count_present(folder), is_absence=True)
        self._all_roots = {*known, *roots}
        return roots

    # New and changed files

    def _candidates(self, roots: Sequence[str]) -> Iterator[Candidate | None]:
        """Walk the folders and yield the files that need work (None: none for a while); the others are settled here."""
        last_candidate = time.perf_counter()
        seen: set[tuple[int, int]] = set()
        comparison = self._comparison = FolderComparison(
            self._catalog,
            self._encoder_id,
            lambda: self._batch,
            self.report,
            self._all_roots,
            self._unplugged,
            () if self._looks.prune else self._missing,
            self._looks,
        )
        for root in roots:
            comparison.begin_root(root)
            self._catalog.note_host(root)
            walking = walk_focus(
                root,
                self._focus,
                comparison.known_below,
                lasting=self._lasting,
                seen=seen,
                elsewhere=elsewhere(root, self._all_roots),
                archives=self._lists,
            )
            while True:
                if self._stop():
                    return
                started = time.perf_counter()
                folder = next(walking, None)
                if folder is None:
                    self.report.seconds["walk"] += time.perf_counter() - started
                    break
                candidates = comparison.compare(folder)
                if self._focus is not None:
                    candidates = [each for each in candidates if not self._focus.is_held(each)]
                self.report.seconds["walk"] += time.perf_counter() - started
                self._progress.done += len(folder.files) - len(candidates)
                self._show("walk")
                yield from candidates
                if candidates:
                    last_candidate = time.perf_counter()
                elif time.perf_counter() - last_candidate > QUIET_SECONDS:
                    last_candidate = time.perf_counter()
                    yield None
        started = time.perf_counter()
        comparison.finish(*() if self._focus is None else (self._focus.covers,))
        self.report.seconds["walk"] += time.perf_counter() - started

    def _lists(self, archive: str) -> bool:
        return self._comparison is not None and self._comparison.lists(archive)

    def _own(self, candidates: Iterator[Candidate | None]) -> Iterator[Candidate | None]:
        return candidates if self._shared is None else self._shared.own(candidates, self._encoder_id)

    def _left_to_others(self, keeper: IndexKeeper) -> Iterator[Candidate | None] | None:
        if self._shared is None or self._stop():
            return None
        self._commit(keeper)  # what others took over is known behind it
        return self._shared.rest(self._encoder_id, self._stop) if self._shared.is_left else None

    # Results

    def _take(self, results: Results, keeper: IndexKeeper) -> None:
        take(results, self._batch, self.report, self._progress)
        now = time.perf_counter()
        if len(self._batch) >= COMMIT_IMAGES or now - self._last_commit >= COMMIT_SECONDS:
            self._commit(keeper)
        self._show("encode")

    def _is_stopping(self, keeper: IndexKeeper) -> bool:
        """Asked while results are awaited: what is done is committed, however long the next file takes."""
        if len(self._batch) and time.perf_counter() - self._last_commit >= COMMIT_SECONDS:
            self._commit(keeper)
        return self._stop()

    def _commit(self, keeper: IndexKeeper) -> None:
        started = time.perf_counter()
        if len(self._batch):
            # A new batch first: the walk continues to fill it while this one is written.
            batch, self._batch = self._batch, Batch()
            self.report.counts += self._catalog.commit(batch, self._encoder_id, unplugged=self._unplugged)
            if self._shared is not None:
                self._shared.settle()
        committed = time.perf_counter()
        self.report.seconds["commit"] += committed - started
        if self._saves_index():
            with self._index_turn(keeper) as is_ours:
                if is_ours:
                    keeper.follow()
        self._last_commit = time.perf_counter()
        self.report.seconds["index"] += self._last_commit - committed

    def _index_turn(self, keeper: IndexKeeper, wait_s: float = 0.0) -> AbstractContextManager[bool]:
        return self._catalog.index_turn(wait_s) if keeper.is_in_server else nullcontext(True)

    def _show(self, stage: str, *, force: bool = False) -> None:
        now = time.perf_counter()
        if force or now - self._last_progress >= 0.1:
            self._last_progress = now
            self._progress.stage = stage
            self._progress.seconds = now - self._started
            self._on_progress(self._progress)
