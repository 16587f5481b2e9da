"""Read the text in those pictures of a gallery that have not been read yet, and store it in the catalog."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.texts import text_counts, unread, write_texts
from retrieval.contents.run import Run
from retrieval.gallery import Gallery
from retrieval.reading.models import PACKAGED
from retrieval.reading.priority import likely_first
from retrieval.reading.readers import Reader

if TYPE_CHECKING:
    from retrieval.encoders.base import Encoder


@dataclass
class TextReport:
    """Results of a run.

    Attributes:
        read: number of pictures read, including those without text.
        with_text: those with text.
        failed: could not be read; the reason is in the catalog.
        gone: files that are missing or have changed; ``photoseek index`` handles them.
        left: present pictures that have not been read.
        seconds: elapsed time.
    """

    read: int = 0
    with_text: int = 0
    failed: int = 0
    gone: int = 0
    left: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def read_texts(
    gallery: Gallery,
    *,
    encoder: Encoder | None = None,
    retry_failures: bool = False,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda _, __: None,
    stop: Callable[[], bool] = lambda: False,
) -> TextReport:
    """Read unread pictures, likely ones first, each content once. The gallery is locked only during commits.

    Args:
        encoder: one of the gallery's, to estimate which pictures contain text.
        retry_failures: also retry pictures that could not be read before.
        workers: number of processes; 0: one per core, at most four.
        on_progress: called with the number of contents done, and their total.
        stop: called several times a second; once true, pictures in progress are abandoned, and results are written.

    Raises:
        RuntimeUnavailable: the packages of the extra ``ocr`` are not installed.
        GalleryNotFound: there is no gallery.
        GalleryLocked: at the end, another process kept the gallery locked for too long.
    """
    PACKAGED.check_installed()
    started, report = time.monotonic(), TextReport()
    with gallery.reader() as reader:
        waiting = likely_first(reader, unread(reader, PACKAGED.version, retry_failures=retry_failures), encoder)
    run = Run(gallery, Reader, write_texts, stop=stop, workers=workers)
    for done, found in enumerate(run.each([each.image_id for each in waiting]), 1):
        if found is None:
            report.gone += 1
        else:
            report.failed += found.reason is not None
            report.read += found.reason is None
            report.with_text += bool(found.lines)
        on_progress(done, len(waiting))
    with gallery.reader() as reader:
        report.left = text_counts(reader).unread
    report.seconds = time.monotonic() - started
    return report
