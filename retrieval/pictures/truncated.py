"""What of a file that breaks off can be read, and whether that is enough."""

from __future__ import annotations

from retrieval.errors import UnreadableImage

ENOUGH = 0.95
"""From this share of its pixels on a picture is taken; what is missing of it is grey or repeats what was before."""


def check_share(share: float) -> None:
    """Raise UnreadableImage if too little of a picture could be read."""
    if share < ENOUGH:
        raise UnreadableImage(f"truncated, {int(share * 100)} % readable", "copy the file again")
