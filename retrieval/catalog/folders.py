"""The table of folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from retrieval.catalog.access import Rows
from retrieval.paths import decode_path, encode_path, is_below, is_remote
from retrieval.sources.places import archive_of

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


def all_folders(rows: Rows) -> dict[int, str]:
    """Id -> path of every folder."""
    return {id_: decode_path(path) for id_, path in rows.rows("SELECT id, path FROM folders")}


def folders_and_mounts(rows: Rows) -> dict[str, tuple[int, bool]]:
    """Path -> (id, whether a file system was mounted there when it was last walked) of every folder."""
    found = rows.rows("SELECT path, id, is_mount FROM folders")
    return {decode_path(path): (id_, bool(is_mount)) for path, id_, is_mount in found}


def all_roots(rows: Rows) -> list[str]:
    """The folders that were given to ``index``, by path."""
    return [decode_path(path) for (path,) in rows.rows("SELECT path FROM folders WHERE is_root ORDER BY path")]


def roots_of_others(rows: Rows, host: str) -> list[str]:
    """The roots that another machine than this one walked last, by path."""
    sql = "SELECT path FROM folders WHERE is_root AND host <> :host ORDER BY path"
    return [decode_path(path) for (path,) in rows.rows(sql, {"host": host})]


def roots_only_elsewhere(rows: Rows, host: str) -> list[str]:
    """The roots that another machine walked and that this one does not have.

    Their files are not gone: what is there stays as it is, and the same content in a folder here is a copy.
    """
    others = roots_of_others(rows, host)
    return [root for root in others if not _is_here(root)]


def _is_here(root: str) -> bool:
    return is_remote(root) or os.path.isdir(root) or archive_of(root) is not None  # noqa: PTH112 - need not be text


def passed_over(rows: Rows) -> list[str | None]:
    """For each root what its last walk skipped, as JSON text (see ``pictures/passed_over.py``)."""
    return [text for (text,) in rows.rows("SELECT passed_over FROM folders WHERE is_root ORDER BY path")]


def present_counts(rows: Rows) -> list[tuple[str, int]]:
    """(path, number of present images directly in it) of each folder that has any."""
    sql = """SELECT f.path, count(*) FROM folders AS f JOIN images AS i ON i.folder_id = f.id
             WHERE NOT i.is_retired GROUP BY f.id"""
    return [(decode_path(path), count) for path, count in rows.rows(sql)]


def count_present(rows: Rows, below: str) -> int:
    """How many present images are at or below a folder."""
    return sum(count for path, count in present_counts(rows) if is_below(path, below))


def unembedded_folders(rows: Rows, encoder_id: int) -> list[str]:
    """Folders that hold present images which this encoder has not embedded yet."""
    sql = """SELECT DISTINCT f.path FROM folders AS f JOIN images AS i ON i.folder_id = f.id
             WHERE NOT i.is_retired
             AND NOT EXISTS (SELECT 1 FROM embeddings AS e WHERE e.image_id = i.id AND e.encoder_id = :encoder)"""
    return [decode_path(path) for (path,) in rows.rows(sql, {"encoder": encoder_id})]


def folder_id(transaction: Transaction, path: str, *, is_root: bool, is_mount: bool) -> int:
    """The id of the folder, after adding it; ``is_root`` is never reset, ``is_mount`` is set as given."""
    asked = {"path": encode_path(path), "is_root": is_root, "is_mount": is_mount}
    found = transaction.rows("SELECT id, is_root, is_mount FROM folders WHERE path = :path", {"path": asked["path"]})
    if not found:
        return transaction.insert(
            "INSERT INTO folders (path, is_root, is_mount) VALUES (:path, :is_root, :is_mount)", asked
        )
    id_, was_root, was_mount = found[0]
    if (is_root and not was_root) or is_mount != bool(was_mount):
        transaction.run(
            "UPDATE folders SET is_root = :is_root, is_mount = :is_mount WHERE id = :id",
            {"is_root": is_root or bool(was_root), "is_mount": is_mount, "id": id_},
        )
    return int(id_)


def note_host(transaction: Transaction, root: str, host: str) -> None:
    """Record which machine walks this root."""
    transaction.run(
        "UPDATE folders SET host = :host WHERE path = :path AND is_root AND (host IS NULL OR host <> :host)",
        {"host": host, "path": encode_path(root)},
    )


def note_passed_over(transaction: Transaction, root: str, counts: str) -> None:
    """Record what the walk of a root skipped, as JSON text (see ``pictures/passed_over.py``)."""
    transaction.run(
        "UPDATE folders SET passed_over = :counts WHERE path = :path", {"counts": counts, "path": encode_path(root)}
    )
