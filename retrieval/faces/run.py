"""Look for faces in those pictures of a gallery where that has not been done yet, and group them into persons."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from retrieval.catalog.faces import face_counts, unlooked, write_faces
from retrieval.contents.run import Run
from retrieval.faces.finders import Finder
from retrieval.faces.grouping import group_faces
from retrieval.faces.models import PACKAGED
from retrieval.gallery import Gallery


@dataclass
class FaceReport:
    """Results of a run.

    Attributes:
        looked: number of pictures looked at, including those without faces.
        with_faces: those with faces.
        faces: found in them.
        joined: faces that joined persons known before.
        groups: new groups of faces.
        failed: could not be looked at; the reason is in the catalog.
        gone: files that are missing or have changed; ``photoseek index`` handles them.
        left: present pictures that have not been looked at.
        seconds: elapsed time.
    """

    looked: int = 0
    with_faces: int = 0
    faces: int = 0
    joined: int = 0
    groups: int = 0
    failed: int = 0
    gone: int = 0
    left: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def find_faces(
    gallery: Gallery,
    *,
    retry_failures: bool = False,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda _, __: None,
    stop: Callable[[], bool] = lambda: False,
) -> FaceReport:
    """Look for faces, in each content once, and group them. The gallery is locked only during commits.

    Args:
        retry_failures: also retry pictures that could not be looked at before.
        workers: number of processes; 0: one per core, at most four.
        on_progress: called with the number of contents done, and their total.
        stop: called several times a second; once true, pictures in progress are abandoned, and results are written.

    Raises:
        RuntimeUnavailable: the packages of the extra ``faces`` are not installed.
        GalleryNotFound: there is no gallery.
        GalleryLocked: at the end, another process kept the gallery locked for too long.
    """
    PACKAGED.check_installed()
    started, report = time.monotonic(), FaceReport()
    with gallery.reader() as reader:
        waiting = unlooked(reader, PACKAGED.version, retry_failures=retry_failures)
    run = Run(gallery, Finder, write_faces, stop=stop, workers=workers)
    for done, found in enumerate(run.each([each.image_id for each in waiting]), 1):
        if found is None:
            report.gone += 1
        else:
            report.failed += found.reason is not None
            report.looked += found.reason is None
            report.with_faces += bool(found.faces)
            report.faces += len(found.faces)
        on_progress(done, len(waiting))
    if not stop():
        grouped = group_faces(gallery, stop)
        report.joined, report.groups = len(grouped.joined), len(grouped.new)
    with gallery.reader() as reader:
        report.left = face_counts(reader).waiting
    report.seconds = time.monotonic() - started
    return report
