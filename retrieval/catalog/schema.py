"""The tables of the catalog in SQLAlchemy Core, and the migration of database files to this schema.

``images`` says what lies where, ``embeddings`` what an encoder made of it. Every row of these two carries the number of
the transaction (*change*) that last touched it: a vector index that knows the last change it contains is brought up to
date by replaying the rows behind it. Catalogs of other galleries, and this one restored from a backup, count alike; so
each change also has a random name (*revision*), and an index is used only where both are known.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BLOB,
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    ExceptionContext,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
)

from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.errors import GalleryTooNew
from retrieval.paths import decode_path, encode_path, lenient_text

MIGRATIONS = Path(__file__).parent / "migrations"


class PathText(TypeDecorator[str]):
    """A path or file name. Names that are not valid UTF-8 are kept byte for byte (as a BLOB in the TEXT column)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else encode_path(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else decode_path(value)


metadata = MetaData()

state = Table(
    "state",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1: this table has one row
    Column("change", Integer, nullable=False),  # number of the last transaction
    Column("active_encoder_id", Integer, ForeignKey("encoders.id")),
    Column("index_spec", String),  # what the user asked for; NULL: chosen by size
    Column("version", String),  # 32 random hexadecimal digits, others after each transaction that wrote anything
)

revisions = Table(  # written by a trigger on `state`
    "revisions",
    metadata,
    Column("change", Integer, primary_key=True),
    Column("revision", String, nullable=False),  # 32 random hexadecimal digits: this change of this catalog alone
)

encoders = Table(
    "encoders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("source", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("licence", String, nullable=False),
    Column("added_at", String, nullable=False),
)

folders = Table(
    "folders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", PathText, nullable=False, unique=True),
    Column("is_root", Boolean, nullable=False, default=False),  # given by the user to `index`
    Column("is_mount", Boolean, nullable=False, default=False),  # a file system was mounted here when last seen
    Column("passed_over", Text),  # of a root, at its last walk: JSON, kind -> extension -> how many files
)

exclusions = Table(  # what is left out for good (see catalog/exclusions.py), in the order in which it was given
    "exclusions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", PathText),  # NULL: purged, and only its fingerprint is kept
    Column("pattern", PathText),  # relative to ``path``; NULL: all of it
    Column("fingerprint", LargeBinary(32)),  # BLAKE3 of a path that was purged
)

images = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("folder_id", Integer, ForeignKey("folders.id"), nullable=False),
    Column("name", PathText, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("mtime_ns", Integer, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),  # BLAKE3 of the whole file
    Column("format", String, nullable=False),
    Column("width", Integer, nullable=False),  # pixels, as shown (EXIF orientation applied)
    Column("height", Integer, nullable=False),
    Column("taken_at", String),  # local time, ISO 8601 without offset
    Column("taken_offset_minutes", Integer),  # of that local time from UTC, where the camera said so
    Column("camera", String),
    Column("lens", String),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("added_at", String, nullable=False),  # UTC, ISO 8601
    Column("is_retired", Boolean, nullable=False, default=False),  # gone from disk; kept so that it can come back
    Column("change", Integer, nullable=False),
    Column("phash", LargeBinary(64)),  # perceptual hashes in all orientations (8 bytes: as shown only); NULL: none
    Column("colour", Integer),  # 0xRRGGBB: average of the picture as shown, sRGB; NULL: indexed before there was one
    Column("name_key", PathText),  # what folding.fold makes of the name; filters and orders compare this
    Column("camera_key", String),
    Column("lens_key", String),
    Column("taken_instant", BigInteger),  # microseconds since 1970 UTC (see records.instant); what dates are sorted by
    Column("taken_precision", String),  # "year" to "minute" where the date says no more; NULL: to the second
    Column("taken_source", String),  # "gps", "xmp", "text", "sidecar"; NULL: EXIF, or no date
    Column("place_source", String),  # "xmp", "sidecar"; NULL: EXIF, or no place
    Column("ctime_ns", Integer),  # when anything about the file was last changed; NULL: not known
    Column("iso", Integer),  # what the camera wrote; NULL: nothing, or indexed before these four were read
    Column("aperture", Float),  # f-number
    Column("exposure", Float),  # seconds
    Column("focal_length", Float),  # of the lens, mm
    UniqueConstraint("folder_id", "name"),
    Index("images_by_hash", "content_hash"),
    Index("images_by_change", "change"),
    sqlite_autoincrement=True,  # an id is never used for a second image
)

