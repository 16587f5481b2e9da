"""The tables of a catalog in PostgreSQL: made new, or brought to the newest form.

A new catalog has the tables of ``catalog/schema.py`` and the version of the newest migration. A later one is brought up
by the same migrations as one in SQLite; such a migration changes tables with ``op``, and rows in words that both
databases have. What beside tables belongs to a catalog here (functions, views, triggers, collations) is in this
file alone, and :func:`settle` makes it anew after either way: so both end with the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine

from retrieval.catalog import schema
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import open_connection, take_locks
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.errors import GalleryError
from retrieval.filters.places import EARTH_KM

if TYPE_CHECKING:
    import psycopg

_OLDEST = 14
"""PostgreSQL's oldest major version with what is used here: ``CREATE OR REPLACE TRIGGER``."""

_FUNCTIONS = (
    "CREATE OR REPLACE FUNCTION instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT strpos($1, $2)'",
    # As SQLite's: text if it is a date, else NULL.
    """CREATE OR REPLACE FUNCTION datetime(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
       SELECT CASE WHEN $1 ~ '^\\d{4}-\\d\\d-\\d\\d([T ]\\d\\d:\\d\\d(:\\d\\d)?)?' THEN $1 END $$""",
    """CREATE OR REPLACE FUNCTION typeof(anyelement) RETURNS text LANGUAGE sql IMMUTABLE AS $$
       SELECT CASE WHEN $1 IS NULL THEN 'null' ELSE CASE CAST(pg_typeof($1) AS text) WHEN 'bytea' THEN 'blob'
              WHEN 'text' THEN 'text' WHEN 'double precision' THEN 'real' ELSE 'integer' END END $$""",
    """CREATE OR REPLACE FUNCTION path_bytes(text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
       SELECT CASE WHEN left($1, 1) = U&'\\+10FFFF' THEN decode(substr($1, 2), 'hex')
              ELSE convert_to($1, 'UTF8') END $$""",
    f"""CREATE OR REPLACE FUNCTION great_circle_km(float8, float8, float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE
       AS 'SELECT {EARTH_KM} * atan2(
             sqrt((cosd($3) * sind($4 - $2)) ^ 2
                  + (cosd($1) * sind($3) - sind($1) * cosd($3) * cosd($4 - $2)) ^ 2),
             sind($1) * sind($3) + cosd($1) * cosd($3) * cosd($4 - $2))'""",
    """CREATE OR REPLACE FUNCTION joined_ids(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
       'SELECT concat_ws('','', $1, $2)'""",
    "CREATE OR REPLACE AGGREGATE group_concat(bigint) (SFUNC = joined_ids, STYPE = text)",
    # Lexemes with spaces between them, at their positions; longer ones than a vector takes are left out.
    """CREATE OR REPLACE FUNCTION lexemes_vector(text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
       SELECT CAST(coalesce(string_agg('''' || replace(replace(word, '\\', '\\\\'), '''', '''''') || ''':'
              || least(place, 16383), ' '), '') AS tsvector)
       FROM unnest(string_to_array($1, ' ')) WITH ORDINALITY AS t (word, place)
       WHERE word <> '' AND octet_length(word) < 2000 $$""",
    """CREATE OR REPLACE FUNCTION trigrams(text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
       SELECT coalesce(array_agg(DISTINCT a[n] || a[n + 1] || a[n + 2]), '{}')
       FROM (SELECT string_to_array($1, NULL) AS a) AS s, generate_series(1, length($1) - 2) AS n $$""",
)  # fmt: skip

_WORDS = (
    """ALTER TABLE lexical ADD COLUMN IF NOT EXISTS number integer GENERATED ALWAYS AS
       (CASE WHEN kind IN ('name', 'folder', 'caption') THEN CAST(ref AS integer) END) STORED""",
    """ALTER TABLE lexical_due ADD COLUMN IF NOT EXISTS number integer GENERATED ALWAYS AS
       (CASE WHEN kind IN ('name', 'folder', 'caption') THEN CAST(ref AS integer) END) STORED""",
    """ALTER TABLE lexical ADD COLUMN IF NOT EXISTS vector tsvector
       GENERATED ALWAYS AS (lexemes_vector(words)) STORED""",
    "CREATE INDEX IF NOT EXISTS lexical_by_word ON lexical USING gin (vector)",
    "CREATE INDEX IF NOT EXISTS picture_texts_by_trigram ON picture_texts USING gin (trigrams(folded))",
    "CREATE OR REPLACE VIEW lexical_index AS SELECT id AS rowid, vector AS lexical_index FROM lexical",
    "CREATE OR REPLACE VIEW text_index AS SELECT id AS rowid, folded FROM picture_texts",
)
"""What the FTS5 tables of SQLite are, for statements that read them. References by number are also kept as numbers."""

_NOTED = (  # kind, table, what identifies a row, its text; as in migration 0016
    ("name", "images", "id", "name"),
    ("folder", "folders", "id", "path"),
    ("caption", "captions", "id", "text"),
    ("tag", "tag_spellings", "tag_key", "tag"),
    ("place", "places", "key", "names"),
)


