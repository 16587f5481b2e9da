"""Text to token ids, exactly as in open_clip, without torch and without parsing the vocabulary.

Two kinds: CLIP's byte-pair encoding over a memory-mapped merge table (a binary search per pair, nothing is
loaded), and a ``tokenizer.json`` through the ``tokenizers`` library.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from retrieval.encoders.files.description import Clean, TextTower
from retrieval.encoders.files.merges import BASE_ID, END_OF_WORD, MergeTable, write_clip_merges
from retrieval.errors import RuntimeUnavailable, WeightsUnavailable

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

__all__ = [
    "ClipTokenizer",
    "LibraryTokenizer",
    "Tokenizer",
    "clean_text",
    "load_tokenizer",
    "write_clip_merges",
]

# ftfy and html.unescape do not change such a text, so they (56 ms of imports) are not needed for it.
_PLAIN = re.compile(r"[\t\n\r -%'-~]*", re.ASCII)
_ATOM = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d"
_ATOMS = re.compile(_ATOM, re.IGNORECASE)
_ASCII_PIECES = re.compile(_ATOM + r"|[a-z]+|[0-9]|[^\sa-z0-9]+", re.IGNORECASE | re.ASCII)
_CLASSES = re.compile(r"L+|N|O+")
_DROP_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MAX_CACHED_WORDS = 1 << 16


class Tokenizer(Protocol):
    """Texts to rows of ids; a row is never longer than the context and keeps its end token if truncated."""

    def encode(self, text: str) -> list[int]:
        """Ids of one text with start and end tokens, truncated and padded as the model requires."""
        ...

    def is_cut(self, text: str) -> bool:
        """True if the text has more tokens than fit into the context."""
        ...


def load_tokenizer(file: Path, text: TextTower) -> Tokenizer:
    """The tokenizer of a text tower; its file is opened for the first text.

    Raises:
        RuntimeUnavailable, WeightsUnavailable: at the first text, if the library or the file fails.
    """
    return ClipTokenizer(file, text) if text.tokenizer.kind == "clip-bpe" else LibraryTokenizer(file, text)


class ClipTokenizer:
    """CLIP's byte-pair encoding; gives exactly the ids of ``open_clip.tokenizer.SimpleTokenizer``."""

    def __init__(self, file: Path, text: TextTower) -> None:
        spec = text.tokenizer
        if spec.start is None or spec.end is None:
            raise WeightsUnavailable(f"{file} has no start or end id", "fetch or export the model again")
        self._file, self._spec, self._length = file, spec, text.context_length
        self._start, self._end = spec.start, spec.end
        self._words: dict[str, tuple[int, ...]] = {
            "<start_of_text>": (spec.start,),
            "<end_of_text>": (spec.end,),
        }

    @cached_property
    def _merges(self) -> MergeTable:
        return MergeTable(self._file)

    def encode(self, text: str) -> list[int]:
        ids = [self._start, *self._ids(text), self._end]
        if len(ids) > self._length:
            ids = [*ids[: self._length - 1], self._end]
        pad_to = self._spec.pad_to
        return ids if pad_to is None else [*ids, *[self._spec.pad_id] * (pad_to - len(ids))]

    def is_cut(self, text: str) -> bool:
        return len(self._ids(text)) + 2 > self._length

    def _ids(self, text: str) -> list[int]:
        """Ids without start and end; stops soon after the context is full, because a text may be a whole book."""
        ids: list[int] = []
        for piece in _pieces(clean_text(text, self._spec.clean)):
            word = self._words.get(piece)
            if word is None:
                word = tuple(self._bpe(piece))
                if len(self._words) < _MAX_CACHED_WORDS:
                    self._words[piece] = word
            ids += word
            if len(ids) > self._length:
                break
        return ids

    def _bpe(self, piece: str) -> list[int]:
        """Merge all occurrences of the pair with the lowest rank, until no pair is in the table."""
        ids = [BASE_ID[byte] for byte in piece.encode("utf-8")]
        ids[-1] += END_OF_WORD
        rank_of = self._merges.rank
        while len(ids) > 1:
            ranked = [(rank, pair) for pair in set(pairwise(ids)) if (rank := rank_of(*pair)) >= 0]
            if not ranked:
                break
            rank, pair = min(ranked)
            ids = list(_merged(ids, pair, self._merges.id_of(rank)))
        return ids


