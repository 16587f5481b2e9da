"""Silence for the decoders' warnings in the thread that reads a picture, and nowhere else.

Pillow warns about damaged EXIF, odd palettes and large pictures through :mod:`warnings`, which are noise to
the owner of the photo and, under ``-W error``, exceptions in the middle of a decoder.
``warnings.catch_warnings`` swaps process-wide lists, so two threads that use it undo each other. Instead one
filter is installed whose category matches only while the asking thread is inside :func:`quietly`.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Here(threading.local):
    depth = 0


_here = _Here()
_installing = threading.Lock()


class _MatchesHere(type):
    def __subclasscheck__(cls, subclass: type) -> bool:
        return _here.depth > 0


class _DecoderWarning(Warning, metaclass=_MatchesHere):
    """Every warning category counts as a subclass of this one while the thread is quiet."""


def _not_here(record: logging.LogRecord) -> bool:
    return _here.depth == 0


# It logs an error before it raises one; without a handler Python prints that on stderr.
logging.getLogger("PIL.TiffImagePlugin").addFilter(_not_here)


@contextmanager
def quietly() -> Iterator[None]:
    """Drop the warnings that this thread raises inside the block; other threads keep theirs."""
    # Whoever changed the filters since (a test runner, for example) put theirs in front of ours.
    if not warnings.filters or warnings.filters[0][2] is not _DecoderWarning:
        with _installing:
            warnings.simplefilter("ignore", category=_DecoderWarning)
    _here.depth += 1
    try:
        yield
    finally:
        _here.depth -= 1
