"""Rules for the value of every flag and argument: ``~`` is the home folder, and an empty value is refused."""

from __future__ import annotations

import os
from copy import copy
from typing import Any

from retrieval.errors import SettingsError
from retrieval.filters.conditions import fields

_PATHS = ("path", "file", "directory")
_TEXTS = ("text", "str")  # the names that click and typer use
_FOLDERS = [name for name, condition in fields() if condition.kind == "folder"]
"""Texts that name a folder."""


def with_rules(command: Any) -> Any:
    """Make a command, or each of a group, apply the rules to its values. For any version of click, hence no types."""
    for inner in getattr(command, "commands", {}).values():
        with_rules(inner)
    for param in command.params:
        kind = getattr(param.type, "name", "")
        if kind in _PATHS or kind in _TEXTS:
            param.type = _ruled(param.type, is_path=kind in _PATHS or param.name in _FOLDERS)
    return command


def _ruled(kind: Any, *, is_path: bool) -> Any:
    ruled, convert = copy(kind), kind.convert

    def checked(value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, str) and _was_typed(param, ctx):
            if not value.strip():
                raise SettingsError(f"{_name_of(param)} is empty", "give a value, or omit it")
            if is_path:
                value = expanded(value)
        return convert(value, param, ctx)

    ruled.convert = checked
    return ruled


def expanded(path: str) -> str:
    """A path with ``~`` and ``~somebody`` at its beginning replaced.

    Raises:
        SettingsError: there is no such user.
    """
    found = os.path.expanduser(path)  # noqa: PTH111 - pathlib's raises where there is no such user
    if found.startswith("~"):
        user = path.partition("/")[0]
        raise SettingsError(f"there is no user {user}", f"write ./{path} for a file with this name")
    return found


def _was_typed(param: Any, ctx: Any) -> bool:
    """False for a default, which takes the same path."""
    source = None if ctx is None or param is None else ctx.get_parameter_source(param.name)
    return source is not None and source.name == "COMMANDLINE"


def _name_of(param: Any) -> str:
    long = max(param.opts, key=len, default="")
    return str(long if long.startswith("-") else param.metavar or param.name).rstrip(".")
