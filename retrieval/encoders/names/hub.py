"""A model hub over HTTP: its address, the files of a repository, the local cache, downloads with resume.

Uses the hub's HTTP interface instead of ``huggingface_hub``, because that library (2.4.0) uses a new name for
its partial file in every process, so an interrupted 1.5 GB download starts from zero; reads HF_ENDPOINT and
HF_HUB_OFFLINE when it is imported; and checks sizes but not hashes. The cache layout is the library's.
No token is ever sent: repositories that require one are refused with a message.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from retrieval.encoders.files.checks import check_inside
from retrieval.errors import UnknownEncoder, WeightsUnavailable

TIMEOUT_S = 10.0
RETRIES = 5
"""How many connections in a row may break without one new byte before a download fails."""
RETRY_WAIT_S = 1.0
CHUNK_BYTES = 1 << 20
LISTING_LIMIT = 32 << 20
USER_AGENT = "photoseek"

BROKEN = (TimeoutError, ConnectionError, ssl.SSLError)
"""The exceptions of a connection that breaks while it is read."""

Progress = Callable[[int, int], None]
"""(bytes downloaded, total bytes), called about once per MiB."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository.

    Args:
        name: path inside the repository.
        bytes: its size.
        sha256: of its content, for large files.
        blob: git's object name (sha1 of ``blob SIZE\\0`` and content), for small files.
    """

    name: str
    bytes: int
    sha256: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Repository:
    """A repository at one commit."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]


def is_offline() -> bool:
    """True if the user has set HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE."""
    values = (os.environ.get(key, "") for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


def endpoint() -> str:
    """Address of the hub, HF_ENDPOINT or the public one, without a trailing slash."""
    address = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    if urlsplit(address).scheme not in ("http", "https"):
        raise WeightsUnavailable(f"HF_ENDPOINT is {address!r}", "give an http or https address")
    return address


def hub_cache() -> Path:
    """The hub's cache folder, from the same variables that huggingface_hub reads."""
    for key in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := os.environ.get(key):
            return Path(value).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"


def cached_snapshot(repository: str) -> Path | None:
    """Folder of a repository's current revision in the hub cache, or None if it is not cached."""
    folder = hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        check_inside(commit)
    except (OSError, ValueError):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def list_repository(name: str, revision: str | None = None) -> Repository:
    """Get the files of a repository, and its commit, from the hub.

    Raises:
        UnknownEncoder: no such repository or revision, or it is not public.
        WeightsUnavailable: offline mode is set, or the hub cannot be reached or read; within about
            ``TIMEOUT_S`` seconds.
    """
    if is_offline():
        raise WeightsUnavailable(
            f"HF_HUB_OFFLINE is set, so {name} cannot be fetched", "unset it, or copy the files by hand"
        )
    url = f"{endpoint()}/api/models/{quote(name)}/revision/{quote(revision or 'main', safe='')}?blobs=true"
    try:
        with _open(url) as response:
            data = json.loads(response.read(LISTING_LIMIT))
        return Repository(name, *_listing(data))
    except urllib.error.HTTPError as error:
        raise _refused(name, revision, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsUnavailable(f"{url} did not return a file list", "try again later") from error


def download(repository: Repository, file: RemoteFile, to: Path, on_bytes: Callable[[int], None]) -> None:
    """Download one file to ``to`` and check its hash; a partial ``to.part`` is continued.

    Args:
        on_bytes: called with the number of bytes of this file that are downloaded.

    Raises:
        WeightsUnavailable: the connection failed permanently (the part is kept for the next try), the file has
            other content than announced (the part is removed), or the disk is full.
    """
    part = to.with_name(f"{to.name}.part")
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.is_file() and to.stat().st_size == file.bytes and _matches(to, file):
        on_bytes(file.bytes)
        return
    failures = 0
    while (have := part.stat().st_size if part.exists() else 0) < file.bytes or not part.exists():
        try:
            _append(repository, file, part, have, on_bytes)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in (408, 429, 500, 502, 503, 504):
                raise _refused(repository.name, repository.commit, error) from error
        except (*BROKEN, urllib.error.URLError, http.client.HTTPException) as error:
            if failures >= RETRIES:
                raise _unreachable(error) from error
        except OSError as error:
            from retrieval.system_errors import not_written

            raise not_written(part, error, "set PHOTOSEEK_MODELS to your own folder") from error
        failures = 0 if part.exists() and part.stat().st_size > have else failures + 1
        if failures > RETRIES:
            raise WeightsUnavailable(f"{file.name} stopped at {have} of {file.bytes} bytes", "try again")
        if failures:
            time.sleep(RETRY_WAIT_S)
    if part.stat().st_size != file.bytes or not _matches(part, file):
        part.unlink()
        raise WeightsUnavailable(
            f"{file.name} of {repository.name} arrived damaged: its hash differs from the expected one",
            "fetch it again; a proxy or mirror may be the cause",
        )
    part.replace(to)


def _append(repository: Repository, file: RemoteFile, part: Path, have: int, on_bytes: Callable[[int], None]) -> None:
    url = f"{endpoint()}/{quote(repository.name)}/resolve/{quote(repository.commit)}/{quote(file.name)}"
    with _open(url, {"Range": f"bytes={have}-"} if have else {}) as response:
        # A server that ignores the range sends the whole file with status 200.
        resumed = have > 0 and response.status == 206
        have = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            while have < file.bytes and (chunk := response.read(min(CHUNK_BYTES, file.bytes - have))):
                out.write(chunk)
                have += len(chunk)
                on_bytes(have)


def _matches(path: Path, file: RemoteFile) -> bool:
    """Large files have their sha256, small ones git's object name; with neither, only the size is checked."""
    if file.sha256:
        digest, wanted = hashlib.sha256(), file.sha256
    elif file.blob:
        digest, wanted = hashlib.sha1(f"blob {file.bytes}\0".encode(), usedforsecurity=False), file.blob
    else:
        return True
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == wanted


def _open(url: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    # Proxy variables are respected; endpoint() has checked that the scheme is http or https.
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, **(headers or {})})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # type: ignore[no-any-return]


def _listing(data: Mapping[str, Any]) -> tuple[str, tuple[RemoteFile, ...]]:
    commit = data["sha"]
    check_inside(commit)
    files = []
    for entry in data["siblings"]:
        check_inside(entry["rfilename"])
        large = entry.get("lfs") or {}
        size = large.get("size", entry["size"])
        if not isinstance(size, int) or size < 0:
            raise ValueError("a size is not a number")
        files.append(RemoteFile(entry["rfilename"], size, large.get("sha256"), entry.get("blobId")))
    return commit, tuple(files)


def _refused(name: str, revision: str | None, error: urllib.error.HTTPError) -> Exception:
    error.close()
    if error.code == 404:
        return UnknownEncoder(
            f"{endpoint()} has no public repository {name} (revision {revision or 'main'})",
            "`photoseek models` lists what can be fetched",
        )
    if error.code in (401, 403):
        return UnknownEncoder(
            f"{endpoint()} does not hand out {name} without an account, or has no such repository",
            "download it by hand where you are signed in, and give its folder",
        )
    return WeightsUnavailable(f"{endpoint()} answered {error.code} for {name}", "try again later")


def _unreachable(error: BaseException) -> WeightsUnavailable:
    reason = getattr(error, "reason", None) or error
    return WeightsUnavailable(
        f"{endpoint()} cannot be reached ({reason})",
        "check the network or HF_ENDPOINT; what was downloaded so far is kept and continued",
    )
