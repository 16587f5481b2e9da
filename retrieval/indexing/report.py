"""Progress and final report of an indexing run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrieval.catalog.batch import Counts

if TYPE_CHECKING:
    from retrieval.faces.run import FaceReport
    from retrieval.pictures.device_images import DecodedOn
    from retrieval.reading.run import TextReport


@dataclass
class Progress:
    """The present state of a run.

    Attributes:
        stage: ``walk``, ``encode`` or ``index``; ``text`` while the words in pictures are read, ``faces`` while
            faces are looked for.
        done: files settled so far, unchanged ones included; for ``text`` and ``faces``, contents.
        total: files that will be processed; None until they are counted.
        encoded: images encoded so far.
        failed: files of this run that could not be indexed.
        seconds: since the run started.
    """

    stage: str = "walk"
    done: int = 0
    total: int | None = None
    encoded: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class FolderProblem:
    """A folder that could not be walked, and how many images below it were kept as they are.

    ``is_absence``: it does not exist, and may have been deleted (then use ``index --prune``).
    """

    path: str
    reason: str
    images_kept: int
    is_absence: bool = False


_OF_SEVERAL_RUNS = ("by_others", "taken_over", "superseded", "held_by")


@dataclass
class IndexReport:
    """The results of one run.

    Attributes:
        encoder: its name.
        counts: images added, updated (file changed), encoded_again (same file, by another model), verified
            (read again, same content), moved (or renamed),
            restored (file came back), retired (file gone), failed.
        unchanged: files that were not even opened.
        encoded: images that were encoded.
        reused: images whose embedding was copied from an image with the same bytes.
        adapted: images whose embedding was computed from that of the adapter's base encoder, without reading pictures.
        damaged: images whose embedding or record in the catalog was invalid; they were read again if
            their files exist.
        decoded_on: where pictures were decoded, if on a GPU; None otherwise.
        images: present images with an embedding by this encoder.
        failures_known: files that cannot be indexed, this run's and earlier ones'.
        failures_passing: those that are tried again in the next run (permission, memory, I/O).
        passed_over: files that are not pictures, and excluded entries, by kind and extension.
        decoder_lines, decoder_first: decoders' messages about damaged pictures, not shown: number of lines, first line.
        places_named: new coordinates that have been looked up.
        text: the results of reading text in pictures afterwards, if requested; see ``reading/run.py``.
        faces: the results of looking for faces afterwards, if requested; see ``faces/run.py``.
        lifted: forgotten paths that are indexed again because they were named.
        by_others: files that another run indexed while this one did, in a gallery that several share.
        taken_over: files that a run which died had begun with, and that this one did instead.
        superseded: files that this one did not write, because another run had taken them over; not lost.
        held_by: how many files other runs still had when this one ended, by their names.
        problems: folders that could not be walked; nothing below them was retired.
        seconds: per stage. ``read``, ``decode`` and ``encode`` are sums over all threads; ``walk``, ``commit`` and
            ``index`` were spent in the main thread; ``total`` is wall time, with ``thumbnails``, ``words`` and
            ``faces`` added if they were requested.
        index: kind of vector index in use, and why.
        still_searching_with: the encoder that searches keep using because this one has not seen all images yet.
        words_by: the encoder that searches keep using because this one is image-only.
        interrupted: the run was stopped; the next one continues.
        is_dry_run: nothing was changed; the report says what a run would do (see ``dry_run.py``).
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
    places_named: int = 0
    text: TextReport | None = None
    faces: FaceReport | None = None
    lifted: list[str] = field(default_factory=list)
    by_others: int = 0
    taken_over: int = 0
    superseded: int = 0
    held_by: dict[str, int] = field(default_factory=dict)
    problems: list[FolderProblem] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    index: str = ""
    still_searching_with: str | None = None
    words_by: str | None = None
    interrupted: bool = False
    is_dry_run: bool = False

    def kept(self, path: str, reason: str, images: int, *, is_absence: bool = False) -> None:
        """Record a folder that could not be walked, whose images are kept."""
        self.problems.append(FolderProblem(path, reason, images, is_absence))

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
            "places_named": self.places_named,
            **({"text": self.text.as_dict()} if self.text else {}),
            **({"faces": self.faces.as_dict()} if self.faces else {}),
            **{name: value for name in _OF_SEVERAL_RUNS if (value := getattr(self, name))},
            "lifted": self.lifted,
            "problems": [vars(problem) for problem in self.problems],
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "index": self.index,
            "interrupted": self.interrupted,
            **({"dry_run": True} if self.is_dry_run else {}),
        }
