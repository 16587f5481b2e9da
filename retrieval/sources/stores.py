"""Objects in object stores as files, through fsspec: ``s3://`` (s3fs), ``gs://`` (gcsfs), ``az://`` (adlfs).

Keys and endpoints come from where these libraries and their vendors' tools read them, and from nowhere else; what they
say in an error is not passed on, because it may name such things. An object has the time that the store gives it, and
in place of the time of change a number made of its ETag or generation: equal only for the same version.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, BinaryIO, TypeVar, cast

from retrieval.errors import SettingsError
from retrieval.sources.addresses import PACKAGES, scheme_of, without_scheme
from retrieval.sources.base import Enters, Entry, Found, Listing, Opened, State

PATIENCE_S = 20.0
"""How long a run waits for a store that cannot be reached; then, for as long again, nobody waits for it."""

UNREACHABLE = "the store cannot be reached"

LISTING_PATIENCE_S = 2.0
"""The same for a listing, during which nothing else is done: a signal ends a run within five seconds."""

_CONNECT_S, _READ_S = 3, 15
_BLOCK = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "retries": {"max_attempts": 0}},
    },
}
T = TypeVar("T")


def _at_once() -> None:
    """Of a caller that does not wait."""


class Stores:
    """All object stores; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._systems: dict[str, Any] = {}
        self._given_up_at: dict[str, float] = {}

    def folders(self, root: str, enters: Enters) -> Iterator[Listing]:
        stack = [root]
        while stack:
            folder = stack.pop()
            try:
                listed = self._tried(folder, _list, time.sleep, LISTING_PATIENCE_S)
            except FileNotFoundError:
                if folder == root:
                    yield Listing(root, problem="there is nothing at this address, or its bucket is gone")
                continue
            except OSError as error:
                yield Listing(folder, problem=error.strerror or type(error).__name__)
                continue
            entries, below, others = _sorted_out(folder, listed)
            yield Listing(folder, entries, others, not (entries or below or others))
            stack.extend(f"{folder}/{name}" for name in reversed(below) if enters(folder, name))

    def open(self, path: str, between: Callable[[], None] | None = None) -> Opened:
        waits = None if between is None else _waiting(between)
        return self._tried(path, lambda system, key: _opened(system, key, self, path), waits)

    def state(self, path: str, known: Found, digest: bytes, *, asks: bool = False) -> State:
        """As for every source. Without ``asks``, *same*: a search does not send a request for each of its hits.

        Raises:
            OSError: the store did not answer, so that nothing is known.
        """
        if not asks:
            return "same"
        try:
            return "same" if self.look(path) == known else "changed"
        except FileNotFoundError:
            return "missing"

    def look(self, path: str) -> Found:
        """Size and version of an object, asked of the store."""
        return self._tried(path, lambda system, key: _found(system.info(key)))

    def is_gone(self, path: str) -> bool:
        try:
            self.look(path)
        except FileNotFoundError:
            return True
        except OSError:
            pass
        return False

    def check(self, root: str) -> None:
        """Ask whether there is anything at an address.

        Raises:
            SettingsError: there is nothing, or what is needed to ask is not installed.
            OSError: the store did not answer, or refused.
        """
        self._system(scheme_of(root))
        try:
            self._tried(root, _info, time.sleep, LISTING_PATIENCE_S)
        except FileNotFoundError:
            raise SettingsError(f"there is nothing at {root}", "check the bucket and the prefix") from None

    def forget(self) -> None:
        """Forget connections and settings: the next use reads the environment again."""
        with self._lock:
            self._systems.clear()
            self._given_up_at.clear()

    def _system(self, scheme: str) -> Any:
        with self._lock:
            if scheme not in self._systems:
                try:
                    import fsspec

                    # Plain HTTP requests are enough for gcsfs; where gRPC is blocked it would wait a minute for that.
                    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
                    system = self._systems[scheme] = fsspec.filesystem(
                        scheme, use_listings_cache=False, skip_instance_cache=True, **_OPTIONS.get(scheme, {})
                    )
                    if scheme == "s3":
                        system.retries = 1  # of s3fs itself: who waits, and how long, is decided here
                except ImportError:
                    raise _not_installed(scheme) from None
                except Exception as error:
                    raise SettingsError(
                        f"{PACKAGES[scheme]} cannot be used as it is configured ({type(error).__name__})",
                        "check the account and the keys in its usual files and variables",
                    ) from None
            return self._systems[scheme]

    def _tried(
        self,
        path: str,
        work: Callable[[Any, str], T],
        wait: Callable[[float], None] | None = None,
        patience: float | None = None,
    ) -> T:
        """Work with a store, again and again while it cannot be reached, if the caller waits.

        Raises:
            OSError: with a reason that names neither keys nor addresses.
        """
        scheme, patience = scheme_of(path), PATIENCE_S if patience is None else patience
        try:
            system = self._system(scheme)
        except SettingsError as error:
            raise OSError(errno.ENOSYS, error.message, path) from None
        began, pause = time.monotonic(), 0.25
        while True:
            try:
                done = work(system, without_scheme(path))
            except Exception as error:
                told = _told(error, path)
                if told.strerror != UNREACHABLE:
                    raise told from None
                now = time.monotonic()
                if wait is None or now < self._given_up_at.get(scheme, -PATIENCE_S) + PATIENCE_S:
                    raise told from None
                if now > began + patience:
                    self._given_up_at[scheme] = now
                    raise told from None
                wait(pause)
                pause = min(2 * pause, 4.0)
            else:
                self._given_up_at.pop(scheme, None)
                return done


