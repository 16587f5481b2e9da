"""A small model hub on loopback: repository listings, files with ranges and hashes, and simulated failures."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
"""From this size on a file is "LFS": announced with its sha256, like the real hub's weight files."""


@dataclass
class Hub:
    """What the server serves and what happened to it.

    Args:
        repositories: name -> folder.
        drop_after: file name -> bytes after which its connection breaks, once per entry of the list.
        corrupt: file names that arrive with a changed byte.
        ignore_ranges: answer 200 and the whole file, as some mirrors do.
        requests: (method, path, Range header) in order.
    """

    repositories: dict[str, Path]
    drop_after: dict[str, list[int]] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    ignore_ranges: bool = False
    private: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    says: bytes = b""
    url: str = ""

    def listing(self, repository: str) -> dict[str, object]:
        folder = self.repositories[repository]
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {
            "id": repository,
            "sha": COMMIT,
            "siblings": [entry(p.relative_to(folder).as_posix(), p.read_bytes()) for p in files],
        }


def entry(name: str, raw: bytes) -> dict[str, object]:
    blob = hashlib.sha1(f"blob {len(raw)}\0".encode() + raw).hexdigest()
    found: dict[str, object] = {"rfilename": name, "size": len(raw), "blobId": blob}
    if len(raw) >= LARGE:
        found["blobId"] = "f" * 40  # of the pointer file, not of the content
        found["lfs"] = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "pointerSize": 130}
    return found


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run the hub on a free loopback port until the block ends."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(("GET", path, self.headers.get("Range")))
        if path.startswith("/api/models/"):
            return self._list(path.removeprefix("/api/models/"))
        repository, _, rest = path.lstrip("/").partition("/resolve/")
        commit, _, name = rest.partition("/")
        folder = self.hub.repositories.get(repository)
        if folder is None or commit != COMMIT or not (folder / name).is_file():
            return self._answer(404, b"Entry not found")
        return self._send(name, (folder / name).read_bytes())

    def _list(self, rest: str) -> None:
        repository, _, revision = rest.partition("/revision/")
        if repository in self.hub.private:
            return self._answer(401, b"Invalid username or password.")
        if repository not in self.hub.repositories or revision not in ("main", COMMIT):
            return self._answer(404, b"Repository not found")
        return self._answer(200, self.hub.says or json.dumps(self.hub.listing(repository)).encode())

    def _send(self, name: str, raw: bytes) -> None:
        if name in self.hub.corrupt:
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        start = 0 if self.hub.ignore_ranges else start
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(raw) - start))
        self.end_headers()
        drops = self.hub.drop_after.get(name, [])
        if drops:
            self.wfile.write(raw[start : start + drops.pop(0)])
            self.close_connection = True  # fewer bytes than announced
            return
        self.wfile.write(raw[start:])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
