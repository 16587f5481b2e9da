"""An index that is kept in a server: one collection for each generation, and a note that says which one holds what.

The note is a manifest (:mod:`indexes.manifest`) in the server, so that every machine that opens the gallery reads the
same one. It is written after the collection was flushed, and only then are older generations dropped: after a crash at
any moment, the note names a complete collection and a change that it contains. A collection may be ahead of its note
(a writer was killed); replaying the changes since the note, by remove-then-add, makes it right again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from indexes.errors import SnapshotCorrupt, SnapshotStale
from indexes.factory import MutableIndex, connected
from indexes.manifest import REBUILD, Manifest, parsed_manifest
from indexes.overlay import Overlay
from indexes.server import Server, ServerIndex
from indexes.server_spec import ServerSpec
from indexes.spec import IndexSpec
from indexes.store import Owner

_TEXT_LIMIT = 60_000


class ServerStore:
    """See :class:`indexes.store.IndexStore`.

    Args:
        spec: address and kind; what is saved may be of another kind.
        owner: encoder and catalog.
        identity: the catalog's name, hexadecimal: several galleries may use one server.
        connect: how to connect to a server; by default ``factory.connected``.
    """

    def __init__(
        self, spec: ServerSpec, owner: Owner, identity: str, connect: Callable[[ServerSpec], Server] = connected
    ) -> None:
        self.spec = spec
        self._connect = connect
        self._owner = owner
        self._stem = f"{spec.prefix}_{identity[:8]}_{owner.fingerprint[:16]}"

    def describe(self) -> Manifest | None:
        """See :class:`IndexStore`."""
        server = self._connect(self.spec)
        try:
            note = self._note(server)
        finally:
            server.close()
        if note is not None and self._owner.revision_of(note.change) != note.revision:
            return None
        return note

    def open(self, *, for_writing: bool = False, verify: bool = False) -> tuple[MutableIndex, int] | None:
        """See :class:`IndexStore`. Readers get an overlay: the server is not changed."""
        server = self._connect(self.spec)
        try:
            note = self._note(server)
            if note is None:
                server.close()
                return None
            self._check(note, server)
            spec = cast(ServerSpec, note.spec)
            index = ServerIndex(spec, note.dim, server, name=note.place)
            if verify and len(index) != note.count:
                raise SnapshotCorrupt(
                    f"{spec.address} holds {len(index):,} vectors of this gallery, not {note.count:,}", REBUILD
                )
        except BaseException:
            server.close()
            raise
        return (index if for_writing else Overlay(index)), note.change

    def _check(self, note: Manifest, server: Server) -> None:
        where = f"the index in {self.spec.address}"
        if note.fingerprint != self._owner.fingerprint or note.dim != self._owner.dim:
            raise SnapshotStale(f"{where} belongs to another encoder", REBUILD)
        if self._owner.revision_of(note.change) != note.revision:
            raise SnapshotStale(f"{where} belongs to another catalog", REBUILD)
        dim = server.dim(note.place)
        if dim is None:
            raise SnapshotCorrupt(f"{where} lacks its collection {note.place}", REBUILD)
        if dim != note.dim:
            raise SnapshotCorrupt(f"{where} holds vectors of {dim} numbers, not {note.dim}", REBUILD)

    def create(self, spec: IndexSpec) -> MutableIndex:
        """See :class:`IndexStore`."""
        made = cast(ServerSpec, spec)
        return ServerIndex(made, self._owner.dim, self._connect(made), stem=self._stem)

    def save(self, index: MutableIndex, change: int, revision: str) -> None:
        """See :class:`IndexStore`. Older generations are dropped afterwards; readers of one begin anew."""
        made = cast(ServerIndex, index)  # by this store
        count = made.keep()
        note = Manifest(made.spec, made.dim, count, self._owner.fingerprint, change, revision, {}, made.name)
        server = self._connect(self.spec)
        try:
            server.write_note(self._stem, note.to_json(), made.name)
            server.settle(made.name)
            for name in server.names(f"{self._stem}_"):
                if name != made.name:
                    server.drop(name)
        finally:
            server.close()

    def drop(self) -> None:
        """Remove the note and every generation."""
        server = self._connect(self.spec)
        try:
            server.write_note(self._stem, None, "")
            for name in server.names(f"{self._stem}_"):
                server.drop(name)
        finally:
            server.close()

    def _note(self, server: Server) -> Manifest | None:
        text = server.note(self._stem)
        if text is None:
            return None
        if len(text) > _TEXT_LIMIT:
            raise SnapshotCorrupt(f"the note of the index in {self.spec.address} is damaged", REBUILD)
        note = parsed_manifest(text, f"the note of the index in {self.spec.address}")
        if not isinstance(note.spec, ServerSpec) or not note.place.startswith(self._stem):
            raise SnapshotCorrupt(f"the note of the index in {self.spec.address} is damaged", REBUILD)
        return note
