"""Arrays on disk in numpy's format: written in blocks, validated when opened, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER_LIMIT = 1024


def write_array(path: Path, dtype: str, shape: tuple[int, ...], pieces: Iterable[NDArray[Any]]) -> None:
    """Write ``pieces``, which together form one C-ordered array of ``shape``, as an .npy file."""
    with path.open("wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=dtype).data)


def open_array(path: Path, dtype: str, shape: tuple[int | None, ...], *, mmap: bool) -> NDArray[Any]:
    """Open an .npy file that must have exactly this ``dtype`` and ``shape``; None in ``shape`` means any length.

    With ``mmap`` the array is read-only and its pages are read on first access.

    Raises:
        ValueError: another format, type, shape or length. Nothing is mapped or allocated before these are checked.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("not version 1.0 of the .npy format")
        try:
            found, fortran, kind = np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER_LIMIT)
        except (SyntaxError, TokenError, RecursionError, MemoryError) as error:  # numpy reads it as a Python literal
            raise ValueError("its header is damaged") from error
        offset = file.tell()
    if kind != np.dtype(dtype) or (fortran and len(found) > 1) or len(found) != len(shape):
        raise ValueError(f"holds {kind} {found}, not {dtype}")
    if any(want is not None and want != have for want, have in zip(shape, found, strict=True)):
        raise ValueError(f"has shape {found}, not {shape}")
    count = 1
    for length in found:
        count *= length
    if min(found) < 0 or path.stat().st_size != offset + count * kind.itemsize:
        raise ValueError("is not as long as its header says")
    if mmap and count:
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=found)
        return mapped.view(np.ndarray)  # plain arrays slice several times faster than numpy's subclass
    return np.fromfile(path, dtype=dtype, offset=offset, count=count).reshape(found)