class LibraryTokenizer:
    """A ``tokenizer.json``, run by the ``tokenizers`` library (SigLIP, XLM-R, NLLB and others)."""

    def __init__(self, file: Path, text: TextTower) -> None:
        self._file, self._spec, self._length = file, text.tokenizer, text.context_length

    @cached_property
    def _library(self) -> Library:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise RuntimeUnavailable(
                "this model's tokenizer needs the tokenizers library", "pip install 'photoseek[cpu]'"
            ) from error
        try:
            library = Library.from_str(self._file.read_text("utf-8"))
        except Exception as error:  # the library raises bare Exception for a file that it cannot read
            raise WeightsUnavailable(
                f"{self._file} is damaged: {str(error)[:200]}", "fetch or export the model again"
            ) from error
        library.enable_truncation(max_length=self._length)
        library.no_padding()
        return library

    def encode(self, text: str) -> list[int]:
        spec = self._spec
        ids = list(self._library.encode(clean_text(text, spec.clean)).ids)
        if spec.pad_to is not None:
            ids = [*ids[: spec.pad_to], *[spec.pad_id] * (spec.pad_to - len(ids))]
        return ids if spec.strip_id is None else [0 if i == spec.strip_id else i for i in ids]

    def is_cut(self, text: str) -> bool:
        return bool(self._library.encode(clean_text(text, self._spec.clean)).overflowing)


def clean_text(text: str, clean: Clean) -> str:
    """open_clip's ``clean`` functions: repair and unescape the text, then normalise whitespace, case and punctuation.

    Raises:
        RuntimeUnavailable: the text is not plain ASCII and ftfy is not installed.
    """
    if clean == "none":
        return text
    if not _PLAIN.fullmatch(text):
        text = _repaired(text)
    if clean == "canonicalize":
        text = text.replace("_", " ").translate(_DROP_PUNCTUATION).lower()
    text = " ".join(text.split())
    return text.lower() if clean == "lower" else text


def _repaired(text: str) -> str:
    from html import unescape

    try:
        import ftfy
    except ImportError as error:
        raise RuntimeUnavailable(
            "a text that is not plain ASCII needs the ftfy library", "pip install 'photoseek[cpu]'"
        ) from error
    # Undecodable bytes of a command line arrive as lone surrogates, which cannot be encoded as UTF-8.
    return unescape(unescape(ftfy.fix_text(text.encode("utf-8", "replace").decode("utf-8"))))


def _pieces(text: str) -> Iterator[str]:
    r"""CLIP's ``'s|'t|...|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+``, without the regex library.

    The standard ``re`` does not support Unicode categories, so a text with non-ASCII letters is searched in
    a copy in which each character is replaced by the letter of its class.
    """
    if text.isascii():
        yield from (match[0] for match in _ASCII_PIECES.finditer(text))
        return
    classes = "".join(map(_class_of, text))
    at = 0
    while at < len(text):
        match = _ATOMS.match(text, at) or _CLASSES.match(classes, at)
        if match is None:
            at += 1
            continue
        yield text[at : match.end()]
        at = match.end()


def _class_of(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "O"


def _merged(ids: list[int], pair: tuple[int, int], new: int) -> Iterator[int]:
    at, last = 0, len(ids) - 1
    while at <= last:
        if at < last and (ids[at], ids[at + 1]) == pair:
            yield new
            at += 2
        else:
            yield ids[at]
            at += 1
