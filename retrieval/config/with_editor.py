"""Change a settings file in the user's editor: a draft is edited, and replaces the file if it has no error."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from retrieval.config.checking import values_in
from retrieval.config.editing import replace, template
from retrieval.config.files import read
from retrieval.errors import SettingsError
from retrieval.system_errors import of_os

_EDITORS = ("sensible-editor", "nano", "vi", "notepad")
_DRAFT = ".draft"


def edited(path: str, *, in_gallery: bool, is_asked: bool, say: Callable[[str], None]) -> None:
    """Let the user edit a settings file; a new one starts with all settings as comments.

    A draft with an error is kept next to the file, and the next call continues with it.

    Args:
        in_gallery: it is a gallery's file.
        is_asked: there is a terminal, so the user can edit again.
        say: called with the error in that case.

    Raises:
        SettingsError: no editor; it failed; or the draft has an error. The file is not changed.
        SystemProblem: nothing can be written there.
    """
    before = read(path)
    draft = Path(f"{path}{_DRAFT}")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        if not draft.is_file() or _is_newer(path, draft):
            draft.write_bytes(before or template(in_gallery=in_gallery).encode())
    except OSError as error:
        raise of_os(error) from error
    command = _editor()
    while True:
        try:
            code = subprocess.run([*command, str(draft)], check=False).returncode
        except OSError as error:
            raise SettingsError(f"{command[0]}: {error.strerror}", "set EDITOR to your editor") from error
        if code != 0:
            raise SettingsError(f"{command[0]} ended with {code}; nothing was changed", f"your text is in {draft}")
        data = read(str(draft))
        try:
            values_in(data, str(draft), in_gallery=in_gallery)
        except SettingsError as error:
            if not is_asked:
                raise SettingsError(
                    f"nothing was changed: {error.message}", "mend it: run the same command again"
                ) from error
            say(f"{error.message}\n{error.hint}")
            say("press Enter to edit it again, Ctrl-C to leave it for later")
            input()
            continue
        break
    if data != before:
        replace(path, data.decode("utf-8-sig"), before=before)
    with suppress(OSError):
        draft.unlink()


def _is_newer(path: str, draft: Path) -> bool:
    """True if the file was changed after a draft was left."""
    return Path(path).is_file() and Path(path).stat().st_mtime_ns > draft.stat().st_mtime_ns


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        if given := os.environ.get(variable, "").strip():
            try:
                return shlex.split(given)
            except ValueError as error:
                raise SettingsError(f"{variable} is not a command: {error}", "set it to your editor") from error
    for name in _EDITORS:
        if found := shutil.which(name):
            return [found]
    raise SettingsError("there is no editor", "set EDITOR to your editor")
