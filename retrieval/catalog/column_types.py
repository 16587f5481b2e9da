"""Types of columns, and what databases do not share in a schema: how large whole numbers are, indexes of some rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, Text, TypeDecorator, text

from retrieval.paths import decode_path, encode_path

Long = Integer().with_variant(BigInteger(), "postgresql")
"""A whole number of up to 64 bits. SQLite's INTEGER always is one; PostgreSQL's has 32 bits."""


class PathText(TypeDecorator[str]):
    """A path or file name. Names that are not valid UTF-8 are kept byte for byte (as a BLOB in the TEXT column)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else encode_path(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else decode_path(value)


def only_where(condition: str) -> dict[str, Any]:
    """Arguments of an ``Index`` of the rows that meet a condition in SQL."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}
