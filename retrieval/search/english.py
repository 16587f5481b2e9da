"""A hint for queries in other languages: most models were trained on English captions only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_OTHER_LANGUAGES = ("multilingual", "siglip2", "i18n", "xlm", "nllb", "mt5")
"""What is in the name, or in our note on a model, that reads more than English."""


def knows_english_only(model: str) -> bool:
    """True for a model whose captions were English; False also for models that we know nothing of."""
    from retrieval.encoders.names.models import MODELS

    row = MODELS.get(model)
    if row is None or not row.has_text:
        return False
    told = f"{row.name} {row.note}".lower()
    return not any(part in told for part in _OTHER_LANGUAGES)


def is_foreign(text: str) -> bool:
    """True for words that are not written in Latin letters, or hardly."""
    if text.isascii():
        return False
    letters = [c for c in unicodedata.normalize("NFC", text) if c.isalpha()]
    return 2 * sum(not unicodedata.name(c, "").startswith("LATIN ") for c in letters) > len(letters)


def english_hint(texts: Iterable[str], model: str, *, nothing_matches: bool = False) -> str:
    """A line for who asks in another language than the model knows; empty if there is no reason to think so.

    Args:
        texts: the words of a query that are looked for.
        model: the encoder's name.
        nothing_matches: the search found nothing that answers: then any words may be of another language.
    """
    words = [text for text in texts if text.strip()]
    if not words or not (nothing_matches or any(map(is_foreign, words))) or not knows_english_only(model):
        return ""
    if any(map(is_foreign, words)):
        return f"{model} knows English only; say it in English, or use a multilingual model (photoseek models)"
    return f"{model} knows English only; for words of another language use a multilingual model (photoseek models)"
