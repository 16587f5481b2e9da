"""Copy hits to a folder, or link them there. Nothing is overwritten."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from retrieval.search.engine import Hit

Result = Literal["new", "there", "missing", "failed"]
_MOST_NAMES = 10_000


@dataclass(frozen=True)
class Placed:
    """What became of one hit.

    Attributes:
        path: of the picture.
        result: ``new``; ``there`` already, from an earlier time; ``missing``, on a drive that is not plugged in;
            ``failed``.
        place: the copy or link; None for the last two.
        reason: why it failed.
    """

    path: str
    result: Result
    place: Path | None = None
    reason: str = ""


def place_hits(hits: Sequence[Hit], folder: Path, *, link: bool = False, numbered: bool = False) -> Iterator[Placed]:
    """Copy hits to a folder (made if it is not there), or link to them, one by one.

    A name that is taken gets a number behind it (``dog-2.jpg``), unless what lies there is this very picture. Links are
    symbolic and absolute: they work across drives, show where the picture is, and deleting or saving over one does
    nothing to the picture's other names, as it would with hard links. Copies keep the time of modification.

    Args:
        numbered: the rank goes before the name (``001-dog.jpg``), so that the folder is in the order of the hits.

    Raises:
        SettingsError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        from retrieval.system_errors import not_written

        raise not_written(folder, error, "name another folder") from error
    digits = max(3, len(str(max((hit.rank for hit in hits), default=1))))  # one search after another keeps the order
    for hit in hits:
        if hit.image.on_disk() == "missing":
            yield Placed(hit.image.path, "missing")
            continue
        name = os.path.basename(hit.image.path)
        name = f"{hit.rank:0{digits}}-{name}" if numbered else name
        yield _place(hit.image.path, folder, name, link=link)


def _place(path: str, folder: Path, name: str, *, link: bool) -> Placed:
    for place in _names(folder, name):
        try:
            if link:
                place.symlink_to(path)
            else:
                _copy(path, place)
        except FileExistsError:
            if _is_same(path, place, link=link):
                return Placed(path, "there", place)
        except OSError as error:
            return Placed(path, "failed", None, error.strerror or str(error))
        else:
            return Placed(path, "new", place)
    return Placed(path, "failed", None, f"{_MOST_NAMES} files of this name")


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    stem, dot, suffix = name.rpartition(".")
    for number in count(2):
        if number > _MOST_NAMES:
            return
        yield folder / (f"{stem}-{number}.{suffix}" if dot and stem else f"{name}-{number}")


def _copy(path: str, place: Path) -> None:
    """A copy, all of it or nothing, and never over a file (nor through a link) that is there."""
    with open(path, "rb") as source, place.open("xb") as target:  # noqa: PTH123 - names need not be valid text
        try:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
        except BaseException:
            with suppress(OSError):
                place.unlink()
            raise
    with suppress(OSError):  # a file system without times or permissions
        shutil.copystat(path, place)


def _is_same(path: str, place: Path, *, link: bool) -> bool:
    try:
        if link:
            return place.is_symlink() and os.readlink(place) == path  # noqa: PTH115 - names need not be valid text
        return not place.is_symlink() and filecmp.cmp(path, place, shallow=False)
    except OSError:
        return False
