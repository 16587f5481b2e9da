"""The tables of what is said about pictures: by people (tags, captions, ratings, ...), and by models (predicted tags).

Only rows: who says what, and what that means, is handled in ``retrieval/labels``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.folding import fold

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

Kind = Literal["tags", "captions", "ratings", "favourites", "memberships", "hidden"]
"""A table of what people say. A row of memberships puts a picture into an album: its value is the id of its entry."""

KINDS: tuple[Kind, ...] = ("tags", "captions", "ratings", "favourites", "memberships", "hidden")

_COLUMN = {
    "tags": "tag", "captions": "text", "ratings": "rating", "favourites": "favourite", "memberships": "entry_id",
    "hidden": "hidden",
}  # fmt: skip
_KEPT = {
    "tags": "tag", "captions": "caption", "ratings": "rating", "favourites": "favourite", "memberships": "membership",
    "hidden": "hidden",
}  # fmt: skip
"""The names of these kinds in ``kept_labels``."""

_TEXTS = ("tags", "captions")
"""The kinds whose values are text; the others hold numbers."""


class SaidRow(NamedTuple):
    """One statement about an image: a text or a number, with its source."""

    image_id: int
    value: str | int
    source: str


class PredictedRow(NamedTuple):
    """A tag that an encoder predicts, with its probability in [0, 1]."""

    image_id: int
    tag: str
    probability: float


# Reading


def said_of(rows: Rows, kind: Kind, ids: Sequence[int]) -> list[SaidRow]:
    """What people say about images, present or retired; for each image ordered by value and source."""
    return [
        SaidRow(*row)
        for names, values in id_lists(ids)
        for row in rows.rows(
            f"""SELECT image_id, {_COLUMN[kind]}, source FROM {kind} WHERE image_id IN ({names}) ORDER BY 2, 3, 1""",
            values,
        )
    ]


def predicted_of(rows: Rows, ids: Sequence[int], encoder_id: int) -> list[PredictedRow]:
    """What an encoder predicts for images, for each the most probable first."""
    return [
        PredictedRow(*row)
        for names, values in id_lists(ids)
        for row in rows.rows(
            f"""SELECT image_id, tag, probability FROM predicted_tags
                WHERE image_id IN ({names}) AND encoder_id = :encoder ORDER BY probability DESC, id""",
            values | {"encoder": encoder_id},
        )
    ]


def texts_said(rows: Rows) -> list[tuple[int, str, bool]]:
    """(image id, text, whether it is a tag) of all captions and tags, each once, by image; captions first."""
    sql = "SELECT image_id, text, 0 FROM captions UNION SELECT image_id, tag, 1 FROM tags ORDER BY 1, 3, 2"
    return [(image_id, text, bool(is_tag)) for image_id, text, is_tag in rows.rows(sql)]


def is_any_said(rows: Rows) -> bool:
    """False in a gallery where nobody has labelled anything, not even pictures that are gone."""
    tables = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in (*KINDS, "kept_labels"))
    return bool(rows.rows(f"SELECT {tables}")[0][0])


def is_tagged(rows: Rows, ids: Iterable[int], tag: str) -> bool:
    """True if any of the images has the tag from any source; the tag as it is stored."""
    sql = "SELECT 1 FROM tags WHERE image_id = :image AND tag = :tag"
    return any(rows.rows(sql, {"image": id_, "tag": tag}) for id_ in ids)


# Counts


def tag_counts(rows: Rows) -> dict[str, int]:
    """Tag -> how many present images have it from people (any source), most frequent first."""
    sql = """SELECT t.tag, count(DISTINCT t.image_id) FROM tags AS t JOIN images AS i ON i.id = t.image_id
             WHERE NOT i.is_retired GROUP BY t.tag ORDER BY 2 DESC, 1"""
    return dict(rows.rows(sql))


def favourite_count(rows: Rows) -> int:
    """How many present images are favourites."""
    sql = """SELECT count(DISTINCT t.image_id) FROM favourites AS t JOIN images AS i ON i.id = t.image_id
             WHERE NOT i.is_retired"""
    return int(rows.rows(sql)[0][0])


def hidden_count(rows: Rows) -> int:
    """How many present images are hidden."""
    sql = """SELECT count(DISTINCT t.image_id) FROM hidden AS t JOIN images AS i ON i.id = t.image_id
             WHERE NOT i.is_retired"""
    return int(rows.rows(sql)[0][0])


def caption_count(rows: Rows) -> int:
    """How many present images have a caption."""
    sql = """SELECT count(DISTINCT c.image_id) FROM captions AS c JOIN images AS i ON i.id = c.image_id
             WHERE NOT i.is_retired"""
    return int(rows.rows(sql)[0][0])


def kept_label_count(rows: Rows) -> int:
    """How many pictures that are no longer in the gallery have labels by people, which return with the pictures."""
    any_of_them = " OR ".join(f"EXISTS (SELECT 1 FROM {kind} WHERE image_id = i.id)" for kind in KINDS)
    sql = f"""SELECT count(*) FROM (SELECT content_hash FROM kept_labels UNION SELECT i.content_hash FROM images AS i
              WHERE i.is_retired AND ({any_of_them})) AS gone"""
    return int(rows.rows(sql)[0][0])


def label_counts(rows: Rows, ids: Sequence[int]) -> dict[int, int]:
    """Id -> how many tags, captions, ... people gave it; only images that have any."""
    counts: dict[int, int] = {}
    for names, values in id_lists(ids):
        for table in KINDS:
            sql = f"SELECT image_id, count(*) FROM {table} WHERE image_id IN ({names}) GROUP BY image_id"
            for image_id, count in rows.rows(sql, values):
                counts[image_id] = counts.get(image_id, 0) + count
    return counts


def predicted_counts(rows: Rows, encoder_id: int) -> dict[str, int]:
    """Tag -> how many present images the encoder predicts it for, most frequent first."""
    # Counted in the index by tag only, minus the few retired ones: a join would look up millions of images.
    sql = "SELECT tag, count(*) FROM predicted_tags WHERE encoder_id = :encoder GROUP BY tag"
    counts = dict(rows.rows(sql, {"encoder": encoder_id}))
    sql = """SELECT p.tag, count(*) FROM images AS i CROSS JOIN predicted_tags AS p
             WHERE p.image_id = i.id AND p.encoder_id = :encoder AND i.is_retired GROUP BY p.tag"""
    for tag, retired in rows.rows(sql, {"encoder": encoder_id}):
        counts[tag] -= retired
    return {tag: n for tag, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n}


def said_by_content(rows: Rows) -> list[tuple[bytes, Kind, str | int, str]]:
    """(content hash, kind, value, source) of everything that people said, kept labels included, in a fixed order."""
    found: list[tuple[bytes, Kind, str | int, str]] = []
    for kind in KINDS:
        column = _COLUMN[kind]
        sql = f"""SELECT DISTINCT i.content_hash, x.{column}, x.source
                  FROM {kind} AS x JOIN images AS i ON i.id = x.image_id"""
        found += [(row[0], kind, row[1], row[2]) for row in rows.rows(sql)]
        kept = rows.rows("SELECT content_hash, text, source FROM kept_labels WHERE kind = :kind", {"kind": _KEPT[kind]})
        found += [(row[0], kind, row[1] if kind in _TEXTS else int(row[1]), row[2]) for row in kept]
    return sorted(set(found), key=repr)


# Writing what people say


def add_said(transaction: Transaction, kind: Kind, said: Sequence[tuple[int, str | int, str]]) -> int:
    """Write (image id, value, source), tags in the gallery's spelling; how many were new."""
    if kind == "tags":
        known = spellings(transaction, {str(tag) for _, tag, _ in said})
        said = [(image_id, known[str(tag)], source) for image_id, tag, source in said]
    return put_said(transaction, kind, said)


