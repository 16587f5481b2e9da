"""Each embedding gets a checksum: a flipped bit leaves a vector that could be any picture's."""

from __future__ import annotations

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("embeddings", sa.Column("crc", sa.Integer()))
    connection = op.get_bind()
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.create_function("crc32_of", 1, zlib.crc32, deterministic=True)
    # A value that is not a BLOB is damaged already, and recognised by its type.
    connection.exec_driver_sql("UPDATE embeddings SET crc = crc32_of(vector) WHERE typeof(vector) = 'blob'")
