"""The map of a gallery: its pictures, their 2D positions and groups."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from retrieval.catalog.records import ImageRecord
from retrieval.catalog.stored import chosen_ids, sampled_vectors
from retrieval.errors import BackendUnavailable, QueryError
from retrieval.labels.tagging import find_encoder
from retrieval.overview_maps.layout import Method, choose_method, lay_out
from retrieval.streams import printable

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.filters import Filter
    from retrieval.gallery import Gallery

MOST_POINTS = 10_000
"""A thumbnail takes 1.5 kB in the page, and browsers open 15 MB without problems."""

_MOST_GROUPS = 12  # number of distinguishable colours


@dataclass(frozen=True)
class Place:
    """A picture on the map: x to the right and y upwards, within -1 to 1; ``group`` from 0, -1 for none."""

    image: ImageRecord
    x: float
    y: float
    group: int = -1


@dataclass(frozen=True)
class Atlas:
    """A map.

    Attributes:
        encoder: the encoder that computed the embeddings.
        pictures: total number of pictures; at least the number of ``places``.
        places: by id.
    """

    encoder: str
    method: Method
    pictures: int
    places: tuple[Place, ...]


def draw_atlas(
    gallery: Gallery,
    *,
    method: str = "auto",
    points: int = 2000,
    where: Filter | None = None,
    model: str | None = None,
    seed: int = 0,
) -> Atlas:
    """Lay out a gallery's pictures, or an even sample of them, by their embeddings.

    Args:
        method: see ``layout.choose_method``.
        points: how many pictures at most.

    Raises:
        QueryError: an invalid number of points.
        SettingsError, UmapUnavailable: see ``layout.choose_method``.
        UnknownEncoder, GalleryNotFound: see ``tagging.find_encoder``.
    """
    if not 1 <= points <= MOST_POINTS:
        raise QueryError(f"cannot lay out {points} pictures", f"give a number from 1 to {MOST_POINTS:,} (--points)")
    choose_method(method, MOST_POINTS)  # raises before the embeddings are read
    with gallery.reader() as reader:
        row = find_encoder(gallery, reader, model)
        chosen = chosen_ids(reader, row, where)
        total = reader.count(row.id) if chosen is None else len(chosen)
        ids, vectors = sampled_vectors(reader, row, points, chosen, seed=seed)
        how = choose_method(method, len(ids))
        if not len(ids):
            return Atlas(row.name, how, total, ())
        spots = lay_out(vectors, how, seed=seed).tolist()
        groups = _groups(vectors, seed)
        at = dict(zip(ids.tolist(), zip(spots, groups, strict=True), strict=True))
        records = reader.records(ids.tolist())
        places = tuple(Place(record, x, y, group) for record in records for (x, y), group in [at[record.id]])
    return Atlas(row.name, how, total, places)


def write_places(atlas: Atlas, out: IO[str], *, as_json: bool = False) -> None:
    """Print a line for each picture: x, y, group, path."""
    for place in atlas.places:
        image = place.image
        if as_json:
            spot = {"x": round(place.x, 5), "y": round(place.y, 5), "group": place.group}
            out.write(json.dumps({"id": image.id, "path": image.path, **spot}) + "\n")
        else:
            out.write(f"{place.x:.4f}\t{place.y:.4f}\t{place.group}\t{printable(image.path)}\n")


def _groups(vectors: Vectors, seed: int) -> list[int]:
    """A group for each vector, for the colours on the page; -1 without faiss."""
    from indexes.kmeans import nearest_centres, train_centres
    from retrieval.overview_maps.groups import usual_count

    try:
        centres = train_centres(vectors, min(usual_count(len(vectors)), _MOST_GROUPS), seed=seed)
    except BackendUnavailable:
        return [-1] * len(vectors)
    return [int(place) for place in nearest_centres(vectors, centres).centres]
