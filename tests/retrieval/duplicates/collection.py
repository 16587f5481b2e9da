"""A folder with known duplicates."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from benchmarks.duplicate_pictures import scene
from retrieval.duplicates.files import Outcome
from retrieval.duplicates.groups import Group
from retrieval.duplicates.keeper import ORIGINAL, KeeperRule
from retrieval.duplicates.link import link_duplicates
from retrieval.duplicates.plan import make_plan
from retrieval.duplicates.trash import trash_duplicates
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder

KEEPER, BYTES, SMALL, BURST, OTHER = "a.jpg", "copies/a again.jpg", "small/a.png", "burst.jpg", "other.jpg"


def make_collection(folder: Path) -> Path:
    """A picture, the same bytes elsewhere (a second younger), it at half the size, a moment later, and another one."""
    for at, (name, data) in enumerate(_files().items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_600_000_000 + at, 1_600_000_000 + at))
    return folder


@cache
def _files() -> dict[str, bytes]:
    whole = scene(7)
    view = whole.crop((60, 60, 660, 460))
    keeper = _stored(view, "JPEG", quality=95)
    return {
        KEEPER: keeper,
        BYTES: keeper,
        SMALL: _stored(view.resize((300, 200), Image.Resampling.LANCZOS), "PNG"),
        BURST: _stored(whole.crop((72, 66, 672, 466)), "JPEG", quality=80),
        OTHER: _stored(scene(8), "JPEG"),
    }


def _stored(image: Image.Image, form: str, **options: int) -> bytes:
    stored = io.BytesIO()
    image.save(stored, form, **options)
    return stored.getvalue()


def index(gallery: Gallery, folder: Path) -> Gallery:
    """The gallery, after the folder was indexed into it."""
    Indexer(gallery, ColourEncoder()).run(folder)
    return gallery


def trash(gallery: Gallery, groups: Iterable[Group], rule: KeeperRule = ORIGINAL) -> list[Outcome]:
    """Plan and do it."""
    return trash_duplicates(gallery, make_plan(groups, "trash", rule))


def link(gallery: Gallery, groups: Iterable[Group]) -> list[Outcome]:
    """Plan and do it."""
    return link_duplicates(gallery, make_plan(groups, "link", ORIGINAL))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Path below ``folder`` -> bytes and modification time of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
