"""Write a batch of an indexing run into a transaction: which row a picture belongs to, and what happens to it."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from retrieval.catalog.access import Rows
from retrieval.catalog.batch import Batch, Counts, FailedImage, IndexedImage, Metadata
from retrieval.catalog.label_moves import LabelMoves
from retrieval.catalog.moments import drop_moments, set_moments
from retrieval.catalog.records import utc_now
from retrieval.catalog.texts import pages_by_text
from retrieval.catalog.transaction import Transaction
from retrieval.folding import fold
from retrieval.paths import decode_path, encode_path, is_below
from retrieval.sources.reading import is_gone
from retrieval.system_errors import damaged

_AT_ONCE = 100
"""Pictures asked about in one statement, as in ``access.py``."""


class _Here(NamedTuple):
    """The row at a path."""

    id: int
    content_hash: bytes
    is_retired: bool
    size: int
    mtime_ns: int


def write_batch(
    transaction: Transaction,
    batch: Batch,
    encoder_id: int,
    *,
    unplugged: Sequence[str],
    labels: LabelMoves,
    retired: set[int],
) -> Counts:
    """Write a batch; see ``Catalog.commit``.

    Args:
        labels: the label moves of this run.
        retired: images that the run has retired and not found elsewhere; changed in place.
    """
    counts = Counts(restored=len(batch.restored), failed=len(batch.failed), retired=len(batch.retired))
    _retire(transaction, batch.retired)
    retired.update(batch.retired)
    for failure in batch.failed:
        _record_failure(transaction, failure)
    if batch.restored:
        _set_retired(transaction, batch.restored, is_retired=False)
    transaction.run("DELETE FROM failures WHERE id = :id", [{"id": id_} for id_ in batch.resolved])
    noted = [{"id": id_, "at": ctime_ns} for id_, ctime_ns in batch.noted]
    transaction.run("UPDATE images SET ctime_ns = :at WHERE id = :id", noted)
    new: list[dict[str, Any]] = []
    embedded: list[dict[str, Any]] = []
    labels.begin(transaction)
    beforehand = _Beforehand(transaction, batch.indexed, labels)
    for image, outcome, id_, is_new in _commit_images(
        transaction, batch.indexed, encoder_id, unplugged, labels, beforehand
    ):
        if outcome != "verified":
            (new if is_new else embedded).append(
                {
                    "encoder": encoder_id,
                    "image": id_,
                    "vector": image.vector,
                    "crc": zlib.crc32(image.vector),
                    "change": transaction.change(),
                }
            )
            if image.metadata.duration_s is not None:
                set_moments(transaction, id_, encoder_id, image.moments)
        setattr(counts, outcome, getattr(counts, outcome) + 1)
        if id_ in retired:
            counts.retired -= 1
            retired.remove(id_)
    transaction.write_new(_EMBED_NEW, new)
    transaction.run(_EMBED, embedded)
    if new or embedded:
        first = "UPDATE state SET active_encoder_id = :encoder WHERE active_encoder_id IS NULL"
        transaction.run(first, {"encoder": encoder_id})
    if transaction.rows("SELECT 1 FROM failures LIMIT 1"):
        fine = [{"folder": image.folder_id, "name": encode_path(image.name)} for image in batch.indexed]
        transaction.run("DELETE FROM failures WHERE folder_id = :folder AND name = :name", fine)
    return counts


# Images

_COLUMNS = (
    "folder_id", "name", "name_key", "size", "mtime_ns", "ctime_ns", "content_hash", "is_retired",
    *(field.name for field in fields(Metadata)), "camera_key", "lens_key",
)  # fmt: skip

_INSERT = f"""INSERT INTO images ({", ".join(_COLUMNS)}, added_at, change)
    VALUES ({", ".join(f":{name}" for name in _COLUMNS)}, :added_at, :change)"""

_UPDATE = f"UPDATE images SET {', '.join(f'{name} = :{name}' for name in _COLUMNS)}"

_EMBED_NEW = """INSERT INTO embeddings (encoder_id, image_id, vector, crc, change)
    VALUES (:encoder, :image, :vector, :crc, :change)"""

_EMBED = f"""{_EMBED_NEW} ON CONFLICT (encoder_id, image_id) DO UPDATE SET
    vector = excluded.vector, crc = excluded.crc, change = excluded.change"""


class _Beforehand:
    """What the catalog knew of a batch's pictures before it, asked for all of them at once: most of a first run are new
    in every way, and a server's answer about each alone would take longer than all the rest."""

    def __init__(self, transaction: Transaction, images: Sequence[IndexedImage], labels: LabelMoves) -> None:
        self._labels = labels
        self._places: set[tuple[int, str]] = set()
        self._contents: set[bytes] = set()
        for part in (images[at : at + _AT_ONCE] for at in range(0, len(images), _AT_ONCE)):
            places: dict[str, Any] = {f"folder{n}": image.folder_id for n, image in enumerate(part)}
            places |= {f"name{n}": encode_path(image.name) for n, image in enumerate(part)}
            rows = ", ".join(f"(:folder{n}, :name{n})" for n in range(len(part)))
            sql = f"SELECT folder_id, name FROM images WHERE (folder_id, name) IN (VALUES {rows})"
            self._places |= {(folder, decode_path(name)) for folder, name in transaction.rows(sql, places)}
            contents = {f"hash{n}": image.content_hash for n, image in enumerate(part)}
            listed = ", ".join(f":{name}" for name in contents)
            for table in ("images", "kept_labels"):
                sql = f"SELECT DISTINCT content_hash FROM {table} WHERE content_hash IN ({listed})"
                self._contents |= {row[0] for row in transaction.rows(sql, contents)}
        by_pixels = [image.content_hash for image in images if image.metadata.is_page is False]
        self.pages = pages_by_text(transaction, by_pixels)

    def is_new(self, image: IndexedImage) -> bool:
        """Whether neither the place nor the content was known, and no labels wait for it. Asked once for each."""
        known = (image.folder_id, image.name) in self._places or image.content_hash in self._contents
        self._places.add((image.folder_id, image.name))
        self._contents.add(image.content_hash)
        return not known and not self._labels.await_content(image.content_hash)


