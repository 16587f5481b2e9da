"""Read safetensors files without the library: memory-mapped, bounds-checked, no copies. Also writes small ones.

Format: uint64 (little-endian) length of a JSON header; the header (name -> dtype, shape, data_offsets); data.
The file is untrusted: every size in it is checked against the file before it is used.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.files.checks import write_bytes_atomically
from retrieval.errors import WeightsUnavailable
from retrieval.regular_files import open_regular

_MAX_HEADER = 16 << 20
# numpy has no bfloat16: it is read as the upper half of a float32.
_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


class WeightsFile:
    """Float tensors by name.

    Raises:
        WeightsUnavailable: not a safetensors file, truncated, or offsets that do not fit the shapes or the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            with open_regular(file) as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        length = int.from_bytes(self._map[:8], "little")
        if len(self._map) < 8 or length > min(_MAX_HEADER, len(self._map) - 8):
            raise self._damaged("the header is longer than the file")
        try:
            header = json.loads(self._map[8 : 8 + length])
            if not isinstance(header, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            raise self._damaged("the header is not JSON") from error
        self._data = 8 + length
        self._header: Mapping[str, Any] = {n: v for n, v in header.items() if n != "__metadata__"}

    def __contains__(self, name: str) -> bool:
        return name in self._header

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def raw(self, name: str) -> NDArray[Any]:
        """A view of the file: float32, float16, or uint16 for bfloat16."""
        try:
            entry = self._header[name]
            shape = tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            dtype: np.dtype[Any] = _TYPES[entry["dtype"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"no readable float tensor {name!r}") from error
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
        if not whole or end - begin != math.prod(shape) * dtype.itemsize:
            raise self._damaged(f"{name} has offsets that do not fit its shape")
        if self._data + end > len(self._map):
            raise self._damaged(f"{name} lies beyond the end of the file")
        count = math.prod(shape)
        if not count:
            return np.empty(shape, dtype)
        return np.frombuffer(self._map, dtype, count, self._data + begin).reshape(shape)

    def float32(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32; a view if the file contains aligned float32, else a copy."""
        return as_float32(self.raw(name))

    def _damaged(self, reason: str) -> WeightsUnavailable:
        return WeightsUnavailable(f"{self._file} is damaged: {reason}", "fetch or export the model again")


def write_weights(file: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write float32 tensors in the same format, atomically."""
    header: dict[str, Any] = {}
    parts, at = [], 0
    for name, tensor in tensors.items():
        part = np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)  # aligns the start of the data
    write_bytes_atomically(file, len(head).to_bytes(8, "little") + head + b"".join(parts))


def as_float32(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Convert the result of :meth:`WeightsFile.raw` to float32."""
    if raw.dtype == _TYPES["BF16"]:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    # numpy copies an unaligned operand in each product (120 ms instead of 17 for one query), so copy it once.
    return raw.astype(np.float32, copy=not raw.flags.aligned)
