"""Several indexing runs in one catalog: what one of them writes while others write, too.

A run that shares a catalog has a lease for each file that it reads and encodes (``postgres/leases.py`` hands them out).
The transaction that writes a file's row gives its lease back, and writes nothing for a file whose lease has gone to
another run. So a process that was stopped for a while, and does not know it, cannot write over what others did.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.batch import Batch, FailedImage, IndexedImage, KnownFailure, KnownFile
from retrieval.paths import decode_path, encode_path

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

_AT_ONCE = 100

Place = tuple[int, str]
"""The id of a folder, and a name in it."""


def lease_key(folder_id: int, name: str) -> bytes:
    """16 bytes that stand for a file: the same for every run, wherever it is."""
    return hashlib.blake2b(b"%d/" % folder_id + os.fsencode(name), digest_size=16).digest()


def place_of(outcome: IndexedImage | FailedImage) -> Place:
    """Where the file is."""
    return outcome.folder_id, outcome.name


def give_back(transaction: Transaction, indexer: int, keys: Sequence[bytes]) -> set[bytes]:
    """End the leases of a run for these files; those of them that it still had."""
    had: set[bytes] = set()
    for at in range(0, len(keys), _AT_ONCE):
        part = {f"key{n}": key for n, key in enumerate(keys[at : at + _AT_ONCE])}
        names = ", ".join(f":{name}" for name in part)
        # One statement: another run may be taking them over at this moment.
        sql = f"DELETE FROM leases WHERE indexer = :indexer AND key IN ({names}) RETURNING key"
        had |= {bytes(key) for (key,) in transaction.rows(sql, part | {"indexer": indexer})}
    return had


def written_since(rows: Rows, ids: Sequence[int], change: int) -> set[int]:
    """Those of these images that a later transaction than number ``change`` has written."""
    found: set[int] = set()
    for names, values in id_lists(ids):
        sql = f"SELECT id FROM images WHERE id IN ({names}) AND change > :change"
        found |= {id_ for (id_,) in rows.rows(sql, values | {"change": change})}
    return found


def only_own(
    transaction: Transaction, batch: Batch, indexer: int, keys: Mapping[Place, bytes], change: int
) -> tuple[Batch, set[Place]]:
    """What a run may write of a batch: not the files whose leases it lost, and no removal of what others have written.

    Args:
        keys: of the files that it has leased, by place.
        change: the number of the last transaction before the run. What others added or moved since then is there,
            whatever a listing says that was made before, or that the cache of a network share made.

    Returns:
        That part, and the files whose leases it lost.
    """
    outcomes: list[IndexedImage | FailedImage] = [*batch.indexed, *batch.failed]
    wanted = {place: keys[place] for each in outcomes if (place := place_of(each)) in keys}
    had = give_back(transaction, indexer, list(wanted.values()))
    lost = {place for place, key in wanted.items() if key not in had}
    others = written_since(transaction, batch.retired, change)
    own = replace(
        batch,
        indexed=[each for each in batch.indexed if place_of(each) not in lost],
        failed=[each for each in batch.failed if place_of(each) not in lost],
        retired=[id_ for id_ in batch.retired if id_ not in others],
    )
    return own, lost


def known_at(
    rows: Rows, encoder_id: int, places: Sequence[Place]
) -> tuple[dict[Place, KnownFile], dict[Place, KnownFailure]]:
    """What is known of the files at these places, and which of them could not be indexed."""
    files: dict[Place, KnownFile] = {}
    failures: dict[Place, KnownFailure] = {}
    for listed, values in _place_lists(places):
        sql = f"""SELECT i.folder_id, i.name, i.id, i.size, i.mtime_ns, i.is_retired, e.id IS NOT NULL, i.ctime_ns
                  FROM images AS i LEFT JOIN embeddings AS e ON e.image_id = i.id AND e.encoder_id = :encoder
                  WHERE (i.folder_id, i.name) IN (VALUES {listed})"""
        for folder, name, *known in rows.rows(sql, values | {"encoder": encoder_id}):
            files[folder, decode_path(name)] = tuple(known)
        sql = f"""SELECT folder_id, name, id, size, mtime_ns, is_transient FROM failures
                  WHERE (folder_id, name) IN (VALUES {listed})"""
        for folder, name, id_, size, mtime_ns, is_transient in rows.rows(sql, values):
            failures[folder, decode_path(name)] = id_, size, mtime_ns, bool(is_transient)
    return files, failures


def _place_lists(places: Sequence[Place]) -> Iterator[tuple[str, dict[str, Any]]]:
    for at in range(0, len(places), _AT_ONCE):
        part = places[at : at + _AT_ONCE]
        values: dict[str, Any] = {f"folder{n}": folder for n, (folder, _) in enumerate(part)}
        values |= {f"name{n}": encode_path(name) for n, (_, name) in enumerate(part)}
        yield ", ".join(f"(:folder{n}, :name{n})" for n in range(len(part))), values
