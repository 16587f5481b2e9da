"""A worker: the pipeline of one machine, fed with files from elsewhere. It knows nothing of Ray, which holds it.

Every method returns soon, but for :meth:`Worker.begin` and :meth:`Worker.take`; they are called by several threads.
"""

from __future__ import annotations

import queue
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace

from retrieval.catalog.batch import FailedImage
from retrieval.encoders.base import Encoder
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import RetrievalError
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.cluster.model import loaded, precision_of, probed
from retrieval.indexing.cluster.said import Answers, Hello, Refusal, Taken, Task, own_version
from retrieval.indexing.known_bytes import Known
from retrieval.indexing.outcomes import Outcome, Results
from retrieval.indexing.pipeline import Pipeline
from retrieval.indexing.schedules import BATCHES, LOOKAHEAD
from retrieval.pictures import memory
from retrieval.pictures.formats import lacks_decoder

IDLE_SECONDS = 0.02
"""After this time without new files, what has come is worked on."""

_SPARE = 2
"""Chunks that wait here beyond those that the pipeline takes: it never waits for the next ones to come."""


class Worker:
    """Reads, hashes, decodes and encodes what it is fed, as ``photoseek index`` does on one machine.

    SIGTERM, with which machines that are rented for less announce their end, makes it stop as Ctrl-C stops a run: it
    begins no other files, and what is finished can be taken.
    """

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._lookups = _Lookups()
        self._files: queue.SimpleQueue[list[Candidate]] = queue.SimpleQueue()
        self._changed = self._lookups.changed
        self._results: list[Results] = []
        self._error: Refusal | None = None
        self._is_over = False
        self._is_stopping = False
        with suppress(ValueError):  # not in the main thread: a test
            signal.signal(signal.SIGTERM, lambda *_: self.stop())

    def begin(self, task: Task, model: dict[str, bytes] | None = None) -> Hello | Refusal:
        """Load the encoder.

        Args:
            model: the files of the model, if this machine does not have them.
        """
        try:
            if task.version != own_version():
                ours, theirs = own_version() or "no version", task.version or "none"
                raise RetrievalError(
                    f"photoseek {ours} is installed, not {theirs}", "install the same version everywhere"
                )
            encoder = loaded(task, model)
            probe = probed(encoder)
        except RetrievalError as error:
            return Refusal(error.message, error.hint, self._host, lacks_model=model is None)
        except Exception as error:
            return Refusal(f"{type(error).__name__}: {error}"[:300], "look into Ray's logs there", self._host)
        memory.share_machine(max(1, available_cpus() // task.threads))
        is_ahead = _is_on_gpu(encoder)
        # One thread more than cores: one of them may wait for an answer about the bytes that it has read.
        threads = task.threads if is_ahead else task.threads + 1
        pipeline = Pipeline(
            encoder, self._lookups, workers=threads, frames_per_minute=task.frames_per_minute, is_ahead=is_ahead
        )
        threading.Thread(target=self._run, args=(pipeline,), name="photoseek-pipeline", daemon=True).start()
        ahead = BATCHES if is_ahead else LOOKAHEAD * threads
        window = (ahead + _SPARE) * encoder.batch_size
        return Hello(self._host, encoder.device, precision_of(encoder), encoder.batch_size, window, probe)

    def feed(self, chunk: Sequence[Candidate]) -> None:
        """More files."""
        self._files.put(list(chunk))

    def take(self, within: float) -> Taken:
        """What there is to say, waiting for it up to ``within`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._results or self._lookups.questions or self._is_over, within)
            results, self._results = self._results, []
            questions, self._lookups.questions = self._lookups.questions, []
            return Taken(results, questions, self._is_over, self._error)

    def answer(self, answers: Answers) -> None:
        """What is known of the bytes that were asked for."""
        self._lookups.answer(answers)

    def stop(self) -> None:
        """Begin no other files."""
        self._is_stopping = True

    def _run(self, pipeline: Pipeline) -> None:
        error = None
        try:
            for results in pipeline.run(self._candidates(), stop=lambda: self._is_stopping):
                results.outcomes = [self._with_host(each) for each in results.outcomes]
                with self._changed:
                    self._results.append(results)
                    self._changed.notify_all()
        except RetrievalError as problem:
            error = Refusal(problem.message, problem.hint, self._host)
        except BaseException as problem:
            error = Refusal(f"{type(problem).__name__}: {problem}"[:300], "look into Ray's logs there", self._host)
        with self._changed:
            self._error, self._is_over = error, True
            self._changed.notify_all()

    def _candidates(self) -> Iterator[Candidate | None]:
        while not self._is_stopping:
            chunk: list[Candidate] = []
            with suppress(queue.Empty):
                chunk = self._files.get(timeout=IDLE_SECONDS)
            yield from chunk
            yield None  # files that came together are encoded together, as where they come from

    def _with_host(self, outcome: Outcome) -> Outcome:
        """Failures that another machine might not have say where they occurred, and are tried again."""
        if not isinstance(outcome, FailedImage) or not (outcome.is_transient or lacks_decoder(outcome.reason)):
            return outcome
        return replace(outcome, reason=f"{outcome.reason} (on {self._host})", is_transient=True)


class _Lookups:
    """Asks whoever takes the results which bytes are embedded already."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.questions: list[bytes] = []
        self._awaited: dict[bytes, list[Future[Known | None]]] = {}
        self._is_closed = False

    def find(self, digest: bytes) -> Known | None:
        future: Future[Known | None] = Future()
        with self.changed:
            if self._is_closed:
                raise CancelledError
            self._awaited.setdefault(digest, []).append(future)
            self.questions.append(digest)
            self.changed.notify_all()
        return future.result()

    def answer(self, answers: Answers) -> None:
        with self.changed:
            answered = [
                (future, known) for digest, known in answers.items() for future in self._awaited.pop(digest, ())
            ]
        for future, known in answered:
            future.set_result(known)

    def close(self) -> None:
        with self.changed:
            self._is_closed = True
            left, self._awaited = self._awaited, {}
        for future in (each for waiting in left.values() for each in waiting):
            future.cancel()


def _is_on_gpu(encoder: Encoder) -> bool:
    return encoder.device.startswith("cuda")
