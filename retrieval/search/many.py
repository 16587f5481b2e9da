"""Many queries at once: a text a line in, a JSON object a line out, in blocks, so that memory stays bounded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from retrieval.errors import QueryError
from retrieval.output import as_json
from retrieval.regular_files import open_regular
from retrieval.search.language import parse_query
from retrieval.search.query import Query
from retrieval.search.skipped import Skipped

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine

BLOCK = 256
"""Queries at a time: enough for the text tower's largest products, and 2,560 records with ten hits each."""

_MAX_LINE = 1 << 16


def answer_lines(engine: QueryEngine, source: str, like: Query, out: IO[str], *, allow_urls: bool = False) -> int:
    """Search for each line of a file and write ``{"query": ..., "hits": [...]}`` for each, in order.

    A line is a query as on the command line (:mod:`retrieval.search.language`); hits look as with ``--json``.

    Args:
        source: a UTF-8 file, or ``-`` for standard input.
        like: filter, number of hits and lowest score of every query; its own terms are not asked for.
        allow_urls: whether a line may name a picture on the network.

    Returns:
        How many of the queries found something.

    Raises:
        QueryError: the file cannot be read, or a line is not a query; the message names the line. The blocks before
            that line were answered.
    """
    found, skipped = 0, Skipped()
    with nullcontext(sys.stdin.buffer) if source == "-" else _opened(source) as file:
        queries = _queries(_lines(file, source), like, allow_urls)
        while block := list(islice(queries, BLOCK)):
            answers = engine.search_many([query for _, query in block], skipped)
            for (text, _), hits in zip(block, answers, strict=True):
                found += bool(hits)
                out.write(json.dumps({"query": text, "hits": [as_json(hit) for hit in hits]}) + "\n")
            out.flush()
    skipped.warn()
    return found


def _queries(lines: Iterable[bytes], like: Query, allow_urls: bool) -> Iterator[tuple[str, Query]]:
    """Each line's text and query."""
    for number, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            yield text, replace(like, terms=parse_query(text, allow_urls=allow_urls))
        except UnicodeDecodeError:
            raise QueryError(f"line {number} is not UTF-8 text", "save the file as UTF-8, a query a line") from None
        except QueryError as error:
            raise QueryError(f"line {number}: {error.message}", error.hint) from None


def _opened(source: str) -> BinaryIO:
    try:
        return open_regular(Path(source).expanduser())
    except OSError as error:
        raise _unreadable(source, error) from error


def _lines(file: BinaryIO, source: str) -> Iterator[bytes]:
    """Lines, read no further than a query can be long: the file may be anything."""
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
            raise QueryError(f"line {number} is longer than {_MAX_LINE >> 10} KiB", "give a text file, a query a line")
        yield line


def _unreadable(source: str, error: OSError) -> QueryError:
    return QueryError(f"cannot read {source}: {error.strerror}", "give a text file, a query a line")
