"""The local web page, its HTTP API, its Python client, and an MCP server. Needs ``photoseek[web]``.

A program that asks a running server::

    from retrieval.web import Client

    with Client() as photos:
        for hit in photos.search("a red bird", k=3).hits:
            print(hit.rank, hit.score, hit.path)

The name is loaded when it is first used, so importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrieval.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from retrieval.web.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from retrieval.web.client import client
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "retrieval":
            raise
        raise RuntimeUnavailable(f"{error.name} is not installed", "pip install 'photoseek[web]'") from error
    return getattr(client, name)
