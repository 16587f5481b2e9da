"""Write a catalog: the one place that changes its tables, one transaction a call.

A call that returned is on disk (WAL, synchronous FULL); a call that was cut off never happened.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, event, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from retrieval.catalog import schema
from retrieval.catalog.batch import Batch, Counts, FailedImage, IndexedImage, KnownFailure, KnownFile
from retrieval.catalog.known import KNOWN_FAILURES, KNOWN_FILES
from retrieval.catalog.schema import (
    embeddings,
    encoders,
    failures,
    folders,
    images,
    predicted_tags,
    runs,
    state,
)
from retrieval.folding import fold
from retrieval.labels.moves import LabelMoves
from retrieval.paths import decode_path, encode_path, is_below
from retrieval.regular_files import is_gone
from retrieval.system_errors import damaged, of_sqlite

if TYPE_CHECKING:
    from retrieval.encoders.base import EncoderSpec


class Catalog:
    """The writer. Whoever makes one holds the gallery's lock (see ``gallery.Gallery.writer``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = schema.open_engine(path)
        self._connections: list[sqlite3.Connection] = []
        event.listen(self._engine, "connect", lambda connection, _: self._connections.append(connection))
        self._labels = LabelMoves()
        self._retired: set[int] = set()  # in this run: what of it turns up elsewhere was moved and not retired
        try:
            with self._engine.connect() as connection:
                current = schema.is_current(connection)
            if not current:
                schema.upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close the database; the write-ahead log is folded into it."""
        self._engine.dispose()

    def roll_back(self) -> None:
        """Undo what an interrupt left open: it may hit between a BEGIN and the code that would end it."""
        for connection in self._connections:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                connection.rollback()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, for the modules beside this one that write tables of their own: all of it or nothing."""
        with self._engine.begin() as connection:
            yield connection

    def compact(self) -> bool:
        """Write the database anew with what is in it and nothing else, and empty the write-ahead log.

        Returns:
            False if another process reads the gallery, so that the log keeps old pages until that has ended.

        Raises:
            GalleryError: there is no room for the copy.
        """
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            try:
                driver.execute("VACUUM")
                driver.execute("PRAGMA busy_timeout = 2000")
                is_busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                driver.execute("PRAGMA busy_timeout = 30000")
            except sqlite3.OperationalError as error:
                raise of_sqlite(error, self._path, "write") from error
        return not is_busy

    # Encoders and runs

    def register_encoder(self, spec: EncoderSpec) -> int:
        """The id of the encoder with this fingerprint, after adding it if it is new; where it lies now is noted."""
        with self._engine.begin() as connection:
            known = encoders.c.fingerprint == spec.fingerprint
            row = connection.execute(select(encoders.c.id, encoders.c.source).where(known)).first()
            if row is not None:
                if row[1] != spec.source:
                    connection.execute(update(encoders).where(known).values(source=spec.source))
                return int(row[0])
            values = {
                "fingerprint": spec.fingerprint,
                "name": spec.name,
                "source": spec.source,
                "dim": spec.dim,
                "licence": spec.licence,
                "added_at": _now(),
            }
            return _inserted_id(connection.execute(insert(encoders).values(values)))

    def activate_encoder(self, encoder_id: int) -> None:
        """Make searches use this encoder from now on."""
        with self._engine.begin() as connection:
            connection.execute(update(state).values(active_encoder_id=encoder_id))

    def unembedded(self, encoder_id: int) -> list[str]:
        """Folders that hold present images which this encoder has not embedded yet."""
        missing = (
            select(folders.c.path)
            .join(images, images.c.folder_id == folders.c.id)
            .where(~images.c.is_retired)
            .where(
                ~select(embeddings.c.id)
                .where(embeddings.c.image_id == images.c.id, embeddings.c.encoder_id == encoder_id)
                .exists()
            )
            .distinct()
        )
        with self._engine.connect() as connection:
            return list(connection.execute(missing).scalars())

    def set_index_spec(self, spec: str | None) -> None:
        """Remember the index specification that the user asked for (None: by size)."""
        with self._engine.begin() as connection:
            connection.execute(update(state).values(index_spec=spec))

    def begin_run(self, encoder_id: int, roots: Sequence[str]) -> int:
        """Note that a run has started; its id."""
        self._retired.clear()
        self._labels = LabelMoves()
        values = {"encoder_id": encoder_id, "started_at": _now(), "roots": json.dumps(list(roots))}
        with self._engine.begin() as connection:
            return _inserted_id(connection.execute(insert(runs).values(values)))

    def finish_run(self, run_id: int, outcome: str, report: dict[str, Any]) -> None:
        """Note how a run ended. A run without this was killed."""
        values = {"finished_at": _now(), "outcome": outcome, "report": json.dumps(report)}
        with self._engine.begin() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(values))

    def drop_embeddings(self, encoder_id: int, ids: Sequence[int]) -> None:
        """Delete an encoder's embeddings of images; to a run these are pictures that it has not seen."""
        with self._engine.begin() as connection:
            change = _next_change(connection)
            _by_id(
                connection,
                delete(embeddings).where(embeddings.c.encoder_id == encoder_id),
                embeddings.c.image_id,
                ids,
            )
            _by_id(connection, update(images).values(change=change), images.c.id, ids)
            connection.execute(update(state).values(change=change))

    # Folders

    def folder_id(self, path: str, *, is_root: bool = False, is_mount: bool = False) -> int:
        """The id of the folder, after adding it; ``is_root`` is never taken back, ``is_mount`` is as given."""
        with self._engine.begin() as connection:
            query = select(folders.c.id, folders.c.is_root, folders.c.is_mount).where(folders.c.path == path)
            row = connection.execute(query).first()
            if row is None:
                values = {"path": path, "is_root": is_root, "is_mount": is_mount}
                return _inserted_id(connection.execute(insert(folders).values(values)))
            if (is_root and not row.is_root) or is_mount != row.is_mount:
                changed = {"is_root": is_root or row.is_root, "is_mount": is_mount}
                connection.execute(update(folders).where(folders.c.id == row.id).values(changed))
            return int(row.id)

    def note_passed_over(self, root: str, counts: str) -> None:
        """Remember what the walk of a root passed over, as JSON text (see ``pictures/passed_over.py``)."""
        with self._engine.begin() as connection:
            connection.execute(update(folders).where(folders.c.path == root).values(passed_over=counts))

    def folders_below(self, root: str) -> dict[str, tuple[int, bool]]:
        """Path -> (id, is_mount) of the folders at or below ``root`` that the catalog knows."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(folders.c.path, folders.c.id, folders.c.is_mount))
            return {path: (id_, is_mount) for path, id_, is_mount in rows if is_below(path, root)}

    def mounts(self) -> list[str]:
        """Folders on which a file system was mounted when they were last walked."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(folders.c.path).where(folders.c.is_mount)).scalars())

    def known_files(self, folder_id: int, encoder_id: int) -> dict[str, KnownFile]:
        """Name -> what is known of it, retired images included.

        Straight from the driver: this runs once a folder in a no-change run, whose whole cost is the walk plus this,
        and SQLAlchemy's rows would add a tenth to it.
        """
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            rows = driver.execute(KNOWN_FILES, (encoder_id, folder_id)).fetchall()
        return {row[0] if type(row[0]) is str else decode_path(row[0]): row[1:] for row in rows}

    def known_failures(self, folder_id: int) -> dict[str, KnownFailure]:
        """Name -> (failure id, size, mtime_ns, is_transient)."""
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(KNOWN_FAILURES, (folder_id,)).fetchall()
        return {decode_path(row[0]): (row[1], row[2], row[3], bool(row[4])) for row in rows}

    def is_known(self, folder_id: int, name: str) -> bool:
        """True if an image of this name, retired or not, or a failure is known there."""
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(
                """SELECT EXISTS (SELECT 1 FROM images WHERE folder_id = :folder AND name = :name)
                   OR EXISTS (SELECT 1 FROM failures WHERE folder_id = :folder AND name = :name)""",
                {"folder": folder_id, "name": encode_path(name)},
            )
            return bool(found.scalar_one())

    def count_present(self, below: str) -> int:
        """How many present images lie at or below a folder."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(folders.c.path, func.count())
                .join(images, images.c.folder_id == folders.c.id)
                .where(~images.c.is_retired)
                .group_by(folders.c.id)
            )
            return sum(count for path, count in rows if is_below(path, below))

    # Images

    def commit(self, batch: Batch, encoder_id: int, *, unplugged: Sequence[str] = ()) -> Counts:
        """Write a batch: all of it or nothing. Searches use the first encoder that an image came from.

        An image that this or an earlier batch of the run retired, and that now turns up elsewhere, is taken off
        the count of retired ones again: the sum over a run's batches says what became of each image.

        Args:
            unplugged: mount points that are not mounted now. A file below one is not "gone", so a second file
                with its bytes is a copy and not the moved file.
        """
        counts = Counts(restored=len(batch.restored), failed=len(batch.failed))
        with self._engine.begin() as connection:
            change = _next_change(connection)
            _retire(connection, batch.retired, change)
            gone = self._retired.union(batch.retired)
            counts.retired += len(batch.retired)
            retired = [_record_failure(connection, failure, change) for failure in batch.failed]
            _by_id(connection, update(images).values(is_retired=False, change=change), images.c.id, batch.restored)
            _by_id(connection, delete(failures), failures.c.id, batch.resolved)
            if batch.noted:
                connection.execute(_NOTE, [{"key": id_, "at": ctime_ns} for id_, ctime_ns in batch.noted])
            embedded = []
            self._labels.begin(connection)
            for image in batch.indexed:
                outcome, id_ = _commit_image(connection, image, encoder_id, change, unplugged, self._labels)
                if outcome != "verified":
                    vector = {"vector": image.vector, "crc": zlib.crc32(image.vector)}
                    embedded.append({"encoder_id": encoder_id, "image_id": id_, "change": change, **vector})
                setattr(counts, outcome, getattr(counts, outcome) + 1)
                if id_ in gone:
                    counts.retired -= 1
                    gone.remove(id_)
            if embedded:
                connection.execute(_EMBED, embedded)
            if batch.indexed:
                fine = [{"folder": image.folder_id, "file": image.name} for image in batch.indexed]
                connection.execute(_FORGET_FAILURE, fine)
            if embedded or batch.restored or batch.retired or any(retired):
                # Not for failures alone: some come back on every run, and each change saves the index anew.
                active = func.coalesce(state.c.active_encoder_id, encoder_id if embedded else None)
                connection.execute(update(state).values(change=change, active_encoder_id=active))
        self._retired = gone
        return counts


def _next_change(connection: Connection) -> int:
    """The number that this transaction gives to the rows it touches."""
    return int(connection.execute(select(state.c.change)).scalar_one()) + 1


def _commit_image(
    connection: Connection,
    image: IndexedImage,
    encoder_id: int,
    change: int,
    unplugged: Sequence[str],
    labels: LabelMoves,
) -> tuple[str, int]:
    """Insert or update the row of one image; the name of the count that goes up, and the image's id."""
    columns = image.metadata.columns() | {
        "folder_id": image.folder_id,
        "name": image.name,
        "name_key": fold(image.name),
        "size": image.size,
        "mtime_ns": image.mtime_ns,
        "ctime_ns": image.ctime_ns,
        "content_hash": image.content_hash,
        "is_retired": False,
        "change": change,
    }
    here = connection.execute(_AT, {"folder": image.folder_id, "file": image.name}).first()
    row_id: int | None
    if here is not None:
        row_id, outcome = here.id, "updated"
        if here.content_hash != image.content_hash:
            # Other encoders' embeddings, and what was predicted from any, are of the picture that was here before.
            connection.execute(delete(embeddings).where(embeddings.c.image_id == row_id))
            connection.execute(delete(predicted_tags).where(predicted_tags.c.image_id == row_id))
        if here.is_retired:
            outcome = "added" if here.content_hash != image.content_hash else "restored"
        elif here.content_hash == image.content_hash and here.mtime_ns == image.mtime_ns:
            is_embedded = connection.execute(_EMBEDDED, {"encoder": encoder_id, "image": row_id}).first() is not None
            outcome = "verified" if image.is_reused and is_embedded else "encoded_again"
    else:
        row_id = _moved_from(connection, image, unplugged)
        outcome = "added" if row_id is None else "moved"
    if row_id is None:
        row_id = _inserted_id(connection.execute(_INSERT, columns | {"added_at": _now()}))
    else:
        is_same = here is not None and here.content_hash == image.content_hash
        if is_same and outcome in ("updated", "encoded_again", "verified"):
            # The same picture: other encoders' indexes have nothing to replay.
            del columns["change"]
        connection.execute(_UPDATE, columns | {"key": row_id})
    old = None if here is None else here.content_hash
    if outcome != "moved" and old != image.content_hash:
        is_edit = here is not None and (not here.is_retired or _has_failed(connection, image))
        labels.follow(connection, row_id, image.content_hash, old=old, is_edit=is_edit, unplugged=unplugged)
    return outcome, row_id


