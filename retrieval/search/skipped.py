"""Pictures that are skipped because their files are missing or changed: counted, and reported in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.catalog.records import OnDisk
    from retrieval.search.engine import Hit

logger = logging.getLogger("photoseek")


class Skipped:
    """The pictures that were left out so far, each once.

    A *missing* file cannot be opened, and a *changed* one may show something else than what was indexed. Every list of
    hits (table, JSON, paths, pages, HTTP, tools) is filled up with the pictures that follow.

    Attributes:
        missing, changed: ids of images.
    """

    def __init__(self) -> None:
        self.missing: set[int] = set()
        self.changed: set[int] = set()

    def add(self, image_id: int, on_disk: OnDisk) -> None:
        """Count a picture whose file is not the one that was indexed."""
        if on_disk != "same":
            (self.missing if on_disk == "missing" else self.changed).add(image_id)

    def present(self, hits: Iterable[Hit]) -> list[Hit]:
        """The hits whose files are the ones that were indexed; the others are counted."""
        kept = []
        for hit in hits:
            if hit.on_disk == "same":
                kept.append(hit)
            else:
                self.add(hit.image.id, hit.on_disk)
        return kept

    def message(self) -> str:
        """What people are told of it; empty if nothing was left out."""
        return skipped_words(len(self.missing), len(self.changed))

    def warn(self) -> None:
        """Tell it as a warning, if there is something to tell."""
        if line := self.message():
            logger.warning("%s", line)


def skipped_words(missing: int, changed: int) -> str:
    """A line that says how many pictures were left out, and what to do; empty for none."""
    if not missing and not changed:
        return ""
    changed_since = "changed since it was indexed" if changed == 1 else "changed since they were indexed"
    if not changed:
        files = "file is" if missing == 1 else "files are"
        return f"{plural(missing, 'picture is', 'pictures are')} skipped: the {files} missing"
    if not missing:
        return f"{plural(changed, 'picture is', 'pictures are')} skipped: {changed_since}; run: photoseek index"
    return (
        f"{missing + changed:,} pictures are skipped: {plural(missing, 'is', 'are')} missing, "
        f"{changed:,} {changed_since}; run: photoseek index"
    )
