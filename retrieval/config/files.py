"""The settings files: their paths, and their values, with names like ``serve.port``.

Every command reads them, and most users have none: nothing is imported unless there is one. The common
lines are parsed here, because importing ``tomllib`` takes 3 to 7 ms; it parses anything else.
"""

from __future__ import annotations

import os
import sys

CONFIG_VARIABLE = "PHOTOSEEK_CONFIG"
NAME = "config.toml"
MOST_BYTES = 64 << 10
"""Maximal size of a settings file."""

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_MOST_DIGITS = 15


def user_file() -> str:
    """``$PHOTOSEEK_CONFIG``, else ``config.toml`` in the user's configuration folder; it need not exist."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return os.path.expanduser(named)  # noqa: PTH111 - pathlib would cost a client of the daemon 5 ms
    if sys.platform.startswith("linux"):  # as in platformdirs, without importing it
        folder = os.environ.get("XDG_CONFIG_HOME", "").strip() or os.path.expanduser("~/.config")  # noqa: PTH111
        return os.path.join(folder, "photoseek", NAME)
    from platformdirs import user_config_dir

    return os.path.join(user_config_dir("photoseek"), NAME)


def gallery_file(gallery: str) -> str:
    """The file in a gallery's folder; it need not exist."""
    return os.path.join(gallery, NAME)


def read(path: str) -> bytes:
    """The content of a settings file; empty if there is none.

    Raises:
        SettingsError: it cannot be read, is not a regular file, or is too large.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except (OSError, ValueError):
        pass  # reported below
    from retrieval.regular_files import read_regular

    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        from retrieval.errors import SettingsError

        raise SettingsError(f"cannot read {path}: {error.strerror}", "make it readable, or remove it") from error


def parsed(data: bytes) -> dict[str, object]:
    """The values in a file, by names with dots.

    Raises:
        ValueError: it is not TOML, or not text.
    """
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    found = _plain(text)
    if found is None:
        import tomllib

        try:
            found = _flat(tomllib.loads(text), "")
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
    return found


def _flat(table: dict[str, object], before: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _plain(text: str) -> dict[str, object] | None:
    """The values, if each line is empty, a comment, ``[table]``, or a bare key with an integer, ``true``,
    ``false`` or a string without escapes, and no name is repeated; else None. Never differs from TOML's values."""
    found: dict[str, object] = {}
    tables: set[str] = set()
    table = ""
    for line in text.split("\n"):
        line = line.strip(" \t")
        if not line:
            continue
        if line[0] == "#":
            if not (line.isprintable() or line.replace("\t", "").isprintable()):
                return None
        elif line[0] == "[":
            table = line[1:-1]
            if line[-1] != "]" or not _is_bare(table) or table in tables:
                return None
            tables.add(table)
        else:
            key, equals, given = line.partition("=")
            key, given = key.rstrip(" \t"), given.lstrip(" \t")
            value = _value(given)
            name = f"{table}.{key}" if table else key
            if not equals or not _is_bare(key) or value is None or name in found:
                return None
            found[name] = value
    return found if tables.isdisjoint(found) else None


def _is_bare(key: str) -> bool:
    return bool(key) and _BARE.issuperset(key)


def _value(text: str) -> str | int | bool | None:
    if text in ("true", "false"):
        return text == "true"
    inner = text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner and "\\" not in inner and inner.isprintable():
        return inner
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and (text == "0" or text[0] != "0")
    return int(text) if is_number else None