class _Told(io.RawIOBase):
    """An object that is read: errors become those of files."""

    def __init__(self, file: Any, stores: Stores, path: str) -> None:
        self._file, self._stores, self._path = file, stores, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1) -> bytes:
        try:
            return bytes(self._file.read(-1 if size is None else size))
        except Exception as error:
            raise _told(error, self._path) from None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _opened(system: Any, key: str, stores: Stores, path: str) -> Opened:
    file = system.open(key, "rb", block_size=_BLOCK, cache_type="readahead")
    found = _found(file.details)
    # S3 itself refuses to send another version than the one that was opened; the others are asked again at the end.
    is_pinned = "IfMatch" in getattr(file, "read_kw", {})
    return Opened(cast(BinaryIO, _Told(file, stores, path)), found, lambda: is_pinned or stores.look(path) == found)


def _list(system: Any, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.ls(path, detail=True)
    return found


def _info(system: Any, path: str) -> None:
    system.info(path)


def _sorted_out(folder: str, listed: list[dict[str, Any]]) -> tuple[list[Entry], list[str], int]:
    """The objects of a folder, the names of those below it, and how many have names that no path can have."""
    prefix = without_scheme(folder) + "/"
    entries, below, others = [], [], 0
    for info in listed:
        path = str(info["name"])
        name = path.removeprefix(prefix)
        if path.rstrip("/") + "/" == prefix and info["type"] != "directory":
            continue  # the mark of an empty folder
        if not path.startswith(prefix) or "/" in name or "\0" in name or name in ("", ".", ".."):
            others += 1
        elif info["type"] == "directory":
            below.append(name)
        else:
            entries.append(Entry(name, _found(info)))
    return sorted(entries), sorted(set(below)), others


def _found(info: dict[str, Any]) -> Found:
    when = next((info[key] for key in ("LastModified", "last_modified", "mtime", "updated") if info.get(key)), None)
    version = next((str(info[key]) for key in ("generation", "ETag", "etag", "md5Hash") if info.get(key)), "")
    return Found(int(info["size"] or 0), _nanoseconds(when), _number(version.strip('"')))


def _nanoseconds(when: object) -> int:
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if not isinstance(when, datetime):
        return 0
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    passed = when - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1_000


def _number(version: str) -> int:
    """62 bits of a version's name: the column holds a time."""
    return int.from_bytes(sha256(version.encode()).digest()[:8], "big") >> 2


def _told(error: Exception, path: str) -> OSError:
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such object", path)
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, "the store does not allow it", path)
    if type(error).__name__ == "FileExpired":
        return InterruptedError(errno.EINTR, "changed while it was read", path)
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"):
        return PermissionError(errno.EACCES, "no keys for this store were found", path)
    return OSError(errno.EIO, UNREACHABLE, path)


def _not_installed(scheme: str) -> SettingsError:
    return SettingsError(
        f"{scheme}:// needs a package that is not installed", f"run: pip install 'photoseek[{scheme}]'"
    )


def _waiting(between: Callable[[], None]) -> Callable[[float], None]:
    """Waits, and asks several times a second whether to go on."""

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            between()
            time.sleep(min(left, 0.2))

    return wait


STORES = Stores()
