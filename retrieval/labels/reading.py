"""Read labels of pictures: tags and captions by people, and tags predicted by a model, kept separate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.images import added_at
from retrieval.catalog.labels import predicted_of, said_of
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord

USER = "user"
"""Source of what was said with ``photoseek label``."""

XMP = "xmp"
"""Source of what an XMP sidecar or the XMP inside a picture says."""

MERGED = "merged"
"""Source of what was said about a copy that was moved to the trash (``labels/merging.py``)."""


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
    for tag in said_of(reader, "tags", known):
        found[tag.image_id].tags.append(Said(str(tag.value), tag.source))
    for caption in said_of(reader, "captions", known):
        found[caption.image_id].captions.append(Said(str(caption.value), caption.source))
    for rating in said_of(reader, "ratings", known):
        found[rating.image_id].rating = int(rating.value)
    for id_, moment in added_at(reader, known).items():
        found[id_].added_at = moment
    if encoder is not None:
        for belief in predicted_of(reader, known, encoder.id):
            found[belief.image_id].predicted.append(Predicted(belief.tag, belief.probability))
    return [found[int(id_)] for id_ in ids if int(id_) in found]
