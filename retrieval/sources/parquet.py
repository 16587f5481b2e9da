"""Rows of a parquet file whose column holds pictures: names and bytes. Nothing in it is trusted.

The column is one of bytes, or of ``struct{bytes, path}`` as Hugging Face's datasets write it. Rows are read in small
batches, forwards: whoever asks for the rows in their order reads the file once.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from retrieval.regular_files import MAX_FILE_BYTES, open_regular
from retrieval.sources.base import UNKNOWN_SIZE
from retrieval.sources.tar import MOST_MEMBERS, Member

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NOT_INSTALLED = "to read parquet, run: pip install 'photoseek[bulk]'"

_ROWS = 16
_MOST_GROUP = 8 << 30
_MOST_THRIFT = 64 << 20
_NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content")
_Identity = tuple[int, int, int, int]


class Column(NamedTuple):
    """A column with pictures: its name, and those of the leaves with the bytes and with names of files, if any."""

    name: str
    bytes: str
    path: str | None


def rows(file: BinaryIO) -> Iterator[Member]:
    """Every row as a member, without its size; its offset is its number. Pictures are not read.

    A row is named by its path if every row has one and all differ, else by its number.

    Raises:
        OSError: it is damaged, has no pictures, or cannot be read; ``strerror`` says why.
    """
    with _told():
        parquet = _opened(file)
        column = column_of(parquet.schema_arrow)
        count = parquet.metadata.num_rows
        if not 0 <= count <= MOST_MEMBERS:
            raise OSError(errno.EFBIG, "it has too many rows")
        names = [] if column.path is None else list(_names(parquet, column))
    given = [name for name in names if name]
    if len(set(given)) != count:
        given = [f"{row:07}" for row in range(count)]
    yield from (Member(name, row, UNKNOWN_SIZE) for row, name in enumerate(given))


def column_of(schema: pa.Schema) -> Column:
    """The column with the pictures: of those that could be, the one with a usual name, else the first.

    Raises:
        OSError: there is none.
    """
    import pyarrow.types as types

    def is_binary(kind: pa.DataType) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found: list[Column] = []
    for field in schema:
        if types.is_struct(field.type):
            leaves = {leaf.name: leaf.type for leaf in field.type}
            if "bytes" in leaves and is_binary(leaves["bytes"]):
                has_path = "path" in leaves and types.is_string(leaves["path"])
                found.append(Column(field.name, f"{field.name}.bytes", f"{field.name}.path" if has_path else None))
        elif is_binary(field.type):
            found.append(Column(field.name, field.name, None))
    usual = [column for name in _NAMES for column in found if column.name.lower() == name]
    if not found:
        raise OSError(errno.EINVAL, "none of its columns holds the bytes of pictures")
    return (usual or found)[0]


class Rows:
    """Reads rows of parquet files; each thread goes on where it read last."""

    def __init__(self) -> None:
        self._own = threading.local()

    def read(self, path: str, identity: _Identity, row: int) -> bytes:
        """The bytes of a row, empty if it has none.

        Args:
            identity: of the version of the file that is meant.

        Raises:
            OSError: it cannot be read.
        """
        cursor: _Cursor | None = getattr(self._own, "cursor", None)
        if cursor is None or cursor.key != (path, identity):
            if cursor is not None:
                cursor.close()
            self._own.cursor = None
            with _told():
                cursor = _Cursor(path, identity)
            self._own.cursor = cursor
        try:
            with _told():
                return cursor.read(row)
        except BaseException:
            self._own.cursor = None
            cursor.close()
            raise


class _Cursor:
    """A place in one file."""

    def __init__(self, path: str, identity: _Identity) -> None:
        self.key = path, identity
        self._file = open_regular(path)
        try:
            self._parquet = _opened(self._file)
            self._column = column_of(self._parquet.schema_arrow)
        except BaseException:
            self._file.close()
            raise
        self._firsts = [0]
        for group in range(self._parquet.metadata.num_row_groups):
            self._firsts.append(self._firsts[-1] + self._parquet.metadata.row_group(group).num_rows)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group = -1
        self._at = 0
        self._values: list[Any] = []

    def read(self, row: int) -> bytes:
        if not 0 <= row < self._firsts[-1]:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        group = next(n for n, first in enumerate(self._firsts[1:]) if row < first)
        if group != self._group or row < self._at:
            self._begin(group)
        while row >= self._at + len(self._values):
            self._at += len(self._values)
            self._values = _values(next(self._batches), self._column)
        value = self._values[row - self._at]
        if not isinstance(value, bytes):
            return b""
        if len(value) > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        return value

    def close(self) -> None:
        self._batches, self._values = iter(()), []
        self._file.close()

    def __del__(self) -> None:
        self._file.close()  # its thread has ended

    def _begin(self, group: int) -> None:
        held = self._parquet.metadata.row_group(group)
        sizes = [held.column(n) for n in range(held.num_columns)]
        if any(c.total_uncompressed_size > _MOST_GROUP for c in sizes if c.path_in_schema == self._column.bytes):
            raise OSError(errno.EFBIG, "a part of it is too large")
        self._group, self._at, self._values = group, self._firsts[group], []
        self._batches = self._parquet.iter_batches(
            batch_size=_ROWS, row_groups=[group], columns=[self._column.bytes], use_threads=False
        )


def _values(batch: pa.RecordBatch, column: Column) -> list[Any]:
    values: list[Any] = batch.column(0).to_pylist()
    if column.bytes == column.name:
        return values
    return [None if value is None else value.get("bytes") for value in values]


def _names(parquet: pq.ParquetFile, column: Column) -> Iterator[str | None]:
    for batch in parquet.iter_batches(batch_size=10_000, columns=[column.path], use_threads=False):
        for value in batch.column(0).to_pylist():
            yield (None if value is None else value.get("path")) or None


def _opened(file: BinaryIO) -> pq.ParquetFile:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise OSError(errno.ENOSYS, NOT_INSTALLED) from None
    return pq.ParquetFile(
        file,
        pre_buffer=False,
        buffer_size=1 << 20,
        thrift_string_size_limit=_MOST_THRIFT,
        thrift_container_size_limit=_MOST_THRIFT,
    )


@contextmanager
def _told() -> Iterator[None]:
    """Errors of pyarrow as OSError with a short reason."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(errno.EILSEQ, f"it is not a whole parquet file ({type(error).__name__})") from None


ROWS = Rows()
