"""The tables of favourites, hidden pictures and albums, as a part of the schema."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from retrieval.catalog.column_types import only_where


def collection_tables(metadata: MetaData) -> None:
    """Add them to the tables of a catalog; their contents are labels of pictures, see ``labels.py``, ``albums.py``."""
    Table(
        "favourites",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        Column("favourite", Integer, nullable=False),  # always 1: pictures that are not favourites have no row
        Column("source", String, nullable=False),  # "user" or "merged"
        UniqueConstraint("image_id", "favourite", "source"),
    )

    Table(  # pictures that no list shows unless it is asked for them
        "hidden",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        Column("hidden", Integer, nullable=False),  # always 1, as for favourites
        Column("source", String, nullable=False),  # "user"
        UniqueConstraint("image_id", "hidden", "source"),
    )

    Table(
        "albums",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String, nullable=False),
        Column("name_key", String, nullable=False),  # the name after folding.fold
        Column(
            "recipe", Text
        ),  # JSON of a saved search (see search/saved_search.py); NULL: pictures are put in by hand
        Column("cover", Integer),  # the entry shown for the album; NULL: its first
        Column("created_at", String, nullable=False),
        Column("deleted_at", String),  # UTC; the row is kept, so that the album can be restored
        Index("albums_by_name", "name_key", unique=True, **only_where("deleted_at IS NULL")),
    )

    Table(  # a position in the order of an album; the picture at it is stored like a tag
        "album_entries",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("album_id", Integer, ForeignKey("albums.id", ondelete="CASCADE"), nullable=False),
        Column("position", Integer, nullable=False),
        Index("album_entries_by_album", "album_id", "position"),
        sqlite_autoincrement=True,  # kept labels refer to the id, so it is never reused
    )

    Table(  # pictures that people put into albums
        "memberships",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        Column("entry_id", Integer, nullable=False),
        Column("source", String, nullable=False),  # "user" or "merged"
        UniqueConstraint("image_id", "entry_id", "source"),
        Index("memberships_by_entry", "entry_id"),
    )
