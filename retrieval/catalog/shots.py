"""Shots of several files in one folder: as RAW and as JPEG (or HEIF), and live photos with the video beside them.

They are found when a run ends, and kept in a table, so that a search need not compare names.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.folding import fold
from retrieval.paths import decode_path

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

RawPairs = Literal["both", "jpeg", "raw"]
"""How a list shows a shot in RAW and JPEG: as one hit that names both files, or as only one of the files."""

LivePairs = Literal["both", "still"]
"""How a list shows a live photo: as one hit that names the picture and its video, or the picture only."""

LONGEST_CLIP = 3.5
"""Seconds: cameras record 1.5 s before and after a live photo. Only used where no identifier tells what belongs
together."""

_NEAR = timedelta(seconds=2)
"""Maximum difference between the dates of one shot's files; a counter that repeats a name does so on another day."""

_NEAR_CLIP = timedelta(seconds=LONGEST_CLIP)
"""The same for a picture and its video, whose date may be that of its beginning."""


class Member(NamedTuple):
    """A file of a shot.

    Args:
        image: its id.
        shot: the id of the shot's first RAW, else of its still picture.
        is_raw, is_clip: whether it is a RAW; whether it is the video of a live photo.
    """

    image: int
    shot: int
    is_raw: bool = False
    is_clip: bool = False


class _File(NamedTuple):
    id: int
    folder: int
    name: str
    format: str
    taken: str | None
    instant: int | None
    duration: float | None
    content_id: str | None

    @property
    def stem(self) -> tuple[int, str]:
        """Of its name, without the extension, in its folder."""
        return self.folder, fold(os.path.splitext(self.name)[0])  # noqa: PTH122 - names need not be text


def shots(rows: Rows) -> list[Member]:
    """All files of shots with several, grouped by shot; some may have gone since the last run."""
    sql = "SELECT image_id, shot, is_raw, is_clip FROM shots ORDER BY shot, image_id"
    return [Member(image, shot, bool(raw), bool(clip)) for image, shot, raw, clip in rows.rows(sql)]


def shot_mates(rows: Rows, ids: Sequence[int]) -> dict[int, list[int]]:
    """Id -> the other present files of its shot, for images that have some; a RAW first, a video last."""
    found: dict[int, list[int]] = {}
    for names, values in id_lists(ids):
        sql = f"""SELECT s.image_id, o.image_id FROM shots AS s JOIN shots AS o ON o.shot = s.shot
                  JOIN images AS i ON i.id = o.image_id WHERE s.image_id IN ({names}) AND o.image_id <> s.image_id
                  AND NOT i.is_retired ORDER BY s.image_id, NOT o.is_raw, o.is_clip, o.image_id"""
        for image, other in rows.rows(sql, values):
            found.setdefault(image, []).append(other)
    return found


def raw_images(rows: Rows) -> list[int]:
    """The ids of all RAW files, including those that are gone."""
    return [image for (image,) in rows.rows("SELECT id FROM images WHERE format = 'RAW'")]


def note_shots(transaction: Transaction) -> None:
    """Find the shots of the present pictures again; nothing is written if they are unchanged."""
    found = sorted(_found(transaction))
    if found == sorted(shots(transaction)):
        return
    transaction.run("DELETE FROM shots")
    transaction.run(
        "INSERT INTO shots (image_id, shot, is_raw, is_clip) VALUES (:image, :shot, :is_raw, :is_clip)",
        [member._asdict() for member in found],
    )


def _found(rows: Rows) -> Iterable[Member]:
    sql = """SELECT id, folder_id, name, format, taken_at, taken_instant, duration_s, content_id FROM images
             WHERE NOT is_retired AND (format IN ('RAW', 'JPEG', 'HEIF') OR duration_s IS NOT NULL)
             AND folder_id IN (SELECT folder_id FROM images WHERE format = 'RAW'
                               UNION SELECT folder_id FROM images WHERE duration_s IS NOT NULL) ORDER BY id"""
    files = [_File(row[0], row[1], decode_path(row[2]), *row[3:]) for row in rows.rows(sql)]
    stills: dict[tuple[int, str], list[_File]] = defaultdict(list)
    for file in files:
        if file.duration is None:
            stills[file.stem].append(file)
    found = {member.image: member for member in _in_raw_and_jpeg(stills.values())}
    for still, clip in _live_pairs(files, stills):
        shot = found[still.id].shot if still.id in found else still.id
        found.setdefault(still.id, Member(still.id, shot, still.format == "RAW"))
        found[clip.id] = Member(clip.id, shot, is_clip=True)
    return found.values()


def _in_raw_and_jpeg(named: Iterable[list[_File]]) -> Iterator[Member]:
    """The shots among stills of one name."""
    for files in named:
        raw = next((file for file in files if file.format == "RAW"), None)
        if raw is None:
            continue
        own = [file for file in files if _are_of_one_time(raw.taken, file.taken)]
        if not all(file.format == "RAW" for file in own):
            yield from (Member(file.id, raw.id, file.format == "RAW") for file in own)


def _are_of_one_time(first: str | None, second: str | None) -> bool:
    """By the camera's clock; a picture without a date matches any time."""
    if first is None or second is None:
        return True
    return abs(datetime.fromisoformat(first) - datetime.fromisoformat(second)) <= _NEAR


def _live_pairs(files: Iterable[_File], stills: dict[tuple[int, str], list[_File]]) -> Iterator[tuple[_File, _File]]:
    """(picture, video) of each live photo; a picture has one video, and a video one picture.

    Two identifiers decide, whatever the names are. Where a file has lost its own, name, length and time have to agree,
    all known: of two files shown as one, the video is the one that is no longer seen in lists.
    """
    identified: dict[tuple[int, str], list[_File]] = defaultdict(list)
    for some in stills.values():
        for still in some:
            if still.content_id is not None:
                identified[still.folder, still.content_id].append(still)
    taken: set[int] = set()
    for clip in files:
        if clip.duration is None:
            continue
        mates = [] if clip.content_id is None else identified[clip.folder, clip.content_id]
        mates = mates or [still for still in stills.get(clip.stem, ()) if _looks_live(still, clip)]
        free = [still for still in mates if still.id not in taken]
        if free:
            own = clip.stem
            still = min(free, key=lambda still: (still.stem != own, still.format == "RAW", still.format != "HEIF"))
            taken.add(still.id)
            yield still, clip


def _looks_live(still: _File, clip: _File) -> bool:
    if still.content_id is not None and clip.content_id is not None:
        return False
    if clip.duration is None or clip.duration > LONGEST_CLIP or still.taken is None or clip.taken is None:
        return False
    # Without an offset from UTC in one of the files, either the clocks agree or the moments do.
    clocks = abs(datetime.fromisoformat(still.taken) - datetime.fromisoformat(clip.taken))
    moments = timedelta(microseconds=abs((still.instant or 0) - (clip.instant or 0)))
    return min(clocks, moments) <= _NEAR_CLIP
