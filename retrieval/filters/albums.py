"""Albums in filters: by name, and with the results of a saved search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FoundAlbum:
    """The album of a saved search, with the pictures that it had when it was evaluated.

    A bare name means what people put into an album. No SQL statement can express the results of a saved search, so it
    is run first (``search/saved_search.py``), and this object replaces the name.

    Attributes:
        name: of the album.
        ids: of the pictures.
    """

    name: str
    ids: tuple[int, ...]

    def __str__(self) -> str:
        return self.name
