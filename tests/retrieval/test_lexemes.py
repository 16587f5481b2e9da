"""Words as they are compared: of names, captions and questions."""

from __future__ import annotations

import pytest

from retrieval.lexemes import lexemes, match, name_lexemes, phrase, question_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IMG_20240501-Bakery.receipt", ["img", "20240501", "bakery", "receipt"]),
        ("Straße CAFÉ cafe\u0301", ["strasse", "cafe", "cafe"]),
        (
            "dogs bakeries boxes dishes glasses bus class goes",
            ["dog", "bakery", "box", "dish", "glass", "bus", "class", "goe"],
        ),
        ("東京タワーtower", ["東京", "京タ", "タワ", "ワー", "ー", "tower"]),
        ("ｆｕｌｌ ｗｉｄｔｈ", ["full", "width"]),
        ("한국어", ["한국어"]),
        ("  _-! ", []),
    ],
)
def test_lexemes_of_a_text(text: str, expected: list[str]) -> None:
    assert lexemes(text) == expected


def test_a_name_counts_as_a_whole_and_in_its_parts_but_without_extension() -> None:
    assert name_lexemes("BakeryReceipt2.jpg") == ["bakeryreceipt", "2", "bakery", "receipt", "2"]
    assert name_lexemes(".hidden") == ["hidden"]
    assert name_lexemes("a.description") == ["a", "description"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("a photo of two dogs in the garden", [("dog",), ("garden",)]),
        ("der Hund und die Katze", [("hund",), ("katze",)]),
        ("the of and", []),
        ("a 7 x", []),
        ("dog Dogs DOG", [("dog",)]),
        ("東京タワー", [("東京", "京タ", "タワ", "ワー")]),
        ("東", [("東",)]),
    ],
)
def test_words_of_a_question(question: str, expected: list[tuple[str, ...]]) -> None:
    assert question_words(question) == expected


def test_a_question_has_a_limited_number_of_words() -> None:
    assert len(question_words(" ".join(f"word{chr(97 + n)}" for n in range(26)))) == 12


def test_words_and_phrases_as_questions_to_the_index() -> None:
    assert match(("東京", "京都")) == '"東京 京都"'
    assert match(("東",)) == '"東"*'
    assert match(()) == ""
    assert phrase('New "York" OR Bakeries') == '"new york or bakery"'
    assert phrase("!") == ""
