"""Collections in Milvus (a server, a cluster, Zilliz Cloud) or milvus-lite, by pymilvus: imported in this file only.

What Milvus 2.3 to 2.6 and milvus-lite leave to their caller, tested on both:

- Only reads with strong consistency see every earlier write, and they wait up to 200 ms for it. A connection that has
  written needs them always, one that only reads for as long as bounded staleness (5 s) may lag behind its beginning.
- A filter by ids may return fewer hits than there are (milvus-lite's graph); ``ServerIndex`` sees that.
- A new collection answers from an interim index of low recall until its segments are sealed and indexed (``settle``).
- An answer has at most 16,384 hits; a new segment of 16 MB is sealed by ``flush``, so it is called rarely.
- milvus-lite lets one process open a file, and listens on a loopback port meanwhile.
- pymilvus logs every error with its traceback, retries for minutes, and reads ``.env`` files: that is switched off.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from indexes.base import Effort, Ids, Vectors
from indexes.errors import BackendUnavailable, IndexUnreachable
from indexes.ranking import Block
from indexes.server_secrets import secret
from indexes.server_spec import ServerSpec, parse_milvus

TOKEN = "PHOTOSEEK_MILVUS_TOKEN"
"""The variable with the token, ``user:password`` or an API key; with ``_FILE`` behind it, that of a file's name."""

_MOST = 16_384
_LISTED = 8_192
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_WRITE_SECONDS = 300.0
_SETTLE_SECONDS = 120.0
_INSERT_BYTES = 8 << 20
_NOTE_BYTES = 60_000
_EF_MOST = 32_768
_STALE_SECONDS = 10.0  # twice Milvus's bounded staleness

_lite_users: Counter[str] = Counter()
_lite_lock = threading.Lock()


class _Kind:
    """See :class:`indexes.kinds.ServerKind`."""

    def parse(self, text: str) -> ServerSpec | None:
        return parse_milvus(text)

    def connect(self, spec: ServerSpec) -> MilvusServer:
        return MilvusServer(spec)


KIND = _Kind()


