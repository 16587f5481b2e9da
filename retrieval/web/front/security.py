"""Access control, and the headers that browsers enforce; as pure ASGI so that responses can be streamed.

A page on the internet can make a browser on this machine send requests to loopback. Three checks refuse these: the name
in ``Host`` (a name that was rebound to 127.0.0.1 is not ours), the origin of the request as the browser states it, and
a token if one is set.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.web.front import sign_in
from retrieval.web.front.guesses import Guesses
from retrieval.web.front.problems import Problem

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE = ("GET", "HEAD", "OPTIONS")
TOKEN = "photoseek.token"
"""In the scope of a request: the number of the token that it came with."""

_NO_TOKEN_NEEDED = ("/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz", "/manifest.webmanifest")
_OF_THE_PROGRAM = "/static/"
"""Files that everybody who installs the program has, the same in every gallery; the form for the token needs some."""
_A_YEAR_S = 365 * 24 * 3600

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""For responses other than pages: if a browser displays one as a page all the same, it can do nothing."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def host_name(header: str) -> str:
    """The name in a ``Host`` header or a given address, in lower case, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    name, _, port = header.rpartition(":")
    return (name if name and ":" not in name and port.isdecimal() else header).lower().rstrip(".")


def is_wildcard(host: str) -> bool:
    """True for an address that means all addresses of this machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return host == ""


class HostCheck:
    """Refuses requests to a name other than this server's.

    Args:
        host: the address listened on. If it means every address, any numeric address is accepted: an address
            needs no DNS, so it cannot have been rebound.
        names: further names.
    """

    def __init__(self, app: ASGIApp, host: str, names: Iterable[str]) -> None:
        self._app = app
        self._names = {host_name(name) for name in (*_LOOPBACK, host, *names)}
        self._any_address = is_wildcard(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_ours(Headers(scope=scope).getlist("host")):
            title = "this server does not answer to that name"
            hint = "use the address that photoseek serve printed, or start it with --allow-host NAME"
            await Problem(403, title, hint, instance=scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, headers: list[str]) -> bool:
        if len(headers) != 1:
            return False
        name = host_name(headers[0])
        return name in self._names or (self._any_address and _is_address(name))


class OriginCheck:
    """Refuses requests that another site's page makes a browser send.

    Browsers state where a request comes from (``Sec-Fetch-Site``, or ``Origin`` if the method is not safe);
    programs state nothing and are allowed. From elsewhere only a link to the page is followed, whose files are the same
    in every gallery: other sites' pages must not learn from response times what is in one, or keep the machine busy, be
    it in a frame, in a window that they open, or in a page that they make the browser load ahead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_own(scope, Headers(scope=scope)):
            title, hint = "this came from another site's page", "ask from the page of this server, or type the address"
            await Problem(403, title, hint, instance=scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)