purged_images = Table(  # ids that are gone for good, so that an index drops them
    "purged_images",
    metadata,
    Column("id", Integer, primary_key=True),  # of the image
    Column("change", Integer, nullable=False),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id"), nullable=False),
    Column("image_id", Integer, ForeignKey("images.id"), nullable=False),
    Column("vector", BLOB, nullable=False),  # float16, little-endian, unit length before rounding
    Column("change", Integer, nullable=False),
    Column("crc", Integer),  # CRC-32 of the vector; NULL: not checked
    # A table with row ids, not WITHOUT ROWID: vectors of 1-2 KB would push its inner nodes out of the cache.
    UniqueConstraint("encoder_id", "image_id"),
    Index("embeddings_by_change", "encoder_id", "change"),
)

tags = Table(  # what people said about a picture
    "tags",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("tag", String, nullable=False),  # as tag_text.clean_tag leaves it, so that = compares tags
    Column("source", String, nullable=False),  # "user", "xmp" or "merged"
    UniqueConstraint("image_id", "tag", "source"),
    Index("tags_by_tag", "tag"),
)

captions = Table(  # what people wrote about a picture
    "captions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("source", String, nullable=False),  # "user", "xmp" or "merged"
    UniqueConstraint("image_id", "text", "source"),
)

ratings = Table(  # stars that people gave a picture: 1 to 5, 0 for none, -1 for rejected
    "ratings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("rating", Integer, nullable=False),
    Column("source", String, nullable=False),  # "xmp" or "merged"
    UniqueConstraint("image_id", "rating", "source"),
)

tag_spellings = Table(  # tags that differ in case alone ("straße", "STRASSE") are one tag, spelt as it came first
    "tag_spellings",
    metadata,
    Column("tag_key", String, primary_key=True),  # what folding.fold makes of the tag
    Column("tag", String, nullable=False),  # as it stands in tags and predicted_tags
)

kept_labels = Table(  # what people said about pictures that no row shows now, by content
    "kept_labels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("kind", String, nullable=False),  # "tag" or "caption"
    Column("text", Text, nullable=False),
    Column("source", String, nullable=False),  # as in tags and captions
    UniqueConstraint("content_hash", "kind", "text", "source"),
)

predicted_tags = Table(  # what a model believes; never mixed with what people said
    "predicted_tags",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("tag", String, nullable=False),
    Column("probability", Float, nullable=False),
    UniqueConstraint("image_id", "encoder_id", "tag"),  # the image first: what is deleted with it is found by it
    Index("predicted_tags_by_tag", "encoder_id", "tag"),
)

failures = Table(
    "failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("folder_id", Integer, ForeignKey("folders.id"), nullable=False),
    Column("name", PathText, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("is_transient", Boolean, nullable=False),  # permission or I/O: tried again on every run
    Column("failed_at", String, nullable=False),
    UniqueConstraint("folder_id", "name"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id"), nullable=False),
    Column("started_at", String, nullable=False),
    Column("finished_at", String),  # NULL: running, or killed
    Column("outcome", String),  # "complete" or "interrupted"
    Column("roots", Text, nullable=False),  # JSON list of paths
    Column("report", Text),  # JSON: counts and seconds
)


def open_engine(path: Path) -> Engine:
    """An engine on the SQLite file, with the settings that every writer needs.

    What SQLite cannot read or write (damage, a full disk) comes out of it as an error that says what to do.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 30.0})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Without this the driver leaves DDL outside transactions, and a kill could leave half a schema.
        connection.isolation_level = None
        connection.text_factory = lenient_text
        connection.execute("PRAGMA page_size = 8192")  # only has an effect on a new file: vectors of 1-2 KB a row
        connection.execute("PRAGMA journal_mode = WAL")  # readers never wait for the writer
        connection.execute("PRAGMA synchronous = FULL")  # a commit that returned survives a power cut
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        error = context.original_exception
        if not isinstance(error, Exception):
            # Ctrl-C says nothing about the connection. Dropped with its statement unfinished, as SQLAlchemy would,
            # it would keep the database locked; kept, its transaction is rolled back.
            context.is_disconnect = False
        elif type(error) in (sqlite3.DatabaseError, sqlite3.OperationalError):  # the others are mistakes of ours
            from retrieval.system_errors import of_sqlite

            assert isinstance(error, sqlite3.Error)
            raise of_sqlite(error, path, "write") from error

    return engine


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest form, creating it if it is empty.

    Raises:
        GalleryTooNew: it was written by a newer photoseek.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise too_new() from error


def too_new() -> GalleryTooNew:
    """The error for a catalog of a version that this program does not know."""
    return GalleryTooNew(
        "this gallery was written by a newer photoseek", "upgrade photoseek, or use another gallery (--gallery)"
    )


def is_current(connection: Connection) -> bool:
    """True if the catalog has the newest form, found out without importing the migration library."""
    rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
    if not rows:
        return False
    versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return list(versions) == [CATALOG_VERSION]
