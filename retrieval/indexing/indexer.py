"""The indexer: update a gallery from folders on disk."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.catalog.batch import Batch, IndexedImage
from retrieval.catalog.exclusions import Exclusions, all_exclusions, replace_exclusions
from retrieval.catalog.forgetting import forget
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.stored import damaged_images
from retrieval.catalog.writer import Catalog
from retrieval.encoders.base import Encoder
from retrieval.encoders.names.models import is_known_image_only
from retrieval.gallery import Gallery
from retrieval.indexing.absence import ROOT_IS_GONE
from retrieval.indexing.compare import FolderComparison, Looks
from retrieval.indexing.forgetting import finish_forgetting
from retrieval.indexing.pipeline import Candidate, Pipeline, Results
from retrieval.indexing.report import IndexReport, Progress
from retrieval.indexing.scan import count_files, walk
from retrieval.indexing.wishes import Wishes, checked_spec, resolved_roots, unplugged
from retrieval.paths import is_below
from retrieval.pictures.device_images import DeviceDecoder
from retrieval.pictures.passed_over import PassedOver, as_json
from retrieval.pictures.quiet import native_messages
from retrieval.search.adapted import adapt_stored
from retrieval.sync import IndexKeeper
from retrieval.system_errors import explained
from retrieval.undone import Refused

COMMIT_SECONDS = 2.0
"""A killed run loses at most what was finished in this time ..."""

COMMIT_IMAGES = 256
"""... or this many images, whichever is less."""


COUNT_AFTER_SECONDS = 0.5
"""A run without changes is over by then (100,000 files), and counting would only have made it slower."""

QUIET_SECONDS = 0.5
"""After a walk without anything new for so long, what is encoded is handed on and not kept for a full chunk."""


class Indexer:
    """Encodes picture folders into a gallery; every run continues where the last one ended, however it ended.

    Args:
        gallery: created if it does not exist.
        encoder: its embeddings are kept beside those of other encoders; searches switch to it when no image
            that can be reached is left without one, unless it has no words and the one in use does.
        workers: threads (see ``pipeline.Pipeline``); the default fits the machine.
        decoder: decodes pictures on the GPU (``device_images.device_decoder(encoder)``).
    """

    def __init__(
        self,
        gallery: Gallery,
        encoder: Encoder,
        *,
        workers: int | None = None,
        decoder: DeviceDecoder | None = None,
    ) -> None:
        self.gallery = gallery
        self.encoder = encoder
        self.decoder = decoder
        self._workers = workers

    def run(
        self,
        folders: Sequence[str | Path] | str | Path = (),
        *,
        exclude: Sequence[str] = (),
        index_spec: str | None = None,
        include: Sequence[str] = (),
        no_exclude: bool = False,
        retry_failures: bool = False,
        verify_content: bool = False,
        prune: bool = False,
        on_begin: Callable[[], None] = lambda: None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        refused: Refused | None = None,
    ) -> IndexReport:
        """Index the folders (by default every folder that was ever given) and say what happened.

        Args:
            exclude: patterns in ``.gitignore`` syntax, relative to each folder, from now on. What they leave out is
                retired.
            include: patterns to take back, whether ``exclude``, ``forget`` or the defaults leave them out.
            no_exclude: first drop what was left out of these folders so far.
            index_spec: kind of vector index from now on; ``auto`` goes back to the choice by size.
            retry_failures, verify_content, prune: see ``compare.Looks``.
            on_begin: called once, when everything asked for has been found possible.
            on_progress: called a few times a second, in this thread.
            stop: asked between chunks; once True, the work in flight is committed and the run ends.
            refused: told of a folder that does not exist and was never indexed, and the others are indexed; without
                it, that is raised and nothing is done.

        Raises:
            SettingsError: such a folder; or no folder at all, or none that can be used.
            GalleryLocked: another process is writing to the gallery.
        """
        given = [folders] if isinstance(folders, str | Path) else list(folders)
        with self.gallery.writer() as catalog:
            finish_forgetting(self.gallery, catalog)
            run = _Run(self, catalog, Looks(retry_failures, verify_content, prune), on_progress, stop)
            return run.execute(given, Wishes(exclude, include, no_exclude), index_spec, on_begin, refused)


class _Run:
    """One run. Lives as long as ``Indexer.run``: the state that its steps share."""

    def __init__(
        self,
        indexer: Indexer,
        catalog: Catalog,
        looks: Looks,
        on_progress: Callable[[Progress], None],
        stop: Callable[[], bool],
    ) -> None:
        self._gallery = indexer.gallery
        self._encoder = indexer.encoder
        self._workers = indexer._workers
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
        wishes.check()  # a pattern that is none is refused before any work
        roots = self._roots(given, refused)
        if index_spec is not None:
            self._catalog.set_index_spec(checked_spec(index_spec, self._encoder.spec.dim))
        self._leave_out(roots if given else sorted(self._all_roots), wishes, is_named=bool(given))
        self._unplugged = [] if self._looks.prune else unplugged(self._catalog.mounts())
        self._encoder_id = self._catalog.register_encoder(self._encoder.spec)
        run_id = self._catalog.begin_run(self._encoder_id, roots)
        on_begin()
        try:
            self._work(roots)
        except Exception as error:
            # Said by ``info``, which would take it for a run that was killed.
            known = explained(error)
            message = f"a fault in the program: {type(error).__name__}" if known is None else known.message
            with suppress(Exception):  # the disk may be full: the first error is the one to tell
                self._catalog.roll_back()
                self._catalog.finish_run(run_id, "failed", {"error": message})
            raise
        self.report.seconds["total"] = time.perf_counter() - self._started
        outcome = "interrupted" if self.report.interrupted else "complete"
        self._catalog.finish_run(run_id, outcome, self.report.as_dict())
        return self.report

    def _work(self, roots: Sequence[str]) -> None:
        self.report.damaged = self._drop_damaged()
        self.report.adapted = adapt_stored(self._catalog, self._encoder, self._encoder_id, stop=self._stop)
        with self._gallery.reader() as reader:
            keeper = self._keeper(reader)
            try:
                self._index(roots, keeper)
            except KeyboardInterrupt:
                # It may have hit in the middle of a transaction, or of a change to the index in memory.
                self._catalog.roll_back()
                keeper = self._keeper(reader)
                self.report.interrupted = True
            self.report.interrupted |= self._stop()
            if self._decoder is not None:
                self.report.decoded_on = self._decoder.taken()
            self.report.decoder_lines, self.report.decoder_first = native_messages()
            if not self.report.interrupted:
                self._progress.total = self._progress.done
            self._commit(keeper)
            self._tell_of_the_walk()
            self._activate(reader)
            self._show("index", force=True)
            started = time.perf_counter()
            self.report.index = keeper.finish()
            self.report.seconds["index"] += time.perf_counter() - started
            failures = reader.failures()
            self.report.failures_known = len(failures)
            self.report.failures_passing = sum(failure.is_passing for failure in failures)
            self.report.images = reader.count(self._encoder_id)

    def _leave_out(self, roots: Sequence[str], wishes: Wishes, *, is_named: bool) -> None:
        """Remember what is left out from now on; a folder that is named is not left out any more."""
        with self._catalog.transaction() as transaction:
            before = all_exclusions(transaction)
            self._lasting, self.report.lifted = wishes.applied(before, roots, roots if is_named else ())
            replace_exclusions(transaction, self._lasting.rows)

    def _tell_of_the_walk(self) -> None:
        """What was passed over, and which folders are not believed to be deleted; after the last commit."""
        if self._comparison is None:
            return
        self._comparison.tell_doubts()
        total: PassedOver = Counter()
        for root, counts in self._comparison.passed_over.items():
            total += counts
            if not self.report.interrupted:
                self._catalog.note_passed_over(root, json.dumps(as_json(counts)))
        self.report.passed_over = as_json(total)

    def _drop_damaged(self) -> int:
        """Forget what the catalog cannot have meant to hold, so that these pictures are read and encoded again."""
        with self._gallery.reader() as reader:
            row = next(e for e in reader.encoders() if e.id == self._encoder_id)
            damaged = damaged_images(reader, row)
        if damaged:
            self._catalog.drop_embeddings(self._encoder_id, damaged)
        return len(damaged)

    def _keeper(self, reader: CatalogReader) -> IndexKeeper:
        row = next(e for e in reader.encoders() if e.id == self._encoder_id)
        return IndexKeeper(self._gallery.index_path(row.fingerprint), reader, row)

    def _index(self, roots: Sequence[str], keeper: IndexKeeper) -> None:
        pipeline = Pipeline(
            self._encoder,
            self._gallery.catalog_path,
            self._encoder_id,
            workers=self._workers,
            decoder=self._decoder,
        )
        native_messages()  # whatever was read before
        if self._decoder is not None:
            self._decoder.taken()  # likewise
        with self._counting(roots):
            for results in pipeline.run(self._candidates(roots), stop=self._stop):
                self._take(results, keeper)

    # Which folders

    def _roots(self, given: Sequence[str | Path], refused: Refused | None) -> list[str]:
        """The folders to walk, resolved; ones that are gone but known are reported and left out."""
        with self._gallery.reader() as reader:
            known = reader.roots()
        roots, self._missing = resolved_roots(given, known, self._catalog.count_present, refused)
        if self._looks.prune:
            self._prune(self._missing)
            known = [root for root in known if root not in self._missing]
        else:
            for folder in self._missing:
                self.report.kept(folder, ROOT_IS_GONE, self._catalog.count_present(folder), is_absence=True)
        self._all_roots = {*known, *roots}
        return roots

    def _prune(self, missing: Sequence[str]) -> None:
        with self._catalog.transaction() as transaction:
            for folder in missing:
                found = forget(transaction, [folder], purge=False, leave_out=False)
                self.report.counts.retired += 0 if found is None else found.images

    def _elsewhere(self, root: str) -> list[str]:
        """The other folders that are walked in their own right, in this run or another."""
        return [other for other in self._all_roots if other != root]

    @contextmanager
    def _counting(self, roots: Sequence[str]) -> Iterator[None]:
        """Count files in a second, much cheaper walk beside the first, so that progress has an end."""
        done = threading.Event()

        def count() -> None:
            if done.wait(COUNT_AFTER_SECONDS):
                return
            seen: set[tuple[int, int]] = set()
            total = sum(
                count_files(root, lasting=self._lasting, seen=seen, elsewhere=self._elsewhere(root), stop=done.is_set)
                for root in roots
            )
            if not done.is_set():
                self._progress.total = total

        thread = threading.Thread(target=count, name="photoseek-count", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    # What is new

    def _candidates(self, roots: Sequence[str]) -> Iterator[Candidate | None]:
        """Walk the folders and yield the files that need work (None: none for a while); the others are settled."""
        last_candidate = time.perf_counter()
        seen: set[tuple[int, int]] = set()
        comparison = self._comparison = FolderComparison(
            self._catalog,
            self._encoder_id,
            self._batch_in_use,
            self.report,
            self._all_roots,
            self._unplugged,
            () if self._looks.prune else self._missing,
            self._looks,
        )
        for root in roots:
            comparison.begin_root(root)
            walking = walk(root, lasting=self._lasting, seen=seen, elsewhere=self._elsewhere(root))
            while True:
                if self._stop():
                    return
                started = time.perf_counter()
                folder = next(walking, None)
                if folder is None:
                    self.report.seconds["walk"] += time.perf_counter() - started
                    break
                candidates = comparison.compare(folder)
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
        comparison.finish()
        self.report.seconds["walk"] += time.perf_counter() - started

    def _batch_in_use(self) -> Batch:
        return self._batch

    # What was done

    def _take(self, results: Results, keeper: IndexKeeper) -> None:
        for outcome in results.outcomes:
            if isinstance(outcome, IndexedImage):
                self._batch.indexed.append(outcome)
                self.report.reused += outcome.is_reused
            else:
                self._batch.failed.append(outcome)
                self._progress.failed += 1
        for stage, seconds in vars(results.timings).items():
            self.report.seconds[stage] += seconds
        self.report.encoded += results.encoded
        self._progress.done += len(results.outcomes)
        self._progress.encoded = self.report.encoded
        now = time.perf_counter()
        if len(self._batch) >= COMMIT_IMAGES or now - self._last_commit >= COMMIT_SECONDS:
            self._commit(keeper)
        self._show("encode")

    def _commit(self, keeper: IndexKeeper) -> None:
        started = time.perf_counter()
        if len(self._batch):
            # A new batch first: the walk goes on filling it while this one is written.
            batch, self._batch = self._batch, Batch()
            self.report.counts += self._catalog.commit(batch, self._encoder_id, unplugged=self._unplugged)
        committed = time.perf_counter()
        self.report.seconds["commit"] += committed - started
        keeper.follow()
        self._last_commit = time.perf_counter()
        self.report.seconds["index"] += self._last_commit - committed

    def _activate(self, reader: CatalogReader) -> None:
        """Let searches use this encoder once it has seen every image that can be reached.

        One without words never takes the place of one that may have them: it serves searches that name it.
        """
        active = reader.active_encoder()
        if active is None or active.id == self._encoder_id:
            return
        if not self._encoder.spec.has_text and not is_known_image_only(active.name):
            self.report.words_by = active.name
            return
        missing = [
            folder
            for folder in self._catalog.unembedded(self._encoder_id)
            if not any(is_below(folder, mount) for mount in self._unplugged)
        ]
        if missing:
            self.report.still_searching_with = active.name
        else:
            self._catalog.activate_encoder(self._encoder_id)

    def _show(self, stage: str, *, force: bool = False) -> None:
        now = time.perf_counter()
        if force or now - self._last_progress >= 0.1:
            self._last_progress = now
            self._progress.stage = stage
            self._progress.seconds = now - self._started
            self._on_progress(self._progress)
