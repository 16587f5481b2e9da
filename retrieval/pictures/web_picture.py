"""Download a query picture so that a URL cannot be used to reach the local network.

http and https only; every address of the host must be public, and the connection is made to an address that was
checked, so a name whose address changes in between (DNS rebinding) has no effect; redirects are checked the same way;
size and time are limited. Proxies from the environment are not used: they would resolve the name again.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from retrieval.errors import QueryError

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.encoders.base import Encoder

MAX_BYTES = 32 << 20
MAX_SECONDS = 20.0
MAX_REDIRECTS = 5

Address = IPv4Address | IPv6Address

_SPECIAL_4 = tuple(map(IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)))  # fmt: skip
"""IANA's IPv4 Special-Purpose Address Registry, multicast, and what is reserved."""

_UNICAST_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(map(IPv6Network, (
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)))  # fmt: skip
"""Of the addresses in ``_UNICAST_6`` those in IANA's registry for special purposes: Teredo, documentation, 6to4,
which tunnel to IPv4 addresses or lead nowhere."""

_NAT64 = IPv6Network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16
_HINT = "give the address of a picture, or download it and give the file"


def fetch_picture(
    url: str,
    *,
    is_allowed: Callable[[Address], bool] | None = None,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> bytes:
    """The bytes at a URL. Whether they are a picture is left to the decoder.

    Args:
        is_allowed: which addresses may be connected to; default: :func:`is_public`.
        max_bytes: limit for the response.
        max_seconds: for everything, including redirects, except the system's name resolution.

    Raises:
        QueryError: another scheme, an address that is not public, no response, too large, too slow, many redirects.
    """
    end = time.monotonic() + max_seconds
    for _ in range(MAX_REDIRECTS + 1):
        answer = _get(_checked(url), is_allowed or is_public, max_bytes, end)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise QueryError(f"{url:.200} is redirected more than {MAX_REDIRECTS} times", _HINT)


def encode_url(encoder: Encoder, url: str) -> Vectors:
    """(dim,) the embedding of the picture at a URL.

    Raises:
        QueryError: it cannot be fetched, see :func:`fetch_picture`.
        UnreadableImage: it is not a picture.
    """
    from retrieval.pictures.picture_file import encode_bytes

    return encode_bytes(encoder, fetch_picture(url), f"{url:.200}")


def is_public(address: Address) -> bool:
    """True if an address is of a single machine on the public internet, by the registries of IANA.

    Python's own ``is_global`` differs between versions. IPv4 addresses inside IPv6 ones are checked as such.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _UNICAST_6 and not any(address in network for network in _SPECIAL_6)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = parts.hostname
    except ValueError:
        raise QueryError(f"{url:.200} is not an address", _HINT) from None
    if parts.scheme not in ("http", "https"):
        raise QueryError(
            f"pictures are downloaded over http and https, not {parts.scheme or 'nothing'}: {url:.200}", _HINT
        )
    if not host or parts.username is not None or not url.isprintable() or " " in url:
        raise QueryError(f"{url:.200} is not an address, or has a password or spaces", _HINT)
    return parts


class _Deadline:
    """Closes the connection at a given time: a server could keep each read just within its time limit."""

    def __init__(self, end: float) -> None:
        self.sock: socket.socket | None = None
        self.is_over = False
        self._timer = threading.Timer(max(0.0, end - time.monotonic()), self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    def _hang_up(self) -> None:
        self.is_over = True
        if self.sock is not None:
            with suppress(OSError):
                # Not SSLSocket.shutdown, which removes the encryption from a read in progress.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _get(parts: SplitResult, is_allowed: Callable[[Address], bool], max_bytes: int, end: float) -> bytes | str:
    """The body of the response, or the address of a redirect."""
    url, host = parts.geturl(), parts.hostname or ""
    try:
        address = _address_of(parts, is_allowed)
        with _Deadline(end) as deadline, closing(_connected(parts, address, end, deadline)) as connection:
            answer = _answer(connection, parts, max_bytes)
            if deadline.is_over:  # headers and bodies that end too early may look complete
                raise TimeoutError
            return answer
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        if time.monotonic() >= end or isinstance(error, TimeoutError):
            raise QueryError(f"{host} does not answer in time", _HINT) from None
        raise QueryError(f"cannot fetch {url:.200}: {error}", _HINT) from error


def _address_of(parts: SplitResult, is_allowed: Callable[[Address], bool]) -> tuple[str, int]:
    """An address of the host, after checking all of them."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_allowed(ip_address(address.partition("%")[0])):
            raise QueryError(f"{host} is at {address}, which is not a public address", _HINT)
    return addresses[0], port


def _connected(
    parts: SplitResult, address: tuple[str, int], end: float, deadline: _Deadline
) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", address[1]
    sock = deadline.sock = socket.create_connection(address, timeout=max(0.01, end - time.monotonic()))
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(host, port)
    else:
        connection = http.client.HTTPSConnection(host, port)
        try:
            tls = ssl.create_default_context()
            sock = deadline.sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            sock.do_handshake()
        except BaseException:
            sock.close()
            raise
    connection.sock = sock
    return connection


def _answer(connection: http.client.HTTPConnection, parts: SplitResult, max_bytes: int) -> bytes | str:
    target = quote(parts.path or "/", safe="/%:=@!$&'()*+,;~") + (
        f"?{quote(parts.query, safe=_IN_QUERY)}" if parts.query else ""
    )
    connection.request(
        "GET", target, headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "photoseek"}
    )
    with connection.getresponse() as response:
        if response.status in _REDIRECTS and (there := response.getheader("Location")):
            return there
        url = parts.geturl()
        if response.status != 200:
            raise QueryError(f"{url:.200} answers {response.status} {response.reason:.60}", _HINT)
        if response.length is not None and response.length > max_bytes:
            raise _too_large(url, max_bytes)
        data = bytearray()
        while chunk := response.read1(_CHUNK):
            data += chunk
            if len(data) > max_bytes:
                raise _too_large(url, max_bytes)
        if response.length:
            raise http.client.IncompleteRead(bytes(data), response.length)
        return bytes(data)


_IN_QUERY = "/%:=@!$&'()*+,;~?"


def _too_large(url: str, max_bytes: int) -> QueryError:
    return QueryError(f"{url:.200} is larger than {max_bytes >> 20} MiB", "give a smaller picture")
