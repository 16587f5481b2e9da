"""Pictures of one scene behind the best of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import count_line, settled, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

TAKEN = 0x9003  # DateTimeOriginal


@pytest.fixture
def holiday(tmp_path: Path) -> Gallery:
    """A rose three times within ten seconds, and a bear."""
    (tmp_path / "photos").mkdir()
    rose, bear = "flowers/rose.jpg", "animals/bear.jpg"
    shots = [(rose, "rose-1.jpg", 5), (rose, "rose-2.jpg", 10), (rose, "rose-3.jpg", 15), (bear, "bear.jpg", 20)]
    for source, name, second in shots:
        with Image.open(EXAMPLES / source) as picture:
            exif = Image.Exif()
            exif.get_ifd(0x8769)[TAKEN] = f"2024:05:01 12:00:{second:02d}"
            # Another quality each time: files of equal bytes would be one picture in the catalog.
            picture.convert("RGB").save(tmp_path / "photos" / name, quality=70 + second, exif=exif)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "photos")
    return gallery


def test_one_of_each_scene_says_how_many_stand_behind_it(
    open_page: Callable[..., Page], start_server: Callable[..., Running], holiday: Gallery
) -> None:
    page = open_page(server=start_server(holiday.path))
    wait_for_pictures(page)
    assert count_line(page) == "4 pictures"
    assert page.locator(".badge").count() == 0
    page.check("#bursts")
    settled(page)
    until(page, "() => document.querySelectorAll('.cell').length === 2")
    assert "group_minutes=5" in page.url
    assert page.locator(".badge").inner_text().split() == ["+2", "2", "more", "pictures", "of", "this", "scene"]
    page.go_back()
    until(page, "() => document.querySelectorAll('.cell').length === 4")
    assert not page.is_checked("#bursts")
