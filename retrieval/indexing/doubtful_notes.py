"""Notes of the files that are being decoded in doubt: what a killed run was reading is passed over by the next one.

If memory runs out, the system may kill the whole program, and the next run would read the same file and be killed
again. So a note is in the gallery while such a file is decoded; its name is a hash of the file's name, size and time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from retrieval.indexing.candidates import Candidate

KILLED = "photoseek was killed while it read this file: it may take too much memory"
"""The reason recorded for such a file; it is read again when it has changed, or with ``--retry-failures``."""


class DoubtfulNotes:
    """The notes of a gallery.

    Args:
        folder: where they are; created with the first one.
        forget: do not pass over what is noted, as the user asked for it again.
    """

    def __init__(self, folder: Path, *, forget: bool = False) -> None:
        self._folder = folder
        self._left = {note.name for note in folder.iterdir()} if folder.is_dir() else set()
        if forget:
            self.clear()

    def is_left(self, candidate: Candidate) -> bool:
        """Whether the last run was killed while it read this file in its present state."""
        return bool(self._left) and _name(candidate) in self._left

    @contextmanager
    def noting(self, candidate: Candidate) -> Iterator[None]:
        """While the file is decoded."""
        note = self._folder / _name(candidate)
        with suppress(OSError):  # a full disk: it is read without a note
            self._folder.mkdir(exist_ok=True)
            note.write_bytes(b"")
        try:
            yield
        finally:
            with suppress(OSError):
                note.unlink()

    def clear(self) -> None:
        """Remove the notes of earlier runs, after the catalog has recorded the files."""
        for name in self._left:
            with suppress(OSError):
                (self._folder / name).unlink()
        self._left = set()
        with suppress(OSError):  # another file is being read
            self._folder.rmdir()


def _name(candidate: Candidate) -> str:
    path = os.path.join(candidate.folder, candidate.name)
    return blake3(f"{candidate.size} {candidate.mtime_ns} ".encode() + os.fsencode(path)).hexdigest()
