"""Embeddings in files, as photoseek, clip-retrieval and LAION's data sets lay them out, read in blocks.

=================  ==========================================================================================
photoseek          ``embeddings.json`` with either of the two below, or ``embeddings/embeddings_0.parquet``
clip-retrieval     ``img_emb/img_emb_0.npy`` and ``metadata/metadata_0.parquet`` with a column ``image_path``
LAION              ``img_emb_0.npy`` and ``metadata_0.parquet`` in one folder
=================  ==========================================================================================

The files may come from anybody: arrays are mapped after their headers were checked, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.arrays import open_array
from retrieval.bulk.exporting import DESCRIPTION, FORMAT, PLAIN, VERSION, pyarrow
from retrieval.errors import SettingsError

_NUMBERED = re.compile(r"(?:img_emb|embeddings)_(\d{1,9})\.(?:npy|parquet)")
_PAIRS = (("img_emb", "metadata"), (".", "."))
_OWN = ("content_hash", "taken_at", *PLAIN)
_AT_ONCE = 2048
_DESCRIPTION_LIMIT = 1 << 20


class Shard(NamedTuple):
    """One file of rows, and the array with their vectors; None if they are a column of it."""

    table: Path
    matrix: Path | None


@dataclass(frozen=True)
class Layout:
    """What a folder of embeddings holds.

    Attributes:
        shards: in the order of their numbers.
        fingerprint, model, folders: of photoseek's own exports; empty for others.
    """

    shards: tuple[Shard, ...]
    fingerprint: str = ""
    model: str = ""
    folders: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether photoseek wrote it: rows have everything that the catalog knows."""
        return bool(self.fingerprint)


class Rows(NamedTuple):
    """Some rows of a shard.

    Attributes:
        paths: as they were written.
        vectors: (n, dim) float32 of length 1; where a vector is not finite or zero, NaN.
        columns: of photoseek's own exports: name -> n values.
    """

    paths: list[str]
    vectors: NDArray[np.float32]
    columns: dict[str, list[Any]]


def layout_of(folder: Path) -> Layout:
    """Which of the layouts a folder has.

    Raises:
        SettingsError: none of them, or an export that was not finished.
    """
    if not folder.is_dir():
        raise SettingsError(
            f"{folder} is not a folder", "give one with embeddings, such as photoseek export --npy makes"
        )
    described = folder / DESCRIPTION
    if described.is_file():
        return _own(folder, described)
    for matrices, tables in _PAIRS:
        found = _numbered(folder / matrices, "img_emb_*.npy")
        if found:
            return Layout(tuple(Shard(_table_of(folder / tables, n), path) for n, path in found))
    unfinished = (folder / "embeddings").is_dir()
    raise SettingsError(
        f"{folder} holds no embeddings" + (": its export was not finished" if unfinished else ""),
        "give a folder with img_emb_0.npy and metadata_0.parquet, or one made by photoseek export --npy or --parquet",
    )


def _own(folder: Path, described: Path) -> Layout:
    try:
        with described.open("rb") as file:
            body = json.loads(file.read(_DESCRIPTION_LIMIT))
        if body["format"] != FORMAT or body["version"] != VERSION:
            raise ValueError("another format")
        count, is_npy = int(body["shards"]), body["layout"] == "npy"
        names = (str(body["fingerprint"]), str(body["model"]), tuple(str(each) for each in body["folders"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingsError(
            f"{described} is damaged, or of another photoseek", "export the embeddings again"
        ) from error
    pattern = ("img_emb", "img_emb_*.npy") if is_npy else ("embeddings", "embeddings_*.parquet")
    found = _numbered(folder / pattern[0], pattern[1])
    if [number for number, _ in found] != list(range(count)) or not names[0]:
        raise SettingsError(
            f"{folder} lacks some of its files of embeddings, of which there are {count}", "export the embeddings again"
        )
    shards = (Shard(_table_of(folder / "metadata", n), path) if is_npy else Shard(path, None) for n, path in found)
    return Layout(tuple(shards), *names)


def _numbered(folder: Path, pattern: str) -> list[tuple[int, Path]]:
    found = ((_NUMBERED.fullmatch(path.name), path) for path in folder.glob(pattern) if path.is_file())
    return sorted((int(match[1]), path) for match, path in found if match)


def _table_of(folder: Path, number: int) -> Path:
    """The rows of a numbered matrix; numbers may be written with zeros before them."""
    for path in sorted(folder.glob("metadata_*.parquet")):
        if path.stem.removeprefix("metadata_").lstrip("0") == str(number).lstrip("0") and path.is_file():
            return path
    raise SettingsError(f"{folder} lacks metadata_{number}.parquet", "put the file there: it names the pictures")


def rows_of(shard: Shard, *, is_own: bool) -> Iterator[Rows]:
    """The rows of a shard, a few thousand at a time.

    Raises:
        SettingsError: a damaged file, or one of another kind.
    """
    _, parquet = pyarrow()
    try:
        with parquet.ParquetFile(shard.table) as table:
            matrix = None if shard.matrix is None else _matrix(shard.matrix, table.metadata.num_rows)
            wanted = _columns_of(shard, set(table.schema_arrow.names), is_own)
            at = 0
            for batch in table.iter_batches(_AT_ONCE, columns=wanted):
                end = at + batch.num_rows
                if matrix is None:
                    column = batch.column("embedding")
                    raw = np.asarray(column.flatten(), np.float32).reshape(batch.num_rows, -1)
                else:
                    raw = np.asarray(matrix[at:end], np.float32)
                own = {name: batch.column(name).to_pylist() for name in _OWN} if is_own else {}
                yield Rows(_paths(batch), _unit(raw), own)
                at = end
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are derived from these
        place = shard.table if shard.matrix is None else shard.matrix.parent
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(f"{place}: embeddings that cannot be read: {reason}", "export them again") from error


def _matrix(path: Path, rows: int) -> NDArray[Any]:
    try:
        return open_array(path, "<f2", (rows, None), mmap=True)
    except ValueError:
        return open_array(path, "<f4", (rows, None), mmap=True)


def _columns_of(shard: Shard, present: set[str], is_own: bool) -> list[str]:
    wanted = ["path", *_OWN] if is_own else ["image_path"]
    wanted += ["embedding"] if shard.matrix is None else []
    if missing := [name for name in wanted if name not in present]:
        what = "names no files: it has no column image_path" if "image_path" in missing else f"lacks {missing[0]}"
        raise SettingsError(f"{shard.table} {what}", "only embeddings of files on this machine can be imported")
    return wanted


def _paths(batch: Any) -> list[str]:
    if "path" in batch.schema.names:
        return [os.fsdecode(path or b"") for path in batch.column("path").to_pylist()]
    return [str(path or "") for path in batch.column("image_path").to_pylist()]


def _unit(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.where(np.isfinite(lengths) & (lengths > 1e-6), raw / lengths, np.nan)
    return unit
