"""The manifest of a saved index: its contents, its files, and their checksums."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

from blake3 import blake3

from indexes.errors import SnapshotCorrupt, SnapshotStale, SpecError
from indexes.spec import IndexSpec

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
BLOCK_BYTES = 1 << 20
_DIGEST_BYTES = 8  # of each block: enough against accidental damage, the only kind that a stored checksum can detect
_SIZE_LIMIT = 4 << 20  # the checksums of 256 GiB
_TEMPORARY = re.compile(r"manifest-[0-9a-f]{16}\.tmp")
_FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{16}\.(npy|faiss)")
_HEX = re.compile(r"[0-9a-f]*")

REBUILD = "it will be rebuilt from the catalog"


@dataclass(frozen=True)
class StoredFile:
    """One file of a snapshot.

    Args:
        name: File name inside the snapshot's folder.
        size: Length in bytes.
        blocks: The checksums of all MiB, concatenated: the first 8 bytes of each one's BLAKE3, in hexadecimal. So any
            part can be checked without reading the rest.
    """

    name: str
    size: int
    blocks: str

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Describe a file that has just been written."""
        digests = []
        buffer = bytearray(BLOCK_BYTES)
        with path.open("rb", buffering=0) as file:
            while length := _fill(file, buffer):
                digests.append(_digest(buffer, length))
        return cls(path.name, path.stat().st_size, "".join(digests))

    @property
    def block_count(self) -> int:
        """The number of checksums."""
        return -(-self.size // BLOCK_BYTES)

    def check(self, folder: Path, numbers: Iterable[int]) -> int:
        """Read blocks and compare them with their checksums; returns the number of bytes read.

        Reads instead of mapping: a bad sector raises an error here, whereas in a mapped file it would kill the
        process.

        Raises:
            ValueError: a block differs from what was written.
            OSError: the file cannot be read.
        """
        buffer = bytearray(BLOCK_BYTES)
        step, read = 2 * _DIGEST_BYTES, 0
        with (folder / self.name).open("rb", buffering=0) as file:
            for number in numbers:
                if file.tell() != number * BLOCK_BYTES:
                    file.seek(number * BLOCK_BYTES)
                length = _fill(file, buffer)
                if _digest(buffer, length) != self.blocks[step * number : step * (number + 1)]:
                    raise ValueError(f"{self.name} does not match its checksum in MiB {number + 1}")
                read += length
        return read


def _fill(file: RawIOBase, buffer: bytearray) -> int:
    """Read until the buffer is full or the file ends; returns the number of bytes read."""
    view, length = memoryview(buffer), 0
    while length < len(buffer) and (more := file.readinto(view[length:])):
        length += more
    return length


def _digest(buffer: bytearray, length: int) -> str:
    return blake3(memoryview(buffer)[:length]).hexdigest(_DIGEST_BYTES)


@dataclass(frozen=True)
class Manifest:
    """The description of a snapshot.

    Args:
        spec: The index's specification.
        dim: Vector dimension.
        count: Number of vectors that a search can return.
        fingerprint: The encoder that computed the embeddings.
        change: The catalog's last change number contained in the index.
        revision: The catalog's name for that change, unique to this catalog; empty if it has none.
        files: From part names, as the backend uses them, to files.
        place: The name of its collection in a server; empty for an index in files.
    """

    spec: IndexSpec
    dim: int
    count: int
    fingerprint: str
    change: int
    revision: str
    files: dict[str, StoredFile]
    place: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files.values())

    def to_json(self) -> bytes:
        body: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "spec": str(self.spec),
            "dim": self.dim,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "change": self.change,
            "revision": self.revision,
            "files": {part: asdict(file) for part, file in self.files.items()},
        }
        if self.place:
            body["place"] = self.place
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=True).encode()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the snapshot in ``folder``, or None if no index has been saved yet.

    Raises:
        SnapshotStale: written in another format version.
        SnapshotCorrupt: damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotCorrupt(f"{path} cannot be read ({error.strerror})", REBUILD) from error
    return parsed_manifest(text, str(path))


def parsed_manifest(text: bytes, name: str) -> Manifest:
    """A manifest from its text; ``name`` is for messages. Raises as :func:`read_manifest`."""
    try:
        if len(text) > _SIZE_LIMIT:
            raise ValueError("longer than any manifest")
        body = json.loads(text)
        version = body["format_version"]
        if version != FORMAT_VERSION:
            raise SnapshotStale(f"{name} has format version {version}, not {FORMAT_VERSION}", REBUILD)
        return _from_body(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SpecError) as error:
        raise SnapshotCorrupt(f"{name} is damaged", REBUILD) from error


def _from_body(body: dict[str, Any]) -> Manifest:
    if body.pop("checksum") != _checksum(body):
        raise ValueError("checksum")
    files = {}
    for part, entry in body["files"].items():
        file = StoredFile(**entry)
        _natural(file.size)
        whole = len(file.blocks) == 2 * _DIGEST_BYTES * file.block_count
        if not (_FILE_NAME.fullmatch(file.name) and _HEX.fullmatch(file.blocks) and whole):
            raise ValueError("file entry")
        files[part] = file
    return Manifest(
        spec=IndexSpec.parse(body["spec"]),
        dim=_natural(body["dim"]),
        count=_natural(body["count"]),
        fingerprint=str(body["fingerprint"]),
        change=_natural(body["change"]),
        revision=str(body["revision"]),
        files=files,
        place=str(body.get("place", "")),
    )


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("not a natural number")
    return value


def _checksum(body: dict[str, Any]) -> str:
    """BLAKE3 of the manifest's other entries: with a damaged change number, pictures would silently be missing."""
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_snapshot_file(name: str) -> bool:
    """Whether the name is one that only files of snapshots have."""
    return bool(_FILE_NAME.fullmatch(name) or _TEMPORARY.fullmatch(name))
