"""A line is a command only with valid arguments; everything else is a query."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.search.query import Term
from retrieval.shell.lines import Line, parse_line

DOG = (Term("text", "a dog"),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", Line("nothing")),
        ("  more ", Line("more")),
        ("QUIT", Line("quit")),
        ("exit", Line("quit")),
        ("?", Line("help")),
        ("like 3", Line("like", numbers=(3,))),
        ("not 5, 6 7", Line("not", numbers=(5, 6, 7))),
        ("similar 2", Line("similar", numbers=(2,))),
        ("filter", Line("filter")),
        ("filter off", Line("filter", clears=True)),
        ("filter --camera 'Canon EOS' --untagged", Line("filter", where=Filter(camera=("Canon EOS",), untagged=True))),
        ("filter -n 5", Line("filter", k=5)),
        ("like a dog", Line("query", (Term("text", "like a dog"),))),
        ("show dogs", Line("query", (Term("text", "show dogs"),))),
        ("not 5 dogs", Line("query", (Term("text", "not 5 dogs"),))),
        ("filter coffee", Line("query", (Term("text", "filter coffee"),))),
        ("more cats", Line("query", (Term("text", "more cats"),))),
        ('"more"', Line("query", (Term("text", "more"),))),
        ("2:beach - people", Line("query", (Term("text", "beach", 2.0), Term("text", "people", -1.0)))),
        ("img:a.jpg", Line("query", (Term("image", Path("a.jpg")),))),
        ("rock -- roll", Line("query", (Term("text", "rock -- roll"),))),
        ('"a --tag x"', Line("query", (Term("text", "a --tag x"),))),
        ("a dog --no-format png -n 3", Line("query", (Term("text", "a dog"),), where=Filter(no_format=("PNG",)), k=3)),
        ("--format png,webp -n 3", Line("query", where=Filter(format=("PNG", "WEBP")), k=3)),
        ("a dog --tag a,b --no-tag c,d", Line("query", DOG, where=Filter(tag=("a", "b"), no_tag=("c", "d")))),
        ("a dog --tag '\"Paris, France\",sea'", Line("query", DOG, where=Filter(tag=("paris, france", "sea")))),
        (
            "a dog --camera 'a,b' --orientation portrait,square",
            Line("query", DOG, where=Filter(camera=("a,b",), orientation=("portrait", "square"))),
        ),
        ("a dog --tag a --tag b", Line("query", (Term("text", "a dog"),), where=Filter(tag=("a", "b")))),
    ],
)
def test_lines(text: str, line: Line) -> None:
    assert parse_line(text) == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("like", "like what"),
        ("a dog --camrea x", "unrecognized"),
        ("a dog --camera", "expected one argument"),
        ("a dog --camera 'x", "quot"),
        ("a dog --after 20x", "not a date"),
        ("a dog -n 0", "cannot return"),
        ("a dog --limit many", "cannot return"),
        ("0:x", "weight"),
        ("img:https://example.org/x.jpg", "network"),
        ("x --after 2024 --before 2023", "2024"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_line(text)
    assert words in caught.value.message and caught.value.hint


def test_urls_if_they_are_allowed() -> None:
    (term,) = parse_line("img:https://example.org/x.jpg", allow_urls=True).terms
    assert term.kind == "url"
