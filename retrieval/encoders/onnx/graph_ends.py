"""Inputs and outputs of an ONNX graph, read from the file: names, types, shapes, and external data files.

A parser for the few protobuf messages that matter (onnx.proto: ModelProto.graph, GraphProto.input, .output
and .initializer, ValueInfoProto, TensorProto.external_data), so that a fetched model can be described and
validated without an engine. The file is untrusted: lengths are checked before they are used.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from retrieval.encoders.files.checks import check_inside
from retrieval.errors import WeightsUnavailable
from retrieval.regular_files import is_short, open_regular

ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}


T = TypeVar("T")


@dataclass(frozen=True)
class GraphEnd:
    """An input or output: name, element type, and sizes (None for any size)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class GraphEnds:
    """Inputs, outputs, and the names of the external weight files next to the graph."""

    inputs: tuple[GraphEnd, ...]
    outputs: tuple[GraphEnd, ...]
    external: frozenset[str]


def read_graph_ends(path: Path) -> GraphEnds:
    """Read the inputs and outputs of an ONNX file; weights are skipped.

    Raises:
        WeightsUnavailable: not an ONNX graph, truncated, or an external file is outside the folder.
    """
    return parse_graph(path, _graph)


def check_weights_listed(folder: Path, name: str, listed: Collection[str]) -> None:
    """Raise WeightsUnavailable if a graph reads weights from a file that is not listed: nobody compared its content.

    Args:
        name: of the graph, in ``folder``.
        listed: names of files in ``folder`` whose hashes are known.
    """
    beside = PurePosixPath(name).parent
    unknown = {(beside / file).as_posix() for file in read_graph_ends(folder / name).external} - set(listed)
    if unknown:
        raise WeightsUnavailable(
            f"{folder / name} reads weights from {min(unknown)}, whose hash is not recorded",
            "fetch or export the model again",
        )


def parse_graph(path: Path, parse: Callable[[memoryview], T]) -> T:
    """The result of ``parse`` for a file that is mapped, not read.

    Raises:
        WeightsUnavailable: it cannot be read, or ``parse`` found damage (ValueError, IndexError, StopIteration).
    """
    try:
        with open_regular(path) as file:
            # Not closed explicitly: an error's traceback may still hold views of it.
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return parse(memoryview(whole))
    except OSError as error:
        if is_short(error):
            raise
        raise WeightsUnavailable(f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, IndexError, StopIteration) as error:
        raise WeightsUnavailable(
            f"{path} is damaged or no ONNX graph: {error}", "fetch or export the model again"
        ) from error


def _graph(view: memoryview) -> GraphEnds:
    graph = the_field(view, 7)
    inputs, outputs, weights, external = [], [], set(), set()
    for number, value in message_fields(graph):
        if number == 11:
            inputs.append(_end(as_message(value)))
        elif number == 12:
            outputs.append(_end(as_message(value)))
        elif number == 5:
            name, file = _tensor(as_message(value))
            weights.add(name)
            external |= {file} if file else set()
    # Older files also list their weights among the inputs.
    return GraphEnds(tuple(i for i in inputs if i.name not in weights), tuple(outputs), frozenset(external))


def _end(view: memoryview) -> GraphEnd:
    tensor = the_field(the_field(view, 2), 1)
    kind = next((v for n, v in message_fields(tensor) if n == 1), 0)
    shape = next((v for n, v in message_fields(tensor) if n == 2), memoryview(b""))
    sizes: list[int | None] = []
    for number, dim in message_fields(as_message(shape)):
        if number == 1:
            size = next((v for n, v in message_fields(as_message(dim)) if n == 1), None)
            sizes.append(size if isinstance(size, int) and size > 0 else None)
    dtype = ELEMENT_TYPES.get(kind, "other") if isinstance(kind, int) else "other"
    return GraphEnd(bytes(the_field(view, 1)).decode(), dtype, tuple(sizes))


def _tensor(view: memoryview) -> tuple[str, str | None]:
    name, file = "", None
    for number, value in message_fields(view):
        if number == 8:
            name = bytes(as_message(value)).decode()
        elif number == 13 and bytes(the_field(as_message(value), 1)) == b"location":
            file = bytes(the_field(as_message(value), 2)).decode()
            check_inside(file)
    return name, file


def the_field(view: memoryview, wanted: int) -> memoryview:
    """The first field with this number; ValueError if it is missing or not bytes."""
    for number, value in message_fields(view):
        if number == wanted:
            return as_message(value)
    raise ValueError(f"field {wanted} is missing")


def as_message(value: int | memoryview) -> memoryview:
    """A field's value; ValueError if it is not bytes."""
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def message_fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, varint or bytes) of one message; fixed-size fields are skipped."""
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value
        elif kind == 2:
            length, at = _varint(view, at)
            if at + length > len(view):
                raise ValueError("it is cut short")
            yield number, view[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise ValueError("it is cut short")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if not byte & 128:
            return value, at
        shift += 7
