"""Addresses of object stores as paths of a catalog: ``s3://bucket/prefix`` is a folder, as ``/home/me`` is one.

They cannot be mistaken for each other: every path of a plain file is absolute, so that it begins with a slash or a
drive's letter. A folder that is called ``s3:`` is stored as ``/where/it/lies/s3:``, and is named so on a command line.
"""

from __future__ import annotations

import re

from retrieval.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
"""Scheme -> the package that reads such a store."""

# A pathlib.Path drops one of the two slashes.
_GIVEN = re.compile(r"(s3|gs|az):/{1,2}(?!/)([^/]*)(/.*)?", re.DOTALL)
_PLACE = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}")


def spelled(given: str | Path) -> str:
    """A path or address as a person named it, as a catalog has it if it is an address; a path as it is.

    Raises:
        SettingsError: an address with something that may be a key, which is not repeated; or without a bucket.
    """
    text = given if isinstance(given, str) else str(given) if given.is_absolute() else given.as_posix()
    found = _GIVEN.fullmatch(text)
    if found is None:
        return text
    scheme, place, rest = found[1], found[2], found[3] or ""
    if "@" in place or ":" in place:
        raise SettingsError(
            f"an address of {scheme}:// must not hold a name, a key or a port",
            f"leave them out: {PACKAGES[scheme]} finds keys and endpoints in its usual files and variables",
        )
    if not _PLACE.fullmatch(place):
        raise SettingsError(f"{scheme}:// is not followed by a bucket", f"write {scheme}://bucket/prefix")
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise SettingsError("an address cannot have parts that are dots", f"write {scheme}://bucket/prefix")
    return "/".join([f"{scheme}://{place}", *parts])


def scheme_of(path: str) -> str:
    """``s3``, ``gs`` or ``az``."""
    return path[:2]


def without_scheme(path: str) -> str:
    """The bucket and the key, as the packages want them."""
    return path[5:]
