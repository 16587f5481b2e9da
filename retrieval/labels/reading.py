"""Read labels of pictures: tags and captions by people, and tags predicted by a model, kept separate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.catalog.albums import albums_of
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.images import added_at
from retrieval.catalog.labels import predicted_of, said_of
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord

USER = "user"
"""Source of labels given with ``photoseek label``."""

XMP = "xmp"
"""Source of labels from an XMP sidecar or the XMP inside a picture."""

MERGED = "merged"
"""Source of labels of a copy that was moved to the trash (``labels/merging.py``)."""


@dataclass(frozen=True)
class Said:
    """A tag or a caption that a person gave; ``source`` is ``user``, ``xmp`` or ``merged``."""

    text: str
    source: str


@dataclass(frozen=True)
class Predicted:
    """A tag predicted by a model; ``probability`` in [0, 1], see ``zeroshot.probabilities``."""

    tag: str
    probability: float


@dataclass
class ImageLabels:
    """All labels of one picture.

    Attributes:
        tags, captions: by people, in alphabetical order.
        ratings: source -> stars, see ``xmp.Xmp``.
        is_favourite, is_hidden: whether the user made it a favourite, or hid it.
        predicted: by one encoder, most probable first.
        albums: names of the albums that people put it into.
        added_at: when the picture was first indexed; UTC, ISO 8601.
    """

    image: ImageRecord
    tags: list[Said] = field(default_factory=list)
    captions: list[Said] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)
    ratings: dict[str, int] = field(default_factory=dict)
    is_favourite: bool = False
    is_hidden: bool = False
    albums: list[str] = field(default_factory=list)
    added_at: str = ""

    @property
    def rating(self) -> int | None:
        """The effective stars: the user's, else a merged copy's, else XMP's; None: no rating is known."""
        return next((self.ratings[source] for source in (USER, MERGED, XMP) if source in self.ratings), None)


def labels_of(reader: CatalogReader, ids: Sequence[int], encoder: EncoderRow | None = None) -> list[ImageLabels]:
    """The labels of images, in the order of ``ids``; retired and unknown ones are left out.

    Args:
        encoder: whose predictions; default: the active encoder's.
    """
    encoder = encoder or reader.active_encoder()
    found = {record.id: ImageLabels(record) for record in reader.records(ids)}
    known = list(found)
    for tag in said_of(reader, "tags", known):
        found[tag.image_id].tags.append(Said(str(tag.value), tag.source))
    for caption in said_of(reader, "captions", known):
        found[caption.image_id].captions.append(Said(str(caption.value), caption.source))
    for rating in said_of(reader, "ratings", known):
        found[rating.image_id].ratings[rating.source] = int(rating.value)
    for favourite in said_of(reader, "favourites", known):
        found[favourite.image_id].is_favourite = True
    for hidden in said_of(reader, "hidden", known):
        found[hidden.image_id].is_hidden = True
    for image_id, album in albums_of(reader, known):
        found[image_id].albums.append(album)
    for id_, moment in added_at(reader, known).items():
        found[id_].added_at = moment
    if encoder is not None:
        for belief in predicted_of(reader, known, encoder.id):
            found[belief.image_id].predicted.append(Predicted(belief.tag, belief.probability))
    return [found[int(id_)] for id_ in ids if int(id_) in found]