def put_said(transaction: Transaction, kind: Kind, said: Sequence[tuple[int, str | int, str]]) -> int:
    """Write (image id, value, source) exactly as the catalog had them before; how many were new."""
    return transaction.run(
        f"""INSERT INTO {kind} (image_id, {_COLUMN[kind]}, source) VALUES (:image, :value, :source)
            ON CONFLICT DO NOTHING""",
        [{"image": image_id, "value": value, "source": source} for image_id, value, source in said],
    )


def remove_said(
    transaction: Transaction,
    kind: Kind,
    ids: Iterable[int],
    sources: Iterable[str],
    *,
    value: str | int | None = None,
    but: str | int | None = None,
) -> int:
    """Delete what given sources say about images; how many rows.

    Args:
        value: only this value, as it is stored.
        but: all values except this one.
    """
    column = _COLUMN[kind]
    sql = f"DELETE FROM {kind} WHERE image_id = :image AND source = :source"
    given: dict[str, str | int] = {}
    if value is not None:
        sql, given["value"] = f"{sql} AND {column} = :value", value
    if but is not None:
        sql, given["but"] = f"{sql} AND {column} <> :but", but
    ids = list(ids)
    return transaction.run(sql, [{"image": id_, "source": source} | given for source in sources for id_ in ids])


