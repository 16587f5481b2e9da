"""Secrets of servers: from the environment or a file that only its owner can read; never in a catalog or a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from indexes.errors import IndexUnreachable

_SIZE_LIMIT = 4096


def secret(variable: str) -> str:
    """The value of an environment variable, or the content of the file named by ``{variable}_FILE``; "" for neither.

    Raises:
        IndexUnreachable: the file cannot be read, or others can read it.
    """
    given = os.environ.get(variable, "")
    name = os.environ.get(f"{variable}_FILE", "")
    if given or not name:
        return given
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if os.name != "nt" and (not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077):
                raise IndexUnreachable(f"others can read {path}, which holds a secret", f"run: chmod 600 {path}")
            text = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise IndexUnreachable(
            f"{path}, named by {variable}_FILE, cannot be read ({error.strerror})", "check its name and permissions"
        ) from error
    if len(text) > _SIZE_LIMIT or not text.strip():
        raise IndexUnreachable(f"{path}, named by {variable}_FILE, holds no token", "write it into the first line")
    return text.decode("utf-8", "replace").split("\n", 1)[0].strip()
