"""The types of settings: from TOML, from text (a variable, a command line), and back to TOML.

The message of ``ValueError`` says what is accepted.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # creating a protocol takes longer than everything else here
    from typing import Protocol

    class Kind(Protocol):
        """A type of values. ``choices`` are offered by shell completion."""

        @property
        def choices(self) -> tuple[str, ...]: ...

        def from_toml(self, value: object) -> object: ...

        def from_text(self, text: str) -> object: ...


class OnOff:
    """``true`` or ``false``.

    Args:
        says_no: the variable has the opposite meaning of the setting.
    """

    def __init__(self, *, says_no: bool = False) -> None:
        self.says_no = says_no
        self.choices: tuple[str, ...] = ("true", "false")

    def from_toml(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value

    def from_text(self, text: str) -> bool:
        folded = text.strip().casefold()
        if self.says_no:  # set to anything but 0
            return folded != "0"
        if folded in ("1", "true", "yes", "on"):
            return True
        if folded in ("0", "false", "no", "off"):
            return False
        raise ValueError("true or false")


class Whole:
    """An integer within bounds."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self.choices: tuple[str, ...] = ()

    def from_toml(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"a whole number from {self.least:,} to {self.most:,}")
        return value

    def from_text(self, text: str) -> int:
        stripped = text.strip()
        return self.from_toml(int(stripped) if stripped.isascii() and stripped.isdigit() else None)


class Number:
    """A number within bounds, whole or not."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most
        self.choices: tuple[str, ...] = ()

    def from_toml(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise ValueError(f"a number from {self.least:g} to {self.most:g}")
        return float(value)

    def from_text(self, text: str) -> float:
        try:
            return self.from_toml(float(text))
        except ValueError:
            return self.from_toml(None)


class OneOf:
    """One of a few words; ``spelled``: other spellings of some in a variable."""

    def __init__(self, choices: tuple[str, ...], spelled: tuple[tuple[str, str], ...] = ()) -> None:
        self.choices, self.spelled = choices, spelled

    def from_toml(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"one of {', '.join(self.choices)}")
        return value

    def from_text(self, text: str) -> str:
        return self.from_toml(dict(self.spelled).get(text, text))


class Text:
    """Text on one line, without control characters; ``is_folder``: a leading ``~`` means the home folder."""

    def __init__(self, most: int = 200, *, is_folder: bool = False) -> None:
        self.most, self.is_folder = most, is_folder
        self.choices: tuple[str, ...] = ()

    def from_toml(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > self.most or not value.isprintable():
            raise ValueError(f"text of 1 to {self.most:,} characters in one line")
        if not self.is_folder:
            return value
        path = os.path.expanduser(value)  # noqa: PTH111 - pathlib's raises if there is no such user
        if not os.path.isabs(path):  # noqa: PTH117
            raise ValueError("a folder from / or ~ on")
        return path

    def from_text(self, text: str) -> str:
        return self.from_toml(os.path.abspath(os.path.expanduser(text)) if self.is_folder else text)  # noqa: PTH111


class Texts:
    """Several texts; in a variable one per line."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.choices: tuple[str, ...] = ()

    def from_toml(self, value: object) -> list[str]:
        one = Text(500)
        if not isinstance(value, list) or len(value) > self.most:
            raise ValueError(f'a list of at most {self.most:,} texts, ["like", "this"]')
        return [one.from_toml(each) for each in value]

    def from_text(self, text: str) -> list[str]:
        return self.from_toml([line for line in text.splitlines() if line.strip()])


def toml(value: object) -> str:
    """A value in TOML syntax (whose strings have JSON's escapes, and DEL is escaped too)."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    import json

    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
