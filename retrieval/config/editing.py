"""Change one setting in a file and leave the rest of it unchanged, including comments.

Our files are flat: a name is ``key`` or ``key`` in ``[table]``, and its value is on separate lines, which are
replaced. This needs no library with a complete syntax tree (tomlkit), because every change is checked: the new text
is parsed again, and must have the same values as before except for this setting; a file written in another way
must be edited by its owner. A file that cannot be read is never overwritten.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path

from retrieval.config.files import parsed, read
from retrieval.config.kinds import toml
from retrieval.config.lines import HEADER, entries
from retrieval.config.table import SETTINGS
from retrieval.errors import SettingsError
from retrieval.system_errors import of_os


def with_value(text: str, name: str, value: object) -> str:
    """The text of a file with a setting changed; ``None`` removes it.

    Raises:
        ValueError: the text is not TOML, or not written in a way that can be changed here.
    """
    before = parsed(text.encode())
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    table, _, key = name.rpartition(".")
    entry = entries(text).get(name)
    new = [] if value is None else [f"{key} = {toml(value)}"]
    if entry is not None:
        if new and entry.first == entry.last:
            new[0] += _comment_of(lines[entry.first])
        lines[entry.first : entry.last + 1] = new
    elif new:
        at = _end_of_table(lines, table)
        if at is None:
            lines += [*([""] if lines and lines[-1].strip() else []), f"[{table}]", *new]
        else:
            before_header = at < len(lines) and HEADER.match(lines[at])
            lines[at:at] = [*new, ""] if before_header else new
    after = "".join(f"{line}{newline}" for line in lines)
    wanted = {each: given for each, given in before.items() if each != name} | ({} if value is None else {name: value})
    if parsed(after.encode()) != wanted:
        raise ValueError("it is written in a way that only an editor can change")
    return after


def _comment_of(line: str) -> str:
    """The comment after a value, including the space before it."""
    at = line.rfind("#")
    while at > 0:
        with suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(line[:at]) == tomllib.loads(line):
                at = min(at, len(line[:at].rstrip()))
                return line[at:]
        at = line.rfind("#", 0, at)
    return ""


def _end_of_table(lines: list[str], table: str) -> int | None:
    """The line after the last setting of a table; None if there is no such table."""
    current, end = "", None
    if not table:
        end = 0
        while end < len(lines) and lines[end].startswith("#"):  # a comment at the start of the file stays first
            end += 1
        if end < len(lines) and lines[end].strip():
            end = 0
    inside = {entry.first: entry.last for entry in entries("\n".join(lines)).values()}
    at = 0
    while at < len(lines):
        if header := HEADER.match(lines[at]):
            current = header[1]
            if current == table:
                end = at + 1
        elif at in inside and current == table:
            end = inside[at] + 1
        at = inside.get(at, at) + 1
    return end


def change(path: str, name: str, value: object) -> None:
    """Set a setting in a file, or remove it with None; the file is created if it is missing.

    Raises:
        SettingsError: the file is not TOML, or cannot be changed in this way; it is not modified.
        SystemProblem: it cannot be written.
    """
    data = read(path)
    try:
        text = with_value(data.decode("utf-8-sig"), name, value)
    except ValueError as error:
        raise SettingsError(f"{path} was not changed: {error}", "change it: photoseek config edit") from error
    replace(path, text, before=data)


def replace(path: str, text: str, *, before: bytes) -> None:
    """Write a whole file atomically. A symbolic link stays a link.

    Args:
        before: the content that was read; a file that has changed in the meantime is not overwritten.

    Raises:
        SettingsError: the file has changed in the meantime.
        SystemProblem: it cannot be written.
    """
    real = Path(os.path.realpath(path))
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        number, draft = tempfile.mkstemp(prefix=".config-", suffix=".toml", dir=real.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with suppress(OSError):
                Path(draft).chmod(real.stat().st_mode & 0o777)
            if read(str(real)) != before:
                raise SettingsError(f"{path} was changed by another program meanwhile", "try again")
            os.replace(draft, real)  # noqa: PTH105
        finally:
            with suppress(OSError):
                Path(draft).unlink()
    except OSError as error:
        raise of_os(error) from error


def template(*, in_gallery: bool) -> str:
    """A file with every setting as a comment, as a starting point for an editor."""
    lines = ["# Settings of photoseek. Remove the # in front of those that you want to change."]
    table = ""
    for row in SETTINGS:
        if in_gallery and not row.in_gallery:
            continue
        own, _, key = row.name.rpartition(".")
        if own != table:
            table = own
            lines += ["", f"[{table}]"]
        example = "true" if row.kind.choices else '""'
        shown = example if row.default is None else toml(row.default)
        lines += ["", f"# {row.help}.", f"# {key} = {shown}"]
    return "\n".join(lines) + "\n"
