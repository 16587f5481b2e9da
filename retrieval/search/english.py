"""A hint for queries in other languages: most models were trained on English captions only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_OTHER_LANGUAGES = ("multilingual", "siglip2", "i18n", "xlm", "nllb", "mt5")
"""Parts of the name of a model, or of our note on it, which tell that it reads more than English."""


def knows_english_only(model: str) -> bool:
    """True for a model trained on English captions; False also for unknown models."""
    from retrieval.encoders.names.known_models import MODELS

    row = MODELS.get(model)
    if row is None or not row.has_text:
        return False
    told = f"{row.name} {row.note}".lower()
    return not any(part in told for part in _OTHER_LANGUAGES)


def is_foreign(text: str) -> bool:
    """True if few or none of the letters are Latin."""
    if text.isascii():
        return False
    letters = [c for c in unicodedata.normalize("NFC", text) if c.isalpha()]
    return 2 * sum(not unicodedata.name(c, "").startswith("LATIN ") for c in letters) > len(letters)


def english_hint(texts: Iterable[str], model: str, *, nothing_matches: bool = False) -> str:
    """A hint for a query in a language that the model does not know; empty if there is no sign of that.

    Args:
        texts: the query's texts that are searched for.
        model: the encoder's name.
        nothing_matches: the search found nothing relevant: then words in any script may be of another language.
    """
    words = [text for text in texts if text.strip()]
    if not words or not (nothing_matches or any(map(is_foreign, words))) or not knows_english_only(model):
        return ""
    if any(map(is_foreign, words)):
        return f"{model} knows English only; say it in English, or use a multilingual model (photoseek models)"
    return f"{model} knows English only; for words of another language use a multilingual model (photoseek models)"
