"""A statement of the catalog as PostgreSQL runs it.

All statements are written once, with ``:name`` parameters, in words that both databases have; functions that PostgreSQL
lacks are made with its tables (``schema.py``). What cannot be said in the same words is here:

- ``MATCH``, FTS5's search for words, becomes one in a text search vector or an array of trigrams;
- ``GLOB`` becomes a regular expression;
- a condition that SQLite asks of a Python function (``folder_matches``, ...) is asked here, of the few different values
  there are, and the statement is given those that meet it;
- the indexes of words are PostgreSQL's own: what fills those of FTS5 is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from retrieval.paths import HEX_MARK, PathBytes, decode_path, encode_path

Ask = Callable[[str, Mapping[str, Any]], list[Any]]
"""Runs a statement of PostgreSQL's own."""

_NAME = re.compile(r"(?<![:\w]):([a-z_]\w*)", re.IGNORECASE)
_OF_FTS5 = re.compile(r"\s*(INSERT INTO|DELETE FROM) (lexical_index|text_index)\b")
_WORDS = re.compile(r"(\w+\.lexical_index|(?<![\w.])lexical_index) MATCH :(\w+)")
_TRIGRAMS = re.compile(r"(?<![\w.])text_index MATCH :(\w+)")
_GLOB = re.compile(r"CAST\(((?:\w+\.)?\w+) AS TEXT\) GLOB :(\w+)")
_PYTHON = re.compile(r"\b(folder_matches|name_matches|is_folded_below)\(((?:\w+\.)?\w+), :(\w+)\)")
_PHRASE = re.compile(r'"((?:[^"]|"")*)"(\*?)')
_CLASS = re.compile(r"\[(\^?)(\]?[^\]]*)\]")

_SPELLINGS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"json_each\(:(\w+)\)"),
        r"(SELECT CAST(jsonb_array_elements_text(CAST(:\1 AS jsonb)) AS bigint) AS value) AS listed",
    ),
    (re.compile(r"CAST\((\w+) AS BLOB\)"), r"path_bytes(\1)"),
    (re.compile(r"CAST\((?:(\w+)\.)?ref AS INTEGER\)"), lambda found: f"{found[1]}.number" if found[1] else "number"),
)

_CANDIDATES = {
    "folder_matches": "SELECT DISTINCT path FROM folders",
    "is_folded_below": "SELECT DISTINCT path FROM folders",
    "name_matches": "SELECT DISTINCT name FROM images WHERE length(name_key) <> length(name)",
}
"""A function in Python -> the values that it is asked about."""

_UNREADABLE = "SELECT DISTINCT name_key FROM images WHERE name_key LIKE :mark"


class Statement(NamedTuple):
    """A statement for psycopg: its text with ``%(name)s`` parameters, and their values."""

    text: str
    values: dict[str, Any]


def translated(
    sql: str, values: Mapping[str, Any], functions: Mapping[str, tuple[int, Callable[..., Any]]], ask: Ask
) -> Statement | None:
    """A statement as PostgreSQL runs it; None if there is nothing to do there.

    Args:
        functions: those in Python that the statement may call, by name.
        ask: runs the statements that find out what they are asked about.
    """
    if _OF_FTS5.match(sql):
        return None
    given = {name: plain(value) for name, value in values.items()}
    if "MATCH" in sql:
        sql = _WORDS.sub(lambda found: _of_words(found, given, values), sql)
        sql = _TRIGRAMS.sub(lambda found: _of_trigrams(found, given, values), sql)
    if "GLOB" in sql:
        sql = _GLOB.sub(lambda found: _of_glob(found, given, values, ask), sql)
    if "_matches(" in sql or "_below(" in sql:
        sql = _PYTHON.sub(lambda found: _of_python(found, given, values, functions, ask), sql)
    return Statement(_in_psycopg(sql), given)


def plain(value: Any) -> Any:
    """A value that PostgreSQL accepts: its texts have no zeros, and none that is not valid UTF-8."""
    if isinstance(value, PathBytes):
        return value.marked()
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")
    return value


@lru_cache(maxsize=4096)
def _in_psycopg(sql: str) -> str:
    for pattern, spelling in _SPELLINGS:
        sql = pattern.sub(spelling, sql)
    return _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))