def _commit_images(
    transaction: Transaction,
    images: Sequence[IndexedImage],
    encoder_id: int,
    unplugged: Sequence[str],
    labels: LabelMoves,
    beforehand: _Beforehand,
) -> Iterator[tuple[IndexedImage, str, int, bool]]:
    """Insert or update the rows of images: each with the name of the count to increment, its id, and whether its row is
    new. New ones that follow each other are inserted together; ids have the order of the images."""
    new: list[IndexedImage] = []
    for image in images:
        if beforehand.is_new(image):
            new.append(image)
            continue
        yield from _insert_images(transaction, new, beforehand)
        new = []
        yield image, *_commit_image(transaction, image, encoder_id, unplugged, labels, beforehand), False
    yield from _insert_images(transaction, new, beforehand)


def _insert_images(
    transaction: Transaction, images: Sequence[IndexedImage], beforehand: _Beforehand
) -> Iterator[tuple[IndexedImage, str, int, bool]]:
    added = {"added_at": utc_now(), "change": transaction.change()} if images else {}
    ids = transaction.insert_all(_INSERT, [_columns(image, beforehand) | added for image in images])
    yield from ((image, "added", id_, True) for image, id_ in zip(images, ids, strict=True))


def _columns(image: IndexedImage, beforehand: _Beforehand) -> dict[str, Any]:
    """Column name -> value of an image's row."""
    columns = image.metadata.columns() | {
        "folder_id": image.folder_id,
        "name": encode_path(image.name),
        "name_key": encode_path(fold(image.name)),
        "size": image.size,
        "mtime_ns": image.mtime_ns,
        "ctime_ns": image.ctime_ns,
        "content_hash": image.content_hash,
        "is_retired": False,
    }
    if image.content_hash in beforehand.pages:
        columns["is_page"] = True
    return columns


def _commit_image(
    transaction: Transaction,
    image: IndexedImage,
    encoder_id: int,
    unplugged: Sequence[str],
    labels: LabelMoves,
    beforehand: _Beforehand,
) -> tuple[str, int]:
    """Insert or update the row of one image; the name of the count to increment, and the image's id."""
    columns = _columns(image, beforehand)
    here = _at(transaction, image.folder_id, image.name)
    is_same = here is not None and here.content_hash == image.content_hash
    row_id: int | None
    if here is not None:
        row_id, outcome = here.id, "updated"
        if not is_same:
            # Other encoders' embeddings, and all predictions, belong to the picture that was here before.
            transaction.run("DELETE FROM embeddings WHERE image_id = :id", {"id": row_id})
            drop_moments(transaction, None, [row_id])
            transaction.run("DELETE FROM predicted_tags WHERE image_id = :id", {"id": row_id})
        if here.is_retired:
            outcome = "restored" if is_same else "added"
        elif is_same and here.mtime_ns == image.mtime_ns:
            is_known = image.is_reused and _is_embedded(transaction, row_id, encoder_id)
            outcome = "verified" if is_known else "encoded_again"
    else:
        row_id = _moved_from(transaction, image, unplugged)
        outcome = "added" if row_id is None else "moved"
    if row_id is None:
        row_id = transaction.insert(_INSERT, columns | {"added_at": utc_now(), "change": transaction.change()})
    elif is_same and outcome in ("updated", "encoded_again", "verified"):
        # The same picture: other encoders' indexes have nothing to replay.
        transaction.run(f"{_UPDATE} WHERE id = :id", columns | {"id": row_id})
    else:
        changed = columns | {"id": row_id, "change": transaction.change()}
        transaction.run(f"{_UPDATE}, change = :change WHERE id = :id", changed)
    if outcome != "moved" and not is_same:
        is_edit = here is not None and (not here.is_retired or _has_failed(transaction, image))
        old = None if here is None else here.content_hash
        labels.follow(transaction, row_id, image.content_hash, old=old, is_edit=is_edit, unplugged=unplugged)
    return outcome, row_id


