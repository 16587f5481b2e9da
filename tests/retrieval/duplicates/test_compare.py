"""Pictures compared in full detail: small changes of content are detected, compression is ignored."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.duplicate_documents import DOCUMENTS, Draw, chart, contract, group_photo, invoice, tripod
from retrieval.duplicates.compare import compare
from retrieval.duplicates.evidence import evidence_of, is_enlarged, is_resaved
from retrieval.duplicates.turns import composed, inverse, turned

SMALL = [draw for draw in DOCUMENTS if draw.__name__ not in ("large_invoice", "group_photo")]


def stored(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def again(image: Image.Image, form: str = "JPEG", **options: object) -> Image.Image:
    return opened(stored(image, form, **options))


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


@pytest.mark.parametrize("draw", SMALL, ids=lambda draw: draw.__name__)
def test_one_small_thing_makes_another_document_and_compression_does_not(draw: Draw) -> None:
    original = again(draw(21, 0), quality=95)
    other = again(draw(21, 1), quality=95)
    for copy, step in (
        (again(original, quality=30), 27),
        (again(original, "WEBP", quality=50), 12),
        (half(original), 2),
    ):
        assert compare(original, copy, step).verdict == "copy"
        found = compare(other, copy, step)
        assert found.verdict == "different" and found.worst >= 1


def test_the_worst_tile_is_where_they_differ() -> None:
    found = compare(chart(1, 0), chart(1, 3), 1)
    left, top, right, bottom = found.box
    x, y = int(found.box[0] * 960), int(found.box[1] * 600)
    difference = np.abs(np.asarray(chart(1, 0), int) - np.asarray(chart(1, 3), int)).max(axis=2)
    assert difference[y : y + 8, x : x + 8].max() > 60
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1 and found.levels > 60


def test_text_that_cannot_be_read_any_more_is_too_small_to_tell() -> None:
    original = again(contract(2, 0), quality=95)
    tiny = original.resize((original.width // 4, original.height // 4), Image.Resampling.LANCZOS)
    assert compare(original, tiny).verdict == "too small"


def test_frames_from_a_tripod() -> None:
    frame = again(tripod(3, 0, 1600, 1200), quality=93)
    assert compare(frame, again(tripod(3, 1, 1600, 1200), quality=93), 3).verdict == "different"  # a blink
    rng = np.random.default_rng(9)
    scene = np.asarray(group_photo(4, 0).resize((800, 600)), np.float32)
    frames = [again(Image.fromarray((scene + rng.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)), quality=95)
              for _ in range(2)]  # fmt: skip
    assert compare(*frames, 2).verdict == "other frame"
    assert compare(frames[0], again(frames[0], quality=90), 3).verdict == "copy"


def test_edits_of_light_are_no_copies() -> None:
    original = again(group_photo(5, 0).resize((800, 600)), quality=95)
    values = np.asarray(original, np.float32)
    for edit in (values * 1.04, values * (1.04, 1, 0.96), (values - 128) * 1.1 + 128):
        assert compare(original, Image.fromarray(edit.clip(0, 255).astype(np.uint8)), 2).verdict == "edited"


def test_what_was_made_of_what() -> None:
    first = stored(group_photo(6, 0).resize((800, 600)), quality=70)
    picture = opened(first)
    steps = evidence_of(first).steps
    later = stored(picture, quality=95)
    later_steps = evidence_of(later).steps
    assert steps is not None and later_steps is not None
    assert is_resaved(opened(stored(picture, "PNG")), steps) and is_resaved(opened(later), steps)
    assert not is_resaved(picture, later_steps)
    large = stored(picture.resize((1600, 1200), Image.Resampling.BICUBIC), quality=60)
    assert is_enlarged(opened(large), picture, evidence_of(large).steps)
    assert not is_enlarged(picture, half(picture), steps)
    soft = picture.resize((40, 30)).resize((800, 600), Image.Resampling.BICUBIC)
    assert not is_enlarged(soft, half(soft), None)  # the larger one of two soft ones stays


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_the_end_of_a_file(form: str) -> None:
    whole = stored(invoice(1, 0), form)
    assert evidence_of(whole).state == "whole"
    assert evidence_of(whole + b"12345678").state == "junk behind"
    if form != "BMP":
        assert evidence_of(whole[:-2]).state == "cut short"
    assert evidence_of(whole + stored(invoice(1, 1))).state == "whole"  # a second picture, as in an MPO


def test_turns() -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    for turn in range(1, 9):
        assert turned(turned(image, turn), inverse(turn)).tobytes() == image.tobytes()
        assert composed(turn, inverse(turn)) == 1
