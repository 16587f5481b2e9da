"""Why a picture file cannot be decoded, in words that do not depend on the decoder."""

from __future__ import annotations

import math
import re

from PIL import Image

from retrieval.free_memory import NO_MEMORY
from retrieval.pictures.formats import is_cut_short, share_of_bytes
from retrieval.pictures.truncated import SALVAGED

_TRUNCATED = re.compile(r"truncat|end of (file|data|image)|\beof\b|not enough|insufficient|too short", re.I)
_OUT_OF_MEMORY = re.compile(
    r"out of memory|(not enough|insufficient) memory|(cannot|unable to|failed to|could not) allocate|"
    r"allocation (error|fail)|bad_?alloc|memory error",
    re.I,
)
_UNSUPPORTED = re.compile(r"unsupported|not supported|cannot handle|not implemented|unknown", re.I)
_PILLOW_LIMIT = re.compile(r"\((\d+) pixels\) exceeds limit of (\d+)")


def breaks_off(error: Exception, data: bytes, name: str) -> bool:
    """Whether decoding a file of this format failed because its end is missing."""
    is_worded = isinstance(error, EOFError) or bool(_TRUNCATED.search(str(error)))
    return not isinstance(error, MemoryError) and (is_worded or is_cut_short(data, name))


def reason_of(error: Exception, data: bytes, name: str) -> str:
    """A short reason that is the same for the same kind of damage, independent of the decoder's wording."""
    text = str(error)
    cut_short = is_cut_short(data, name)
    share = 0.0 if name in SALVAGED else share_of_bytes(data, name)
    # If a decoder refuses to allocate what a damaged header requests, its message mentions a limit.
    if isinstance(error, MemoryError) or (_OUT_OF_MEMORY.search(text) and "limit" not in text.lower()):
        return NO_MEMORY
    if isinstance(error, Image.DecompressionBombError):
        found = _PILLOW_LIMIT.search(text)
        return (
            f"{math.ceil(int(found[1]) / 1e6)} megapixels, limit is {int(found[2]) // 1_000_000}"
            if found
            else "too many pixels"
        )
    if cut_short or isinstance(error, EOFError) or _TRUNCATED.search(text):
        return f"truncated, {int(share * 100)} % of the file is there" if share else "truncated, 0 % readable"
    if "too large" in text:
        return "too much metadata"
    if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(text):
        return f"unsupported kind of {name}"
    return f"damaged {name} file"
