"""Which XMP file belongs to which picture of a folder."""

from __future__ import annotations

import os

from retrieval.folding import fold
from retrieval.labels.xmp import Xmp, read_sidecar
from retrieval.pictures.formats import RAW_EXTENSIONS

_ALIKE = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".heif": ".heic", ".hif": ".heic"}


BACKUP = ".orig"
"""Appended to the name of another program's sidecar: the copy from before photoseek first wrote into it."""


class FolderOutOfReach(Exception):
    """A folder cannot be listed; the argument is the folder."""


class Sidecars:
    """The sidecars of pictures; each folder is listed once and the last one cached, as pictures mostly come by folder.

    ``photo.jpg.xmp`` is the picture's own. ``photo.xmp`` may belong to a raw file of that name: it is not the
    picture's if it says so (photoshop:SidecarForExtension, crs:RawFileName), or says nothing and there is such a file.
    In these cases it is the raw file's.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._names: dict[str, str] | OSError = {}
        self._raw: frozenset[str] = frozenset()
        self.asked: str | None = None  # the last sidecar that was opened, for error messages

    def find(self, picture: str) -> tuple[str, Xmp] | None:
        """The path of a picture's sidecar and its contents; None if there is none.

        Raises:
            FolderOutOfReach: the folder cannot be listed, so whether there are sidecars is unknown.
            UnreadableXmp: see ``xmp.parse_xmp``; :attr:`asked` names the sidecar.
            OSError: the sidecar cannot be read.
        """
        self.asked = None
        folder, name = os.path.split(picture)
        if folder != self._path:
            self._list(folder)
        if isinstance(self._names, OSError):
            raise FolderOutOfReach(folder) from self._names
        stem, extension = os.path.splitext(name)  # noqa: PTH122 - names need not be text
        own = self._names.get(fold(f"{name}.xmp"))
        path = own or self._names.get(fold(f"{stem}.xmp"))
        if path is None:
            return None
        self.asked = path = os.path.join(folder, path)
        said = read_sidecar(path)
        if own is None and not self._is_of(said, stem, extension):
            self.asked = None
            return None
        return path, said

    def forget(self, folder: str) -> None:
        """Forget a folder's listing after a sidecar was made or removed: it is listed again."""
        if folder == self._path:
            self._path = None

    def _is_of(self, said: Xmp, stem: str, extension: str) -> bool:
        if said.belongs_to is not None:
            return _plain(said.belongs_to) == _plain(extension)
        return extension.lower() in RAW_EXTENSIONS or fold(stem) not in self._raw

    def _list(self, folder: str) -> None:
        self._path, raw = folder, set()
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            self._names = error
            return
        for name in names:
            stem, extension = os.path.splitext(name)  # noqa: PTH122 - names need not be text
            if extension.lower() in RAW_EXTENSIONS:
                raw.add(fold(stem))
        self._names = {fold(name): name for name in names if name[-4:].lower() == ".xmp"}
        self._raw = frozenset(raw)


def _plain(extension: str) -> str:
    folded = "." + fold(extension).lstrip(".")
    return _ALIKE.get(folded, folded)
