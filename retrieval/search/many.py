"""Batches of queries: one text per line in, one JSON object per line out, with bounded memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from retrieval.errors import QueryError, RetrievalError
from retrieval.output import as_json
from retrieval.regular_files import open_regular
from retrieval.search.hits import Skipped
from retrieval.search.language import parse_question
from retrieval.search.query import Query
from retrieval.undone import OF_THE_ITEM, Refused

if TYPE_CHECKING:
    from retrieval.filters import Filter
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit

BLOCK = 256
"""Queries at a time: enough for the text tower's largest products, and 2,560 records with ten hits each."""

_MAX_LINE = 1 << 16


def answer_lines(
    engine: QueryEngine,
    source: str,
    like: Query,
    out: IO[str],
    *,
    allow_urls: bool = False,
    refused: Refused | None = None,
) -> int:
    """Search for each line of a file and write ``{"query": ..., "hits": [...]}`` for each, in order.

    A line is a query as on the command line (:mod:`retrieval.search.language`); hits look as with ``--json``. A line of
    conditions only (``tag:beach``) lists the pictures that pass them, newest first, without scores.

    Args:
        source: a UTF-8 file, or ``-`` for standard input.
        like: filter, number of hits and lowest score of every query; its own terms are ignored.
        allow_urls: whether a line may name a picture on the network.
        refused: called with each line that cannot be answered, which gets an ``error`` and no hits. If None, it raises.

    Returns:
        How many of the queries have hits.

    Raises:
        QueryError: the file cannot be read or is not text, or (without ``refused``) a line is not a query; the
            message names the line. The blocks before that line were answered.
    """
    found, skipped = 0, Skipped()
    with nullcontext(sys.stdin.buffer) if source == "-" else _opened(source) as file:
        queries = _queries(_lines(file, source), like, allow_urls, refused)
        while block := list(islice(queries, BLOCK)):
            for line, hits in zip(block, _answers(engine, block, like, skipped, refused), strict=True):
                found += bool(hits)
                answer = {"query": line.text, "hits": [as_json(hit) for hit in hits]}
                out.write(json.dumps(answer | ({"error": line.error} if line.error else {})) + "\n")
            out.flush()
    skipped.warn()
    return found


@dataclass
class _Line:
    """A line of the file: its query, the filter of a line of conditions only, or why it has no answer."""

    number: int
    text: str
    query: Query | None = None
    where: Filter | None = None
    error: str = ""

    def refuse(self, error: RetrievalError, refused: Refused | None) -> None:
        told = QueryError(f"line {self.number}: {error.message}", error.hint)
        if refused is None:
            raise told from None
        refused(f"line {self.number}", told)
        self.query, self.where, self.error = None, None, error.message


def _queries(lines: Iterable[bytes], like: Query, allow_urls: bool, refused: Refused | None) -> Iterator[_Line]:
    for number, raw in enumerate(lines, 1):
        coding = "utf-8-sig" if number == 1 else "utf-8"
        line = _Line(number, raw.decode(coding, "replace").rstrip("\r\n"))
        try:
            raw.decode(coding)
            asked = parse_question(line.text, allow_urls=allow_urls)
            where = asked.where(like.where)
            if asked.terms or where is None or not line.text.strip():
                line.query = replace(like, terms=asked.terms, where=where)
            else:
                line.where = where
        except UnicodeDecodeError:
            line.refuse(QueryError("it is not UTF-8 text", "save the file as UTF-8, a query a line"), refused)
        except QueryError as error:
            line.refuse(error, refused)
        yield line


def _answers(
    engine: QueryEngine, block: Sequence[_Line], like: Query, skipped: Skipped, refused: Refused | None
) -> list[list[Hit]]:
    """The hits of each line, all lines at once; one by one if one of them names a picture that cannot be used."""
    asked = [line for line in block if line.query is not None]
    try:
        found = engine.search_many([line.query for line in asked if line.query is not None], skipped) if asked else []
    except OF_THE_ITEM:
        if refused is None:
            raise
        found = []
        for line in asked:
            try:
                found += engine.search_many([line.query] if line.query is not None else [], skipped)
            except OF_THE_ITEM as error:
                line.refuse(error, refused)
                found.append([])
    answers = iter(found)
    told = {id(line) for line in asked}
    return [next(answers) if id(line) in told else _listed(engine, line, like, refused) for line in block]


def _listed(engine: QueryEngine, line: _Line, like: Query, refused: Refused | None) -> list[Hit]:
    """The pictures of a line of conditions only."""
    if line.where is None:
        return []
    from retrieval.search.pages import Listing, browse

    try:
        if like.min_score is not None:
            raise QueryError("without a query there are no scores", "give a query, or omit --min-score")
        return list(browse(engine, line.where, Listing(), like.k).hits)
    except OF_THE_ITEM as error:
        line.refuse(error, refused)
        return []


def _opened(source: str) -> BinaryIO:
    try:
        return open_regular(Path(source).expanduser())
    except OSError as error:
        raise _unreadable(source, error) from error


def _lines(file: BinaryIO, source: str) -> Iterator[bytes]:
    """Lines, each read only up to the longest possible query: the file may be anything."""
    number = 0
    while True:
        try:
            line = file.readline(_MAX_LINE)
        except OSError as error:
            raise _unreadable(source, error) from error
        if not line:
            return
        number += 1
        if len(line) == _MAX_LINE:
            raise QueryError(
                f"line {number} is longer than {_MAX_LINE >> 10} KiB", "give a text file with one query per line"
            )
        yield line


def _unreadable(source: str, error: OSError) -> QueryError:
    return QueryError(f"cannot read {source}: {error.strerror}", "give a text file with one query per line")
