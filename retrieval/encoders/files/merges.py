"""The merge table of CLIP's byte-pair encoding as a file that is searched without being loaded.

Layout, little-endian: 8 bytes magic, uint64 n, n sorted uint64 keys (id of the left token << 32 | id of the
right one), n uint32 ranks. A merged token's id is 512 + its rank, because CLIP's vocabulary is the 256 bytes,
the 256 bytes that end a word, then the merges in order, so no vocabulary is needed. Parsing a ``tokenizer.json``
took 55 ms; this takes less than 1 ms.
"""

from __future__ import annotations

import mmap
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from retrieval.encoders.files.checks import write_bytes_atomically
from retrieval.errors import WeightsUnavailable

MAGIC = b"PSMERGE1"
END_OF_WORD = 256
"""Added to the id of a byte that ends a word; CLIP writes it as ``</w>``."""
_FIRST_MERGE = 512
_HEAD = 16

# CLIP orders bytes by printability (GPT-2's table): first the printable ones, then the others.
_SHOWN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_ORDER = [*_SHOWN, *(byte for byte in range(256) if byte not in _SHOWN)]
BASE_ID = {byte: position for position, byte in enumerate(_ORDER)}
"""From a byte to the id of its one-byte token."""


class MergeTable:
    """A memory-mapped merge table.

    Raises:
        WeightsUnavailable: not a merge table, or truncated.
    """

    def __init__(self, file: Path) -> None:
        try:
            with file.open("rb") as handle:
                raw = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise _damaged(file, str(error)) from error
        if len(raw) < _HEAD or raw[:8] != MAGIC:
            raise _damaged(file, "not a merge table")
        count = int.from_bytes(raw[8:_HEAD], "little")
        if len(raw) != _HEAD + 12 * count:
            raise _damaged(file, f"{len(raw)} bytes for {count} merges")
        split = _HEAD + 8 * count
        self._keys, self._ranks = _native(raw[_HEAD:split], "Q"), _native(raw[split:], "I")

    def __len__(self) -> int:
        return len(self._keys)

    def rank(self, left: int, right: int) -> int:
        """Rank of a pair of token ids, -1 if they are never merged."""
        key = left << 32 | right
        at = bisect_left(self._keys, key)
        return self._ranks[at] if at < len(self._keys) and self._keys[at] == key else -1

    @staticmethod
    def id_of(rank: int) -> int:
        """Id of the token created by the merge of this rank."""
        return _FIRST_MERGE + rank


def write_clip_merges(merges: Iterable[tuple[str, str]], path: Path) -> None:
    """Write a merge table (atomically) from CLIP's merges, in order of rank.

    Args:
        merges: pairs as in ``bpe_simple_vocab_16e6.txt`` or ``tokenizer.json``: GPT-2's printable form of
            bytes, ``</w>`` at the end of a word.

    Raises:
        ValueError: a pair uses a token that no earlier merge created, or a token is created twice.
    """
    shown = _shown_bytes()
    ids = {text: BASE_ID[byte] for byte, text in shown.items()}
    ids |= {f"{text}</w>": BASE_ID[byte] + END_OF_WORD for byte, text in shown.items()}
    keys: dict[int, int] = {}
    for rank, (left, right) in enumerate(merges):
        if left not in ids or right not in ids or left + right in ids:
            raise ValueError(f"merge {rank} ({left!r}, {right!r}) is out of order or makes a token twice")
        keys[ids[left] << 32 | ids[right]] = rank
        ids[left + right] = _FIRST_MERGE + rank
    ordered = sorted(keys)
    columns = array("Q", ordered), array("I", [keys[key] for key in ordered])
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    head = MAGIC + len(ordered).to_bytes(8, "little")
    write_bytes_atomically(path, head + b"".join(column.tobytes() for column in columns))


def _shown_bytes() -> dict[int, str]:
    """GPT-2's printable character for each byte: itself, or 256 and up for bytes that are not printable."""
    return {byte: chr(byte if byte in _SHOWN else 256 + BASE_ID[byte] - len(_SHOWN)) for byte in range(256)}


def _native(raw: memoryview, typecode: str) -> memoryview | array[int]:
    if sys.byteorder == "little":
        return raw.cast(typecode)  # type: ignore[call-overload,no-any-return]
    column = array(typecode, raw.tobytes())
    column.byteswap()
    return column


def _damaged(file: Path, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(f"{file} is damaged: {reason}", "fetch or export the model again")
