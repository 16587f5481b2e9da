"""Settings of a server: address, access, and limits."""

from __future__ import annotations

from dataclasses import dataclass

MEBI = 1 << 20


@dataclass(frozen=True)
class Settings:
    """The settings of one server; every limit is there to be reached by a stranger, not by a person.

    Args:
        host, port: what is listened on; port 0 is a free one.
        token: what a client has to know; None asks for nothing, which only loopback may do.
        allowed_hosts: further names that a ``Host`` header may have.
        allow_new_folders: ``POST /index`` may name folders that the gallery does not know yet.
        model: the name of one of the gallery's encoders; None follows the active one.
        max_waiting: jobs that may wait for the engine; one more is answered with 503.
        max_readers_waiting: the same for the catalog's readers.
        reader_threads: threads that read the catalog beside the engine.
        texts_at_once: texts that go through the text tower in one call.
        texts_remembered: texts whose embeddings stay in memory.
        max_requests: requests in progress at once; one more is answered with 503.
        max_connections: connections at once; one more is closed.
        max_json_bytes, max_upload_bytes: of a body, and of one that is ``multipart/form-data``.
        max_bodies_bytes: of all bodies in memory together; beyond, requests with a body are answered with 503.
        header_wait_s: from the first moment of a connection (or of its next request) to the end of the headers.
        body_wait_s: between two pieces of a body.
        body_total_s: for a whole body.
        write_wait_s: for a client to take more of an answer.
        keep_alive_s: an idle connection is kept for so long.
        stop_within_s: what runs may finish in this time when the server is stopped.
        thumbnail_bytes: what the thumbnails in the gallery's folder may take.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allow_new_folders: bool = False
    model: str | None = None
    max_waiting: int = 64
    max_readers_waiting: int = 256
    reader_threads: int = 2
    texts_at_once: int = 32
    texts_remembered: int = 4096
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
    stop_within_s: float = 5.0
    thumbnail_bytes: int = 1024 * MEBI
