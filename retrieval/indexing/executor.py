"""What reads and encodes the files of a run: this machine, or others (``cluster/``).

The run itself stays here: it walks, compares, and alone writes to the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from retrieval.encoders.base import Encoder
from retrieval.gallery import Gallery
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.doubtful_notes import DoubtfulNotes
from retrieval.indexing.known_bytes import KnownBytes
from retrieval.indexing.outcomes import Results
from retrieval.indexing.pipeline import Pipeline
from retrieval.pictures.device_images import DeviceDecoder


@dataclass(frozen=True)
class Work:
    """What is to be done with the files of a run.

    Attributes:
        gallery: whose catalog knows which bytes are embedded already.
        encoder: that of the run.
        encoder_id: its row in that catalog.
        workers: how many at a time; None: what fits.
        decoder: decodes pictures on a GPU of this machine.
        notes: where files are noted that may make the system kill the program that reads them.
        frames_per_minute: maximum for videos.
    """

    gallery: Gallery
    encoder: Encoder
    encoder_id: int
    workers: int | None
    decoder: DeviceDecoder | None
    notes: DoubtfulNotes
    frames_per_minute: int

    def lookups(self) -> KnownBytes:
        """Looks up in the catalog which bytes are embedded already."""
        return KnownBytes(self.gallery.open_reader, self.encoder_id)


class Executor(Protocol):
    """Turns files into rows of the catalog, which the caller writes."""

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        """Process all candidates, once.

        Each has exactly one outcome among the results, in any order, unless a stop came first; an executor that loses
        a part of itself does that part again. Candidates are asked for in the caller's thread, and only so many that
        the memory for them and their results is bounded.

        Args:
            candidates: a None among them means that no other came for a while.
            stop: asked several times a second in the caller's thread. Once it is True, what is finished is yielded
                within a few seconds.

        Raises:
            RetrievalError: it cannot go on.
        """
        ...


MakeExecutor = Callable[[Work], Executor]
"""Makes the executor of a run."""


def on_this_machine(work: Work) -> Executor:
    """The default: threads of this process."""
    return Pipeline(
        work.encoder,
        work.lookups(),
        workers=work.workers,
        decoder=work.decoder,
        notes=work.notes,
        frames_per_minute=work.frames_per_minute,
    )
