"""The manifest of a saved index: what it holds, in which files, and how each is known to be whole."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from indexes.errors import SnapshotCorrupt, SnapshotStale, SpecError
from indexes.spec import IndexSpec

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
HEAD_BYTES = 1 << 20
_SIZE_LIMIT = 64 * 1024
_TEMPORARY = re.compile(r"manifest-[0-9a-f]{16}\.tmp")
_FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{16}\.(npy|faiss)")
_DIGEST = re.compile(r"[0-9a-f]{64}")

REBUILD = "it will be rebuilt from the catalog"


@dataclass(frozen=True)
class StoredFile:
    """One file of a snapshot.

    Args:
        name: File name inside the snapshot's folder.
        size: Length in bytes.
        head: blake3 of its first 1 MiB, hexadecimal.
        digest: blake3 of all of it, hexadecimal.
    """

    name: str
    size: int
    head: str
    digest: str

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Describe a file that was just written."""
        return cls(path.name, path.stat().st_size, head_digest(path), full_digest(path))


@dataclass(frozen=True)
class Manifest:
    """What a snapshot says about itself.

    Args:
        spec: The index's specification.
        dim: Numbers a vector.
        count: Vectors that a search can return.
        fingerprint: The encoder whose embeddings these are.
        change: The catalog's last change number contained in it.
        files: Part name, as the backend calls it, to file.
    """

    spec: IndexSpec
    dim: int
    count: int
    fingerprint: str
    change: int
    files: dict[str, StoredFile]

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files.values())

    def to_json(self) -> bytes:
        body = {
            "format_version": FORMAT_VERSION,
            "spec": str(self.spec),
            "dim": self.dim,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "change": self.change,
            "files": {part: asdict(file) for part, file in self.files.items()},
        }
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=True).encode()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the snapshot in ``folder``, or None where no index was saved yet.

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
    try:
        if len(text) > _SIZE_LIMIT:
            raise ValueError("longer than any manifest")
        body = json.loads(text)
        version = body["format_version"]
        if version != FORMAT_VERSION:
            raise SnapshotStale(f"{path} has format version {version}, not {FORMAT_VERSION}", REBUILD)
        return _from_body(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SpecError) as error:
        raise SnapshotCorrupt(f"{path} is damaged", REBUILD) from error


def _from_body(body: dict[str, Any]) -> Manifest:
    if body.pop("checksum") != _checksum(body):
        raise ValueError("checksum")
    files = {}
    for part, entry in body["files"].items():
        file = StoredFile(**entry)
        digests = (file.head, file.digest)
        if not _FILE_NAME.fullmatch(file.name) or not all(map(_DIGEST.fullmatch, digests)):
            raise ValueError("file entry")
        _natural(file.size)
        files[part] = file
    return Manifest(
        spec=IndexSpec.parse(body["spec"]),
        dim=_natural(body["dim"]),
        count=_natural(body["count"]),
        fingerprint=str(body["fingerprint"]),
        change=_natural(body["change"]),
        files=files,
    )


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("not a natural number")
    return value


def _checksum(body: dict[str, Any]) -> str:
    """blake3 of the manifest's other entries: a changed change number would lose pictures silently."""
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_snapshot_file(name: str) -> bool:
    """Whether a file of this name can only be a snapshot's own."""
    return bool(_FILE_NAME.fullmatch(name) or _TEMPORARY.fullmatch(name))


def head_digest(path: Path) -> str:
    with path.open("rb") as file:
        return blake3(file.read(HEAD_BYTES)).hexdigest()


def full_digest(path: Path) -> str:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
