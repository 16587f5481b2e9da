"""Response models of a picture or a video: its record, tags and captions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from retrieval.catalog.records import ImageRecord
from retrieval.catalog.texts import PictureText
from retrieval.labels.reading import ImageLabels
from retrieval.paths import as_text
from retrieval.pictures.formats import DRAWN_BY_BROWSERS, PLAYED_BY_BROWSERS
from retrieval.reading.marks import marks, terms_of


class SaidTag(BaseModel):
    """A tag that a person gave."""

    tag: str
    source: str = Field(description="`user`, or `xmp` if it was read from a sidecar or from the picture")


class SaidCaption(BaseModel):
    """A caption that a person wrote."""

    text: str
    source: str = Field(description="`user` or `xmp`")


class PredictedTag(BaseModel):
    """A tag that the model believes in."""

    tag: str
    probability: float = Field(ge=0, le=1)


class Addresses(BaseModel):
    """Where the picture itself is, on this server."""

    thumbnail: str = Field(description="WebP; add `&size=240`, `480` or `1024`. May be kept forever.")
    file: str = Field(description="the original")
    view: str = Field(description="WebP of at most 2048 pixels a side, for what browsers do not draw")
    motion: str | None = Field(None, description="the short video of a motion photo or a live photo")


class Mate(BaseModel):
    """Another file of the same shot, in the same folder."""

    id: int
    name: str
    format: str


class Showable(BaseModel):
    """Whether a picture's file can be shown to the client in a file manager."""

    showable: bool


class TextLineOut(BaseModel):
    """A line of text in the picture."""

    text: str
    confidence: float = Field(ge=0, le=1)
    corners: list[float] = Field(
        description="x and y of four corners, clockwise from the beginning of the text at its top; fractions of the "
        "picture's width and height, as shown"
    )
    marks: list[tuple[float, float]] = Field(
        description="where words that were asked for stand: from, to, as fractions of the line's length"
    )


class TextOut(BaseModel):
    """What can be read in the picture."""

    lines: list[TextLineOut] = Field(description="in reading order")
    model: str = Field(description="what read it")
    read_at: str = Field(description="UTC, ISO 8601")
    failed: str | None = Field(description="why it could not be read; null if it was")


def text_out(found: PictureText | None, words: Sequence[str]) -> TextOut | None:
    """Text as it is sent.

    Args:
        words: whose places are marked.
    """
    if found is None:
        return None
    terms = terms_of(words)
    lines = [
        TextLineOut(text=line.text, confidence=line.confidence, corners=list(line.corners), marks=marks(line, terms))
        for line in found.lines
    ]
    return TextOut(lines=lines, model=found.model, read_at=found.read_at, failed=found.reason)


class ListedPicture(BaseModel):
    """What every list says of a picture."""

    id: int
    name: str
    path: str
    width: int = Field(description="Pixels, as shown.")
    height: int
    taken_at: str | None
    camera: str | None
    latitude: float | None
    longitude: float | None
    place: str | None = Field(description="The town and what it lies in, or the country.")
    format: str
    bytes: int
    duration_s: float | None = Field(description="Of a video, seconds.")
    time_s: float | None = Field(description="Of a video, seconds from its beginning: the frame that was found.")
    motion: Literal["inside", "beside"] | None = Field(
        description="Where its short video is, if it is a motion photo (inside the file) or a live photo (beside it)."
    )
    colour: str | None = Field(description="#rrggbb, the average.")
    hash: str = Field(description="Changes with the picture: the beginning of its content's hash.")


def listed(record: ImageRecord) -> dict[str, Any]:
    """The fields of a :class:`ListedPicture`."""
    path = as_text(record.path)
    return {
        "id": record.id,
        "name": os.path.basename(path),
        "path": path,
        "width": record.width,
        "height": record.height,
        "taken_at": record.taken_text(),
        "camera": record.camera,
        "latitude": record.latitude,
        "longitude": record.longitude,
        "place": record.place,
        "format": record.format,
        "bytes": record.size,
        "duration_s": record.duration_s,
        "time_s": record.time_s,
        "motion": record.motion,
        "colour": None if record.colour is None else f"#{record.colour:06x}",
        "hash": record.content_hash.hex()[:16],
    }


