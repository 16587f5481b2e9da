"""The XMP sidecars that belong to one picture and so go where it goes."""

from __future__ import annotations

import os


def sidecars_of(path: str) -> list[str]:
    """Names of the sidecars beside a picture that are its own: ``a.jpg.xmp``, and ``a.xmp`` unless it is shared.

    ``a.xmp`` belongs to whatever is called ``a``: while another file of that name lies there (a RAW), it stays.
    """
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0].casefold()  # noqa: PTH122 - names need not be text
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    own = []
    for other in names:
        root, extension = os.path.splitext(other)  # noqa: PTH122
        if extension.casefold() != ".xmp" or not os.path.isfile(os.path.join(folder, other)):  # noqa: PTH113
            continue
        if root.casefold() == name.casefold() or (root.casefold() == stem and not _is_shared(names, name, stem)):
            own.append(other)
    return own


def _is_shared(names: list[str], name: str, stem: str) -> bool:
    for other in names:
        root, extension = os.path.splitext(other)  # noqa: PTH122
        if other != name and root.casefold() == stem and extension.casefold() != ".xmp":
            return True
    return False
