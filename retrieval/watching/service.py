"""Start watching at login: a systemd user unit (systemd.unit(5), systemd.syntax(7)) or a launchd agent."""

from __future__ import annotations

import hashlib
import os
import plistlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from retrieval.errors import SettingsError
from retrieval.regular_files import replacing
from retrieval.system_errors import of_os

_MARK = "photoseek wrote this; sha256 of the rest: "


class Service(NamedTuple):
    """A file that starts a watcher, and the commands that register it with the system."""

    path: Path
    text: str
    enable: tuple[str, ...]
    disable: tuple[str, ...]


def service(
    command: Sequence[str], environment: Mapping[str, str], gallery: str, platform: str = sys.platform
) -> Service:
    """The service of a gallery.

    Args:
        command: the whole command line, with absolute paths.
        environment: variables that it needs.
        gallery: its folder; a service of another gallery has another name.

    Raises:
        SettingsError: a value that such a file cannot hold, or a system that has neither systemd nor launchd.
    """
    for text in (*command, *environment.values()):
        if not text.isprintable():
            raise SettingsError(f"{text!r} cannot stand in a service", "rename it without control characters")
    name = f"photoseek-watch-{hashlib.sha256(os.fsencode(gallery)).hexdigest()[:8]}"
    if platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"
        return Service(
            path,
            launchd(name, command, environment),
            (f"launchctl load -w '{path}'",),
            (f"launchctl unload -w '{path}'",),
        )
    if platform.startswith("linux"):
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        path = Path(base) / "systemd" / "user" / f"{name}.service"
        return Service(
            path,
            systemd(command, environment),
            ("systemctl --user daemon-reload", f"systemctl --user enable --now {name}"),
            (f"systemctl --user disable --now {name}",),
        )
    raise SettingsError("this system has neither systemd nor launchd", "start photoseek watch yourself")


def systemd(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A user unit; every value is quoted and escaped."""
    line = " ".join(_quoted(part).replace("$", "$$") for part in command)
    lines = [
        "[Unit]",
        "Description=photoseek: keep the gallery in step with its folders",
        "",
        "[Service]",
        f"ExecStart={line}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()),
        "Restart=on-failure",
        "RestartSec=30",
        "TimeoutStopSec=60",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    text = "\n".join(lines) + "\n"
    return f"# {_MARK}{_digest(text)}\n{text}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def launchd(name: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A user agent."""
    about = {
        "Label": name,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(environment),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ProcessType": "Background",
        "LowPriorityIO": True,
    }
    text = plistlib.dumps(about).decode("utf-8")
    return f"{text}<!-- {_MARK}{_digest(text)} -->\n"


def install(found: Service, *, force: bool = False) -> None:
    """Write the file, if there is none or it is unchanged since an earlier call.

    Raises:
        SettingsError: the file was changed by someone else.
        SystemProblem: it cannot be written.
    """
    _refuse_if_changed(found.path, force=force)
    try:
        found.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(found.path) as file:
            file.write(found.text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise of_os(error) from error


def uninstall(found: Service, *, force: bool = False) -> bool:
    """Remove the file; False if there was none. Raises as :func:`install`."""
    _refuse_if_changed(found.path, force=force)
    try:
        with suppress(FileNotFoundError):
            found.path.unlink()
            return True
    except OSError as error:
        raise of_os(error) from error
    return False


def _refuse_if_changed(path: Path, *, force: bool) -> None:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    except OSError as error:
        raise of_os(error) from error
    lines = text.splitlines(keepends=True)
    mark = next((line for line in (lines[:1] + lines[-1:]) if _MARK in line), "")
    rest = "".join(line for line in lines if line != mark)
    if not force and _digest(rest) not in mark:
        raise SettingsError(f"{path} was changed by somebody", "add --force to replace or remove it")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
