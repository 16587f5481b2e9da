"""Disks that fail and power cuts: the library that records and refuses calls, and what a disk holds after a cut."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

_HEAD = struct.Struct("<cIIqQ")
_SECTOR = 4096


def build(folder: Path, name: str = "disk_calls") -> Path:
    """The library of ``disk_calls.c``, or of another such file; without a C compiler, the test is skipped."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler for the library that stands before the system's calls")
    made = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl", "-lpthread"], check=True)
    return made


class Call(NamedTuple):
    """A record: see ``disk_calls.c`` for the kinds."""

    kind: str
    path: str
    other: str
    offset: int
    data: bytes


def read_log(path: Path) -> list[Call]:
    """Everything that was recorded."""
    content, at, calls = path.read_bytes(), 0, []
    while at + _HEAD.size <= len(content):
        kind, first, second, offset, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        parts = []
        for length in (first, second, size):
            parts.append(content[at : at + length])
            at += length
        calls.append(Call(kind.decode(), parts[0].decode(), parts[1].decode(), offset, parts[2]))
    return calls


@dataclass
class _File:
    """The bytes that are surely on the disk, and what was written since."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: the length is now this

    def after_cut(self, share: float, rng: np.random.Generator) -> bytes:
        content = bytearray(self.durable)
        for offset, data in self.pending:
            if data is None:
                if rng.random() < share:
                    del content[offset:]
                    content.extend(bytes(offset - len(content)))
                continue
            for start in range(0, len(data), _SECTOR):  # a long write may reach the disk in part
                if rng.random() < share:
                    piece, place = data[start : start + _SECTOR], offset + start
                    content.extend(bytes(max(place - len(content), 0)))
                    content[place : place + len(piece)] = piece
        return bytes(content)


def cut(
    before: Path, calls: list[Call], rng: np.random.Generator, place: Path, times_of: tuple[Path, ...] = ()
) -> None:
    """Write to ``place`` what a disk may hold if the power fails after ``calls``, done on a copy of ``before``.

    What was forced to disk is there. Of the rest, none, some or all of the writes are; and names change in the order of
    the calls, up to any call since the last forced one, as on file systems with a journal.

    Args:
        times_of: folders like ``place``; a file with the content that it has there has its time of modification, too.
    """
    files: dict[str, _File] = {}
    for path in before.rglob("*"):
        if path.is_file():
            files[str(place / path.relative_to(before))] = _File(path.read_bytes())
    names: list[tuple[str, str, str, _File | None]] = []
    current = dict(files)
    settled = 0
    for call in calls:
        if call.kind in "WTS" and not (call.kind == "S" and call.path not in current and not call.data):
            file = current.get(call.path)
            if file is None:  # made by a library's own calls, which are not recorded
                file = current[call.path] = _File()
                names.append(("C", call.path, "", file))
            if call.kind == "S":
                file.durable, file.pending = call.data, []
            else:
                file.pending.append((call.offset, call.data if call.kind == "W" else None))
        if call.kind == "S":
            settled = len(names)
        elif call.kind == "C":
            current[call.path] = file = _File()
            names.append(("C", call.path, "", file))
        elif call.kind == "R":
            if (moved := current.pop(call.path, None)) is not None:
                current[call.other] = moved
            names.append(("R", call.path, call.other, None))
        elif call.kind in "UMD":
            current.pop(call.path, None)
            names.append((call.kind, call.path, "", None))
    there = files
    folders = {str(place / path.relative_to(before)) for path in before.rglob("*") if path.is_dir()}
    for kind, path, other, file in names[: int(rng.integers(settled, len(names) + 1))]:
        if kind == "C" and file is not None:
            there[path] = file
        elif kind == "R":
            there = {_renamed(name, path, other): each for name, each in there.items() if name != other}
            folders = {_renamed(name, path, other) for name in folders}
        elif kind == "U":
            there.pop(path, None)
        elif kind == "M":
            folders.add(path)
        else:
            folders.discard(path)
    share = float(rng.choice([0.0, 0.5, 1.0]))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for folder in sorted(folders):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for path, file in there.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        content = file.after_cut(share, rng)
        Path(path).write_bytes(content)
        for folder in times_of:
            other = folder / Path(path).relative_to(place)
            if other.is_file() and other.read_bytes() == content:
                shutil.copystat(other, path)
                break


def _renamed(name: str, old: str, new: str) -> str:
    return new + name[len(old) :] if name == old or name.startswith(old + "/") else name
