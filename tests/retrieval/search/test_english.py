"""Who asks an English model in another language is told so, and nobody else."""

from __future__ import annotations

import pytest

from retrieval.search.english import english_hint, is_foreign, knows_english_only

HINT = "builtin-224 knows English only; say it in English, or use a multilingual model (photoseek models)"

PERHAPS = "builtin-224 knows English only; for words of another language use a multilingual model (photoseek models)"


@pytest.mark.parametrize("text", ["собака", "犬", "ein Hund и кошка кошка", "كلب", "σκύλος", "강아지", "कुत्ता"])
def test_other_scripts_are_foreign(text: str) -> None:
    assert is_foreign(text)
    assert english_hint([text], "builtin-224") == HINT
    assert english_hint(["a dog", text], "builtin-224") == HINT


@pytest.mark.parametrize("text", ["a dog", "café", "Müller's garden", "β-carotene", "12° north", "😀", "a shirt 日"])
def test_latin_letters_are_not(text: str) -> None:
    assert not is_foreign(text)
    assert english_hint([text], "builtin-224") == ""


def test_where_nothing_matches_any_words_may_be_foreign() -> None:
    assert english_hint(["Hündin im Schnee"], "builtin-224", nothing_matches=True) == PERHAPS
    assert english_hint([], "builtin-224", nothing_matches=True) == ""


def test_only_models_that_are_known_to_be_english_are_said_to_be() -> None:
    assert knows_english_only("builtin-224") and knows_english_only("ViT-B-32-quickgelu/openai")
    for name in ("ViT-B-32-SigLIP2-256/webli", "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", "dinov2-b14", "mine"):
        assert not knows_english_only(name)
        assert english_hint(["собака"], name, nothing_matches=True) == ""
