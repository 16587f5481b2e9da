"""``eval retrieval``: how well an encoder finds pictures by their captions in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.encoders.base import Encoder
from retrieval.errors import TextNotSupported
from retrieval.lab.evaluation.ann import InTheGallery, judge_index
from retrieval.lab.evaluation.bootstrap import RESAMPLES
from retrieval.lab.evaluation.captions_file import Captions, read_captions
from retrieval.lab.evaluation.crossmodal import KS, Direction, judge_captions
from retrieval.lab.evaluation.embed import Embedded, embed_files
from retrieval.lab.evaluation.tables import Cell, Report, Table

if TYPE_CHECKING:
    from retrieval.gallery import Gallery

_TEXTS_AT_ONCE = 512


@dataclass(frozen=True)
class CaptionData:
    """Captions and pictures as embeddings of one encoder.

    Attributes:
        pictures: (n, dim), one for each distinct picture that has a caption.
        texts: (t, dim), one for each distinct text.
        caption_text, caption_picture: (c,) rows of those for each caption.
        paths: (c,) a file of each caption's picture.
        cut: number of texts longer than the model's context.
        embedded: how the pictures' vectors were obtained.
    """

    pictures: Vectors
    texts: Vectors
    caption_text: Ids
    caption_picture: Ids
    paths: tuple[Path, ...]
    cut: int
    embedded: Embedded


def embed_captions(
    encoder: Encoder,
    captions: Captions,
    gallery: Gallery | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CaptionData:
    """Embed both sides. Files with the same bytes are one picture with the captions of all of them; unreadable files
    are left out with their captions.

    Raises:
        TextNotSupported: an image-only encoder.
        QueryError: no picture can be read.
    """
    if not encoder.spec.has_text:
        raise TextNotSupported(
            f"{encoder.spec.name} has no text tower",
            "name one that has: photoseek models; or try: photoseek eval probe",
        )
    embedded = embed_files(encoder, captions.paths, gallery=gallery, on_progress=on_progress)
    number = dict(zip(embedded.rows.tolist(), embedded.pictures.tolist(), strict=True))
    distinct: dict[tuple[int, str], Path] = {}
    for row, text in captions.pairs:
        if row in number:
            distinct.setdefault((number[row], text), captions.paths[row])
    texts = {text: at for at, text in enumerate(dict.fromkeys(text for _, text in distinct))}
    _, first = np.unique(embedded.pictures, return_index=True)
    return CaptionData(
        pictures=embedded.vectors[first],
        texts=embed_texts(encoder, list(texts)),
        caption_text=np.array([texts[text] for _, text in distinct], dtype=np.int64),
        caption_picture=np.array([picture for picture, _ in distinct], dtype=np.int64),
        paths=tuple(distinct.values()),
        cut=sum(map(encoder.is_cut, texts)),
        embedded=embedded,
    )


def embed_texts(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """(t, dim) embeddings of any number of texts, in blocks."""
    rest = iter(texts)
    blocks = []
    while block := list(islice(rest, _TEXTS_AT_ONCE)):
        blocks.append(encoder.encode_texts(block))
    return np.concatenate(blocks)


def report_captions(
    encoder: Encoder,
    file: str | Path,
    *,
    gallery: Gallery | None = None,
    with_index: bool = False,
    fresh: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """The output of ``photoseek eval retrieval``.

    Args:
        file: see :func:`.captions_file.read_captions`.
        gallery: may have embeddings of the pictures, and has the index for ``with_index``.
        with_index: compare the gallery's index with exact search.
        fresh: encode every picture, even if the gallery has its embedding.

    Raises:
        QueryError, TextNotSupported, GalleryNotFound, EncoderMismatch.
    """
    data = embed_captions(encoder, read_captions(file), None if fresh else gallery, on_progress)
    both = judge_captions(
        data.pictures, data.texts, data.caption_text, data.caption_picture, resamples=resamples, seed=seed
    )
    ann = None
    if with_index and gallery is not None:
        texts = data.texts[data.caption_text]
        ann = judge_index(gallery, encoder, texts, data.paths, resamples=resamples, seed=seed)
    about: dict[str, Cell] = {
        "model": encoder.spec.name,
        "pictures": len(data.pictures),
        "captions": len(data.caption_text),
    }
    about |= about_files(data.embedded) | ({"captions cut": data.cut} if data.cut else {})
    if ann is not None:
        about |= {"index": ann.spec, "pictures in the gallery": ann.pictures, "captions asked there": ann.queries}
    notes = ("value (95 % interval, pictures drawn again); hit_rate@k is what papers call R@k",)
    return Report(about, (_table(both, ann),), notes)


def about_files(embedded: Embedded) -> dict[str, Cell]:
    """Facts about the files, only if they are unusual."""
    copies = len(embedded.rows) - len(set(embedded.digests))
    found: dict[str, Cell] = {}
    if embedded.stored:
        found["embeddings from the gallery"] = embedded.stored
    if embedded.rate:
        found["images/s"] = embedded.rate
    if copies:
        found["copies of another picture"] = copies
    if embedded.failed:
        path, reason = embedded.failed[0]
        found["left out, cannot be used"] = f"{len(embedded.failed)}, e.g. {path}: {reason}"
    return found


def _table(both: tuple[Direction, Direction], ann: InTheGallery | None) -> Table:
    to_image, to_text = both
    head = ["metric", to_image.name, to_text.name]
    rows: list[list[Cell]] = [[name, value, to_text.metrics[name]] for name, value in to_image.metrics.items()]
    if ann is not None:
        head += ["text to image, gallery, exact", f"text to image, gallery, {ann.spec}"]
        for row in rows:
            k = int(str(row[0]).partition("hit_rate@")[2] or 0)
            row += [ann.exact[k], ann.ann[k]] if k else [None, None]
        rows += [[f"overlap@{k}", None, None, 1.0, ann.overlap[k]] for k in KS]
    return Table("retrieval", tuple(head), tuple(map(tuple, rows)))
