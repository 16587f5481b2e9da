"""The child's side: a picture file in, an answer out; started and used by ``process.py``.

Damaged or hostile pictures may take unlimited time or memory; here that ends only this process. It has a low priority,
so that it does not slow down other work on the machine.

Requests (path, hash, width, height, seconds) and answers (the work's own values, or ``reason``, ``gone``, ``stop``;
``last``: the process ends after it) are lines of JSON.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from retrieval.errors import RetrievalError, UnreadableImage
from retrieval.pictures.decoder_program import set_limits
from retrieval.pictures.images import content_hash
from retrieval.regular_files import digest_of
from retrieval.sources.reading import open_anywhere, read_anywhere

MOST_MEMORY = 6 << 30
"""Bytes of address space: decoding a picture of 268 megapixels takes 2 GiB, networks take 2 GiB."""

RECYCLED_ABOVE = 1400 << 20
"""Bytes in memory: a process that has grown beyond this ends after its answer."""

MOST_FILE_BYTES = 1 << 30
_NICE = 10

Answer = dict[str, Any]

Work = Callable[[bytes, int, int], Answer]
"""From a picture file and its displayed width and height in pixels to an answer; may raise UnreadableImage."""


def answer(asked: Answer, work: Work) -> Answer:
    """The work's answer for a file, or the reason of a failure; ``gone``: the file is missing or has changed."""
    try:
        data = read_anywhere(asked["path"], MOST_FILE_BYTES)
    except OSError as error:
        is_large = error.errno == errno.EFBIG and _hash_of(asked["path"]) == asked["hash"]
        return {"reason": str(error.strerror)} if is_large else {"gone": True}
    if content_hash(data).hex() != asked["hash"]:
        return {"gone": True}
    try:
        return work(data, asked["width"], asked["height"])
    except UnreadableImage as error:
        return {"reason": error.message}


def serve(work: Work) -> None:
    """Answer requests until the caller closes the pipe."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    source, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not get into the answers
    for line in source:
        asked = json.loads(line)
        set_limits(asked["seconds"], MOST_MEMORY)
        asked["path"] = os.fsdecode(bytes.fromhex(asked["path"]))
        try:
            found = answer(asked, work)
        except MemoryError:
            found = {"reason": "it asks for too much memory"}
        except RetrievalError as error:  # files of the networks are missing or changed
            found = {"stop": [error.message, error.hint]}
        except Exception as error:
            found = {"reason": f"it cannot be read ({type(error).__name__})"}
        is_last = _has_grown()
        out.write(json.dumps(found | {"last": is_last}).encode() + b"\n")
        out.flush()
        if is_last:
            return


def _hash_of(path: str) -> str | None:
    """The content hash of a file of any size; None if it cannot be read."""
    try:
        with open_anywhere(path) as file:
            return digest_of(file).hex()
    except OSError:
        return None


def _has_grown() -> bool:
    """Whether this process must end. Not by ``ru_maxrss``, which on Linux also counts the process that started it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - asked after every picture
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") > RECYCLED_ABOVE
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return False
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit > RECYCLED_ABOVE