def clear_said(transaction: Transaction, image_id: int) -> None:
    """Delete everything that people say about an image."""
    for kind in KINDS:
        transaction.run(f"DELETE FROM {kind} WHERE image_id = :image", {"image": image_id})


def spellings(transaction: Transaction, tags: Iterable[str]) -> dict[str, str]:
    """Each tag in the gallery's spelling, or in its own if it is new.

    Tags that :func:`retrieval.folding.fold` makes equal are one tag: "straße" and "STRASSE". It keeps its first
    spelling for as long as any row has it.
    """
    found: dict[str, str] = {}
    for tag in sorted(tags):
        key = fold(tag)
        known = transaction.rows("SELECT tag FROM tag_spellings WHERE tag_key = :key", {"key": key})
        if known and (known[0][0] == tag or _is_carried(transaction, known[0][0])):
            found[tag] = known[0][0]
            continue
        transaction.run(
            """INSERT INTO tag_spellings (tag_key, tag) VALUES (:key, :tag)
               ON CONFLICT (tag_key) DO UPDATE SET tag = excluded.tag""",
            {"key": key, "tag": tag},
        )
        found[tag] = tag
    return found


def _is_carried(rows: Rows, tag: str) -> bool:
    sql = """SELECT EXISTS (SELECT 1 FROM tags WHERE tag = :tag)
             OR EXISTS (SELECT 1 FROM predicted_tags WHERE tag = :tag)"""
    return bool(rows.rows(sql, {"tag": tag})[0][0])


# Kept by content while no image has it


def keep_said(transaction: Transaction, content_hash: bytes, kind: Kind, said: Iterable[tuple[str | int, str]]) -> int:
    """Store (value, source) by the content of the picture that they describe; how many were new."""
    return transaction.run(
        """INSERT INTO kept_labels (content_hash, kind, text, source) VALUES (:hash, :kind, :text, :source)
           ON CONFLICT DO NOTHING""",
        [
            {"hash": content_hash, "kind": _KEPT[kind], "text": str(value), "source": source}
            for value, source in said
        ],
    )  # fmt: skip


def take_kept(transaction: Transaction, content_hash: bytes) -> dict[Kind, list[tuple[str | int, str]]]:
    """The (value, source) kept for a content that now has a row; they are no longer kept separately."""
    found = transaction.rows(
        "SELECT kind, text, source FROM kept_labels WHERE content_hash = :hash", {"hash": content_hash}
    )
    if found:
        transaction.run("DELETE FROM kept_labels WHERE content_hash = :hash", {"hash": content_hash})
    kept: dict[Kind, list[tuple[str | int, str]]] = {
        kind: [(text if kind in _TEXTS else int(text), source) for name, text, source in found if name == _KEPT[kind]]
        for kind in KINDS
    }
    return kept


# Writing predictions


def add_predicted(transaction: Transaction, encoder_id: int, predicted: Iterable[tuple[int, str, float]]) -> None:
    """Write (image id, tag, probability); tags in the gallery's spelling, see :func:`spellings`."""
    transaction.run(
        """INSERT INTO predicted_tags (encoder_id, image_id, tag, probability)
           VALUES (:encoder, :image, :tag, :probability)""",
        [
            {"encoder": encoder_id, "image": image_id, "tag": tag, "probability": probability}
            for image_id, tag, probability in predicted
        ],
    )


def remove_predicted(transaction: Transaction, encoder_id: int, ids: Sequence[int] | None = None) -> None:
    """Delete an encoder's predictions, for these images or for all."""
    if ids is None:
        transaction.run("DELETE FROM predicted_tags WHERE encoder_id = :encoder", {"encoder": encoder_id})
        return
    sql = "DELETE FROM predicted_tags WHERE image_id = :image AND encoder_id = :encoder"
    transaction.run(sql, [{"image": int(id_), "encoder": encoder_id} for id_ in ids])
