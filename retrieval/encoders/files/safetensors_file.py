"""Inspect a safetensors file without loading it: completeness, tensors, a scalar, the content hash."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.encoders.files.checks import LFS_MAGIC, write_atomically
from retrieval.encoders.files.description import hash_file
from retrieval.encoders.files.weights_file import WeightsFile
from retrieval.encoders.names.open_clip import cache_folder
from retrieval.errors import WeightsUnavailable
from retrieval.regular_files import is_short, open_regular

log = logging.getLogger("photoseek")

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
HEADER_LIMIT = 100 << 20
"""The limit that the format itself sets for its JSON header."""


def check_safetensors(path: Path) -> Mapping[str, Any]:
    """Return the header (tensor name -> dtype, shape, data_offsets) of a complete file.

    Raises:
        WeightsUnavailable: missing, a pickle, a git-LFS pointer, empty, truncated or damaged; the message says which.
    """
    if path.suffix.lower() in PICKLES:
        raise WeightsUnavailable(
            f"{path} is a pickle, and loading one can run code: only safetensors files are read",
            "convert it on a machine where you trust it: safetensors.torch.save_file("
            'torch.load(FILE, map_location="cpu", weights_only=True), "open_clip_model.safetensors")',
        )
    try:
        size = path.stat().st_size
        with open_regular(path) as file:
            head = file.read(max(8, len(LFS_MAGIC)))
            if head.startswith(LFS_MAGIC):
                raise WeightsUnavailable(
                    f"{path} is a git-LFS pointer, not the weights", "run `git lfs pull` in that folder"
                )
            length = struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise _damaged(path, "empty" if size == 0 else "the header does not fit the file")
            file.seek(8)
            header = json.loads(file.read(length))
    except OSError as error:
        if is_short(error):
            raise
        raise WeightsUnavailable(f"{path} cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "the header is not JSON") from error
    tensors = {k: v for k, v in header.items() if k != "__metadata__"} if isinstance(header, dict) else {}
    try:
        end = max(int(t["data_offsets"][1]) for t in tensors.values())
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise _damaged(path, "the header lists no tensors") from error
    if 8 + length + end != size:
        raise _damaged(path, f"it has {size} of {8 + length + end} bytes")
    return tensors


def read_scalar(path: Path, name: str) -> float | None:
    """The value of a one-element tensor, or None if the file has no such tensor."""
    weights = WeightsFile(path)
    if name not in weights:
        return None
    values = weights.float32(name)
    if values.size != 1:
        raise _damaged(path, f"{name} is not one number")
    return float(values.reshape(()))


def content_digest(path: Path) -> str:
    """blake3 of a weight file (hex, 64), stored by path, size and mtime_ns in the cache folder.

    Hashing 600 MB takes longer than a text query, so an unchanged file is not read again.
    """
    from blake3 import blake3

    path = path.resolve()
    stat = path.stat()
    state = [str(path), stat.st_size, stat.st_mtime_ns]
    note = cache_folder() / "digests" / f"{blake3(str(path).encode()).hexdigest()[:32]}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["state"] == state and len(known["digest"]) == 64:
            return str(known["digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    digest = hash_file(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps({"state": state, "digest": digest}))
    except OSError as error:
        log.debug("the digest of %s was not remembered: %s", path, error)
    return digest


def _damaged(path: Path, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(f"{path} is damaged: {reason}", "fetch or copy the file again")
