"""Single pictures: what is known of them, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from retrieval.web.client.connection import Connection
from retrieval.web.pictures.models import ImageDetails

Size = Literal[240, 480, 1024]


class Pictures(Connection):
    """Methods on single pictures."""

    def image(self, id: int) -> ImageDetails:
        """Everything that the gallery holds about a picture."""
        return self._read(ImageDetails, "GET", f"/images/{int(id)}")

    def thumbnail(self, id: int, size: Size = 240) -> bytes:
        """A WebP of at most ``size`` pixels a side, upright and without metadata.

        Raises:
            RequestRefused: 404 if the file is gone, 410 if it changed since it was indexed.
        """
        return self._answer("GET", f"/images/{int(id)}/thumbnail", params={"size": size}).content

    def original(self, id: int) -> bytes:
        """The file itself; raises as :meth:`thumbnail`. It is held in memory, unlike with :meth:`save`."""
        return self._answer("GET", f"/images/{int(id)}/file").content

    def save(self, id: int, to: str | Path) -> Path:
        """Write the file itself to a new file, or under its own name into a folder; nothing is overwritten.

        Raises:
            FileExistsError: the file exists already.
        """
        return self._saved(to, str(id), "GET", f"/images/{int(id)}/file")

    def view(self, id: int) -> bytes:
        """A WebP of at most 2048 pixels a side, as :meth:`thumbnail`: for originals that browsers do not draw."""
        return self._answer("GET", f"/images/{int(id)}/view").content

    def motion(self, id: int) -> bytes:
        """The short video of a motion photo or a live photo.

        Raises:
            RequestRefused: 404 if the picture has none, 410 if the file changed since it was indexed.
        """
        return self._answer("GET", f"/images/{int(id)}/motion").content

    def download(self, ids: Sequence[int], to: str | Path) -> Path:
        """Write the originals into one new ZIP, or into ``photoseek.zip`` in a folder; nothing is overwritten. What is
        gone or changed since it was indexed is named in ``left-out.txt`` in it.

        Args:
            ids: of at most 500 pictures.

        Raises:
            FileExistsError: the file exists already.
            RequestRefused: 413, they are too large for one archive.
        """
        return self._saved(to, "photoseek.zip", "POST", "/download", json={"ids": [int(one) for one in ids]})
