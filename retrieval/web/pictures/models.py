"""Response models of a picture: its record, tags and captions."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from retrieval.labels.reading import ImageLabels
from retrieval.paths import as_text
from retrieval.pictures.formats import DRAWN_BY_BROWSERS


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


class ImageDetails(BaseModel):
    """One picture."""

    id: int
    name: str
    path: str = Field(description="absolute; what is not text in it is replaced by U+FFFD")
    folder: str
    hash: str = Field(description="the first 16 hexadecimal digits of the BLAKE3 of the file")
    format: str = Field(description="by content: JPEG, PNG, HEIF ...")
    drawable: bool = Field(description="browsers draw the original; if not, show `urls.view`")
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
    on_disk: Literal["same", "changed", "missing"] = Field(description="the file as it is now")
    tags: list[SaidTag] = Field(description="by people")
    captions: list[SaidCaption] = Field(description="by people")
    predicted: list[PredictedTag] = Field(description="by the model that searches use, most probable first")
    urls: Addresses


def details(labels: ImageLabels, at: str) -> ImageDetails:
    """The picture that labels are about; looks at the file on the disk.

    Args:
        at: the address of the picture on this server.
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
        on_disk=image.on_disk(),
        tags=[SaidTag(tag=said.text, source=said.source) for said in labels.tags],
        captions=[SaidCaption(text=said.text, source=said.source) for said in labels.captions],
        predicted=[PredictedTag(tag=p.tag, probability=round(p.probability, 6)) for p in labels.predicted],
        urls=Addresses(thumbnail=f"{at}/thumbnail?v={key}", file=f"{at}/file", view=f"{at}/view?v={key}"),
    )