def _has_failed(connection: Connection, image: IndexedImage) -> bool:
    """True if the file was there all the time since its picture was retired, but could not be read."""
    at = (failures.c.folder_id == image.folder_id) & (failures.c.name == image.name)
    return connection.execute(select(failures.c.id).where(at)).first() is not None


# Statements made once: building one for each image cost more than running it.
_INSERT = insert(images)
_UPDATE = update(images).where(images.c.id == bindparam("key"))
_NEW_EMBEDDING = upsert(embeddings)
_EMBED = _NEW_EMBEDDING.on_conflict_do_update(
    index_elements=["encoder_id", "image_id"],
    set_={name: _NEW_EMBEDDING.excluded[name] for name in ("vector", "crc", "change")},
)
_AT = select(images.c.id, images.c.content_hash, images.c.is_retired, images.c.size, images.c.mtime_ns).where(
    images.c.folder_id == bindparam("folder"), images.c.name == bindparam("file")
)
_NOTE = update(images).where(images.c.id == bindparam("key")).values(ctime_ns=bindparam("at"))
_EMBEDDED = select(embeddings.c.id).where(
    embeddings.c.encoder_id == bindparam("encoder"), embeddings.c.image_id == bindparam("image")
)
_FORGET_FAILURE = delete(failures).where(
    failures.c.folder_id == bindparam("folder"), failures.c.name == bindparam("file")
)
_SAME_BYTES = (
    select(images.c.id, images.c.folder_id, folders.c.path, images.c.name)
    .join(folders, folders.c.id == images.c.folder_id)
    .where(images.c.content_hash == bindparam("hash"))
    .order_by(images.c.id)
)


