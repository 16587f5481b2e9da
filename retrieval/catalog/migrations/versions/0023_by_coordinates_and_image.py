"""Pictures are found by where they were taken, and embeddings by their picture.

Without the first index each word that is part of a place's name read every picture, and ``forget --purge`` read every
picture for each pair of coordinates. Without the second one each picture that was edited or purged read every
embedding.
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute("CREATE INDEX images_by_coordinates ON images (latitude, longitude) WHERE latitude IS NOT NULL")
    op.execute("CREATE INDEX embeddings_by_image ON embeddings (image_id)")
