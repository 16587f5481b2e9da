"""The metadata that the catalog stores for a decoded picture or video."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retrieval.catalog.batch import Metadata
from retrieval.catalog.records import instant
from retrieval.pictures.exif import Exif
from retrieval.pictures.images import Picture, is_page, read_exif_of
from retrieval.pictures.motion import find_motion

if TYPE_CHECKING:
    from retrieval.pictures.video import Video


def metadata_of(picture: Picture, data: bytes) -> Metadata:
    """The metadata of a decoded picture.

    Args:
        data: the whole file.
    """
    return replace(
        _of_exif(picture.format, picture.width, picture.height, picture.exif),
        phash=picture.phash,
        colour=picture.colour,
        is_page=picture.is_page,
        **_motion(data, picture.format),
    )


def metadata_of_video(video: Video) -> Metadata:
    """The metadata of a video. It has no hash for finding copies of pictures: a frame is not a copy of the video."""
    return replace(
        _of_exif(video.format, video.width, video.height, video.exif),
        colour=video.colour,
        duration_s=video.duration,
        still_s=video.times[video.still],
    )


def _of_exif(form: str, width: int, height: int, exif: Exif) -> Metadata:
    return Metadata(
        format=form,
        width=width,
        height=height,
        taken_at=None if exif.taken_at is None else exif.taken_at.isoformat(timespec="seconds"),
        taken_offset_minutes=exif.offset_minutes,
        taken_instant=_instant(exif),
        taken_precision=exif.precision,
        taken_source=exif.taken_source,
        camera=exif.camera,
        lens=exif.lens,
        latitude=exif.latitude,
        longitude=exif.longitude,
        content_id=exif.content_id,
        **_settings(exif),
    )


_APPLE = "Apple"
_SETTINGS = ("iso", "aperture", "exposure", "focal_length")


def _settings(exif: Exif) -> dict[str, Any]:
    return {name: getattr(exif, name) for name in _SETTINGS}


def with_later(metadata: Metadata, data: bytes) -> Metadata:
    """The metadata of a known picture, with what was not yet read when the picture was indexed: the camera's settings,
    what tells that a video belongs to it, and whether it is a page, for which it is decoded.

    Args:
        data: the whole file.
    """
    metadata = replace(metadata, **_motion(data, metadata.format))
    if metadata.is_page is None:
        metadata = replace(metadata, is_page=is_page(data))
    may_be_live = metadata.content_id is None and (metadata.camera or "").startswith(_APPLE)
    if any(getattr(metadata, name) is not None for name in _SETTINGS) and not may_be_live:
        return metadata
    exif = read_exif_of(data)
    return replace(metadata, content_id=exif.content_id, **_settings(exif))


def _motion(data: bytes, form: str) -> dict[str, Any]:
    found = find_motion(data, form)
    return {} if found is None else {"motion_offset": found.offset, "motion_bytes": found.length}


def _instant(exif: Exif) -> int | None:
    if exif.taken_at is None:
        return None
    return instant(exif.taken_at.isoformat(timespec="seconds"), exif.offset_minutes, exif.microsecond)
