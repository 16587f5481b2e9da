"""Where words stand on a line."""

from __future__ import annotations

import pytest

from retrieval.catalog.texts import TextLine
from retrieval.reading.marks import marks, terms_of


def line(text: str, *, with_ends: bool = True) -> TextLine:
    ends = tuple((n + 1) / len(text) for n in range(len(text)))
    return TextLine(text, 0.9, (0.0,) * 8, ends if with_ends else ())


@pytest.mark.parametrize(
    ("text", "words", "parts"),
    [
        ("Invoice 2024", "invoice", ["Invoice"]),
        ("Invoice 2024", '"invoice 2024"', ["Invoice 2024"]),
        ("Invoice:  No. 7", '"invoice no 7"', ["Invoice:  No. 7"]),
        ("the invoice", '"invoice 2024"', ["invoice"]),  # the phrase goes on in the next line
        ("Straße 5, Strasse 6", "STRASSE", ["Straße", "Strasse"]),
        ("Total total", "total", ["Total", "total"]),
        ("红烧牛肉面 28", "牛肉", ["牛肉"]),
        ("東 京 駅", "東京", ["東 京"]),
        ("a 東。京 b", "東京", ["東。京"]),
        ("Nothing here", "invoice", []),
    ],
)
@pytest.mark.parametrize("with_ends", [True, False])
def test_terms_are_marked(text: str, words: str, parts: list[str], with_ends: bool) -> None:
    found = marks(line(text, with_ends=with_ends), terms_of([words]))
    assert [text[round(a * len(text)) : round(b * len(text))] for a, b in found] == parts


def test_composed_letters_keep_their_places() -> None:
    text = "cafe\u0301 au lait"
    ((first, last),) = marks(line(text), terms_of(["CAFÉ"]))
    assert first == 0.0 and 3 / len(text) < last < 7 / len(text)


def test_what_is_no_question_marks_nothing() -> None:
    assert terms_of(["", '""', "a b", "b"]) == ("a", "b")
