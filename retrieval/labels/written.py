"""Dates and places from XMP, for pictures without their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from retrieval.catalog.batch import Metadata
from retrieval.catalog.records import instant
from retrieval.labels.embedded import read_inside
from retrieval.labels.pairing import FolderOutOfReach, Sidecars
from retrieval.labels.xmp import UnreadableXmp, Xmp
from retrieval.sources.reading import source_of

_OURS = ("sidecar", "xmp", "gps")  # a GPS fix may be hours old: a written date takes precedence

_DATE = ("taken_at", "taken_offset_minutes", "taken_instant", "taken_precision", "taken_source")
_PLACE = ("latitude", "longitude", "place_source")


def with_date(known: tuple[Any, ...], said: Xmp, source: str) -> tuple[Any, ...]:
    """(taken_at, offset, instant, precision, source) completed from XMP; the picture's own date is never changed."""
    if known[0] is not None and known[4] not in _OURS:
        return known
    if said.taken is None:
        return (None,) * 5 if known[4] == source == "sidecar" else known
    text = said.taken.at.isoformat(timespec="seconds")
    offset = said.taken.offset_minutes
    return text, offset, instant(text, offset, said.taken.microsecond), said.taken.precision, source


def with_place(known: tuple[Any, ...], said: Xmp, source: str) -> tuple[Any, ...]:
    """(latitude, longitude, source) likewise."""
    if known[0] is not None and known[2] not in _OURS:
        return known
    if said.place is None:
        return (None,) * 3 if known[2] == source == "sidecar" else known
    return (*said.place, source)


def completed(metadata: Metadata, path: str, data: bytes, sidecars: Sidecars) -> Metadata:
    """A picture's metadata, completed with date and place from a sidecar, else from XMP in the file; never raises.

    Args:
        path: the picture's path, to find its sidecar.
        data: the whole file.
    """
    metadata = _without_sidecar(metadata)
    needs_date = metadata.taken_at is None or metadata.taken_source in _OURS
    if not needs_date and metadata.latitude is not None:
        return metadata
    said, source = Xmp(), "xmp"
    try:
        found = sidecars.find(path) if source_of(path) is None else None
        said, source = (read_inside(data), "xmp") if found is None else (found[1], "sidecar")
    except (UnreadableXmp, FolderOutOfReach, OSError):  # reported by `label --import-xmp`
        return metadata
    date = with_date(tuple(getattr(metadata, name) for name in _DATE), said, source)
    place = with_place(tuple(getattr(metadata, name) for name in _PLACE), said, source)
    values: dict[str, Any] = dict(zip((*_DATE, *_PLACE), (*date, *place), strict=True))
    return replace(metadata, **values)


def _without_sidecar(metadata: Metadata) -> Metadata:
    """Without what was copied from another file's sidecar: it does not apply to this file."""
    for source, names in (("taken_source", _DATE), ("place_source", _PLACE)):
        if getattr(metadata, source) == "sidecar":
            nothing: dict[str, Any] = dict.fromkeys(names)
            metadata = replace(metadata, **nothing)
    return metadata