class TokenCheck:
    """Requires the token: as ``Authorization: Bearer``, or in the cookie that the form or ``/?token=`` sets once.

    The cookie holds a keyed hash, not the token nor what follows from the token alone, and page scripts cannot read
    it. Its name depends on both, because browsers share cookies between the ports of a host. A browser sends it also
    when somebody follows a link from another site (``SameSite=Lax``), so that shared searches open; with any other
    request from there it does not, and `OriginCheck` refuses these as well.

    Who sends many wrong tokens is not asked for a while (`Guesses`); who has the cookie is not concerned by it.

    Args:
        tokens: the right ones.
        key: of the cookies, from `sign_in.cookie_key`.
        form_wait_s: for a filled-in form to arrive.
    """

    def __init__(self, app: ASGIApp, tokens: Sequence[str], key: bytes, form_wait_s: float) -> None:
        self._app, self._form_wait_s = app, form_wait_s
        self._guesses = Guesses()
        self._tokens = [token.encode() for token in tokens]
        self._cookies = [
            (f"photoseek-{_derived(key, b'name', token)[:12]}", _derived(key, b"page", token)) for token in self._tokens
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or needs_no_token(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in asked if name == "token"]
        client = (scope.get("client") or ("",))[0]
        is_filled_in = sign_in.is_filled_in(scope, headers)
        is_guess = bool(given) or is_filled_in or "authorization" in headers
        if is_guess and self._number_by_cookie(headers) is None:
            if not self._guesses.may(client):
                title = "too many wrong tokens came from this address"
                wait = {"Retry-After": str(self._guesses.wait_s)}
                hint = f"try again in {self._guesses.wait_s} seconds"
                await Problem(429, title, hint, instance=scope["path"], headers=wait)(scope, receive, send)
                return
            send = self._counting(send, client)
        number = self._number_of(given[0]) if given and scope["path"] == "/" and scope["method"] == "GET" else None
        if number is not None:
            await self._signed_in(number, asked, scope)(scope, receive, send)
        elif is_filled_in:
            token = await sign_in.token_in(receive, self._form_wait_s)
            number = None if token is None else self._number_of(token)
            wrong = sign_in.form(headers, is_wrong=True)
            answer: Response = wrong if number is None else self._signed_in(number, asked, scope)
            await answer(scope, receive, send)
        elif (number := self._number_by(headers)) is not None:
            await self._app({**scope, TOKEN: number}, receive, send)
        elif sign_in.wants_page(scope, headers):
            await sign_in.form(headers, is_wrong=bool(given))(scope, receive, send)
        else:
            title = "this server asks for its token"
            hint = "open the address with ?token=TOKEN once, or send: Authorization: Bearer TOKEN"
            problem = Problem(401, title, hint, instance=scope["path"], headers={"WWW-Authenticate": "Bearer"})
            await problem(scope, receive, send)

    def _number_by(self, headers: Headers) -> int | None:
        """The number of the token that a request comes with; None if it has none, or a wrong one."""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        found = self._number_of(credentials.strip()) if scheme.lower() == "bearer" else None
        return self._number_by_cookie(headers) if found is None else found

    def _counting(self, send: Send, client: str) -> Send:
        """Count a request that is refused as a wrong guess."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.UNAUTHORIZED:
                self._guesses.wrong(client)
            await send(message)

        return sent

    def _number_by_cookie(self, headers: Headers) -> int | None:
        sent = cookie_parser(headers.get("cookie", ""))
        for number, (name, proof) in enumerate(self._cookies):
            if hmac.compare_digest(sent.get(name, "").encode(), proof.encode()):
                return number
        return None

    def _signed_in(self, number: int, asked: list[tuple[str, str]], scope: Scope) -> Response:
        """Redirect to the same address without the token, so that it stays in no browser history."""
        rest = urlencode([(name, value) for name, value in asked if name != "token"])
        answer = Response(status_code=303, headers={"Location": "/" + (f"?{rest}" if rest else "")})
        answer.set_cookie(
            *self._cookies[number],
            max_age=_A_YEAR_S,
            path="/",
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        return answer

    def _number_of(self, given: str) -> int | None:
        sent = given.encode("utf-8", "surrogatepass")
        same = [number for number, token in enumerate(self._tokens) if hmac.compare_digest(sent, token)]
        return same[0] if same else None


def _derived(key: bytes, purpose: bytes, token: bytes) -> str:
    return hmac.new(key, b"photoseek " + purpose + b" " + token, hashlib.sha256).hexdigest()


def needs_no_token(path: str) -> bool:
    """Whether anybody may ask for it: whether the server lives, and files of the program itself."""
    return path in _NO_TOKEN_NEEDED or path.startswith(_OF_THE_PROGRAM)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(scope: Scope, headers: Headers) -> bool:
    """False if a browser states that a request comes from another origin than ours, and is no link to the page."""
    site = headers.get("sec-fetch-site")
    if scope["method"] in _SAFE:
        return site in (None, "same-origin", "none") or (scope["path"] == "/" and _is_link(headers))
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        return False
    return site in (None, "same-origin", "none")


def _is_link(headers: Headers) -> bool:
    """Whether a browser goes to an address in a tab; a frame on another site's page goes there unseen, and so does a
    browser that loads ahead what somebody may want to see.
    """
    if "sec-purpose" in headers or "purpose" in headers:
        return False
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"


class BrowserHeaders:
    """Adds these headers; those set by a handler itself (for caching, say) stay."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
                headers.setdefault("Cache-Control", "no-store")  # responses depend on somebody's private pictures
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)
