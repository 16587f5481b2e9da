"""A gallery: the folder with the catalog and the vector indexes of one collection."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from indexes import IndexSpec, VectorIndex
from indexes.base import DEFAULT_EFFORT, Effort
from retrieval.catalog.damage import told_as_damage
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import GalleryError, GalleryLocked, GalleryNotFound, GalleryOutdated, SettingsError
from retrieval.paths import default_gallery_path
from retrieval.sync import exact_index, open_index, saved_manifest

if TYPE_CHECKING:
    from retrieval.catalog.writer import Catalog


def default_gallery() -> Path:
    """:func:`retrieval.paths.default_gallery_path` as a path."""
    return Path(default_gallery_path())


class Gallery:
    """The on-disk folder of a collection. Opening it is cheap; nothing is read until it is asked for.

    Layout::

        catalog.sqlite     the truth: images, embeddings, failures, runs
        index/<16 hex>/    a saved vector index per encoder fingerprint, and how hard to search it (tuning.json); can
                           be deleted at any time
        relevance/<16 hex>/ what unrelated searches find, per encoder fingerprint (calibration.py); can be deleted, too
        text-cache.sqlite  embeddings of words that were searched for (encoders/cache.py); can be deleted at any time
        thumbnails.sqlite  small pictures for the page (rendering/thumbnail_store.py), thumbnails.lock beside it; can be
                           deleted at any time
        forgetting         there while these files may hold what was forgotten (indexing/forgetting.py)
        writer.lock        held by the one process that writes; writer.json says who that is

    Args:
        path: the folder; the default is :func:`default_gallery`.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_gallery() if path is None else Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            raise SettingsError(f"{self.path} is a file, not a folder", "name a folder with --gallery")

    @property
    def catalog_path(self) -> Path:
        """The SQLite file."""
        return self.path / "catalog.sqlite"

    def index_path(self, fingerprint: str) -> Path:
        """Where the saved index of one encoder lies."""
        return self.path / "index" / fingerprint[:16]

    def relevance_path(self, fingerprint: str) -> Path:
        """Where the calibration of one encoder lies."""
        return self.path / "relevance" / fingerprint[:16]

    def exists(self) -> bool:
        """True if something was ever indexed here."""
        return self.catalog_path.is_file()

    @contextmanager
    def reader(self) -> Iterator[CatalogReader]:
        """A read-only view of the catalog; GalleryNotFound where there is none."""
        reader = CatalogReader(self.catalog_path)
        try:
            with told_as_damage(self.catalog_path):
                yield reader
        finally:
            reader.close()

    @contextmanager
    def writer(self) -> Iterator[Catalog]:
        """The catalog for writing, made if it is not there; held by one process at a time.

        Raises:
            GalleryLocked: another process is writing; the message says which.
            GalleryError: the folder cannot be written.
        """
        from retrieval.catalog.writer import Catalog

        with self._lock():
            catalog = Catalog(self.catalog_path)
            try:
                with told_as_damage(self.catalog_path):
                    yield catalog
            finally:
                catalog.close()

    def refuse_if_written(self) -> None:
        """Raise GalleryLocked if a process is writing now, as :meth:`writer` would; GalleryError likewise."""
        if self.path.exists():
            with self._lock():
                pass

    @contextmanager
    def _lock(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        holder = self.path / "writer.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "writer.lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise GalleryLocked(
                f"the gallery {self.path} is being written by {_holder(holder)}",
                "wait until it has finished, or stop it (Ctrl-C loses nothing)",
            ) from None
        except OSError as error:
            from retrieval.system_errors import of_os

            known = of_os(OSError(error.errno, error.strerror))
            raise GalleryError(
                f"cannot write to {self.path}: {known.message}", f"{known.hint}; or choose another --gallery"
            ) from error
        try:
            with suppress(OSError):  # only to be told to who finds the lock taken
                holder.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                holder.unlink()
            lock.release()

    def bring_up_to_date(self) -> None:
        """Give a catalog that an older photoseek wrote today's form; nothing else is touched.

        Raises:
            GalleryLocked: it has to change, and another process is writing.
        """
        if self.exists():
            try:
                CatalogReader(self.catalog_path).close()
            except GalleryOutdated:
                with self.writer():
                    pass
            except GalleryNotFound:  # begun and never filled
                pass

    def is_being_written(self) -> bool:
        """True if the process that noted itself as the writer is alive."""
        try:
            os.kill(int(json.loads((self.path / "writer.json").read_text(encoding="utf-8"))["pid"]), 0)
        except PermissionError:  # another user's
            return True
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return False
        return True

    def active_encoder(self, reader: CatalogReader) -> EncoderRow:
        """The encoder that searches use; GalleryNotFound while nothing is indexed."""
        encoder = reader.active_encoder()
        if encoder is None:
            run = reader.last_run()
            # A run that was cut off before its model was put to use has pictures, but nothing to search with.
            if run is None or run["outcome"] is None or not run["roots"] or (run["report"] or {}).get("images"):
                raise GalleryNotFound(f"nothing is indexed in {self.path}", "run: photoseek index FOLDER")
            from retrieval.output import nothing_indexed

            passed_over = (run["report"] or {}).get("passed_over", {})
            raise GalleryNotFound(
                f"{', '.join(run['roots'])}: {nothing_indexed(reader.failure_count(), passed_over)}",
                "run: photoseek index FOLDER, with a folder that holds pictures",
            )
        return encoder

    def open_index(self, reader: CatalogReader, encoder: EncoderRow, *, verify: bool = False) -> VectorIndex:
        """The encoder's vector index in step with the catalog as it is now; saves nothing.

        Args:
            verify: check every byte of what is saved, as a process that stays does; otherwise at most 128 MiB of it.
        """
        return open_index(self.index_path(encoder.fingerprint), reader, encoder, verify=verify).index

    def exact_index(self, reader: CatalogReader, encoder: EncoderRow) -> VectorIndex:
        """An index made from the catalog alone, whatever is saved."""
        return exact_index(reader, encoder)

    def spec_in_use(self, reader: CatalogReader, encoder: EncoderRow) -> IndexSpec | None:
        """The kind of index that is saved for an encoder; None if there is none."""
        manifest = saved_manifest(self.index_path(encoder.fingerprint), reader)
        return None if manifest is None else manifest.spec

    def effort(self, encoder: EncoderRow, spec: IndexSpec) -> Effort:
        """How hard to search an encoder's index of this kind: as ``photoseek tune`` found, else its defaults."""
        if not spec.knobs:  # most galleries: nothing to look up
            return DEFAULT_EFFORT
        from retrieval.tuned import tuned_effort

        return tuned_effort(self.index_path(encoder.fingerprint), spec)

    def bytes_on_disk(self) -> dict[str, int]:
        """Bytes of ``catalog`` (with its write-ahead log) and ``index``."""
        catalog = sum(_size(self.path / f"catalog.sqlite{suffix}") for suffix in ("", "-wal", "-shm"))
        index = sum(_size(file) for file in (self.path / "index").rglob("*"))
        return {"catalog": catalog, "index": index}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # removed meanwhile by a writer
        return 0


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text(encoding='utf-8'))['pid']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
