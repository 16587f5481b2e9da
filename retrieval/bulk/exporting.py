"""A gallery's embeddings as files: numpy beside Parquet, in the layout of clip-retrieval, or Parquet alone.

::

    embeddings.json                 model, fingerprint, dimension, folders; written last, so it says that all is there
    img_emb/img_emb_0.npy           (n, dim) float16, the very bits of the catalog        (npy)
    metadata/metadata_0.parquet     a row for each row of the matrix                      (npy)
    embeddings/embeddings_0.parquet the same rows, with a column ``embedding``            (parquet)

Memory holds one shard of 65,536 pictures. Of a video, the representative frame is exported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.embeddings import half_vectors
from retrieval.catalog.orders import present_ids
from retrieval.errors import BackendUnavailable, SettingsError
from retrieval.system_errors import not_written

if TYPE_CHECKING:
    from indexes.base import Ids
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord

Form = Literal["npy", "parquet"]

DESCRIPTION = "embeddings.json"
FORMAT = "photoseek-embeddings"
VERSION = 1
SHARD_ROWS = 65_536
_AT_ONCE = 4096

PLAIN = (
    "size", "mtime_ns", "format", "width", "height", "camera", "lens", "latitude", "longitude", "colour",
    "taken_instant", "taken_precision", "iso", "aperture", "exposure", "focal_length", "duration_s",
)  # fmt: skip
"""The fields of a record that are columns of the same names."""


class Exported(NamedTuple):
    """What was written: pictures, files with rows, and bytes of all files."""

    pictures: int
    shards: int
    bytes: int


def pyarrow() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``. Raises BackendUnavailable if they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BackendUnavailable(
            f"Parquet needs pyarrow, which cannot be imported ({error})", "pip install 'photoseek[bulk]'"
        ) from error
    return pyarrow, pyarrow.parquet


def export_embeddings(
    reader: CatalogReader,
    row: EncoderRow,
    folder: Path,
    form: Form,
    chosen: Ids | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    shard_rows: int = SHARD_ROWS,
) -> Exported:
    """Write an encoder's embeddings of the present pictures to a new folder.

    Args:
        chosen: only these ids, sorted; default: all.
        on_progress: called with the pictures done and their number.

    Raises:
        SettingsError: the folder is not empty, or cannot be made.
        SystemProblem: it cannot be written.
        BackendUnavailable: pyarrow is not installed.
    """
    arrow, _ = pyarrow()
    ids = np.sort(present_ids(reader)) if chosen is None else chosen
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is not an empty folder", "name a new one: nothing is overwritten")
    pictures = shards = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(ids), shard_rows):
            part = ids[start : start + shard_rows]
            written = _write_shard(reader, row, folder, form, part, shards, arrow)
            pictures, shards = pictures + written, shards + (written > 0)
            on_progress(start + len(part), len(ids))
        description = {
            "format": FORMAT, "version": VERSION, "model": row.name, "fingerprint": row.fingerprint, "dim": row.dim,
            "pictures": pictures, "shards": shards, "layout": form, "folders": reader.roots(),
        }  # fmt: skip
        draft = folder / f"{DESCRIPTION}.part"
        draft.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        draft.replace(folder / DESCRIPTION)
    except OSError as error:
        raise not_written(folder, error, "name a folder in one that exists and that you may write to") from error
    return Exported(pictures, shards, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def _write_shard(
    reader: CatalogReader, row: EncoderRow, folder: Path, form: Form, ids: Ids, number: int, arrow: Any
) -> int:
    """Write one shard; how many of ``ids`` have a sound embedding and record."""
    _, parquet = pyarrow()
    if form == "npy":
        table = folder / "metadata" / f"metadata_{number}.parquet"
    else:
        table = folder / "embeddings" / f"embeddings_{number}.parquet"
    table.parent.mkdir(exist_ok=True)
    schema = _schema(arrow, row.dim if form == "parquet" else None)
    kept: list[NDArray[np.float16]] = []
    count = 0
    with parquet.ParquetWriter(table, schema) as writer:
        for records, halves in _pieces(reader, row, ids):
            columns = _columns(records)
            if form == "parquet":
                flat = arrow.array(halves.reshape(-1))
                columns["embedding"] = arrow.FixedSizeListArray.from_arrays(flat, row.dim)
            else:
                kept.append(halves)
            writer.write_table(arrow.table(columns, schema=schema))
            count += len(records)
    if not count:
        table.unlink()
    elif form == "npy":
        matrix = folder / "img_emb" / f"img_emb_{number}.npy"
        matrix.parent.mkdir(exist_ok=True)
        np.save(matrix, np.concatenate(kept), allow_pickle=False)
    return count


def _pieces(
    reader: CatalogReader, row: EncoderRow, ids: Ids
) -> Iterator[tuple[list[ImageRecord], NDArray[np.float16]]]:
    """Records and (n, dim) embeddings, a few thousand at a time; those that are damaged are left out."""
    for start in range(0, len(ids), _AT_ONCE):
        found, halves = half_vectors(reader, ids[start : start + _AT_ONCE].tolist(), row)
        records = reader.records(found.tolist())
        if not records:
            continue
        places = np.searchsorted(found, np.fromiter((record.id for record in records), np.int64, len(records)))
        yield records, halves[places].astype(np.float16)


def _schema(arrow: Any, dim: int | None) -> Any:
    whole, real, text = arrow.int64(), arrow.float64(), arrow.string()
    kinds = {"format": text, "camera": text, "lens": text, "taken_precision": text}
    kinds |= dict.fromkeys(("size", "mtime_ns", "width", "height", "colour", "taken_instant", "iso"), whole)
    fields = [("image_path", text), ("path", arrow.binary()), ("content_hash", arrow.binary()), ("taken_at", text)]
    fields += [(name, kinds.get(name, real)) for name in PLAIN]
    if dim is not None:
        fields.append(("embedding", arrow.list_(arrow.float16(), dim)))
    return arrow.schema(fields)


def _columns(records: list[ImageRecord]) -> dict[str, Any]:
    """``image_path`` is what other programs read; ``path`` has the very bytes of names that are not valid text."""
    raw = [os.fsencode(record.path) for record in records]
    return {
        "image_path": [path.decode("utf-8", "replace") for path in raw],
        "path": raw,
        "content_hash": [record.content_hash for record in records],
        "taken_at": [None if record.taken_at is None else record.taken_at.isoformat() for record in records],
        **{name: [getattr(record, name) for record in records] for name in PLAIN},
    }
