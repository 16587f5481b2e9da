"""Remove folders and files from a catalog, reversibly or permanently."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.albums import hide_in_searches
from retrieval.catalog.embedded_xmp import forget_gone
from retrieval.catalog.exclusions import Exclusion, all_exclusions, fingerprint, replace_exclusions
from retrieval.catalog.faces import forget_unshown_faces
from retrieval.catalog.labels import KINDS, said_of
from retrieval.catalog.lexicon import erase_deleted
from retrieval.catalog.places import drop_unused
from retrieval.catalog.texts import forget_unshown
from retrieval.paths import decode_path, encode_path, is_below

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


@dataclass
class Forgotten:
    """What happened to one path.

    Attributes:
        path: as the catalog has it.
        images: how many present images left the gallery.
        purged: how many rows of images were deleted, including images that were already gone.
        labelled: how many of the images have tags, captions, ... by people, which are kept.
        left_out_of: the folder that is still indexed and excludes this path from now on; None if there is none.
        is_folder: False for a single file.
        searches: names of saved searches in which the path was replaced by ``PURGED``.
    """

    path: str
    images: int = 0
    purged: int = 0
    labelled: int = 0
    left_out_of: str | None = None
    is_folder: bool = True
    searches: tuple[str, ...] = ()


def forget(transaction: Transaction, paths: Sequence[str], *, purge: bool, leave_out: bool = True) -> Forgotten | None:
    """Remove what is at or below a path; what people said about it is kept by content.

    Args:
        paths: spellings of one path; the first that the catalog knows is used.
        leave_out: a folder above it that is still indexed excludes it from now on.
        purge: delete rows, names, embeddings and labels instead, and everything else that holds a name.

    Returns:
        None if the catalog holds nothing at or below the path.
    """
    if purge:
        transaction.overwrite_deleted()
    for path in paths:
        folders = _folders_below(transaction, path)
        found = _Found(path, [], [], folders, True) if folders else _file_at(transaction, path)
        if found is None:
            continue
        if found.is_folder:
            for folder_id in folders:
                found.take(transaction, "folder_id = :folder", folder=folder_id)
        known = found.images or found.folders if purge else found.present or any(folders.values())
        if known or found.failures:
            return _forget(transaction, found, purge, leave_out)
    return None


@dataclass
class _Found:
    path: str
    images: list[tuple[int, bool, bytes]]  # id, is retired, content hash
    failures: list[int]
    folders: dict[int, bool]  # id -> is a root; empty for a file
    is_folder: bool

    @property
    def present(self) -> list[int]:
        return [id_ for id_, is_retired, _ in self.images if not is_retired]

    def take(self, transaction: Transaction, where: str, **values: Any) -> None:
        sql = f"SELECT id, is_retired, content_hash FROM images WHERE {where}"
        self.images += [(row[0], bool(row[1]), row[2]) for row in transaction.rows(sql, values)]
        sql = f"SELECT id FROM failures WHERE {where}"
        self.failures += [row[0] for row in transaction.rows(sql, values)]


def _folders_below(transaction: Transaction, path: str) -> dict[int, bool]:
    rows = transaction.rows("SELECT id, path, is_root FROM folders")
    return {row[0]: bool(row[2]) for row in rows if is_below(decode_path(row[1]), path)}


def _file_at(transaction: Transaction, path: str) -> _Found | None:
    folder, name = os.path.split(path)
    known = transaction.rows("SELECT id FROM folders WHERE path = :path", {"path": encode_path(folder)})
    if not known:
        return None
    found = _Found(path, [], [], {}, False)
    found.take(transaction, "folder_id = :folder AND name = :name", folder=known[0][0], name=encode_path(name))
    return found


def _forget(transaction: Transaction, found: _Found, purge: bool, leave_out: bool) -> Forgotten:
    change = transaction.change()
    done = Forgotten(found.path, images=len(found.present), is_folder=found.is_folder)
    _each(transaction, "DELETE FROM failures WHERE id = :key", found.failures)
    plain = "UPDATE folders SET is_root = :no, is_mount = :no WHERE id = :key"
    _each(transaction, plain, found.folders, {"no": False})
    if purge:
        done.purged = len(found.images)
        _purge(transaction, found, change)
        done.searches = hide_in_searches(transaction, found.path)
    else:
        done.labelled = sum(_is_labelled(transaction, id_) for id_ in found.present)
        retire = "UPDATE images SET is_retired = :yes, change = :change WHERE id = :key"
        _each(transaction, retire, found.present, {"yes": True, "change": change})
    if leave_out:
        done.left_out_of = _leave_out(transaction, found.path, purge)
    return done


def _is_labelled(transaction: Transaction, image_id: int) -> bool:
    return any(said_of(transaction, kind, [image_id]) for kind in KINDS)


def _purge(transaction: Transaction, found: _Found, change: int) -> None:
    ids = [id_ for id_, *_ in found.images]
    for table in (*KINDS, "predicted_tags", "embeddings", "moments"):
        _each(transaction, f"DELETE FROM {table} WHERE image_id = :key", ids)
    _each(transaction, "DELETE FROM images WHERE id = :key", ids)
    _each(transaction, "DELETE FROM kept_labels WHERE content_hash = :key", [digest for *_, digest in found.images])
    _each(transaction, "INSERT INTO purged_images (id, change) VALUES (:key, :change)", ids, {"change": change})
    _each(transaction, "DELETE FROM folders WHERE id = :key", found.folders)
    transaction.run(
        """DELETE FROM tag_spellings WHERE tag NOT IN (SELECT tag FROM tags UNION SELECT tag FROM predicted_tags
           UNION SELECT text FROM kept_labels WHERE kind = 'tag')"""
    )
    drop_unused(transaction)  # places reveal where somebody was
    forget_unshown(transaction)
    forget_unshown_faces(transaction)
    forget_gone(transaction)
    erase_deleted(transaction)
    # These hold endings of names; the next walk counts them again.
    transaction.run("UPDATE folders SET passed_over = NULL")
    for id_, roots, report in transaction.rows("SELECT id, roots, report FROM runs"):
        told = (_without(json.loads(roots), found.path), None if report is None else json.loads(report))
        if told[1] is not None and "problems" in told[1]:
            told[1]["problems"] = [p for p in told[1]["problems"] if not is_below(p.get("path", ""), found.path)]
        texts = (json.dumps(told[0]), None if told[1] is None else json.dumps(told[1]))
        if texts != (roots, report):
            transaction.run(
                "UPDATE runs SET roots = :roots, report = :report WHERE id = :id",
                {"roots": texts[0], "report": texts[1], "id": id_},
            )


def _without(paths: list[str], purged: str) -> list[str]:
    return [path for path in paths if not is_below(path, purged)]


def _leave_out(transaction: Transaction, path: str, purge: bool) -> str | None:
    """Make the folder that is still indexed exclude this path; that folder, if there is one."""
    rows = transaction.rows("SELECT path FROM folders WHERE is_root")
    above = [root for root in (decode_path(row[0]) for row in rows) if is_below(path, root)]
    before = all_exclusions(transaction)
    kept = [row for row in before.rows if row not in before.below(path)]
    if purge:
        kept = [row for row in kept if row.fingerprint != fingerprint(path)]
    if above:
        kept.append(Exclusion(None, None, fingerprint(path)) if purge else Exclusion(path))
    replace_exclusions(transaction, kept)
    return max(above, key=len) if above else None


def _each(transaction: Transaction, sql: str, keys: Iterable[Any], values: Mapping[str, Any] | None = None) -> None:
    transaction.run(sql, [{"key": key, **(values or {})} for key in keys])
