"""Log messages on stderr; names of files and models cannot send control characters to the terminal."""

from __future__ import annotations

import logging
from typing import TextIO

from retrieval.streams import printable_lines


class PlainFormatter(logging.Formatter):
    """A formatter whose lines are those of :func:`printable_lines`, a traceback's too."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable_lines(super().format(record))


def plain_handler(stream: TextIO | None = None, form: str = "%(message)s") -> logging.Handler:
    """A handler that writes such lines.

    Args:
        stream: default: stderr.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter(form))
    return handler


def log_to_stderr(level: int = logging.WARNING, form: str = "%(message)s") -> None:
    """Write what this process logs to stderr, unless somebody listens already."""
    logging.basicConfig(level=level, handlers=[plain_handler(form=form)])