class ImageDetails(BaseModel):
    """One picture."""

    id: int
    name: str
    path: str = Field(description="absolute; what is not text in it is replaced by U+FFFD")
    folder: str
    hash: str = Field(description="the first 16 hexadecimal digits of the BLAKE3 of the file")
    format: str = Field(description="by content: JPEG, PNG, HEIF ...")
    drawable: bool = Field(description="browsers draw the original; if not, show `urls.view`")
    playable: bool = Field(description="a video of which browsers know the container; its codec decides")
    bytes: int
    width: int = Field(description="pixels, as shown")
    height: int
    colour: str | None = Field(description="the average colour, `#rrggbb`; null: indexed before there was one")
    taken_at: str | None = Field(description="ISO 8601, with an offset from UTC where the camera recorded one")
    added_at: str = Field(description="when it was indexed first, ISO 8601")
    modified_at: str = Field(description="of the file when it was indexed, ISO 8601")
    camera: str | None
    lens: str | None
    iso: int | None = Field(description="sensitivity, as the camera wrote it")
    aperture: float | None = Field(description="f-number")
    exposure: float | None = Field(description="seconds")
    focal_length: float | None = Field(description="of the lens, mm")
    latitude: float | None = Field(description="degrees, WGS 84")
    longitude: float | None
    place: str | None = Field(description="the town and what it lies in, or the country")
    duration_s: float | None = Field(description="of a video, seconds")
    time_s: float | None = Field(description="of a video, seconds from its beginning: the frame that stands for it")
    motion: Literal["inside", "beside"] | None = Field(
        description="where its short video is: inside the file of a motion photo, or beside that of a live photo"
    )
    on_disk: Literal["same", "changed", "missing"] = Field(description="the file as it is now")
    tags: list[SaidTag] = Field(description="by people")
    captions: list[SaidCaption] = Field(description="by people")
    rating: int | None = Field(
        ge=-1, le=5, description="stars, 0 for none, -1 for rejected; by the user, else by XMP; null: nobody said any"
    )
    favourite: bool = Field(description="of the user")
    hidden: bool = Field(description="Left out of lists that do not ask for hidden pictures.")
    albums: list[str] = Field(description="that people put it into; saved searches are not looked through")
    predicted: list[PredictedTag] = Field(description="by the model that searches use, most probable first")
    text: TextOut | None = Field(description="the words in it; null: it has not been read (photoseek index --ocr)")
    mates: list[Mate] = Field(description="the other files of the same shot: a RAW, a JPEG, a live photo's video")
    urls: Addresses


def details(labels: ImageLabels, at: str, mates: Sequence[ImageRecord], text: TextOut | None) -> ImageDetails:
    """The picture that labels are about; looks at the file on the disk.

    Args:
        at: the address of the picture on this server.
        mates: the other files of its shot.
        text: what can be read in it.
    """
    image = labels.image
    folder, name = os.path.split(image.path)
    key = image.content_hash.hex()[:16]
    return ImageDetails(
        id=image.id,
        name=as_text(name),
        path=as_text(image.path),
        folder=as_text(folder),
        hash=key,
        format=image.format,
        drawable=image.format in DRAWN_BY_BROWSERS,
        playable=image.format in PLAYED_BY_BROWSERS,
        bytes=image.size,
        width=image.width,
        height=image.height,
        colour=None if image.colour is None else f"#{image.colour:06x}",
        taken_at=image.taken_text(),
        added_at=labels.added_at,
        modified_at=datetime.fromtimestamp(image.mtime_ns // 1_000_000_000, UTC).isoformat(),
        camera=image.camera,
        lens=image.lens,
        iso=image.iso,
        aperture=image.aperture,
        exposure=image.exposure,
        focal_length=image.focal_length,
        latitude=image.latitude,
        longitude=image.longitude,
        place=image.place,
        duration_s=image.duration_s,
        time_s=image.time_s,
        motion=image.motion,
        on_disk=image.on_disk(),
        tags=[SaidTag(tag=said.text, source=said.source) for said in labels.tags],
        captions=[SaidCaption(text=said.text, source=said.source) for said in labels.captions],
        rating=labels.rating,
        favourite=labels.is_favourite,
        hidden=labels.is_hidden,
        albums=labels.albums,
        predicted=[PredictedTag(tag=p.tag, probability=round(p.probability, 6)) for p in labels.predicted],
        text=text,
        mates=[Mate(id=mate.id, name=as_text(os.path.basename(mate.path)), format=mate.format) for mate in mates],
        urls=Addresses(
            thumbnail=f"{at}/thumbnail?v={key}",
            file=f"{at}/file",
            view=f"{at}/view?v={key}",
            motion=None if image.motion is None else f"{at}/motion",
        ),
    )
