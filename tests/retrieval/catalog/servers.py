"""Catalogs in the PostgreSQL of the tests: each in a database of its own."""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from retrieval.catalog.postgres.address import CatalogAddress, name_address
from retrieval.catalog.postgres.reader import ServerReader
from retrieval.catalog.postgres.schema import make
from retrieval.catalog.postgres.writer import ServerCatalog
from tests.indexes.servers import Postgres, postgres
from tests.retrieval import rows

_numbers = count(1)


def administer(server: Postgres, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """The rows of a statement by the owner of the server."""
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user="tests", dbname=database, autocommit=True
    ) as connection:
        done = connection.execute(sql)  # type: ignore[arg-type]
        return done.fetchall() if done.description else []


@cache
def _model(server: Postgres) -> str:
    """A database with an empty catalog: copies of it are made faster than catalogs."""
    administer(server, "CREATE DATABASE model TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
    assert make(CatalogAddress("127.0.0.1", server.port, "tests", "model"), "a test")
    return "model"


def new_address(server: Postgres | None = None) -> CatalogAddress:
    """An address at which there is nothing yet, and which this process may use."""
    server = server or postgres()
    name = f"empty_{next(_numbers)}"
    administer(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
    return _named(server, name)


def new_catalog(server: Postgres | None = None) -> CatalogAddress:
    """The address of a new catalog."""
    server = server or postgres()
    name = f"catalog_{next(_numbers)}"
    administer(server, f"CREATE DATABASE {name} TEMPLATE {_model(server)}")
    return _named(server, name)


def _named(server: Postgres, database: str) -> CatalogAddress:
    address = CatalogAddress("127.0.0.1", server.port, "tests", database)
    name_address(address)
    return address


def in_server(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test's module open catalogs in PostgreSQL: each path stands for one."""
    addresses: dict[Path, CatalogAddress] = {}

    def writer(path: Path) -> ServerCatalog:
        if path not in addresses:
            addresses[path] = new_catalog()
        return ServerCatalog(addresses[path], path.parent, [])

    def reader(path: Path) -> ServerReader:
        return ServerReader(addresses[path], path.parent)

    for each in (module, rows):
        for name, stand_in in (("Catalog", writer), ("CatalogReader", reader)):
            if hasattr(each, name):
                monkeypatch.setattr(each, name, stand_in)