def _moved_from(connection: Connection, image: IndexedImage, unplugged: Sequence[str]) -> int | None:
    """The image that was moved here: same bytes, and its old path is gone (but not merely unplugged).

    Raises:
        GalleryError: the image is here already, where the database did not find it by its name: it would be listed
            twice from now on.
    """
    for id_, folder_id, folder, name in connection.execute(_SAME_BYTES, {"hash": image.content_hash}):
        if (folder_id, name) == (image.folder_id, image.name):
            path = Path(str(connection.engine.url.database))
            raise damaged(path, "pictures that it holds are not found by their names", "write")
        if any(is_below(folder, mount) for mount in unplugged):
            continue
        if is_gone(os.path.join(folder, name)):
            return int(id_)
    return None


def _record_failure(connection: Connection, failure: FailedImage, change: int) -> bool:
    """Remember the failure, and retire the image that was at this path: the file no longer shows it.

    The image stays while its file is merely out of reach (transient, and not known to have changed). Returns True
    if it was retired.
    """
    values = {name: getattr(failure, name) for name in failure.__slots__} | {"failed_at": _now()}
    key = {"folder_id", "name"}
    connection.execute(
        upsert(failures).on_conflict_do_update(
            index_elements=["folder_id", "name"], set_={k: v for k, v in values.items() if k not in key}
        ),
        values,
    )
    here = connection.execute(_AT, {"folder": failure.folder_id, "file": failure.name}).first()
    if here is None or here.is_retired:
        return False
    if failure.is_transient and (here.size, here.mtime_ns) == (failure.size, failure.mtime_ns):
        return False
    _retire(connection, [here.id], change)
    return True


def _retire(connection: Connection, ids: Iterable[int], change: int) -> None:
    _by_id(connection, update(images).values(is_retired=True, change=change), images.c.id, ids)


def _by_id(connection: Connection, statement: Any, column: Any, ids: Iterable[int]) -> None:
    """Run an update or delete for each id."""
    keys = [{"key": id_} for id_ in ids]
    if keys:
        connection.execute(statement.where(column == bindparam("key")), keys)


def _inserted_id(result: Any) -> int:
    return int(result.inserted_primary_key[0])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
