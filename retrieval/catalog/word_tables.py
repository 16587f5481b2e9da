"""The tables of words, as a part of the schema: text in pictures, and the index of names, captions, tags and places.

Beside them there are two FTS5 tables, for which SQLAlchemy has no type: ``text_index`` over ``picture_texts.folded``
(migration 0012), and ``lexical_index`` over ``lexical.words`` (0016).
"""

from __future__ import annotations

from sqlalchemy import BLOB, Column, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

_REF = BLOB().with_variant(Text(), "postgresql")
"""Any type: the id of an image, a folder or a caption; a folded tag; the key of a place. A server keeps it as text."""


def word_tables(metadata: MetaData) -> None:
    """Add them to the tables of a catalog; see ``texts.py`` and ``lexicon.py``."""
    Table(  # text recognised in pictures, by content
        "picture_texts",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("content_hash", LargeBinary(32), nullable=False, unique=True),
        Column("model", String, nullable=False),  # name and version of the recogniser
        Column("read_at", String, nullable=False),  # UTC, ISO 8601
        Column("lines", Text, nullable=False),  # JSON: text, confidence, corners and ends of each line
        Column("folded", Text, nullable=False),  # all of it after words.fold_text; empty: none
        Column("reason", String),  # why it could not be read; NULL: it was
    )
    Table(  # documents of the index of words
        "lexical",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("kind", String, nullable=False),  # "name", "folder", "caption", "tag" or "place"
        Column("ref", _REF, nullable=False),
        Column("words", Text, nullable=False),  # lexemes, with spaces between them
        UniqueConstraint("kind", "ref"),
    )
    Table(  # documents that have to be brought up to date before the transaction ends; written by triggers
        "lexical_due",
        metadata,
        Column("kind", String, primary_key=True),
        Column("ref", _REF, primary_key=True),
    )
