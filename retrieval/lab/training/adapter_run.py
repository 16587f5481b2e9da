"""``photoseek train --adapter`` as a function: without torch, and without reading pictures that the gallery has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.encoders.adapter import write_adapter
from retrieval.encoders.base import Encoder
from retrieval.encoders.files.checks import write_atomically
from retrieval.encoders.files.staging import folder_name
from retrieval.encoders.registry import load_encoder
from retrieval.errors import QueryError, TextNotSupported, UnreadableImage
from retrieval.lab.evaluation.embed import embed_files
from retrieval.lab.evaluation.tables import Cell, Report, as_json
from retrieval.lab.training.adapting import fit_map, meanings_of
from retrieval.lab.training.judging import before_after, figures
from retrieval.lab.training.output_folder import REPORT
from retrieval.lab.training.pairs import Pairs, split_by_content
from retrieval.lab.training.sources import Source
from retrieval.pictures.images import content_hash, read_picture
from retrieval.regular_files import describe_os_error
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.gallery import Gallery

_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class _Seen:
    """Pictures with an embedding: their rows, vectors, digests; how many came from a gallery; and the failed ones."""

    rows: Ids
    vectors: Vectors
    digests: tuple[bytes, ...]
    stored: int
    failed: tuple[tuple[str, str], ...]


def train_adapter(
    pairs: Pairs,
    encoder: Encoder,
    out: Path,
    *,
    gallery: Gallery | None = None,
    share: float = 0.15,
    seed: int = 0,
    begin: Callable[[dict[str, Cell]], None] = lambda about: None,
) -> Report:
    """Fit a map on the embeddings of ``encoder``, write it to ``out``, and evaluate it on held-out pictures.

    Args:
        gallery: may have embeddings of pictures.
        share: fraction of the pictures that are held out.
        begin: called with facts about the run before it starts.

    Raises:
        TextNotSupported: an image-only encoder.
        QueryError: too few usable pictures.
    """
    if not encoder.spec.has_text:
        raise TextNotSupported(
            f"{encoder.spec.name} has no text tower, so captions and tags mean nothing to it",
            "name one that has: photoseek models",
        )
    started = time.perf_counter()
    seen = _see(encoder, pairs, gallery)
    pairs = pairs.take(seen.rows)
    rows, held = split_by_content(seen.digests, share, seed)
    if len(rows) < 4 or not any(pairs.said[row] for row in held.tolist()):
        few = plural(len(rows), "picture is", "pictures are")
        raise QueryError(f"{few} too few to fit a map to", "give more pictures")
    about: dict[str, Cell] = {
        "from": encoder.spec.name,
        "trained": f"an adapter, {encoder.spec.dim * (encoder.spec.dim + 1):,} numbers",
        "embeddings from the gallery": seen.stored,
        "pictures to train on": len(rows),
        "pictures held out": len(held),
        "left out, cannot be used": len(seen.failed),
    }
    begin(about)
    texts = _texts(encoder, pairs)
    fitted = fit_map(seen.vectors[rows], texts, pairs.take(rows), seed=seed)
    name = folder_name(out.resolve().name)
    write_adapter(out, encoder.spec, fitted.matrix.astype(np.float32), fitted.offset.astype(np.float32), name)
    made = load_encoder(str(out))
    judged = pairs.take(held)
    before, after = (figures(v, judged, made) for v in (seen.vectors[held], fitted(seen.vectors[held])))
    about |= {
        "strength of the ridge": "nothing helped: the map changes nothing" if not fitted.helps else fitted.strength,
        "seconds in all": time.perf_counter() - started,
        "written to": str(out),
    }
    report = before_after(about, before, after)
    body = {**as_json(report), "share": share, "seed": seed, "failed": list(seen.failed)}
    body["cross-validation"] = {"mrr_before": fitted.mrr_before, "mrr_after": fitted.mrr_after}
    write_atomically(out / REPORT, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return report


def _see(encoder: Encoder, pairs: Pairs, gallery: Gallery | None) -> _Seen:
    if all(source.offset is None for source in pairs.sources):
        found = embed_files(encoder, [source.path for source in pairs.sources], gallery=gallery)
        failed = tuple((str(path), reason) for path, reason in found.failed)
        return _Seen(found.rows, found.vectors, found.digests, found.stored, failed)
    return _read(encoder, pairs.sources)


def _read(encoder: Encoder, sources: Sequence[Source]) -> _Seen:
    """Read members of a tar, which are in no gallery, batch by batch."""
    rows: list[int] = []
    vectors: list[Vectors] = []
    digests: list[bytes] = []
    failed: list[tuple[str, str]] = []
    for start in range(0, len(sources), encoder.batch_size):
        pixels = []
        for row in range(start, min(start + encoder.batch_size, len(sources))):
            try:
                data = sources[row].read()
                pixels.append(read_picture(data, encoder.spec.preprocessing).pixels)
            except UnreadableImage as error:
                failed.append((sources[row].name, error.reason))
                continue
            except OSError as error:
                failed.append((sources[row].name, describe_os_error(error)))
                continue
            rows.append(row)
            digests.append(content_hash(data))
        if pixels:
            vectors.append(encoder.encode_images(np.stack(pixels)))
    if not rows:
        raise QueryError(f"none of {plural(len(sources), 'picture')} can be used: {failed[0][1]}", "give another tar")
    return _Seen(np.array(rows, dtype=np.int64), np.concatenate(vectors), tuple(digests), 0, tuple(failed))


def _texts(encoder: Encoder, pairs: Pairs) -> Vectors:
    """(m, dim): the first wording of each meaning that is said or refused; zeros for the others."""
    used = meanings_of(pairs)
    texts = np.zeros((len(pairs.meanings), encoder.spec.dim), np.float32)
    for at in range(0, len(used), _TEXTS_AT_ONCE):
        part = used[at : at + _TEXTS_AT_ONCE]
        texts[part] = encoder.encode_texts([pairs.meanings[meaning][0] for meaning in part.tolist()])
    return texts
