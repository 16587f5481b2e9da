"""Copy hits to a folder, link to them, or write smaller versions there. Nothing is overwritten."""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from retrieval.errors import UnreadableImage
from retrieval.regular_files import digest_of
from retrieval.sources.reading import source_of

if TYPE_CHECKING:
    from retrieval.catalog.records import ImageRecord
    from retrieval.rendering.resized import Resize
    from retrieval.search.hits import Hit

Result = Literal["new", "there", "missing", "failed"]
_MOST_NAMES = 10_000


@dataclass(frozen=True)
class Placed:
    """The result for one hit.

    Attributes:
        path: of the picture.
        result: ``new``; ``there``, from an earlier call; ``missing``, on a drive that is not plugged in;
            ``failed``.
        place: the copy, link or smaller picture; None for the last two.
        reason: why it failed.
        image_id: of the picture.
    """

    path: str
    result: Result
    place: Path | None = None
    reason: str = ""
    image_id: int = 0


def place_hits(
    hits: Sequence[Hit],
    folder: Path,
    *,
    link: bool = False,
    numbered: bool = False,
    resize: Resize | None = None,
    dry_run: bool = False,
) -> Iterator[Placed]:
    """Copy hits to a folder (created if necessary), link to them, or write smaller versions, one by one.

    If a name is taken, a number is appended (``dog-2.jpg``), unless the existing file is this very picture, so that
    the same call continues after an earlier one was interrupted. Links are symbolic and absolute: they work across
    drives, show where the picture is, and deleting or overwriting one does not affect the picture's other names, which
    it would with hard links. Copies keep the modification time. A file appears only when it is complete.

    Args:
        numbered: put the rank before the name (``001-dog.jpg``), so that the folder is in the order of the hits.
        resize: write smaller versions instead of copies; of a shot in several files, only of the hit itself.
        dry_run: report what would be done, and do nothing.

    Raises:
        SettingsError: the folder cannot be created.
    """
    if not dry_run:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            from retrieval.system_errors import not_written

            raise not_written(folder, error, "name another folder") from error
    digits = max(3, len(str(max((hit.rank for hit in hits), default=1))))  # at least 3, to keep the order across calls
    planned: set[Path] | None = set() if dry_run else None
    for rank, image in ((hit.rank, image) for hit in hits for image in (hit.image, *(() if resize else hit.mates))):
        if image.on_disk() == "missing":
            yield Placed(image.path, "missing", image_id=image.id)
            continue
        name = os.path.basename(image.path)
        if resize is not None:
            name = f"{name.rpartition('.')[0] or name}.jpg"
        name = f"{rank:0{digits}}-{name}" if numbered else name
        yield _place(image, folder, name, _way(image, link=link, resize=resize), planned)


class _Way:
    """How a file is placed: ``make`` raises FileExistsError if the place is taken."""

    def __init__(self, make: Callable[[Path], None], is_same: Callable[[Path], bool]) -> None:
        self.make, self.is_same = make, is_same


def _way(image: ImageRecord, *, link: bool, resize: Resize | None) -> _Way:
    is_inside = source_of(image.path) is not None
    if resize is not None:
        return _Way(
            lambda place: _put(place, lambda file: file.write(resize.jpeg(image))),
            lambda place: resize.is_made_of(image, place),
        )
    if link and not is_inside:
        return _Way(
            lambda place: place.symlink_to(image.path),
            lambda place: place.is_symlink() and os.readlink(place) == image.path,  # noqa: PTH115 - may be no text
        )
    return _Way(
        lambda place: _copy_out(image, place, link=link) if is_inside else _copy(image.path, place),
        lambda place: not place.is_symlink() and _is_copy(image, place),
    )


def _place(image: ImageRecord, folder: Path, name: str, way: _Way, planned: set[Path] | None) -> Placed:
    """Args: ``planned``: the places that are already taken, in a dry run."""
    for place in _names(folder, name):
        try:
            if os.path.lexists(place):
                if way.is_same(place):
                    return Placed(image.path, "there", place, image_id=image.id)
            elif planned is None:
                way.make(place)
                return Placed(image.path, "new", place, image_id=image.id)
            elif place not in planned:
                planned.add(place)
                return Placed(image.path, "new", place, image_id=image.id)
        except FileExistsError:  # another process was faster
            continue
        except UnreadableImage as error:
            return Placed(image.path, "failed", None, error.message, image.id)
        except OSError as error:
            return Placed(image.path, "failed", None, error.strerror or str(error), image.id)
    return Placed(image.path, "failed", None, f"{_MOST_NAMES} files of this name", image.id)


def _names(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    stem, dot, suffix = name.rpartition(".")
    for number in count(2):
        if number > _MOST_NAMES:
            return
        yield folder / (f"{stem}-{number}.{suffix}" if dot and stem else f"{name}-{number}")


def _is_copy(image: ImageRecord, place: Path) -> bool:
    if source_of(image.path) is None:
        return filecmp.cmp(image.path, place, shallow=False)
    with place.open("rb") as file:
        return os.fstat(file.fileno()).st_size == image.size and digest_of(file) == image.content_hash


def _copy_out(image: ImageRecord, place: Path, *, link: bool) -> None:
    """A copy of what is no file of its own."""
    if link:
        raise OSError(errno.EINVAL, "it is no file of its own, to which a link could lead: export copies instead")
    with image.open() as source:
        _put(place, lambda file: shutil.copyfileobj(source, file, 1 << 20))


def _copy(path: str, place: Path) -> None:
    with open(path, "rb") as source:  # noqa: PTH123 - names need not be valid text
        _put(place, lambda file: shutil.copyfileobj(source, file, 1 << 20), like=path)


def _put(place: Path, write: Callable[[BinaryIO], object], like: str | None = None) -> None:
    """Write a file completely or not at all, and never over an existing file (nor through an existing link).

    Args:
        like: a file whose times and permissions are copied.
    """
    part = place.parent / f".photoseek-{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            write(file)
        if like is not None:
            with suppress(OSError):  # a file system without times or permissions
                shutil.copystat(like, part)
        try:
            os.link(part, place)
        except FileExistsError:
            raise
        except OSError as error:  # a file system without hard links
            if os.path.lexists(place):
                raise FileExistsError from error
            part.rename(place)
    finally:
        with suppress(OSError):
            part.unlink()