def _triggers() -> list[str]:
    made = _trigger(
        "name_the_change", "state", "UPDATE OF change", "WHEN (NEW.change <> OLD.change)",
        """INSERT INTO revisions (change, revision)
           VALUES (NEW.change, replace(CAST(gen_random_uuid() AS text), '-', ''))
           ON CONFLICT (change) DO UPDATE SET revision = excluded.revision""",
    ) + _trigger(
        "note_gone_moment", "moments", "DELETE", "",
        """INSERT INTO purged_images (id, change) SELECT OLD.moment, change FROM state
           ON CONFLICT (id) DO UPDATE SET change = excluded.change""",
    )  # fmt: skip
    for kind, table, ref, text in _NOTED:
        for event, when, if_, row in (
            ("added", "INSERT", "", "NEW"),
            ("deleted", "DELETE", "", "OLD"),
            ("changed", f"UPDATE OF {text}", f"WHEN (NEW.{text} IS DISTINCT FROM OLD.{text})", "NEW"),
        ):
            note = f"INSERT INTO lexical_due (kind, ref) VALUES ('{kind}', {row}.{ref}) ON CONFLICT DO NOTHING"
            made += _trigger(f"{table}_{event}", table, when, if_, note)
    return made


def _trigger(name: str, table: str, when: str, if_: str, statement: str) -> list[str]:
    return [
        f"""CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN {statement}; RETURN NULL; END $$""",
        f"CREATE OR REPLACE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW {if_} EXECUTE FUNCTION {name}()",
    ]


_OTHERWISE_ORDERED = """SELECT c.table_name, c.column_name FROM information_schema.columns AS c
    JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.table_name <> 'alembic_version'
    AND c.data_type IN ('text', 'character varying') AND c.collation_name IS DISTINCT FROM 'C' ORDER BY 1, 2"""


def make(address: CatalogAddress, place: str) -> bool:
    """Make the catalog, or bring the one that is there to the newest form; whether it is new.

    Args:
        place: the gallery, for messages.

    Raises:
        CatalogUnreachable: the server cannot be used, or does not permit it.
        GalleryError: its database does not hold Unicode, or the server is too old.
        GalleryTooNew: a newer photoseek made the catalog.
        GalleryLocked: another process is writing it.
    """
    with open_connection(address) as connection:
        if version_of(connection) == CATALOG_VERSION:  # others may be writing it
            return False
        take_place(connection, address, place)
        if has_table(connection, "moving"):
            raise GalleryError(
                f"a catalog is being moved to {address}, and the move has not ended",
                "run the same photoseek migrate again where it was begun",
            )
        version = version_of(connection)
        if version == CATALOG_VERSION:
            return False
        if version is None:
            make_tables(address)
        else:
            with _engine(address) as engine:
                schema.upgrade(engine)
        with connection.transaction():
            settle(connection)
            if version is None:
                name_version(connection)
    return version is None


def take_place(connection: psycopg.Connection[Any], address: CatalogAddress, place: str) -> None:
    """Make the schema of a catalog if there is none, and hold its locks. Raises as :func:`make`."""
    _check_server(connection, address)
    found = connection.execute("SELECT to_regnamespace(%s)", [address.schema]).fetchone()
    if found is None or found[0] is None:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
    take_locks(connection, [("writer", 0.0), ("labels", 10.0)], place)


def make_tables(address: CatalogAddress) -> None:
    """Make the tables that are not there yet, and the first row of ``state``."""
    with _engine(address) as engine, engine.begin() as connection:
        schema.metadata.create_all(connection)
        _begin(connection)


def name_version(connection: psycopg.Connection[Any]) -> None:
    """Say which version the catalog has. Last: a catalog without a version is not one yet."""
    connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY)")
    connection.execute("DELETE FROM alembic_version")
    connection.execute("INSERT INTO alembic_version VALUES (%s)", [CATALOG_VERSION])


@contextmanager
def _engine(address: CatalogAddress) -> Iterator[Engine]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: _for_engine(address))
    try:
        yield engine
    finally:
        engine.dispose()


def has_table(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether a table is there."""
    found = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
    return found is not None and found[0] is not None


def _for_engine(address: CatalogAddress) -> psycopg.Connection[Any]:
    connection = open_connection(address)
    connection.autocommit = False  # transactions are SQLAlchemy's
    return connection


def _check_server(connection: psycopg.Connection[Any], address: CatalogAddress) -> None:
    if connection.info.server_version < _OLDEST * 10_000:
        raise GalleryError(
            f"{address.server} is PostgreSQL {connection.info.server_version // 10_000}, which is too old",
            f"install {_OLDEST} or newer",
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise GalleryError(
            f"the database {address.server} keeps its texts in {encoding}, not in UTF8",
            "make one with: createdb --encoding UTF8 --template template0 NAME",
        )


def version_of(connection: psycopg.Connection[Any]) -> str | None:
    """The version of the catalog; None if there is none."""
    if not has_table(connection, "alembic_version"):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def is_older(connection: psycopg.Connection[Any]) -> bool:
    """Whether there is a catalog of an older version, which :func:`make` brings up."""
    version = version_of(connection)
    return version is not None and version < CATALOG_VERSION


def _begin(connection: Connection) -> None:
    """The one row of ``state``, under a name: what the migrations write in SQLite."""
    connection.exec_driver_sql("INSERT INTO state (id, change) VALUES (1, 0) ON CONFLICT DO NOTHING")
    connection.exec_driver_sql(
        "INSERT INTO revisions (change, revision) SELECT change, replace(CAST(gen_random_uuid() AS text), '-', '') "
        "FROM state ON CONFLICT DO NOTHING"
    )
    connection.exec_driver_sql(
        "UPDATE state SET version = replace(CAST(gen_random_uuid() AS text), '-', '') WHERE version IS NULL"
    )


def settle(connection: psycopg.Connection[Any]) -> None:
    """Make, or make anew, what beside tables belongs to a catalog. Texts are compared by their bytes, as in SQLite,
    whatever the database's own collation is."""
    for table, column in connection.execute(_OTHERWISE_ORDERED).fetchall():
        connection.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE text COLLATE "C"')
    for statement in (*_FUNCTIONS, *_WORDS, *_triggers()):
        connection.execute(statement)
