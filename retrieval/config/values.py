"""Values of settings with their types, the defaults of flags, and the source of each."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from retrieval.config import process
from retrieval.config.kinds import OnOff
from retrieval.config.table import BY_NAME, SETTINGS, Setting
from retrieval.errors import SettingsError


def setting(name: str) -> Any:
    """A setting's value with its type: from the environment, the gallery's file, the user's file, or its default.

    Raises:
        SettingsError: its variable has an invalid value; or see ``checking.check``.
    """
    row = BY_NAME[name]
    given = os.environ.get(row.environment)
    if not given:
        found = process.lookup(name, row.environment)
        return row.default if found is None else found
    try:
        value = row.kind.from_text(given)
    except ValueError as error:
        raise SettingsError(f"{row.environment} is {given[:40]!r}", f"use {error}, or unset it") from error
    return not value if isinstance(row.kind, OnOff) and row.kind.says_no else value


def flag_defaults() -> dict[str, Any]:
    """Defaults of flags that are set somewhere, by command and parameter, in click's format.

    Raises:
        SettingsError: like :func:`setting`.
    """
    found: dict[str, Any] = {}
    for row in SETTINGS:
        if row.flags and process.lookup(row.name, row.environment) is not None:
            value = setting(row.name)
            for flag in row.flags:
                *commands, parameter = flag.split(".")
                inner = found
                for command in commands:
                    inner = inner.setdefault(command, {})
                inner[parameter] = value
    return found


class Origin(NamedTuple):
    """A setting with its value and source: a variable, a file, or nothing (the default)."""

    row: Setting
    value: object
    source: str


def origins() -> list[Origin]:
    """Every setting, in the order of the table; raises like :func:`setting`."""
    found = []
    for row in SETTINGS:
        file = process.origin(row.name)
        source = f"${row.environment}" if os.environ.get(row.environment) else "default" if file is None else file[1]
        found.append(Origin(row, setting(row.name), source))
    return found
