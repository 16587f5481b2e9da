"""The tables of indexing runs that share a catalog, as a part of the schema; in SQLite they stay empty."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

OF_RUNS = ("indexers", "leases")
"""Their names: empty while no run is at work."""


def lease_tables(metadata: MetaData) -> None:
    """Add them to the tables of a catalog; see ``leases.py`` and ``postgres/leases.py``."""
    Table(  # runs that are at work now
        "indexers",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("host", String, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("settings", Text, nullable=False),  # JSON: what has to be the same for all of them
        Column("beat", Float, nullable=False),  # when it was last heard of: seconds since 1970 by the server's clock
    )
    Table(  # files that one of them is reading and encoding; others leave them alone
        "leases",
        metadata,
        Column("key", LargeBinary(16), primary_key=True),  # leases.lease_key of the file's folder and name
        Column("indexer", Integer, nullable=False),
    )
