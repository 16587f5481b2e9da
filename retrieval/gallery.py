"""A gallery: the folder with the catalog and the vector indexes of one collection."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from indexes import IndexSpec, VectorIndex
from indexes.base import DEFAULT_EFFORT, Effort
from retrieval.catalog.connect import told_as_damage
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import (
    GalleryError,
    GalleryLocked,
    GalleryNotFound,
    GalleryOutdated,
    RetrievalError,
    SettingsError,
)
from retrieval.paths import default_gallery_path
from retrieval.sync import exact_index, open_index, saved_manifest

if TYPE_CHECKING:
    from retrieval.catalog.postgres.address import CatalogAddress
    from retrieval.catalog.writer import Catalog


LABELS_WAIT_S = 10.0
"""How long a change of labels waits for a writer that does not admit it: most of them are over within a second."""


def default_gallery() -> Path:
    """:func:`retrieval.paths.default_gallery_path` as a path."""
    return Path(default_gallery_path())


class Gallery:
    """The on-disk folder of a collection. Opening it is cheap; nothing is read until it is needed.

    Layout::

        catalog.sqlite     the source of truth: images, embeddings, failures, runs
        catalog.toml       instead of it: the address of a catalog in PostgreSQL (catalog/postgres/address.py)
        moving.sqlite      a copy of a catalog in a server while it is being made (migrating.py); can be deleted
        before-*           catalogs, or their addresses, that a move, a repair or a restored backup has replaced
        index/<16 hex>/    a saved vector index per encoder fingerprint, and its search effort (tuning.json); can
                           be deleted at any time
        relevance/<16 hex>/ calibration of relevance, per encoder fingerprint (calibration.py); can be deleted, too
        text-cache.sqlite  embeddings of searched texts (encoders/cache.py); can be deleted at any time
        thumbnails.sqlite  thumbnails for the page (rendering/thumbnail_store.py), with thumbnails.lock; can be
                           deleted at any time
        page.key           random bytes for the page's cookies (web/front/sign_in.py); without it, browsers are asked
                           for the token again
        doubtful/          notes of files that may take too much memory, while they are decoded
                           (indexing/doubtful_notes.py)
        label-copies/      small copies of tags, captions, albums, ... (maintenance/label_backups.py)
        forgetting         exists while these files may contain forgotten data (indexing/forgetting.py)
        writer.lock        held by the one process that writes; writer.json identifies it
        labels.lock        held while labels and albums are written, also by a writer that does not admit that beside it

    Args:
        path: the folder; the default is :func:`default_gallery`.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_gallery() if path is None else Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError(f"{self.path} is a file, not a folder", "name a folder with --gallery")

    @property
    def catalog_path(self) -> Path:
        """The SQLite file, if the catalog is in one."""
        return self.path / "catalog.sqlite"

    def server(self) -> CatalogAddress | None:
        """Where the catalog is if it is in PostgreSQL.

        Raises:
            GalleryError: its server was not named by the person at this process, or the file that names it is damaged.
        """
        if not (self.path / "catalog.toml").exists():
            return None
        from retrieval.catalog.postgres.address import check_named, read_address

        address = read_address(self.path)
        check_named(address)
        return address

    def index_path(self, fingerprint: str) -> Path:
        """The folder of the saved index of one encoder."""
        return self.path / "index" / fingerprint[:16]

    def relevance_path(self, fingerprint: str) -> Path:
        """The folder of the calibration of one encoder."""
        return self.path / "relevance" / fingerprint[:16]

    @property
    def doubtful_path(self) -> Path:
        """The folder of notes on files that may take too much memory."""
        return self.path / "doubtful"

    @property
    def label_copies_path(self) -> Path:
        """The folder of the automatic copies of labels."""
        return self.path / "label-copies"

    def exists(self) -> bool:
        """True if anything was ever indexed here."""
        return self.catalog_path.is_file() or (self.path / "catalog.toml").is_file()

    def catalog_identity(self) -> Hashable | None:
        """Tells the catalog that is there now from one that replaces it, by a restored backup for instance; None if
        there is none. Of one in a server, the address: its readers follow what is in it."""
        try:
            address = self.server()
            if address is not None:
                return str(address)
            found = self.catalog_path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def open_reader(self) -> CatalogReader:
        """The catalog for reading, which the caller closes. One that an older photoseek wrote is upgraded first.

        Raises:
            GalleryNotFound: there is none.
            GalleryOutdated: it cannot be upgraded now: another process is writing, or this one may not.
        """
        try:
            return self._opened()
        except GalleryOutdated as old:
            try:
                with self.writer():
                    pass
            except GalleryLocked as error:
                raise GalleryOutdated(f"{old.message}, and {error.message}", error.hint) from error
            except RetrievalError as error:
                raise GalleryOutdated(f"{old.message}, and cannot be upgraded: {error.message}", error.hint) from error
        return self._opened()

    def _opened(self) -> CatalogReader:
        self.refuse_links()
        address = self.server()
        if address is None:
            return CatalogReader(self.catalog_path)
        from retrieval.catalog.postgres.reader import ServerReader

        return ServerReader(address, self.path)

    def _telling_damage(self) -> AbstractContextManager[None]:
        return told_as_damage(self.catalog_path) if self.server() is None else nullcontext()

    @contextmanager
    def reader(self, *, upgrades: bool = True) -> Iterator[CatalogReader]:
        """A read-only view of the catalog; raises as :meth:`open_reader`.

        Args:
            upgrades: with False, a catalog that an older photoseek wrote is not upgraded: GalleryOutdated.
        """
        reader = self.open_reader() if upgrades else self._opened()
        try:
            with self._telling_damage():
                yield reader
        finally:
            reader.close()

    @contextmanager
    def writer(self, *, admits_labels: bool = False, admits_runs: bool = False) -> Iterator[Catalog]:
        """The catalog for writing, created if it is missing; held by one process at a time.

        Args:
            admits_labels: see :meth:`locked`.
            admits_runs: with a catalog in a server, others that also admit runs may write meanwhile, each from another
                gallery's folder. For transactions that are right whatever others have written before.

        Raises:
            GalleryLocked: another process is writing; the message identifies it.
            GalleryError: the folder cannot be written to.
        """
        names = ["runs" if admits_runs else "writer", *([] if admits_labels else ["labels"])]
        with self._files_locked(admits_labels=admits_labels), self._catalog(names) as catalog:
            yield catalog

    @contextmanager
    def labeller(self) -> Iterator[Catalog]:
        """The catalog for one short change of labels or albums, also while an indexing run writes to the gallery.

        A run takes hours, and what people say about pictures does not wait for it: both write in transactions of
        their own, one after the other. A writer that replaces or rewrites the catalog's file is waited for.

        Raises:
            GalleryNotFound, GalleryOutdated, GalleryTooNew: as :meth:`reader`.
            GalleryLocked: another writer did not end within :data:`LABELS_WAIT_S`; the message identifies it.
            GalleryError: the folder cannot be written to.
        """
        self._opened().close()
        with self._lock("labels.lock", LABELS_WAIT_S), self._catalog(["labels"]) as catalog:
            yield catalog

    @contextmanager
    def _catalog(self, locks: list[str]) -> Iterator[Catalog]:
        """The catalog for writing. One in a server also has locks there, for writers on other machines."""
        address = self.server()
        if address is None:
            from retrieval.catalog.writer import Catalog

            catalog = Catalog(self.catalog_path)
        else:
            from retrieval.catalog.postgres.writer import ServerCatalog

            waits = [(name, LABELS_WAIT_S if name == "labels" else 0.0) for name in locks]
            catalog = ServerCatalog(address, self.path, waits)
        try:
            with self._telling_damage():
                yield catalog
        finally:
            catalog.close()

    def refuse_if_written(self) -> None:
        """Raise GalleryLocked if a process is writing, like :meth:`writer`; GalleryError likewise."""
        if self.path.exists():
            with self.locked():
                pass

    @contextmanager
    def locked(self, *, admits_labels: bool = False) -> Iterator[None]:
        """Keep every other process from writing; the catalog is not opened. Raises as :meth:`writer`.

        Args:
            admits_labels: others may change labels and albums meanwhile (:meth:`labeller`). Not if the catalog's file
                is replaced, or if what is said about a picture must not change between reading and writing it.
        """
        with ExitStack() as stack:
            stack.enter_context(self._files_locked(admits_labels=admits_labels))
            if self.server() is not None:
                stack.enter_context(self._catalog(["writer"] if admits_labels else ["writer", "labels"]))
            yield

    @contextmanager
    def _files_locked(self, *, admits_labels: bool) -> Iterator[None]:
        """Keep other processes on this machine from writing."""
        holder = self.path / "writer.json"
        with self._lock("writer.lock", 0):
            try:
                with suppress(OSError):  # only informs other processes that find the lock taken
                    holder.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
                with nullcontext() if admits_labels else self._lock("labels.lock", LABELS_WAIT_S):
                    yield
            finally:
                with suppress(OSError):
                    holder.unlink()

    def refuse_links(self) -> None:
        """Raise GalleryError if a file or folder of the gallery is a symbolic link: what it leads to is not ours to
        write, nor to show. The gallery's folder itself may be one."""
        try:
            with os.scandir(self.path) as entries:
                link = next((entry.path for entry in entries if entry.is_symlink()), None)
        except OSError:  # not there yet
            return
        if link is not None:
            raise GalleryError(
                f"{link} is a symbolic link, which a gallery does not have",
                "put what it leads to in its place, or use another --gallery",
            )

    @contextmanager
    def _lock(self, name: str, wait_s: float) -> Iterator[None]:
        """Hold one of the gallery's locks; raises as :meth:`writer`."""
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.refuse_links()
            lock = FileLock(self.path / name, timeout=wait_s)
            lock.acquire(poll_interval=0.02)
        except Timeout:
            raise GalleryLocked(
                f"the gallery {self.path} is being written by {_holder(self.path / 'writer.json')}",
                "wait until it has finished, or stop it (Ctrl-C loses nothing)",
            ) from None
        except OSError as error:
            from retrieval.system_errors import of_os

            known = of_os(OSError(error.errno, error.strerror))
            raise GalleryError(
                f"cannot write to {self.path}: {known.message}", f"{known.hint}; or choose another --gallery"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def bring_up_to_date(self) -> None:
        """Upgrade a catalog written by an older photoseek; nothing else is changed.

        Raises:
            GalleryLocked: an upgrade is needed, and another process is writing.
        """
        if self.exists():
            try:
                self._opened().close()
            except GalleryOutdated:
                with self.writer():
                    pass
            except GalleryNotFound:  # created but still empty
                pass

    def is_being_written(self) -> bool:
        """True if the process recorded as the writer is alive; with a catalog in a server, if any machine writes."""
        if self.server() is not None:
            with self.reader() as reader:
                return reader.held_by() is not None
        if os.name == "nt":  # signal 0 would be Ctrl-C there (not tested: no such machine at hand)
            try:
                self.refuse_if_written()
            except GalleryLocked:
                return True
            return False
        try:
            os.kill(int(json.loads((self.path / "writer.json").read_text(encoding="utf-8"))["pid"]), 0)
        except PermissionError:  # another user's
            return True
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return False
        return True

    def active_encoder(self, reader: CatalogReader) -> EncoderRow:
        """The encoder used in searches; raises GalleryNotFound if nothing is indexed."""
        encoder = reader.active_encoder()
        if encoder is None:
            run = reader.last_run()
            # A run interrupted before its model became active has pictures, but nothing to search with.
            if run is None or run["outcome"] is None or not run["roots"] or (run["report"] or {}).get("images"):
                raise GalleryNotFound(f"nothing is indexed in {self.path}", "run: photoseek index FOLDER")
            from retrieval.pictures.passed_over import nothing_indexed

            passed_over = (run["report"] or {}).get("passed_over", {})
            raise GalleryNotFound(
                f"{', '.join(run['roots'])}: {nothing_indexed(reader.failure_count(), passed_over)}",
                "run: photoseek index FOLDER, with a folder that holds pictures",
            )
        return encoder

    def open_index(self, reader: CatalogReader, encoder: EncoderRow, *, verify: bool = False) -> VectorIndex:
        """The encoder's vector index, synchronised with the current catalog; saves nothing.

        Args:
            verify: check all saved bytes, as a long-running process does; otherwise at most 128 MiB of them.
        """
        return open_index(self.index_path(encoder.fingerprint), reader, encoder, verify=verify).index

    def exact_index(self, reader: CatalogReader, encoder: EncoderRow) -> VectorIndex:
        """An index built from the catalog only, independent of saved ones."""
        return exact_index(reader, encoder)

    def spec_in_use(self, reader: CatalogReader, encoder: EncoderRow) -> IndexSpec | None:
        """The kind of index that is saved for an encoder; None if there is none."""
        manifest = saved_manifest(self.index_path(encoder.fingerprint), reader, encoder)
        return None if manifest is None else manifest.spec

    def effort(self, encoder: EncoderRow, spec: IndexSpec) -> Effort:
        """The search effort for an encoder's index of this kind: found by ``photoseek tune``, else the default."""
        if not spec.knobs:  # most galleries: nothing to look up
            return DEFAULT_EFFORT
        from retrieval.tuned import tuned_effort

        return tuned_effort(self.index_path(encoder.fingerprint), spec)

    def bytes_on_disk(self, reader: CatalogReader) -> dict[str, int]:
        """Bytes of ``catalog`` (with its write-ahead log; or in its server) and ``index``."""
        index = sum(_size(file) for file in (self.path / "index").rglob("*"))
        return {"catalog": reader.bytes_used(), "index": index}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # removed by a writer in the meantime
        return 0


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text(encoding='utf-8'))['pid']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
