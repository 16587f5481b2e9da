"""Locations of training pictures: files or members of a tar; and the tars themselves (webdataset's layout)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import QueryError
from retrieval.pictures.formats import IMAGE_EXTENSIONS
from retrieval.regular_files import open_regular, read_regular

MAX_PICTURE_BYTES = 1 << 28
MAX_TEXT_BYTES = 1 << 18
_MAX_WAITING = 256  # members of one picture are adjacent; a tar where they are not must not fill the memory
_CAPTION_KEYS = ("caption", "captions", "text", "txt")
_HINT = "give a plain .tar with KEY.jpg and KEY.txt (or KEY.json with a caption) for each picture"


@dataclass(frozen=True)
class Source:
    """A picture's bytes: a file, or ``size`` bytes from ``offset`` of one."""

    path: Path
    offset: int | None = None
    size: int = 0

    @property
    def name(self) -> str:
        """A name for messages."""
        return str(self.path) if self.offset is None else f"{self.path} at {self.offset:,}"

    def read(self) -> bytes:
        """The bytes; raises OSError if they cannot be read, or exceed the limit for pictures."""
        if self.offset is not None:
            with open_regular(self.path) as file:
                file.seek(self.offset)
                data = file.read(self.size)
            if len(data) != self.size:
                raise OSError(0, "the tar is cut short")
            return data
        return read_regular(self.path, MAX_PICTURE_BYTES)


def read_tar(path: Path) -> Iterator[tuple[Source, list[str]]]:
    """Pictures with their captions, in the order of the tar, which is read once from front to end.

    Members whose names are equal up to the first dot belong together (``000/17.jpg``, ``000/17.txt``). Nothing is
    written to disk and no member's name is used as a path: later, a picture is read from its position in the tar.
    Pictures without a caption, captions without a picture, links, and members that are too large are skipped.

    Raises:
        QueryError: not a plain tar, or truncated.
    """
    waiting: dict[str, tuple[Source | None, list[str]]] = {}
    try:
        with open_regular(path) as whole, tarfile.open(fileobj=whole, mode="r|") as tar:
            for member in tar:
                if not member.isreg() or member.issparse():
                    continue
                key, _, kind = _split(member.name)
                picture, captions = waiting.get(key, (None, []))
                if f".{kind}" in IMAGE_EXTENSIONS and 0 < member.size <= MAX_PICTURE_BYTES:
                    picture = Source(path, member.offset_data, member.size)
                elif kind in ("txt", "json") and member.size <= MAX_TEXT_BYTES:
                    file = tar.extractfile(member)
                    captions = captions + _captions(file.read() if file else b"", kind)
                else:
                    continue
                if picture is not None and captions:
                    waiting.pop(key, None)
                    yield picture, captions
                else:
                    waiting[key] = picture, captions
                    if len(waiting) > _MAX_WAITING:
                        del waiting[next(iter(waiting))]
    except (OSError, tarfile.TarError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise QueryError(f"{path} cannot be read as a tar: {reason}", _HINT) from error


def _split(name: str) -> tuple[str, str, str]:
    """webdataset's key and extension: the folder is part of the key, and the extension begins at the first dot."""
    folder, slash, file = name.rpartition("/")
    stem, dot, kind = file.partition(".")
    return f"{folder}{slash}{stem}", dot, kind.lower()


def _captions(raw: bytes, kind: str) -> list[str]:
    try:
        text = raw.decode("utf-8-sig")
        body = json.loads(text) if kind == "json" else text
    except (ValueError, RecursionError):
        return []
    if isinstance(body, dict):
        body = next((body[key] for key in _CAPTION_KEYS if key in body), [])
    found = body if isinstance(body, list) else [body]
    return [" ".join(each.split()) for each in found if isinstance(each, str) and each.strip()]
