"""Validate settings files against the table: unknown names are reported, invalid values refused."""

from __future__ import annotations

import logging

from retrieval.config import process
from retrieval.config.files import parsed
from retrieval.config.table import BY_NAME, SETTINGS, Setting
from retrieval.errors import SettingsError

logger = logging.getLogger("photoseek")

_MEND = ("mend it: photoseek config edit", "mend it: photoseek config edit --in-gallery")
_MOST_TOLD = 10


def check() -> None:
    """Apply the values of the settings files of this process; those of a later file replace those of an earlier
    one.

    Unknown names, and those that a gallery's file may not set, are logged and ignored.

    Raises:
        SettingsError: a file is not TOML, or a value is invalid for its setting; names file and line.
    """
    for source in process.sources():
        scope, path, data = source
        for name, value in values_in(data, path, in_gallery=scope == process.GALLERY).items():
            process.hold(name, value, source)


def values_in(data: bytes, path: str, *, in_gallery: bool) -> dict[str, object]:
    """The values of a file with their types; raises and logs like :func:`check`."""
    try:
        raw = parsed(data)
    except ValueError as error:
        raise SettingsError(_not_toml(path, error), _MEND[in_gallery]) from error
    found: dict[str, object] = {}
    ignored = 0
    for name, value in raw.items():
        row = BY_NAME.get(name)
        if row is None or (in_gallery and not row.in_gallery):
            ignored += 1
            if ignored <= _MOST_TOLD:
                logger.warning("%s: %s", _place(path, data, name), _not_here(name, row))
            continue
        try:
            found[name] = row.kind.from_toml(value)
        except ValueError as error:
            where = _place(path, data, name)
            raise SettingsError(f"{where}: {name} has a value that it cannot have", f"use {error}") from error
    if ignored > _MOST_TOLD:
        logger.warning("%s: %d more names are ignored", path, ignored - _MOST_TOLD)
    return found


def row_of(name: str) -> Setting:
    """The row of a setting named by the user.

    Raises:
        SettingsError: there is none; the hint has the nearest names.
    """
    row = BY_NAME.get(name) or BY_NAME.get(name.strip().casefold().replace("_", "-"))
    if row is None:
        near = _nearest(name)
        hint = f"did you mean {near}?" if near else "list them: photoseek config"
        raise SettingsError(f"there is no setting {name[:60]!r}", hint)
    return row


def _not_here(name: str, row: Setting | None) -> str:
    if row is not None:
        return f"{name} may only be set in your own file; ignored"
    near = _nearest(name)
    return f"there is no setting {name[:60]}; ignored" + (f" (did you mean {near}?)" if near else "")


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, BY_NAME, 2)
    near += [row.name for row in SETTINGS if row.name.endswith(f".{name.rpartition('.')[2]}") and row.name not in near]
    return " or ".join(near[:2])


def _not_toml(path: str, error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"{path} is not text in UTF-8"
    said, at, place = str(error).rpartition(" (at line ")
    if not at:
        return f"{path} is not TOML: {error}"
    return f"{path}, line {place.partition(',')[0]}: not TOML: {said}"


def _place(path: str, data: bytes, name: str) -> str:
    from retrieval.config.lines import entries

    try:
        entry = entries(data.decode("utf-8-sig")).get(name)
    except UnicodeDecodeError:
        entry = None
    return path if entry is None else f"{path}, line {entry.first + 1}"
