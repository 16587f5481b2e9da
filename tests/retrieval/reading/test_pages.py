"""Words in pictures, by the real networks: every way up, several scripts, nothing where there is nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("cv2", reason="needs photoseek[ocr]")
pytest.importorskip("rapidocr", reason="needs photoseek[ocr]")

from benchmarks.words import FONTS, made_document, read_words, recall
from retrieval.contents import child
from retrieval.pictures.images import content_hash
from retrieval.reading.detection import _turned, _windows
from retrieval.reading.models import Networks
from retrieval.reading.pages import read_page, reading_order, side_for
from retrieval.reading.readers import lines_of
from retrieval.reading.recognition import _batches

LINES = ("Invoice No. 2024-0173", "Bakery Sonnenschein", "Total due: 8.35 EUR")
CJK = ("wqy-zenhei.ttc", "NotoSansCJK-Regular.ttc")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks()


def font(size: int, *names: str) -> ImageFont.FreeTypeFont:
    for name in names or FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    pytest.skip(f"needs one of the fonts {', '.join(names or FONTS)}")


def page(lines: tuple[str, ...] = LINES, angle: float = 0, size: tuple[int, int] = (900, 400)) -> Image.Image:
    """Dark print on light paper."""
    made = Image.new("RGB", size, "white")
    pen, face = ImageDraw.Draw(made), font(32)
    for row, line in enumerate(lines):
        pen.text((60, 50 + 90 * row), line, fill="black", font=face)
    return made.rotate(angle, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)


def read(picture: Image.Image, networks: Networks) -> list[str]:
    return [line.text for line, _ in read_page(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]), networks)]


@pytest.mark.parametrize("angle", [0, 90, 180, 270, 8, -12])
def test_pages_are_read_every_way_up_in_reading_order(networks: Networks, angle: float) -> None:
    assert read(page(angle=angle), networks) == list(LINES)


@pytest.mark.parametrize("name", FONTS)
def test_upright_documents_are_read_nearly_whole(networks: Networks, name: str) -> None:
    try:
        data, words = made_document(name, 0, 5)
    except OSError:
        pytest.skip(f"needs the font {name}")
    assert recall(words, read_words(data, networks)[0]) >= 0.95


def test_chinese_is_read(networks: Networks) -> None:
    made = Image.new("RGB", (700, 200), "white")
    ImageDraw.Draw(made).text((40, 60), "红烧牛肉面 28元", fill="black", font=font(48, *CJK))
    assert "".join(read(made, networks)).replace(" ", "") == "红烧牛肉面28元"


def test_corners_lie_around_the_words_and_characters_along_them(networks: Networks) -> None:
    picture = page(("WIDE                              APART",))
    found = read_page(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]), networks)
    boxes = {line.text: box for line, box in found}
    assert set(boxes) == {"WIDE", "APART"}
    left, right = boxes["WIDE"], boxes["APART"]
    assert left[0, 0] == pytest.approx(60 / 900, abs=0.02) and left[1, 0] < right[0, 0]
    assert (left[:2, 1] < 0.16).all() and (left[2:, 1] > 0.18).all()
    (line, _), *_ = found
    assert len(line.ends) == 4 and list(line.ends) == sorted(line.ends) and line.ends[-1] > 0.8


@pytest.mark.parametrize("kind", ["plain", "noise", "tiny", "line"])
def test_there_is_nothing_where_there_is_nothing(networks: Networks, kind: str) -> None:
    draw = np.random.default_rng(1)
    made = {
        "plain": np.full((300, 400, 3), 120, np.uint8),
        "noise": draw.integers(0, 256, (300, 400, 3), np.uint8),
        "tiny": np.full((1, 1, 3), 7, np.uint8),
        "line": np.full((2, 1900, 3), 255, np.uint8),
    }[kind]
    assert read_page(made, networks) == []


def test_long_pictures_are_read_in_windows_without_doubles(networks: Networks) -> None:
    lines = tuple(f"Line number {n} of many" for n in range(40))
    assert read(page(lines, size=(700, 3700)), networks) == list(lines)


def test_windows_cover_a_long_picture() -> None:
    assert list(_windows(400, 300)) == [(0, 0, 400, 300)]
    for width, height in ((300, 5000), (9000, 200), (300, 700)):
        covered = np.zeros((height, width), bool)
        for x, y, w, h in _windows(width, height):
            assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height
            covered[y : y + h, x : x + w] = True
        assert covered.all()


def test_how_large_a_picture_is_looked_at() -> None:
    assert side_for(4000, 3000) == side_for(300, 200) == 3072
    assert side_for(1080, 8000) == 10370 and side_for(1, 100_000) == 16_384


def test_corners_begin_where_the_text_does() -> None:
    box = np.array([(0, 0), (10, 0), (10, 3), (0, 3)], np.float32)
    for turns in range(4):
        for mirrored in (False, True):
            given = np.roll(box[::-1] if mirrored else box, turns, axis=0)
            assert (_turned(given) == box).all()
    upwards = np.array([(0, 0), (3, 0), (3, 10), (0, 10)], np.float32)
    assert (_turned(upwards) == upwards[[1, 2, 3, 0]]).all()  # it runs down; its top is on the right


def test_lines_are_ordered_down_the_page_and_along_the_line() -> None:
    def at(x: float, y: float) -> list[tuple[float, float]]:
        return [(x, y), (x + 50, y), (x + 50, y + 10), (x, y + 10)]

    boxes = np.array([at(200, 3), at(0, 40), at(0, 0), at(100, 42)], np.float32)
    assert reading_order(boxes, [10, 11, 12, 13]) == [12, 10, 11, 13]
    assert reading_order(np.empty((0, 4, 2), np.float32), []) == []


def test_batches_hold_every_line_once_and_are_bounded() -> None:
    widths = [int(w) for w in np.random.default_rng(3).integers(8, 3200, 300)]
    batches = list(_batches(widths))
    assert sorted(n for batch in batches for n in batch) == list(range(300))
    assert all(len(batch) == 1 or len(batch) * max(widths[n] for n in batch) <= 3840 for batch in batches)


def stored(path: Path, data: bytes) -> dict[str, object]:
    path.write_bytes(data)
    return {"path": str(path), "hash": content_hash(data).hex(), "width": 900, "height": 400, "seconds": 60}


def answer(asked: dict[str, Any], networks: Networks) -> dict[str, Any]:
    return child.answer(asked, lambda data, width, height: lines_of(data, width, height, networks))


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def test_a_file_is_read_only_if_it_is_the_one_that_was_indexed(tmp_path: Path, networks: Networks) -> None:
    asked = stored(tmp_path / "a.jpg", jpeg(page()))
    found = json.loads(json.dumps(answer(asked, networks)))
    assert [line[0] for line in found["lines"]] == list(LINES)
    (tmp_path / "a.jpg").write_bytes(jpeg(page(("Another",))))
    assert answer(asked, networks) == {"gone": True}
    (tmp_path / "a.jpg").unlink()
    assert answer(asked, networks) == {"gone": True}
    assert "truncated" in str(answer(stored(tmp_path / "b.jpg", b"\xff\xd8\xff\xe0 no picture"), networks)["reason"])


def test_a_file_that_is_too_large_is_a_failure(
    tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_FILE_BYTES", 1000)
    asked = stored(tmp_path / "a.jpg", bytes(2000))
    assert "larger than 1,000 bytes" in str(answer(asked, networks)["reason"])
    (tmp_path / "a.jpg").write_bytes(bytes(3000))
    assert answer(asked, networks) == {"gone": True}, "another file"
