"""Read what is said about pictures: tags and captions by people, tags predicted by a model; the two never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.catalog.reader import CatalogReader, EncoderRow
from retrieval.catalog.records import ImageRecord

USER = "user"
"""Source of what was said with ``photoseek label``."""

XMP = "xmp"
"""Source of what an XMP sidecar or the XMP inside a picture says."""

MERGED = "merged"
"""Source of what was said about a copy that was moved to the trash (``labels/merging.py``)."""

_AT_ONCE = 900  # below SQLite's oldest default limit of 999 parameters in one statement


@dataclass(frozen=True)
class Said:
    """A tag or a caption that a person gave; ``source`` is ``user``, ``xmp`` or ``merged``."""

    text: str
    source: str


@dataclass(frozen=True)
class Predicted:
    """A tag that a model believes in; ``probability`` in [0, 1], see ``zeroshot.probabilities``."""

    tag: str
    probability: float


@dataclass
class ImageLabels:
    """Everything that is said about one picture.

    Attributes:
        tags, captions: by people, in alphabetical order.
        rating: stars that a person gave it, see ``xmp.Xmp``; None: none that we know of.
        predicted: by one encoder, most probable first.
        added_at: when the picture was indexed first; UTC, ISO 8601.
    """

    image: ImageRecord
    tags: list[Said] = field(default_factory=list)
    captions: list[Said] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)
    rating: int | None = None
    added_at: str = ""


def labels_of(reader: CatalogReader, ids: Sequence[int], encoder: EncoderRow | None = None) -> list[ImageLabels]:
    """What is said about images, in the order of ``ids``; retired and unknown ones are left out.

    Args:
        encoder: whose predictions; default: the one that searches use.
    """
    encoder = encoder or reader.active_encoder()
    found = {record.id: ImageLabels(record) for record in reader.records(ids)}
    known = list(found)
    for start in range(0, len(known), _AT_ONCE):
        part = known[start : start + _AT_ONCE]
        these = f"image_id IN ({', '.join('?' * len(part))})"
        for id_, *said in reader.rows(f"SELECT image_id, tag, source FROM tags WHERE {these} ORDER BY 2, 3", part):
            found[id_].tags.append(Said(*said))
        for id_, *said in reader.rows(f"SELECT image_id, text, source FROM captions WHERE {these} ORDER BY 2, 3", part):
            found[id_].captions.append(Said(*said))
        added = f"SELECT id, added_at FROM images WHERE {these.replace('image_id', 'id')}"
        for id_, added_at in reader.rows(added, part):
            found[id_].added_at = added_at
        for id_, rating in reader.rows(f"SELECT image_id, rating FROM ratings WHERE {these}", part):
            found[id_].rating = rating
        if encoder is not None:
            sql = f"""SELECT image_id, tag, probability FROM predicted_tags
                      WHERE {these} AND encoder_id = ? ORDER BY probability DESC, id"""
            for id_, *belief in reader.rows(sql, [*part, encoder.id]):
                found[id_].predicted.append(Predicted(*belief))
    return [found[int(id_)] for id_ in ids if int(id_) in found]


def tag_counts(reader: CatalogReader) -> dict[str, int]:
    """Tag -> how many present images people gave it to (in whatever way), most frequent first."""
    sql = """SELECT t.tag, count(DISTINCT t.image_id) FROM tags AS t JOIN images AS i ON i.id = t.image_id
             WHERE NOT i.is_retired GROUP BY t.tag ORDER BY 2 DESC, 1"""
    return dict(reader.rows(sql))


def caption_count(reader: CatalogReader) -> int:
    """How many present images have a caption."""
    sql = """SELECT count(DISTINCT c.image_id) FROM captions AS c JOIN images AS i ON i.id = c.image_id
             WHERE NOT i.is_retired"""
    return int(reader.rows(sql)[0][0])


def kept_label_count(reader: CatalogReader) -> int:
    """How many pictures that are not in the gallery now have labels by people, which come back with them."""
    sql = """SELECT count(*) FROM (SELECT content_hash FROM kept_labels UNION SELECT i.content_hash FROM images AS i
             WHERE i.is_retired AND (EXISTS (SELECT 1 FROM tags WHERE image_id = i.id)
                                     OR EXISTS (SELECT 1 FROM captions WHERE image_id = i.id)))"""
    return int(reader.rows(sql)[0][0])


def predicted_counts(reader: CatalogReader, encoder: EncoderRow) -> dict[str, int]:
    """Tag -> how many present images the encoder gave it to, most frequent first."""
    # Counted in the index by tag alone, then less the few that are retired: a join would look up millions of images.
    counts = dict(
        reader.rows("SELECT tag, count(*) FROM predicted_tags WHERE encoder_id = ? GROUP BY tag", [encoder.id])
    )
    sql = """SELECT p.tag, count(*) FROM images AS i CROSS JOIN predicted_tags AS p
             ON p.image_id = i.id AND p.encoder_id = ? WHERE i.is_retired GROUP BY p.tag"""
    for tag, retired in reader.rows(sql, [encoder.id]):
        counts[tag] -= retired
    return {tag: n for tag, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n}
