"""Settings of a server: address, access, and limits."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.server.engine_thread import EngineLimits

MEBI = 1 << 20


@dataclass(frozen=True)
class Settings(EngineLimits):
    """The settings of one server; strangers may reach the limits, a person should not.

    Args:
        host, port: the address to listen on; port 0 means a free one.
        title: the page's name.
        token: the token that a client must send, or several, one a line; None requires none, which only
            loopback may do.
        page_key: 64 hexadecimal digits on which cookies depend, the same for all servers of one gallery; None: those
            in the gallery's folder.
        requests_per_minute: that each token may send; 0: no limit.
        allowed_hosts: further names allowed in a ``Host`` header.
        allow_new_folders: ``POST /index`` may name folders that are not known to the gallery yet.
        allowed_folders: folders in which those to be indexed may be chosen on the page; on a server that only this
            machine reaches, the home folder and mounted drives, too.
        read_only: requests that would change labels, albums or files, or start a run, are refused.
        model, max_waiting, texts_at_once, texts_remembered: of the engine; if too many wait, the answer is 503.
        max_readers_waiting: the same for the catalog's readers.
        reader_threads: threads that read the catalog, besides the engine.
        max_requests: requests in progress at once; one more is answered with 503.
        max_connections: connections at once; for one more, one without a request in progress is closed, or it itself.
        max_json_bytes, max_upload_bytes: of a body, and of a ``multipart/form-data`` body.
        max_bodies_bytes: of all bodies in memory together; above it, requests with a body are answered with 503.
        header_wait_s: from the first moment of a connection (or of its next request) to the end of the headers.
        body_wait_s: between two pieces of a body.
        body_total_s: for a whole body.
        write_wait_s: for a client to read more of an answer.
        keep_alive_s: how long an idle connection is kept.
        stop_within_s: the time for running requests to finish when the server is stopped.
        thumbnail_bytes: the maximum size of the thumbnails in the gallery's folder.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    title: str = "photoseek"
    token: str | None = None
    page_key: str | None = None
    requests_per_minute: int = 0
    allowed_hosts: tuple[str, ...] = ()
    allow_new_folders: bool = False
    allowed_folders: tuple[str, ...] = ()
    read_only: bool = False
    max_readers_waiting: int = 256
    reader_threads: int = 2
    max_requests: int = 512
    max_connections: int = 1024
    max_json_bytes: int = MEBI
    max_upload_bytes: int = 64 * MEBI
    max_bodies_bytes: int = 256 * MEBI
    header_wait_s: float = 15.0
    body_wait_s: float = 10.0
    body_total_s: float = 120.0
    write_wait_s: float = 60.0
    keep_alive_s: float = 15.0
    stop_within_s: float = 3.0
    thumbnail_bytes: int = 1024 * MEBI

    @property
    def tokens(self) -> tuple[str, ...]:
        """Each of the tokens, without empty lines."""
        return tuple(line for line in (self.token or "").splitlines() if line.strip())
