"""What was said about a picture that made way for a copy of it is said about the copy, until the picture comes back.

It has a source of its own, so that it comes apart again: what the user says about the copy meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.labels.reading import MERGED

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = {"tags": "tag", "captions": "text", "ratings": "rating"}


@dataclass(frozen=True)
class Labels:
    """What is said about a picture, whoever said it."""

    tags: frozenset[str] = frozenset()
    captions: frozenset[str] = frozenset()
    ratings: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tags or self.captions or self.ratings)


def said_about(connection: Connection, image_id: int) -> Labels:
    """Everything that people say about an image, present or retired."""
    found = {}
    for table, column in _COLUMNS.items():
        sql = f"SELECT {column} FROM {table} WHERE image_id = ?"
        found[table] = frozenset(connection.exec_driver_sql(sql, (image_id,)).scalars())
    return Labels(**found)


def add_merged(connection: Connection, image_id: int, labels: Labels) -> None:
    """Say about an image what is said about a copy that makes way for it, where it is not said already."""
    for table, column in _COLUMNS.items():
        sql = f"SELECT {column} FROM {table} WHERE image_id = ?"
        own = set(connection.exec_driver_sql(sql, (image_id,)).scalars())
        wanted = set(getattr(labels, table)) - own
        if table == "ratings":  # a picture has one
            wanted = set() if own else set(sorted(wanted)[-1:])
        if wanted:
            sql = f"INSERT INTO {table} (image_id, {column}, source) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            connection.exec_driver_sql(sql, [(image_id, value, MERGED) for value in sorted(wanted)])


def merge_anew(connection: Connection, image_id: int, others: Iterable[Labels]) -> None:
    """Make what is merged into an image what is said about these copies, and no more."""
    for table in _COLUMNS:
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE image_id = ? AND source = ?", (image_id, MERGED))
    for labels in others:
        add_merged(connection, image_id, labels)
