"""Validation of model folders from untrusted sources: fields, paths and sizes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_args

from retrieval.errors import WeightsUnavailable
from retrieval.regular_files import is_short, open_regular

MAX_JSON_BYTES = 1 << 20
LFS_MAGIC = b"version https://git-lfs"
Row = TypeVar("Row")


def build_row(cls: type[Row], raw: Any, where: str) -> Row:
    values = mapping(raw, where)
    # A setting that this version does not know may change embeddings, so it is refused instead of ignored.
    if unknown := set(values) - {f.name for f in fields(cls)}:  # type: ignore[arg-type]
        raise ValueError(f"unknown setting {where}.{min(unknown)}")
    return cls(**values)


def mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{where} is not an object")
    return raw


def one_of(name: str, value: object, literal: Any) -> None:
    if value not in get_args(literal):
        raise ValueError(f"{name} is {value!r}, known: {', '.join(get_args(literal))}")


def whole(name: str, value: object, least: int, most: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}, not a whole number >= {least}")
    if most is not None and value > most:
        raise ValueError(f"{name} is {value}, more than {most:,}, which no model has")


def number_or_none(name: str, value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} is {value!r:.60}, not a number")
    return float(value)


def hex_digest(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"{name} is not 64 hexadecimal digits")


def check_inside(name: object) -> None:
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or ".." in parts or parts[0] == "/" or "\\" in str(name) or ":" in str(name):
        raise ValueError(f"the path {name!r} leaves the folder")


def check_present(path: Path, size: int | None) -> None:
    """Raise if the file is missing, not an ordinary file, a git-LFS pointer, or has another size."""
    try:
        with open_regular(path) as file:
            found = os.fstat(file.fileno()).st_size
            head = file.read(len(LFS_MAGIC)) if found < 1024 else b""
    except OSError as error:
        if is_short(error):
            raise
        raise WeightsUnavailable(
            f"{path} is missing or cannot be read ({error.strerror})", "fetch or export the model again"
        ) from error
    if head == LFS_MAGIC:
        raise WeightsUnavailable(
            f"{path} is a git-LFS pointer, not the file itself",
            "run `git lfs pull` in that folder, or fetch the model",
        )
    if found == 0 or (size is not None and found != size):
        raise damaged(path, f"it has {found} bytes" + (f", not {size}" if size is not None else ""))


def load_json(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        if is_short(error):
            raise
        raise WeightsUnavailable(
            f"no {path.name} in {path.parent}",
            "give a folder made by `photoseek models fetch` or `models export`",
        ) from error
    try:
        if len(raw) > MAX_JSON_BYTES:
            raise ValueError("larger than 1 MiB")
        data = json.loads(raw)
        if not isinstance(data, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise damaged(path, reason_of(error)) from error
    return data


def reason_of(error: BaseException) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def damaged(path: Path, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(f"{path} is damaged: {reason}", "fetch or export the model again")


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file and rename it to ``path``, so that readers see the complete old or new file."""
    import tempfile  # not needed to read a model

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".photoseek-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp creates files with mode 0600; model folders are shared between the users of a machine.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """The same for UTF-8 text."""
    write_bytes_atomically(path, text.encode("utf-8"))
