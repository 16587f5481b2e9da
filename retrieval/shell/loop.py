"""The main loop of the shell: reads lines from a terminal or a pipe, answers each, and stores the history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

from retrieval.encoders.cache import is_wanted
from retrieval.errors import RetrievalError
from retrieval.filters.filter import filter_words
from retrieval.interrupts import goes_on
from retrieval.labels.output import write_labels
from retrieval.labels.reading import labels_of
from retrieval.output import as_json, write_hits, write_pairs
from retrieval.rendering.showing import Open, Say, Showing, draw, open_hit
from retrieval.search.english import english_hint
from retrieval.shell.lines import HELP, Line, parse_line
from retrieval.shell.session import Session
from retrieval.streams import printable
from retrieval.system_errors import explained

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit

HISTORY = "shell-history"
"""A file in the gallery's folder; readable by its owner only."""

_PROMPT = "photoseek> "
_HISTORY_LINES = 1000
_UNTOLD = ("rank", "relevance", "burst", "path", "id")


class Shell:
    """A shell on one gallery.

    Args:
        session: with the engine.
        source, out: lines are read from the former, answers written to the latter. If both are terminals: with a
            prompt, editing and history.
        say: prints errors and remarks.
        open_file: see ``showing.Open``.
        showing: whether to draw thumbnails.
    """

    def __init__(
        self,
        session: Session,
        source: IO[str],
        out: IO[str],
        say: Say,
        open_file: Open,
        showing: Showing | None = None,
        *,
        allow_urls: bool = False,
    ) -> None:
        self._session, self._source, self._out, self._say = session, source, out, say
        self._open_file, self._showing, self._allow_urls = open_file, showing or Showing(), allow_urls
        self._is_terminal = source.isatty() and out.isatty()
        self._failed = 0
        self._has_answered = False

    def run(self) -> int:
        """Answer lines until there are no more or one is ``quit``.

        Returns:
            The exit code: from a pipe that of the first line that failed; from a terminal 0.
        """
        if self._is_terminal:
            self._say("words to search, help for what else there is, Ctrl-D to leave")
        with _history(self._session.engine.gallery.path) if self._is_terminal else nullcontext():
            for text in self._lines():
                try:
                    line = parse_line(text, allow_urls=self._allow_urls)
                    if line.action == "quit":
                        break
                    self._answer(line)
                except (RetrievalError, OSError, MemoryError, sqlite3.Error) as error:
                    known = explained(error)
                    if known is None:
                        raise
                    self._failed = self._failed or known.exit_code
                    self._say("\n".join([known.message, known.hint]).rstrip())
                except KeyboardInterrupt:
                    if not self._is_terminal or not goes_on():
                        raise
                    self._say("interrupted")
                self._out.flush()
        return 0 if self._is_terminal else self._failed

    def _lines(self) -> Iterator[str]:
        if not self._is_terminal:
            yield from self._source
            return
        while True:
            try:
                yield input(_PROMPT)
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:  # discards the typed text
                if not goes_on():
                    raise
                self._say("")

    def _answer(self, line: Line) -> None:
        session = self._session
        if line.action == "query":
            self._show(session.ask(line.terms, line.where, line.k))
        elif line.action == "more":
            self._show(session.more(), nothing="no more")
        elif line.action == "like":
            self._show(session.judge(relevant=line.numbers))
        elif line.action == "not":
            self._show(session.judge(not_relevant=line.numbers))
        elif line.action == "similar":
            self._show(session.similar(line.numbers[0]))
        elif line.action == "filter":
            self._filter(line)
        elif line.action == "reset":
            session.reset()
        elif line.action == "help":
            self._begin()
            self._out.write(HELP)
        else:
            for hit in [session.hit(number) for number in line.numbers]:
                if line.action == "show":
                    self._tell(hit)
                elif line.action == "open":
                    open_hit(hit, self._say, self._open_file)

    def _filter(self, line: Line) -> None:
        session = self._session
        if not line.clears and line.where is None and line.k is None:
            self._begin()
            self._out.write((printable(filter_words(session.where)) or "no filter") + "\n")
            return
        hits = session.filter(None if line.clears else line.where or session.where, line.k)
        if session.is_asked:
            self._show(hits)

    def _show(self, hits: list[Hit], *, nothing: str = "nothing found") -> None:
        query, where = self._session.query, self._session.asked_where
        if where is not None and (unknown := self._session.engine.selection(where).message()):
            self._say(unknown)
        texts = [] if query is None else [str(term.value) for term in query.terms if term.kind == "text"]
        if line := english_hint(texts, self._session.engine.encoder_row.name):
            self._say(line)
        if not hits:
            self._say(nothing)
            return
        self._begin()
        draw(hits, self._showing, self._source, self._out)
        write_hits(hits, "table" if self._out.isatty() else "plain", self._out)

    def _begin(self) -> None:
        """Write a blank line between two answers, so that a program reading from a pipe can separate them."""
        if self._has_answered:
            self._out.write("\n")
        self._has_answered = True

    def _tell(self, hit: Hit) -> None:
        """Print everything that is known about a hit."""
        self._begin()
        draw([hit], self._showing, self._source, self._out)
        engine = self._session.engine
        write_labels(labels_of(engine.reader, [hit.image.id], engine.encoder_row), self._out)
        known = [(name, printable(str(value))) for name, value in as_json(hit).items() if value is not None]
        write_pairs([(f"  {name}", value) for name, value in known if name not in _UNTOLD], self._out)


@contextmanager
def _history(folder: Path) -> Iterator[None]:
    """Line editing with a stored history; if the gallery cannot be written to, it is not stored."""
    readline = _readline()
    if readline is None:
        yield
        return
    path = folder / HISTORY
    keeps = is_wanted()
    readline.clear_history()
    if keeps:
        with suppress(OSError):
            readline.read_history_file(path)
    try:
        yield
    finally:
        if keeps:
            with suppress(OSError):
                path.touch(mode=0o600)
                path.chmod(0o600)
                readline.set_history_length(_HISTORY_LINES)
                readline.write_history_file(path)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:  # Windows
        return None
    return readline


def run_shell(
    engine: QueryEngine,
    source: IO[str],
    out: IO[str],
    say: Say,
    open_file: Open,
    showing: Showing | None = None,
    *,
    k: int = 10,
    allow_urls: bool = False,
) -> int:
    """Run a :class:`Shell` with a new session; returns its exit code."""
    return Shell(Session(engine, k), source, out, say, open_file, showing, allow_urls=allow_urls).run()
