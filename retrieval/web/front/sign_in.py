"""The form in which a person gives the server's token; a page without scripts, in the language of the browser. And the
key of the cookie that remembers it.
"""

from __future__ import annotations

import asyncio
import html
import os
import secrets
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope

from retrieval.regular_files import read_regular
from retrieval.web.languages import language_of, messages

MOST_BYTES = 4096
"""Of a filled-in form; a token is far shorter."""

KEY_BYTES = 32

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def wants_page(scope: Scope, headers: Headers) -> bool:
    """True if a person opens an address of the page, and not a script or a program of the API."""
    if scope["path"] != "/" or scope["method"] not in ("GET", "HEAD", "POST"):
        return False
    mode = headers.get("sec-fetch-mode")
    return mode == "navigate" if mode else "text/html" in headers.get("accept", "")


def is_filled_in(scope: Scope, headers: Headers) -> bool:
    """True for a request that sends the form."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return scope["method"] == "POST" and scope["path"] == "/" and kind == "application/x-www-form-urlencoded"


async def token_in(receive: Receive, within_s: float) -> str | None:
    """The token in the body of a filled-in form; None if it has none, is too long or too slow, or the client left."""
    body = b""
    more = True
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > MOST_BYTES:
                    return None
                more = message.get("more_body", False)
    if more:
        return None
    return next(iter(parse_qs(body.decode("utf-8", "replace")).get("token", [])), None)


def form(headers: Headers, *, is_wrong: bool) -> HTMLResponse:
    """The form; it is sent to the address that was opened, so that a shared search is seen afterwards.

    Args:
        headers: of the request, for the language.
        is_wrong: a wrong token was given.
    """
    language = language_of(headers)
    texts = {name: html.escape(str(text)) for name, text in messages(language).items() if name.startswith("sign_in.")}
    problem = f'<p id="problem" role="alert">{texts["sign_in.wrong"]}</p>' if is_wrong else ""
    described = ' aria-describedby="problem" aria-invalid="true"' if is_wrong else ""
    page = f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{texts["sign_in.title"]}</title>
<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/app.css">
</head>
<body class="sign-in">
<main>
<form method="post">
<h1>{texts["sign_in.title"]}</h1>
<p>{texts["sign_in.help"]}</p>
<label for="token">{texts["sign_in.token"]}</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus{described}>
{problem}
<button class="button primary">{texts["sign_in.open"]}</button>
</form>
</main>
</body>
</html>
"""
    headers_ = {
        "Content-Security-Policy": POLICY,
        "WWW-Authenticate": "Bearer",
        "Vary": "Accept-Language, Cookie",
        # Under "no-referrer" a browser sends "Origin: null" with the form, which looks like another site's.
        "Referrer-Policy": "same-origin",
    }
    return HTMLResponse(page, HTTPStatus.UNAUTHORIZED, headers=headers_)


def cookie_key(folder: Path) -> bytes:
    """Random bytes on which the cookie depends beside the token, so that nobody can work the cookie out from a guessed
    token: wrong tokens are slowed down, wrong cookies are not.

    Args:
        folder: where they are kept, in ``page.key``, so that browsers are known to the next server, too. If nothing
            can be kept there, they are new each time.
    """
    path = folder / "page.key"
    with suppress(OSError):
        known = read_regular(path, KEY_BYTES)
        if len(known) == KEY_BYTES:
            return known
    made = secrets.token_bytes(KEY_BYTES)
    draft = path.with_name(f".page.key-{secrets.token_hex(8)}")
    with suppress(OSError):
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(made)
        draft.replace(path)
    with suppress(OSError):
        draft.unlink(missing_ok=True)  # it could not be written whole
    return made
