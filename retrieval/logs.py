"""Log messages on stderr; names of files and models cannot send control characters to the terminal."""

from __future__ import annotations

import logging
from typing import IO

from retrieval.asker import asker
from retrieval.streams import printable_lines


class PlainFormatter(logging.Formatter):
    """A formatter that passes its output, including tracebacks, through :func:`printable_lines`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable_lines(super().format(record))


class _ToAsker(logging.StreamHandler[IO[str]]):
    """Writes to the asker's standard error if the thread works for one, else to this process's."""

    def emit(self, record: logging.LogRecord) -> None:
        found, own = asker(), self.stream
        try:
            self.stream = own if found is None else found.err
            super().emit(record)
        finally:
            self.stream = own


def plain_handler(stream: IO[str] | None = None, form: str = "%(message)s") -> logging.Handler:
    """A handler with this formatter.

    Args:
        stream: default: stderr.
    """
    handler = _ToAsker(stream)
    handler.setFormatter(PlainFormatter(form))
    return handler


def log_to_stderr(level: int = logging.WARNING, form: str = "%(message)s") -> None:
    """Write log messages of this process to stderr, unless logging is already configured."""
    logging.basicConfig(level=level, handlers=[plain_handler(form=form)])
