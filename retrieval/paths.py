"""File names in a catalog, byte for byte; the default gallery folder; the path of our command line."""

from __future__ import annotations

import os

from retrieval.config import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

GALLERY_VARIABLE = "PHOTOSEEK_GALLERY"
DAEMON_VARIABLE = "PHOTOSEEK_DAEMON"

CLI = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli.py")
"""The file to run in a separate process of photoseek."""


def default_gallery_path() -> str:
    """``$PHOTOSEEK_GALLERY``, else the user's setting, else ``gallery`` in the user's data folder."""
    named = os.environ.get(GALLERY_VARIABLE) or process.of_user("gallery")
    if isinstance(named, str) and named:
        return os.path.expanduser(named)  # noqa: PTH111 - pathlib would cost a client of the daemon 5 ms
    from platformdirs import user_data_dir

    return os.path.join(user_data_dir("photoseek"), "gallery")


def parse_picture(text: str) -> Path | int:
    """Parse a picture on this machine: a path, or ``id:12`` for an image in the gallery."""
    import re
    from pathlib import Path

    match = re.fullmatch(r"id:(\d{1,18})", text)
    # Not Path.expanduser, which raises for ~NAME if there is no such user.
    return int(match[1]) if match else Path(os.path.expanduser(text))  # noqa: PTH111


HEX_MARK = "\U0010ffff"
"""What a path begins with that a server keeps as hexadecimal digits. No character has this code; it is the last one,
so that such paths come after all others, as they do in SQLite."""


class PathBytes(bytes):
    """The bytes of a path that is not valid UTF-8: SQLite stores them as they are, a server as marked text."""

    def marked(self) -> str:
        """As a server stores them, whose texts are always valid."""
        return HEX_MARK + self.hex()


def encode_path(path: str) -> str | PathBytes:
    """A value that a catalog can store: the text itself, or its bytes if it is not valid UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return PathBytes(os.fsencode(path))
    return path if path[:1] != HEX_MARK else PathBytes(path.encode())


def decode_path(stored: str | bytes) -> str:
    """The inverse of :func:`encode_path`."""
    if isinstance(stored, str):
        return stored if stored[:1] != HEX_MARK else os.fsdecode(bytes.fromhex(stored[1:]))
    return os.fsdecode(stored)


def lenient_text(data: bytes) -> str:
    """Decode a text column even if damage made it invalid UTF-8, so that one row does not make all unreadable."""
    return data.decode("utf-8", "surrogateescape")


def as_text(path: str) -> str:
    """A path for JSON: invalid UTF-8 in it is replaced by U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


_STORES = ("s3://", "gs://", "az://")


def is_remote(path: str) -> bool:
    """Whether a catalog's path is the address of an object store; see ``sources/addresses.py``."""
    return path[:5] in _STORES


def may_be_elsewhere(path: str) -> bool:
    """True for every picture's path that may be none of a plain file; ``sources/reading.py`` knows more."""
    return is_remote(path) or ".tar/" in (folded := path.lower()) or ".parquet/" in folded


def is_below(path: str, folder: str) -> bool:
    """True if ``path`` is ``folder`` or inside it, at any depth; both absolute and normalised."""
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)