def _at(rows: Rows, folder_id: int, name: str) -> _Here | None:
    sql = """SELECT id, content_hash, is_retired, size, mtime_ns FROM images
             WHERE folder_id = :folder AND name = :name"""
    found = rows.rows(sql, {"folder": folder_id, "name": encode_path(name)})
    return _Here(*found[0]) if found else None


def _is_embedded(rows: Rows, image_id: int, encoder_id: int) -> bool:
    sql = "SELECT 1 FROM embeddings WHERE encoder_id = :encoder AND image_id = :image"
    return bool(rows.rows(sql, {"encoder": encoder_id, "image": image_id}))


def _has_failed(rows: Rows, image: IndexedImage) -> bool:
    """True if the file was there ever since its picture was retired, but could not be read."""
    sql = "SELECT 1 FROM failures WHERE folder_id = :folder AND name = :name"
    return bool(rows.rows(sql, {"folder": image.folder_id, "name": encode_path(image.name)}))


def _moved_from(transaction: Transaction, image: IndexedImage, unplugged: Sequence[str]) -> int | None:
    """The image that was moved here: same bytes, and its old path is gone (not just unmounted).

    Raises:
        GalleryError: the image is here already, but the database did not find it by its name: from now on it would be
            listed twice.
    """
    same: list[Any] = transaction.rows(
        """SELECT i.id, i.folder_id, f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id
           WHERE i.content_hash = :hash ORDER BY i.id""",
        {"hash": image.content_hash},
    )
    for id_, folder_id, stored_folder, stored_name in same:
        folder, name = decode_path(stored_folder), decode_path(stored_name)
        if (folder_id, name) == (image.folder_id, image.name):
            raise damaged(transaction.path, "pictures that it holds are not found by their names", "write")
        if any(is_below(folder, mount) for mount in unplugged):
            continue
        if is_gone(os.path.join(folder, name)):
            return int(id_)
    return None


# Failures, and images that are gone


def _record_failure(transaction: Transaction, failure: FailedImage) -> None:
    """Remember the failure, and retire the image that was at this path: the file no longer shows it.

    The image stays if its file is only unreachable (transient, and not known to have changed). A failure alone does
    not count as a change: some recur on every run, and after each change the index is saved again.
    """
    transaction.run(
        """INSERT INTO failures (folder_id, name, size, mtime_ns, reason, is_transient, failed_at)
           VALUES (:folder, :name, :size, :mtime_ns, :reason, :is_transient, :failed_at)
           ON CONFLICT (folder_id, name) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,
           reason = excluded.reason, is_transient = excluded.is_transient, failed_at = excluded.failed_at""",
        {
            "folder": failure.folder_id,
            "name": encode_path(failure.name),
            "size": failure.size,
            "mtime_ns": failure.mtime_ns,
            "reason": failure.reason,
            "is_transient": failure.is_transient,
            "failed_at": utc_now(),
        },
    )
    here = _at(transaction, failure.folder_id, failure.name)
    if here is None or here.is_retired:
        return
    if failure.is_transient and (here.size, here.mtime_ns) == (failure.size, failure.mtime_ns):
        return
    _retire(transaction, [here.id])


def _retire(transaction: Transaction, ids: Sequence[int]) -> None:
    if ids:
        _set_retired(transaction, ids, is_retired=True)


def _set_retired(transaction: Transaction, ids: Sequence[int], *, is_retired: bool) -> None:
    change = transaction.change()
    transaction.run(
        "UPDATE images SET is_retired = :is_retired, change = :change WHERE id = :id",
        [{"is_retired": is_retired, "change": change, "id": id_} for id_ in ids],
    )
