"""The query language: what people write becomes terms, and what cannot be read is pointed at."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.search.language import Asked, QuerySyntaxError, parse_arguments, parse_query, parse_question
from retrieval.search.query import Term


def words(text: str, weight: float = 1.0) -> Term:
    return Term("text", text, weight)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a dog", [words("a dog")]),
        ("2:beach + sunset - people", [words("beach", 2), words("sunset"), words("people", -1)]),
        ("  beach   +   0.5:sunset  ", [words("beach"), words("sunset", 0.5)]),
        ("beach -people", [words("beach"), words("people", -1)]),
        ("beach -2:people +boat", [words("beach"), words("people", -2), words("boat")]),
        ("- people + beach", [words("people", -1), words("beach")]),
        ("+ beach", [words("beach")]),
        ("t-shirt", [words("t-shirt")]),
        ("x-ray of a c++ book - wi-fi router", [words("x-ray of a c++ book"), words("wi-fi router", -1)]),
        ("-5 degrees, +20 in the shade", [words("-5 degrees, +20 in the shade")]),
        ("rock -- roll", [words("rock -- roll")]),
        ("A+ grade", [words("A+ grade")]),
        ("1+1", [words("1+1")]),
        ("\u00e9t\u00e9 - \u00c9cole", [words("\u00e9t\u00e9"), words("\u00c9cole", -1)]),
        ('"salt + pepper" - "x - y"', [words("salt + pepper"), words("x - y", -1)]),
        ('a sign with "stop - now" on it', [words("a sign with stop - now on it")]),
        ('2:"9:30 train" -"img:x"', [words("9:30 train", 2), words("img:x", -1)]),
        ('12" vinyl + 7"', [words('12" vinyl'), words('7"')]),
        ("rock 'n' roll - the '90s", [words("rock 'n' roll"), words("the '90s", -1)]),
        ("1:9:30 train", [words("9:30 train")]),
        ("img:photo.jpg", [Term("image", Path("photo.jpg"))]),
        ("beach + img:my photo-1.jpg - cat", [words("beach"), Term("image", Path("my photo-1.jpg")), words("cat", -1)]),
        ("2:img:id:12 -img:a.jpg", [Term("id", 12, 2), Term("image", Path("a.jpg"), -1)]),
        ('img:"a + b.jpg" + x', [Term("image", Path("a + b.jpg")), words("x")]),
        ("IMG:x", [words("IMG:x")]),
        ("a line\nwith two", [words("a line\nwith two")]),
    ],
)
def test_what_is_written_becomes_terms(text: str, terms: list[Term]) -> None:
    assert list(parse_query(text)) == terms


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("beach + sunset -", 15, "nothing follows the sign"),
        ("+", 0, "nothing follows the sign"),
        ("beach + - people", 8, "two signs in a row"),
        ("beach +\t+ people", 8, "two signs in a row"),
        ('a + "b - c', 4, "quote is not closed"),
        ('"', 0, "quote is not closed"),
        ("a + 0:b", 4, "a weight of 0 has no effect"),
        ("0.00:b", 0, "a weight of 0.00"),
        ("a - " + "9" * 400 + ":b", 4, "a weight of 9999"),
        ("a + 2:", 4, "no words follow the weight"),
        ("2: - a", 0, "no words follow the weight"),
        ("a + img:", 4, "no picture follows img:"),
        ('a + ""', 4, "empty quotes"),
        ("https://example.org/a.jpg", 0, "an address cannot be used as text"),
        ("\u6d77 + \u6d77 +", 6, "nothing follows the sign"),
    ],
)
def test_errors_point_at_the_character(text: str, at: int, problem: str) -> None:
    with pytest.raises(QuerySyntaxError, match=problem) as caught:
        parse_query(text)
    assert caught.value.position == at and f"at character {at + 1}:" in caught.value.message
    assert caught.value.hint
    _, shown, pointer = caught.value.message.split("\n")
    wide = sum(c == "\u6d77" for c in text[:at])
    if len(text) < 60:
        assert shown == text.replace("\t", " ").rstrip() and pointer == " " * (at + wide) + "^"


def test_a_long_query_is_shown_where_it_is_wrong() -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse_query("word " * 200 + "+ + " + "word " * 200)
    _, shown, pointer = caught.value.message.split("\n")
    assert len(shown) <= 120 and shown[len(pointer) - 1] == "+"


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_query_is_told_as_such(text: str) -> None:
    with pytest.raises(QueryError, match="the query is empty"):
        parse_query(text)


@pytest.mark.parametrize(
    "text", ["img:https://example.org/a.jpg", "a + img:HTTP://x/y", "img:ftp://x/y", "2:img:file:///etc/passwd"]
)
def test_addresses_need_leave(text: str) -> None:
    with pytest.raises(QueryError, match="is a network address") as caught:
        parse_query(text)
    assert "--allow-url" in caught.value.hint
    assert parse_query(text, allow_urls=True)[-1].kind == "url"


def test_arguments_of_a_shell_with_signs_of_their_own() -> None:
    assert parse_arguments(["beach", "+", "sunset", "-", "2:people"]).terms == parse_query("beach + sunset - 2:people")
    assert parse_arguments(["a bird", "2:flying"]).terms == (words("a bird"), words("flying", 2))
    assert parse_arguments(["a", "-", "b + c - d"]).terms == (words("a"), words("b", -1), words("c", -1), words("d", 1))
    assert parse_arguments(["red", "bird", "2:fast", "up"]).terms == (words("red bird"), words("fast", 2), words("up"))
    assert parse_arguments(["a dog", "cat", "-", "a", "b"]).terms == (words("a dog"), words("cat"), words("a b", -1))
    assert parse_arguments(["rot", "vogel", "-5", "grad"]).terms == (words("rot vogel -5 grad"),)
    assert parse_arguments(["dog", "img:id:3", "cat"]).terms[1:] == (Term("id", 3), words("cat"))
    assert parse_arguments([]).terms == ()
    for arguments, at in ((["a", "-"], 2), (["a", "+", "-", "b"], 4), (["+"], 0)):
        with pytest.raises(QuerySyntaxError, match="nothing follows the sign") as caught:
            parse_arguments(arguments)
        assert caught.value.position == at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("receipt name:bakery", Asked((words("receipt"),), {"name": ["bakery"]})),
        ("name:bakery", Asked((), {"name": ["bakery"]})),
        ("red place:Paris bird", Asked((words("red bird"),), {"place": ["Paris"]})),
        ("dog -name:foo cat", Asked((words("dog cat"),), {"no_name": ["foo"]})),
        ("dog - tag:a tag:b", Asked((words("dog"),), {"no_tag": ["a"], "tag": ["b"]})),
        ('place:"New York" + sign', Asked((words("sign"),), {"place": ["New York"]})),
        ('text:"total due" text:sum', Asked((), {"text": ['"total due"', "sum"]})),
        ("Caption:x", Asked((), {"caption": ["x"]})),
        ('"name:x"', Asked((words("name:x"),), {})),
        ("name: John", Asked((words("name: John"),), {})),
        ("filename:x", Asked((words("filename:x"),), {})),
    ],
)
def test_conditions_stand_in_a_query(text: str, expected: Asked) -> None:
    assert parse_question(text) == expected
    assert parse_arguments([text]) == expected
    if expected.conditions:
        with pytest.raises(QueryError, match="cannot be used here"):
            parse_query(text)


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [('dog name:"a b', 9, "not closed"), ("2:name:x", 0, "no weight"), ('text:""', 0, "empty quotes")],
)
def test_conditions_that_lead_nowhere_are_pointed_at(text: str, at: int, problem: str) -> None:
    with pytest.raises(QuerySyntaxError, match=problem) as caught:
        parse_question(text)
    assert caught.value.position == at


def test_conditions_of_a_query_stand_beside_those_of_flags() -> None:
    asked = parse_arguments(["red", "name:x", "-", "tag:a,b"])
    assert asked.where(None) == Filter(name="x", no_tag=("a", "b"))
    assert asked.where(Filter(name="y", camera="canon")) == Filter(name=("y", "x"), no_tag=("a", "b"), camera="canon")
    assert parse_arguments(["red"]).where(None) is None


PLAIN = st.text("abz-' \u00e9:.", min_size=1, max_size=12).filter(lambda t: t.strip() and t == t.strip())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    parts=st.lists(
        st.tuples(PLAIN, st.sampled_from((1, -1)), st.sampled_from((None, 0.5, 2, 30))), min_size=1, max_size=4
    )
)
def test_quoted_words_come_back_whatever_they_are(parts: list[tuple[str, int, float | None]]) -> None:
    written = [
        f'{"+" if sign > 0 else "-"} {"" if weight is None else f"{weight:g}:"}"{text}"' for text, sign, weight in parts
    ]
    expected = tuple(words(text, sign * (weight or 1)) for text, sign, weight in parts)
    assert parse_query(" ".join(written)) == expected


@settings(max_examples=500, deadline=None, derandomize=True)
@given(text=st.text('ab +-":2.0img\u6d77\n', max_size=30))
def test_anything_is_read_or_pointed_at(text: str) -> None:
    try:
        terms = parse_query(text)
    except QuerySyntaxError as error:
        assert 0 <= error.position < len(text)
    except QueryError:
        assert not text.strip()
    else:
        assert terms and all(term.weight for term in terms)
