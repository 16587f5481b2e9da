"""The list of files moved to the trash, written before each move, so that everything can be put back in any case.

The trash is in the gallery: ``trash/<date and time>/`` with the files and ``manifest.jsonl``, one JSON object per line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType

from retrieval.catalog.records import ImageRecord
from retrieval.errors import GalleryError
from retrieval.regular_files import MAX_FILE_BYTES, read_regular, sync_folder

MANIFEST = "manifest.jsonl"
_NAME_BYTES = 200


@dataclass(frozen=True)
class Entry:
    """One file that was, or was about to be, moved.

    Attributes:
        number: from 1, unique in its folder.
        path: its original path.
        name: of the file in the trash's folder.
        image_id: in the catalog.
        content_hash: hexadecimal.
        keeper: the path of the picture that was kept instead.
        keeper_id: of that picture in the catalog; 0 in lists of earlier versions.
        sidecars: names of its sidecar files -> their names in the trash's folder.
    """

    number: int
    path: str
    name: str
    image_id: int
    content_hash: str
    keeper: str
    keeper_id: int = 0
    sidecars: dict[str, str] = field(default_factory=dict)


class TrashFolder:
    """A new folder in the trash, created when the first file is moved into it. Use as a context manager.

    Raises:
        GalleryError: the gallery's folder cannot be written to.
    """

    def __init__(self, gallery: Path) -> None:
        self._trash = gallery / "trash"
        self._path: Path | None = None
        self._manifest: int | None = None
        self._count = 0

    def __enter__(self) -> TrashFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._manifest is not None:
            os.close(self._manifest)

    def plan(self, image: ImageRecord, keeper: ImageRecord, sidecars: Sequence[str]) -> tuple[Entry, Path]:
        """Record on disk that a file and its sidecars (names) will be moved; returns the entry and target folder."""
        try:
            if self._path is None:
                self._path = self._begin()
            self._count += 1
            entry = Entry(
                self._count,
                image.path,
                _fitting(self._count, os.path.basename(image.path)),
                image.id,
                image.content_hash.hex(),
                keeper.path,
                keeper.id,
                {name: _fitting(self._count, name, f" sidecar {at}") for at, name in enumerate(sidecars, 1)},
            )
            assert self._manifest is not None
            os.write(self._manifest, (json.dumps(asdict(entry)) + "\n").encode("ascii"))
            os.fsync(self._manifest)
        except OSError as error:
            raise GalleryError(
                f"cannot write the trash {self._trash}: {error.strerror}", "free some space, or make it writable"
            ) from error
        return entry, self._path

    def _begin(self) -> Path:
        self._trash.mkdir(parents=True, exist_ok=True)
        # The gallery may be inside a folder with pictures; files in the trash must not be indexed again.
        (self._trash / ".photoseekignore").write_text("*\n", encoding="utf-8")
        stamp = datetime.now().strftime("%Y-%m-%d %H.%M.%S")
        attempt = 1
        while True:
            folder = self._trash / (stamp if attempt == 1 else f"{stamp} {attempt}")
            try:
                folder.mkdir()
                break
            except FileExistsError:
                attempt += 1
        self._manifest = os.open(folder / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        sync_folder(str(folder))
        sync_folder(str(self._trash))
        sync_folder(str(self._trash.parent))
        return folder


def trash_folders(gallery: Path) -> list[Path]:
    """The folders in the trash that have a manifest, the newest first."""
    return sorted((path.parent for path in (gallery / "trash").glob(f"*/{MANIFEST}")), reverse=True)


def read_manifest(folder: Path) -> Iterator[Entry]:
    """The entries of a folder in the trash.

    An incomplete last line is ignored: its file had not been moved yet.

    Raises:
        GalleryError: the manifest cannot be read, or has unexpected content.
    """
    try:
        lines = read_regular(folder / MANIFEST, MAX_FILE_BYTES).split(b"\n")
    except OSError as error:
        raise _unreadable(folder, str(error.strerror)) from error
    for line in lines[:-1]:
        try:
            entry = Entry(**json.loads(line))
            plain = Path(entry.path).is_absolute() and all(
                map(_is_plain, (entry.name, *entry.sidecars, *entry.sidecars.values()))
            )
            bytes.fromhex(entry.content_hash)
            int(entry.image_id), int(entry.keeper_id)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(folder, "a line is damaged") from error
        if not plain:
            raise _unreadable(folder, "a line is damaged")
        yield entry


def _unreadable(folder: Path, reason: str) -> GalleryError:
    return GalleryError(
        f"cannot read {folder / MANIFEST}: {reason}", "the files beside it are whole; move them back by hand"
    )


def _fitting(number: int, name: str, part: str = "") -> str:
    """The file's name prefixed with its number, shortened if it is too long for a file system."""
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = Path(name).suffix[:20]
    return f"{number:06d}{part} {name}"


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and os.path.basename(name) == name not in (MANIFEST, "", ".", "..")
