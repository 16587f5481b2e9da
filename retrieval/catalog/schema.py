"""The tables of the catalog in SQLAlchemy Core, and the migration of database files to this schema.

``images`` records which file is where, ``embeddings`` what an encoder computed from it. Every row of both has the
number of the transaction (*change*) that last touched it: a vector index that knows the last change it contains is
updated by replaying the later rows. Other galleries' catalogs, and this one restored from a backup, count alike; so
each change also has a random name (*revision*), and an index is used only if both match.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
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
    UniqueConstraint,
    create_engine,
    event,
)

from retrieval.catalog.collection_tables import collection_tables
from retrieval.catalog.column_types import Long, PathText, only_where
from retrieval.catalog.face_tables import face_tables
from retrieval.catalog.lease_tables import lease_tables
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.catalog.word_tables import word_tables
from retrieval.errors import GalleryTooNew
from retrieval.foreign_databases import harden
from retrieval.paths import lenient_text

MIGRATIONS = Path(__file__).parent / "migrations"


metadata = MetaData()

state = Table(
    "state",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1: this table has one row
    Column("change", Integer, nullable=False),  # number of the last transaction
    Column("active_encoder_id", Integer, ForeignKey("encoders.id")),
    Column("index_spec", String),  # what the user asked for; NULL: chosen by size
    Column("reads_text", Boolean),  # runs also read the words in pictures; NULL: they do not
    Column("finds_faces", Boolean),  # runs also look for faces; NULL: they do not
    Column("version", String),  # 32 random hexadecimal digits, others after each transaction that wrote anything
)

revisions = Table(  # written by a trigger on `state`
    "revisions",
    metadata,
    Column("change", Integer, primary_key=True),
    Column("revision", String, nullable=False),  # 32 random hexadecimal digits: unique to this change of this catalog
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
    Column("host", String),  # of a root, in a server: the machine that walked it last; NULL: this one
)

exclusions = Table(  # permanent exclusions (see catalog/exclusions.py), in the order in which they were given
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
    Column("size", Long, nullable=False),  # bytes
    Column("mtime_ns", Long, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),  # BLAKE3 of the whole file
    Column("format", String, nullable=False),
    Column("width", Integer, nullable=False),  # pixels, as shown (EXIF orientation applied)
    Column("height", Integer, nullable=False),
    Column("taken_at", String),  # local time, ISO 8601 without offset
    Column("taken_offset_minutes", Integer),  # of that local time from UTC, if the camera recorded it
    Column("camera", String),
    Column("lens", String),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("added_at", String, nullable=False),  # UTC, ISO 8601
    Column("is_retired", Boolean, nullable=False, default=False),  # gone from disk; kept in case it returns
    Column("change", Integer, nullable=False),
    Column("phash", LargeBinary(64)),  # perceptual hashes in all orientations (8 bytes: as shown only); NULL: none
    Column("colour", Integer),  # 0xRRGGBB: average of the picture as shown, sRGB; NULL: indexed without it
    Column("name_key", PathText),  # the name after folding.fold; filters and orders compare this
    Column("camera_key", String),
    Column("lens_key", String),
    Column("taken_instant", BigInteger),  # microseconds since 1970 UTC (see records.instant); what dates are sorted by
    Column("taken_precision", String),  # "year" to "minute" if the date is no finer; NULL: to the second
    Column("taken_source", String),  # "gps", "xmp", "text", "sidecar"; NULL: EXIF, or no date
    Column("place_source", String),  # "xmp", "sidecar"; NULL: EXIF, or no place
    Column("ctime_ns", Long),  # when anything about the file was last changed; NULL: not known
    Column("iso", Integer),  # what the camera wrote; NULL: nothing, or indexed before these four were read
    Column("aperture", Float),  # f-number
    Column("exposure", Float),  # seconds
    Column("focal_length", Float),  # of the lens, mm
    Column("duration_s", Float),  # seconds, of a video; NULL: a still picture
    Column("still_s", Float),  # of a video: time of the frame whose embedding is in `embeddings`
    Column("motion_offset", Long),  # of a motion photo: where its video is in the file, in bytes
    Column("motion_bytes", Long),
    Column("is_page", Boolean),  # a page, by its pixels or by the text in it; NULL: indexed before this was told
    Column("content_id", String),  # Apple's identifier that a live photo and its video share
    UniqueConstraint("folder_id", "name"),
    Index("images_by_hash", "content_hash"),
    Index("images_by_change", "change"),
    Index("images_by_coordinates", "latitude", "longitude", **only_where("latitude IS NOT NULL")),
    Index("raw_images", "folder_id", **only_where("format = 'RAW'")),
    Index("videos", "id", **only_where("duration_s IS NOT NULL")),
    sqlite_autoincrement=True,  # ids are never reused
)

places = Table(  # the towns, regions and countries in which pictures of this gallery were taken (see catalog/places.py)
    "places",
    metadata,
    Column("key", String, primary_key=True),  # "2988507" of a town, "FR.11" of a region, "FR" of a country
    Column("kind", String, nullable=False),  # "town", "region" or "country"
    Column("name", String, nullable=False),
    Column("full_name", String, nullable=False),  # with the places that contain it: "Paris, Île-de-France, France"
    Column("names", Text, nullable=False),  # all its names, folded, each between line breaks
    Column("region", String),  # key of the region and of the country around it
    Column("country", String),
    Column("latitude", Float),  # of a town's centre
    Column("longitude", Float),
)

located = Table(  # coordinates that pictures have, and the place there
    "located",
    metadata,
    Column("latitude", Float, primary_key=True),
    Column("longitude", Float, primary_key=True),
    Column("place", String, ForeignKey("places.key")),  # a town or a country; NULL: far from any
    Index("located_by_place", "place"),
)

word_tables(metadata)  # text in pictures; the index of words

shots = Table(  # files of one shot in one folder: RAW, JPEG, the video of a live photo; rebuilt when a run ends
    "shots",
    metadata,
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("shot", Integer, nullable=False),  # id of its first RAW, else of its first still picture
    Column("is_raw", Boolean, nullable=False),
    Column("is_clip", Boolean, nullable=False, server_default="0"),  # the video of a live photo
    Index("shots_by_shot", "shot"),
)

purged_images = Table(  # permanently deleted ids, so that an index drops them
    "purged_images",
    metadata,
    Column("id", Long, primary_key=True),  # of the image, or of a moment
    Column("change", Integer, nullable=False),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id"), nullable=False),
    Column("image_id", Integer, ForeignKey("images.id"), nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float16, little-endian, unit length before rounding
    Column("change", Integer, nullable=False),
    Column("crc", Long),  # CRC-32 of the vector; NULL: not checked
    # A table with row ids, not WITHOUT ROWID: vectors of 1-2 KB would push its inner nodes out of the cache.
    UniqueConstraint("encoder_id", "image_id"),
    Index("embeddings_by_change", "encoder_id", "change"),
    Index("embeddings_by_image", "image_id"),
)

moments = Table(  # the other frames of videos (see catalog/moments.py); a trigger copies deletions to purged_images
    "moments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("moment", BigInteger, nullable=False),  # its id in an index; encodes the image's id
    Column("time_s", Float, nullable=False),  # seconds from the beginning
    Column("vector", LargeBinary, nullable=False),  # as in embeddings
    Column("crc", Long),
    Column("change", Integer, nullable=False),
    UniqueConstraint("encoder_id", "moment"),
    Index("moments_by_image", "image_id"),
    Index("moments_by_change", "encoder_id", "change"),
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
    Column("source", String, nullable=False),  # "user", "xmp" or "merged"
    UniqueConstraint("image_id", "rating", "source"),
)

tag_spellings = Table(  # tags that differ only in case ("straße", "STRASSE") are one tag, in its first spelling
    "tag_spellings",
    metadata,
    Column("tag_key", String, primary_key=True),  # the tag after folding.fold
    Column("tag", String, nullable=False),  # as it stands in tags and predicted_tags
)

kept_labels = Table(  # what people said about pictures that no row shows now, by content
    "kept_labels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("content_hash", LargeBinary(32), nullable=False),
    Column("kind", String, nullable=False),  # "tag", "caption", "rating", "favourite", "membership" or "hidden"
    Column("text", Text, nullable=False),
    Column("source", String, nullable=False),  # as in their tables
    UniqueConstraint("content_hash", "kind", "text", "source"),
)

embedded_xmp = Table(  # what photoseek's metadata in picture files replaced (see catalog/embedded_xmp.py)
    "embedded_xmp",
    metadata,
    Column("content_hash", LargeBinary(32), primary_key=True),  # of the file as photoseek wrote it
    Column("original_hash", LargeBinary(32), nullable=False),  # as it was before
    Column("replaced", Text, nullable=False),  # JSON: start, end and base64 of the bytes that make the earlier file
    Column("written_at", String, nullable=False),  # UTC, ISO 8601
)

predicted_tags = Table(  # a model's predictions; never mixed with what people said
    "predicted_tags",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("encoder_id", Integer, ForeignKey("encoders.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", Integer, ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("tag", String, nullable=False),
    Column("probability", Float, nullable=False),
    UniqueConstraint("image_id", "encoder_id", "tag"),  # the image first: deletions look rows up by image
    Index("predicted_tags_by_tag", "encoder_id", "tag"),
)

collection_tables(metadata)  # favourites and albums
face_tables(metadata)  # faces and persons

failures = Table(
    "failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("folder_id", Integer, ForeignKey("folders.id"), nullable=False),
    Column("name", PathText, nullable=False),
    Column("size", Long, nullable=False),
    Column("mtime_ns", Long, nullable=False),
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

lease_tables(metadata)  # runs that share a catalog


def open_engine(path: Path) -> Engine:
    """An engine on the SQLite file, with the settings that every writer needs.

    If SQLite cannot read or write (damage, a full disk), the error raised says what to do.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": 30.0})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Without this the driver leaves DDL outside transactions, and a killed process could leave half a schema.
        connection.isolation_level = None
        connection.text_factory = lenient_text
        harden(connection, trusts_schema=True)
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
            # Ctrl-C leaves the connection usable. Dropped with its statement unfinished, as SQLAlchemy would,
            # it would keep the database locked; kept, its transaction is rolled back.
            context.is_disconnect = False
        elif isinstance(error, sqlite3.Error) and (ours := as_ours(error, path)) is not error:
            raise ours from error

    return engine


def as_ours(error: sqlite3.Error, path: Path) -> Exception:
    """A failure while a catalog was written, as an error that says what to do; programming errors unchanged."""
    if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
        return error
    from retrieval.system_errors import of_sqlite

    return of_sqlite(error, path, "write")


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
    """True if the catalog has the newest version, determined without importing the migration library."""
    rows = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
    if not rows:
        return False
    versions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return list(versions) == [CATALOG_VERSION]
