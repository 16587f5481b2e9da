"""Progress and final report of an indexing run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrieval.catalog.batch import Counts

if TYPE_CHECKING:
    from retrieval.pictures.device_images import DecodedOn


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        stage: ``walk``, ``encode`` or ``index``.
        done: files settled so far, unchanged ones included.
        total: files that will be met; None until they are counted.
        encoded: images that went through the encoder.
        failed: files of this run that cannot be used.
        seconds: since the run started.
    """

    stage: str = "walk"
    done: int = 0
    total: int | None = None
    encoded: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Problem:
    """A folder that could not be walked, and how many images below it were kept as they are.

    ``is_absence``: it is not there, and may have been deleted (``index --prune`` then).
    """

    path: str
    reason: str
    images_kept: int
    is_absence: bool = False


@dataclass
class IndexReport:
    """What one run did.

    Attributes:
        encoder: its name.
        counts: images added, updated (file changed), encoded_again (same file, by another model), verified
            (read again, same content), moved (or renamed),
            restored (file came back), retired (file gone), failed.
        unchanged: files that were not even opened.
        encoded: images that went through the encoder.
        reused: images whose embedding was taken over from the same bytes.
        adapted: images whose embedding was made from that of the encoder an adapter stands on, no picture read.
        damaged: images of which the catalog held an embedding or a record that cannot be; they were read anew where
            their files are there.
        decoded_on: where pictures were decoded, if that was left to a GPU; None otherwise.
        images: present images with an embedding by this encoder.
        failures_known: files that cannot be indexed, this run's and earlier ones'.
        failures_passing: those of them that are tried again in the next run (permission, memory, I/O).
        passed_over: files that are no pictures, and what was left out, by kind and extension.
        decoder_lines, decoder_first: what decoders wrote about damaged pictures and is not shown: lines, the first one.
        lifted: what had been forgotten and is indexed again, because it was named.
        problems: folders that could not be walked; nothing below them was retired.
        seconds: per stage. ``read``, ``decode`` and ``encode`` are sums over all threads; ``walk``, ``commit`` and
            ``index`` were spent in the main thread; ``total`` is wall time.
        index: kind of vector index in use, and why.
        still_searching_with: the encoder that searches go on using because this one has not seen all images yet.
        words_by: the encoder that searches go on using because this one is image-only.
        interrupted: the run was stopped; the next one goes on from here.
        is_dry_run: nothing was done; it says what a run would do (see ``dry_run.py``).
    """

    encoder: str
    counts: Counts = field(default_factory=Counts)
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    adapted: int = 0
    damaged: int = 0
    decoded_on: DecodedOn | None = None
    images: int = 0
    failures_known: int = 0
    failures_passing: int = 0
    passed_over: dict[str, dict[str, int]] = field(default_factory=dict)
    decoder_lines: int = 0
    decoder_first: str = ""
    lifted: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    index: str = ""
    still_searching_with: str | None = None
    words_by: str | None = None
    interrupted: bool = False
    is_dry_run: bool = False

    def kept(self, path: str, reason: str, images: int, *, is_absence: bool = False) -> None:
        """Note a folder that could not be walked, whose images stay."""
        self.problems.append(Problem(path, reason, images, is_absence))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "encoder": self.encoder,
            **vars(self.counts),
            "unchanged": self.unchanged,
            "encoded": self.encoded,
            "reused": self.reused,
            "adapted": self.adapted,
            "damaged": self.damaged,
            **({"decoded_on": vars(self.decoded_on)} if self.decoded_on else {}),
            "images": self.images,
            "failures_known": self.failures_known,
            "failures_passing": self.failures_passing,
            "passed_over": self.passed_over,
            "decoder_lines": self.decoder_lines,
            "decoder_first": self.decoder_first,
            "lifted": self.lifted,
            "problems": [vars(problem) for problem in self.problems],
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "index": self.index,
            "interrupted": self.interrupted,
            **({"dry_run": True} if self.is_dry_run else {}),
        }
