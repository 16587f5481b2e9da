"""``Client``: all methods on one server."""

from __future__ import annotations

from retrieval.web.client.labels import Labels
from retrieval.web.client.overview import Overview
from retrieval.web.client.people import Persons
from retrieval.web.client.pictures import Pictures
from retrieval.web.client.searching import Searching


class Client(Searching, Pictures, Labels, Persons, Overview):
    """A connection to one server; use it as a context manager, or call ``close``. One thread at a time.

    Conditions (``**where``) have the names of the command-line flags, with underscores: ``after="2023-06"``,
    ``camera="canon"``, ``no_tag=["receipt"]``; texts, numbers, paths, dates, or lists of them.

    Args:
        url: of the server.
        token: the server's token, if it requires one.
        timeout: seconds to wait for an answer. A search refused by a busy server is sent again, see ``tries``.
        tries: how often a request is sent at most while the server is too busy (503 with ``Retry-After``).

    Raises (every method):
        RetrievalError: the class that the library raises for the same mistake (``QueryError``, ``UnknownImage``,
            ``PageExpired``, ``GalleryNotFound``, ...); ``RequestRefused`` for refusals that only a server makes;
            ``ServerUnreachable``.
    """
