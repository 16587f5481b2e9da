"""Servers that a command was given: they are added to the user's settings, so that later commands may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrieval.commands.say import say

if TYPE_CHECKING:
    from retrieval.catalog.postgres.address import CatalogAddress


def remember_index_server(index_spec: str) -> None:
    """Add the server of an index to the settings."""
    from retrieval.config.editing import change
    from retrieval.config.files import user_file
    from retrieval.config.values import setting
    from retrieval.errors import RetrievalError
    from retrieval.index_servers import SETTING, server_spec

    spec = server_spec(index_spec) if "://" in index_spec or index_spec == "pgvector" else None
    if spec is None or spec.address in setting(SETTING):
        return
    try:
        change(user_file(), SETTING, [*setting(SETTING), spec.address])
    except RetrievalError as error:
        say(f"{error.message}; for searches, put {spec.address} into the setting {SETTING}")
    else:
        say(f"galleries may use {spec.address} from now on: photoseek config get {SETTING}")


def remember_catalog_server(address: CatalogAddress) -> None:
    """Add the server of a catalog to the settings."""
    from retrieval.errors import RetrievalError
    from retrieval.making import remember_server

    try:
        remember_server(address)
    except RetrievalError as error:
        say(f"{error.message}; for later commands, put {address.server} into the setting catalog.servers")