def _pymilvus() -> Any:
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to stderr by itself
    try:
        import pymilvus
    except ImportError as error:
        raise BackendUnavailable(
            f"an index in Milvus needs pymilvus, which cannot be imported ({error})",
            "pip install 'photoseek[milvus]', or use another kind of index",
        ) from error
    for name in ("pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pymilvus


class MilvusServer:
    """See :class:`indexes.server.Server`. Several threads may use one connection."""

    most = _MOST
    listed = _LISTED

    def __init__(self, spec: ServerSpec) -> None:
        self._spec = spec
        self._module = _pymilvus()
        self._is_lite = spec.place.scheme == "milvus"
        self._token = "" if self._is_lite else secret(TOKEN)
        with self._told():
            if self._is_lite:
                path = Path(spec.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                with _lite_lock:
                    self._client = self._connected(str(path))
                    _lite_users[spec.path] += 1
            else:
                self._client = self._connected(f"{spec.place.scheme.removeprefix('milvus+')}://{spec.place.netloc}")
        self._closed = False
        self._loaded: set[str] = set()
        self._strong_until = time.monotonic() + _STALE_SECONDS

    @property
    def _consistency(self) -> str:
        return "Strong" if time.monotonic() < self._strong_until else "Bounded"

    def _load(self, name: str) -> None:
        """Searches and queries need a collection in memory; it is there already unless the server was restarted."""
        if name not in self._loaded:
            with self._told():
                self._client.load_collection(name, timeout=_WRITE_SECONDS)
            self._loaded.add(name)

    def _connected(self, uri: str) -> Any:
        database = "" if self._is_lite else self._spec.path.strip("/")
        return self._module.MilvusClient(uri, token=self._token, db_name=database, timeout=_CONNECT_SECONDS)

    def create(self, name: str, dim: int) -> None:
        """See :class:`Server`."""
        kinds, client = self._module.DataType, self._client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
        index = client.prepare_index_params()
        index.add_index("vector", index_type=self._spec.method, metric_type="IP", params=dict(self._spec.parameters))
        with self._told():
            client.create_collection(
                name, schema=schema, index_params=index, consistency_level="Strong", timeout=_WRITE_SECONDS
            )

    def dim(self, name: str) -> int | None:
        """See :class:`Server`."""
        with self._told():
            if not self._client.has_collection(name, timeout=_READ_SECONDS):
                return None
            fields = self._client.describe_collection(name, timeout=_READ_SECONDS)["fields"]
        return next((int(field["params"]["dim"]) for field in fields if field["name"] == "vector"), 0)

    def count(self, name: str) -> int:
        """See :class:`Server`."""
        return int(self._query(name, "", ["count(*)"])[0]["count(*)"])

    def insert(self, name: str, ids: Ids, vectors: Vectors) -> None:
        """See :class:`Server`."""
        self._strong_until = math.inf
        step = max(1, _INSERT_BYTES // (4 * vectors.shape[1]))
        for start in range(0, len(ids), step):
            part = slice(start, start + step)
            rows = [{"id": id_, "vector": row} for id_, row in zip(ids[part].tolist(), vectors[part], strict=True)]
            with self._told():
                self._client.insert(name, rows, timeout=_WRITE_SECONDS)

    def delete(self, name: str, ids: Ids) -> None:
        """See :class:`Server`."""
        self._strong_until = math.inf
        with self._told():
            self._client.delete(name, ids=ids.tolist(), timeout=_WRITE_SECONDS)

    def present(self, name: str, ids: Ids) -> Ids:
        """See :class:`Server`."""
        rows = self._query(name, _among(ids), ["id"])
        return np.fromiter((row["id"] for row in rows), np.int64, len(rows))

    def vectors(self, name: str, ids: Ids) -> Block:
        """See :class:`Server`."""
        return _block(self._query(name, _among(ids), ["id", "vector"]))

    def blocks(self, name: str, dim: int) -> Iterator[Block]:
        """See :class:`Server`."""
        self._load(name)
        size = max(1, min(_LISTED, _INSERT_BYTES // (4 * dim)))
        with self._told():
            pages = self._client.query_iterator(
                name,
                batch_size=size,
                filter="id >= 0",
                output_fields=["id", "vector"],
                consistency_level="Strong",
                timeout=_WRITE_SECONDS,
            )
        try:
            while True:
                with self._told():
                    rows = pages.next()
                if not rows:
                    return
                yield _block(rows)
        finally:
            pages.close()

    def nearest(
        self, name: str, queries: Vectors, count: int, *, among: Ids | None, effort: Effort, thorough: bool
    ) -> list[Block]:
        """See :class:`Server`."""
        self._load(name)
        with self._told():
            answers = self._client.search(
                name,
                list(queries),
                limit=min(count, _MOST),
                filter="" if among is None else _among(among),
                output_fields=["vector"],
                search_params={"metric_type": "IP", "params": self._searched(count, effort, thorough)},
                consistency_level=self._consistency,
                timeout=_READ_SECONDS,
            )
        return [_block([{"id": hit["id"], "vector": hit["entity"]["vector"]} for hit in hits]) for hits in answers]

    def _searched(self, count: int, effort: Effort, thorough: bool) -> dict[str, int]:
        spec = self._spec
        if spec.method == "HNSW":
            ef = effort.ef_search or spec.default_ef_search
            return {"ef": min(_EF_MOST, max(count, ef * 4 if thorough else ef))}
        if spec.method.startswith("IVF"):
            return {"nprobe": spec.cells if thorough else min(spec.cells, effort.nprobe or spec.default_nprobe)}
        if spec.method == "DISKANN":
            return {"search_list": max(count, 100)}
        return {}

    def flush(self, name: str) -> None:
        """See :class:`Server`."""
        with self._told():
            self._client.flush(name, timeout=_WRITE_SECONDS)

    def settle(self, name: str) -> None:
        """See :class:`Server`; two minutes at most."""
        if self._is_lite:
            return
        until = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < until:
            with self._told():
                state = self._client.describe_index(name, "vector", timeout=_READ_SECONDS) or {}
            if not int(state.get("pending_index_rows") or 0):
                return
            time.sleep(0.5)
        logging.getLogger("photoseek").info("%s still builds its index", self._spec.address)

    def names(self, stem: str) -> list[str]:
        """See :class:`Server`."""
        with self._told():
            return sorted(
                name for name in self._client.list_collections(timeout=_READ_SECONDS) if name.startswith(stem)
            )

    def drop(self, name: str) -> None:
        """See :class:`Server`."""
        with self._told():
            for alias in self._client.list_aliases(name, timeout=_READ_SECONDS).get("aliases", ()):
                self._client.drop_alias(alias, timeout=_READ_SECONDS)
            self._client.drop_collection(name, timeout=_WRITE_SECONDS)

    # Notes are in a collection of their own: text is not searched, but every collection has to have a vector.

    @property
    def _notes(self) -> str:
        return f"{self._spec.prefix}_notes"

    def note(self, stem: str) -> bytes | None:
        """See :class:`Server`."""
        with self._told():
            if not self._client.has_collection(self._notes, timeout=_READ_SECONDS):
                return None
        rows = self._query(self._notes, f'stem == "{stem}"', ["note"])
        return str(rows[0]["note"]).encode() if rows else None

    def write_note(self, stem: str, note: bytes | None, name: str) -> None:
        """See :class:`Server`. The alias ``stem`` names the collection in use, for other programs."""
        client = self._client
        with self._told():
            if not client.has_collection(self._notes, timeout=_READ_SECONDS):
                self._create_notes()
            if note is None:
                client.delete(self._notes, filter=f'stem == "{stem}"', timeout=_WRITE_SECONDS)
                return
            row = {"stem": stem, "note": note.decode("ascii"), "vector": [1.0, 0.0]}
            client.upsert(self._notes, [row], timeout=_WRITE_SECONDS)
            in_use = [
                each
                for each in client.list_collections(timeout=_READ_SECONDS)
                if each.startswith(stem) and stem in client.list_aliases(each, timeout=_READ_SECONDS)["aliases"]
            ]
            point = client.alter_alias if in_use else client.create_alias
            if in_use != [name]:
                point(name, stem, timeout=_WRITE_SECONDS)

    def _create_notes(self) -> None:
        kinds, client = self._module.DataType, self._client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("stem", kinds.VARCHAR, is_primary=True, max_length=128)
        schema.add_field("note", kinds.VARCHAR, max_length=_NOTE_BYTES)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_collection(
            self._notes, schema=schema, index_params=index, consistency_level="Strong", timeout=_WRITE_SECONDS
        )

    def close(self) -> None:
        """End the connection; of milvus-lite, the last one closes the file."""
        if self._closed:
            return
        self._closed = True
        self._client.close()
        if self._is_lite:
            with _lite_lock:
                _lite_users[self._spec.path] -= 1
                if not _lite_users[self._spec.path]:
                    from milvus_lite.server_manager import server_manager_instance

                    server_manager_instance.release_server(self._spec.path)

    def _query(self, name: str, condition: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        self._load(name)
        with self._told():
            return list(
                self._client.query(
                    name,
                    filter=condition,
                    output_fields=list(fields),
                    consistency_level="Strong" if fields == ["count(*)"] else self._consistency,
                    timeout=_READ_SECONDS,
                )
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the client as ours, in one line, without the token."""
        try:
            yield
        except (IndexUnreachable, BackendUnavailable):
            raise
        except OSError as error:
            raise IndexUnreachable(f"{self._spec.address}: {error.strerror or error}", "check the folder") from error
        except Exception as error:  # grpc's and pymilvus's errors have no common base
            if not isinstance(error, self._module.MilvusException) and not _is_grpc(error):
                raise
            raise self._explained(error) from None  # the original may contain the token

    def _explained(self, error: Exception) -> IndexUnreachable:
        where = f"the index in {self._spec.address}"
        said = " ".join(str(getattr(error, "message", error)).split())
        folded = said.casefold()
        if any(word in folded for word in ("auth check failure", "unauthenticated", "permission", "privilege")):
            given = "the token is refused" if self._token else "it asks for a token"
            return IndexUnreachable(f"{where} cannot be used: {given}", f"set {TOKEN}, or {TOKEN}_FILE to a file")
        if self._is_lite and "open local milvus failed" in folded:
            return IndexUnreachable(
                f"{where} cannot be opened: another process has it open, or it is damaged",
                "milvus-lite is for one process at a time: stop the other one, or use a server",
            )
        if any(word in folded for word in ("fail connecting", "deadline", "unavailable", "retry", "connect")):
            return IndexUnreachable(
                f"{where} does not answer", "start the server, or check the address and the network"
            )
        if self._token:
            said = said.replace(self._token, "***")
        return IndexUnreachable(f"{where} cannot be used: {said[:200]}", "look into the server's log")


def _is_grpc(error: Exception) -> bool:
    return any(base.__module__.partition(".")[0] == "grpc" for base in type(error).__mro__)


def _among(ids: Ids) -> str:
    return f"id in {ids.tolist()}"


def _block(rows: Sequence[dict[str, Any]]) -> Block:
    ids = np.fromiter((row["id"] for row in rows), np.int64, len(rows))
    return Block(ids, np.array([row["vector"] for row in rows], np.float32))
