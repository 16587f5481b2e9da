"""The table of encoders, and which of them is used for searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.access import Rows
from retrieval.catalog.records import utc_now
from retrieval.errors import GalleryError

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction
    from retrieval.encoders.base import EncoderSpec

MOST_DIM = 1 << 16
"""Of an embedding: sixteen times that of the largest known models."""

_COLUMNS = "e.id, e.name, e.fingerprint, e.dim, e.source, e.licence"


@dataclass(frozen=True)
class EncoderRow:
    """An encoder as recorded in the catalog."""

    id: int
    name: str
    fingerprint: str
    dim: int
    source: str
    licence: str


def _checked(row: Sequence[Any]) -> EncoderRow:
    found = EncoderRow(*row)
    texts = (found.name, found.fingerprint, found.source, found.licence)
    if type(found.dim) is not int or not 0 < found.dim <= MOST_DIM or not all(type(each) is str for each in texts):
        raise GalleryError(
            f"an encoder of this gallery has {found.dim!r:.20} dimensions, or no name",
            "restore a backup, or index into a new --gallery",
        )
    return found


def all_encoders(rows: Rows) -> list[EncoderRow]:
    """Every encoder that has embeddings here, or is about to get some.

    Raises:
        GalleryError: one of them is none that photoseek has written.
    """
    return [_checked(row) for row in rows.rows(f"SELECT {_COLUMNS} FROM encoders AS e ORDER BY e.id")]


def active_encoder(rows: Rows) -> EncoderRow | None:
    """The encoder that searches use; None before the first image is committed."""
    found = rows.rows(f"SELECT {_COLUMNS} FROM encoders AS e JOIN state AS s ON s.active_encoder_id = e.id")
    return _checked(found[0]) if found else None


def encoder_of(rows: Rows, fingerprint: str) -> EncoderRow | None:
    """The encoder with a fingerprint; None if the catalog has none."""
    sql = f"SELECT {_COLUMNS} FROM encoders AS e WHERE e.fingerprint = :fingerprint"
    found = rows.rows(sql, {"fingerprint": fingerprint})
    return _checked(found[0]) if found else None


def register_encoder(transaction: Transaction, spec: EncoderSpec) -> int:
    """The id of the encoder with this fingerprint, after adding it if it is new; its present location is recorded."""
    known = encoder_of(transaction, spec.fingerprint)
    if known is None:
        return transaction.insert(
            """INSERT INTO encoders (fingerprint, name, source, dim, licence, added_at)
               VALUES (:fingerprint, :name, :source, :dim, :licence, :added)""",
            {
                "fingerprint": spec.fingerprint,
                "name": spec.name,
                "source": spec.source,
                "dim": spec.dim,
                "licence": spec.licence,
                "added": utc_now(),
            },
        )
    if known.source != spec.source:
        transaction.run("UPDATE encoders SET source = :source WHERE id = :id", {"source": spec.source, "id": known.id})
    return known.id


def activate_encoder(transaction: Transaction, encoder_id: int | None) -> None:
    """Make searches use this encoder from now on."""
    transaction.run("UPDATE state SET active_encoder_id = :active", {"active": encoder_id})


def delete_encoder(transaction: Transaction, encoder_id: int, active: EncoderRow | None) -> int:
    """Delete an encoder with its embeddings, predicted tags and runs; how many embeddings it had.

    Args:
        active: the encoder that searches use from now on.
    """
    transaction.change()  # so that open engines notice
    activate_encoder(transaction, active.id if active else None)
    own = {"encoder": encoder_id}
    transaction.run("DELETE FROM predicted_tags WHERE encoder_id = :encoder", own)
    transaction.run("DELETE FROM runs WHERE encoder_id = :encoder", own)
    transaction.run("DELETE FROM moments WHERE encoder_id = :encoder", own)
    removed = transaction.run("DELETE FROM embeddings WHERE encoder_id = :encoder", own)
    transaction.run("DELETE FROM encoders WHERE id = :encoder", own)
    return removed