def phrases(match: str) -> Iterator[tuple[str, bool]]:
    """The phrases of a query in FTS5's syntax, as ``lexemes.match`` and ``words.match_of`` write them, and whether the
    last word of each is a beginning."""
    for found in _PHRASE.finditer(match):
        yield found[1].replace('""', '"'), bool(found[2])


def text_query(match: str) -> str:
    """A query in FTS5's syntax for lexemes as a ``tsquery``: phrases, any of which is enough."""
    return " | ".join(
        "(" + " <-> ".join(_lexeme(word) for word in phrase.split()) + (":*" if begins else "") + ")"
        for phrase, begins in phrases(match)
        if phrase.strip()
    )


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def trigrams_of(text: str) -> list[str]:
    """The parts of three characters."""
    return [text[at : at + 3] for at in range(len(text) - 2)]


def holding(text: str) -> str:
    """A pattern for ``LIKE``: texts that contain this one."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _of_words(found: re.Match[str], given: dict[str, Any], values: Mapping[str, Any]) -> str:
    given[f"{found[2]}__query"] = text_query(values[found[2]])
    return f"{found[1]} @@ CAST(:{found[2]}__query AS tsquery)"


def _of_trigrams(found: re.Match[str], given: dict[str, Any], values: Mapping[str, Any]) -> str:
    """All terms: texts with all trigrams. Any term: with one trigram of each. Both narrow down what LIKE looks at."""
    name, match = found[1], values[found[1]]
    terms = [phrase for phrase, _ in phrases(match)]
    is_any = '" OR "' in match
    wanted = [trigrams_of(term)[:1] if is_any else trigrams_of(term) for term in terms]
    given[f"{name}__held"] = [holding(term) for term in terms]
    given[f"{name}__parts"] = list({part for parts in wanted for part in parts})
    operator, some = ("&&", "ANY") if is_any else ("@>", "ALL")
    return (
        f"(trigrams(text_index.folded) {operator} CAST(:{name}__parts AS text[])"
        f" AND text_index.folded LIKE {some} (CAST(:{name}__held AS text[])))"
    )


def _of_glob(found: re.Match[str], given: dict[str, Any], values: Mapping[str, Any], ask: Ask) -> str:
    """Names that are not valid text are compared here; there are few."""
    column, name = found[1], found[2]
    pattern = decode_path(values[name])
    classes = _CLASS.sub(lambda each: f"[{'!' if each[1] else ''}{each[2]}]", pattern)
    odd = [row[0] for row in ask(_in_psycopg(_UNREADABLE), {"mark": f"{HEX_MARK}%"})]
    given[f"{name}__regex"] = plain(encode_path(regular_expression(pattern)))
    given[f"{name}__odd"] = [each for each in odd if fnmatchcase(decode_path(each), classes)]
    readable = f"{column} ~ :{name}__regex AND {column} NOT LIKE '{HEX_MARK}%'"
    return f"(({readable}) OR {column} = ANY (CAST(:{name}__odd AS text[])))"


def regular_expression(glob: str) -> str:
    """A pattern in SQLite's GLOB syntax as an advanced regular expression of PostgreSQL."""
    made, end = [], 0
    for found in _CLASS.finditer(glob):
        inside = re.sub(r"([\[\]\\^])", r"\\\1", found[2])
        made += [_without_classes(glob[end : found.start()]), f"[{found[1]}{inside}]"]
        end = found.end()
    return f"^{''.join(made)}{_without_classes(glob[end:])}$"


def _without_classes(glob: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(each, re.sub(r"(\W)", r"\\\1", each)) for each in glob)


def _of_python(
    found: re.Match[str],
    given: dict[str, Any],
    values: Mapping[str, Any],
    functions: Mapping[str, tuple[int, Callable[..., Any]]],
    ask: Ask,
) -> str:
    function, column, name = found[1], found[2], found[3]
    asked = functions[function][1]
    stored = [row[0] for row in ask(_CANDIDATES[function], {})]
    given[f"{name}__met"] = [each for each in stored if asked(_as_sqlite(each), values[name])]
    return f"{column} = ANY (CAST(:{name}__met AS text[]))"


def _as_sqlite(stored: str) -> str | bytes:
    """A path as SQLite gives it to a function: as bytes if it is not valid text."""
    return bytes.fromhex(stored[1:]) if stored.startswith(HEX_MARK) else stored
