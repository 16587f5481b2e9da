"""One indexing run as a process of its own, for tests of several; prints what it did as JSON.

Its encoder can be made to wait: it says ``encoding`` when it is asked for a batch, and goes on when a file is there.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path

from indexes.base import Vectors
from retrieval.catalog.postgres import leases
from retrieval.catalog.postgres.address import name_address, read_address
from retrieval.encoders.base import Pixels
from retrieval.errors import RetrievalError
from retrieval.gallery import Gallery
from retrieval.indexing import indexer, sharing
from tests.fakes import ColourEncoder


class Gated(ColourEncoder):
    """Waits before each batch until a file exists."""

    def __init__(self, gate: Path | None, name: str) -> None:
        super().__init__(name=name)
        self._gate, self._told = gate, threading.Lock()

    def encode_images(self, pixels: Pixels) -> Vectors:
        if self._gate is not None:
            if self._told.acquire(blocking=False):
                print("encoding", flush=True)
            while not self._gate.exists():
                time.sleep(0.02)
        return super().encode_images(pixels)


def main() -> None:
    asked = json.loads(sys.argv[1])
    socket.gethostname = lambda: asked["host"]
    leases.BEAT_S, leases.GRACE_S, leases.LEASE_S = asked["times"]
    sharing.AT_ONCE, sharing.LOOK_S, indexer.COMMIT_SECONDS = 4, 0.05, 0.1
    gallery = Gallery(asked["gallery"])
    address = read_address(gallery.path)
    name_address(address)
    encoder = Gated(None if asked["gate"] is None else Path(asked["gate"]), asked["model"])
    try:
        report = indexer.Indexer(gallery, encoder).run(asked["folders"], index_spec=asked["index"])
    except RetrievalError as error:
        print(json.dumps({"error": f"{error.message}: {error.hint}"}))
        return
    print(json.dumps(report.as_dict() | {"encodings": encoder.encoded}))


if __name__ == "__main__":
    main()
