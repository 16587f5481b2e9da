"""Training and validation: by picture, and by what the picture's file holds, so that no copy is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from indexes.base import Ids
from retrieval.errors import QueryError, SettingsError


def split_by_content(digests: Sequence[bytes], share: float, seed: int = 0) -> tuple[Ids, Ids]:
    """Rows for training and rows for validation, both ascending.

    Files with the same digest stay together. Which digest goes where depends on nothing but itself and ``seed``, apart
    from the exact place of the cut: with more pictures, those that were held out mostly stay held out.

    Args:
        digests: the content hash of each picture.
        share: of the distinct pictures that are held out; one at least is, and one at least is not.

    Raises:
        SettingsError: a share that is not between 0 and 1.
        QueryError: all pictures are copies of one.
    """
    if not 0 < share < 1:
        raise SettingsError(f"{share} of the pictures cannot be held out", "give a share between 0 and 1")
    distinct = sorted(set(digests), key=lambda digest: hashlib.blake2b(digest + seed.to_bytes(8, "little")).digest())
    if len(distinct) < 2:
        raise QueryError("there is only one picture", "give several different ones")
    held = set(distinct[: min(max(1, round(share * len(distinct))), len(distinct) - 1)])
    is_held = np.array([digest in held for digest in digests])
    return np.flatnonzero(~is_held).astype(np.int64), np.flatnonzero(is_held).astype(np.int64)
