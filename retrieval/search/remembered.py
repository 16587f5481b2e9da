"""An engine's cache of catalog data, valid until the catalog changes: selections of filters, hidden pictures, shots,
and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.selection import Selection
    from retrieval.catalog.shots import RawPairs
    from retrieval.filters import Filter
    from retrieval.search.moments import Moments
    from retrieval.search.shots import Shots

_FILTERS = 8


class Remembered:
    """The cache of one encoder's view of a gallery. Features that a gallery does not use cost no read and no import.

    Args:
        reader: of the catalog.
        encoder_id: the encoder whose video frames count.
    """

    def __init__(self, reader: CatalogReader, encoder_id: int) -> None:
        self._reader, self._encoder_id = reader, encoder_id
        self._selected: dict[Filter, Selection] = {}
        self._selected_version: str | None = None
        self._shown: tuple[str, Selection | None] | None = None
        self._shots: tuple[str, Shots | None] | None = None
        self._moments: tuple[str, Moments | None] | None = None

    def selection(self, where: Filter, find: Callable[[], Selection]) -> Selection:
        """The pictures that a filter selects, computed again unless it is one of the last few filters."""
        # Not the change number: a new tag touches no index. Includes the day, which dates in words are relative to.
        version = f"{self._reader.version()} {date.today()}"
        if version != self._selected_version or len(self._selected) >= _FILTERS:
            self._selected.clear()
            self._selected_version = version
        if where not in self._selected:
            self._selected[where] = find()
        return self._selected[where]

    def narrowed(self, selected: Selection | None, show: RawPairs) -> Selection | None:
        """Of the pictures that a filter selects (None: every picture that is not hidden), one file of each shot; see
        ``shots.py``."""
        known = self._known_shots()
        selected = self._not_hidden() if selected is None else selected
        return selected if known is None else known.narrowed(self._reader, selected, show)

    def with_mates(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These images and the other files of their shots."""
        known = self._known_shots()
        return tuple(ids) if known is None else known.with_mates(ids)

    def moments(self) -> Moments | None:
        """The frames of videos that an index holds; None if there are none."""
        version = self._reader.version()
        if self._moments is None or self._moments[0] != version:
            self._moments = version, None
            if self._reader.has_moments(self._encoder_id):
                from retrieval.search.moments import Moments

                self._moments = version, Moments(self._reader.moment_ids(self._encoder_id))
        return self._moments[1]

    def _not_hidden(self) -> Selection | None:
        """All pictures but the hidden ones; None if none is hidden."""
        version = self._reader.version()
        if self._shown is None or self._shown[0] != version:
            self._shown = version, None
            if self._reader.has_hidden():
                from retrieval.catalog.selection import select
                from retrieval.filters import Filter

                self._shown = version, select(self._reader, Filter(), self._encoder_id, for_list=True)
        return self._shown[1]

    def _known_shots(self) -> Shots | None:
        version = self._reader.version()
        if self._shots is None or self._shots[0] != version:
            self._shots = version, None
            if self._reader.has_shots():
                from retrieval.search.shots import read_shots

                self._shots = version, read_shots(self._reader)
        return self._shots[1]
