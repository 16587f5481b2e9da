"""Videos on the page: a tile with their length, the frame that was found, and the video that plays from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests import motion_files
from tests.conftest import EXAMPLES
from tests.video_files import video
from tests.web.browser.conftest import until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def scene(name: str) -> np.ndarray:
    with Image.open(EXAMPLES / name) as picture:
        return np.asarray(picture.convert("RGB").resize((320, 240)))


@pytest.fixture
def holiday(tmp_path: Path) -> Gallery:
    """A video of a rose and a flamingo, one that no browser plays, and a bear."""
    folder = tmp_path / "photos"
    rose, flamingo = scene("flowers/rose.jpg"), scene("birds/flamingo.png")
    video(folder / "clip.webm", [(rose, 3), (flamingo, 3)], size=(320, 240), codec="libvpx-vp9")
    video(folder / "old.mp4", [(flamingo, 1), (rose, 2)], size=(320, 240), codec="mpeg4")
    (folder / "bear.jpg").write_bytes((EXAMPLES / "animals" / "bear.jpg").read_bytes())
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(folder)
    return gallery


def test_a_video_plays_from_the_frame_that_was_found(
    open_page: Callable[..., Page], start_server: Callable[..., Running], holiday: Gallery
) -> None:
    page = open_page("/?q=a+flamingo", server=start_server(holiday.path))
    wait_for_pictures(page)
    tile = page.locator("a.tile[title='clip.webm at 0:03']")
    assert tile.locator(".length").inner_text().split() == ["0:06", "video"]
    assert "&t=3" in tile.locator("img").get_attribute("src")
    tile.click()
    found = until(
        page,
        """() => { const v = document.querySelector('#viewer video');
                   return v && v.readyState > 0 && v.currentTime > 2.9 && !v.hidden && v.currentTime }""",
    )
    assert found < 3.5
    page.evaluate("() => { const v = document.querySelector('#viewer video'); v.muted = true; v.play() }")
    until(page, "() => document.querySelector('#viewer video').currentTime > 3.3")
    page.keyboard.press("Escape")
    until(page, "() => !document.querySelector('#viewer video').hasAttribute('src')")


def test_what_a_browser_cannot_play_is_shown_as_the_frame(
    open_page: Callable[..., Page], start_server: Callable[..., Running], holiday: Gallery
) -> None:
    page = open_page("/?q=a+rose", server=start_server(holiday.path))
    wait_for_pictures(page)
    page.locator("a.tile[title='old.mp4 at 0:01']").click()
    until(
        page, "() => document.querySelector('#viewer .unplayed') && !document.querySelector('#viewer .unplayed').hidden"
    )
    assert "cannot play this video; this is its frame at 0:01" in page.inner_text(".unplayed")
    until(page, "() => document.querySelector('#viewer img.shot').naturalWidth > 0")
    assert page.locator("#viewer img.shot").is_visible() and not page.locator("#viewer video").is_visible()


def test_the_short_video_of_a_motion_photo_plays_in_its_place(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    moving = video(tmp_path / "clip.mp4", [("blue", 2)], codec="libvpx-vp9").read_bytes()
    (folder / "PXL.jpg").write_bytes(motion_files.motion_photo(moving))
    (folder / "plain.jpg").write_bytes(motion_files.still())
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(folder)
    page = open_page("/", server=start_server(gallery.path))
    wait_for_pictures(page)
    tile = page.locator("a.tile[title='PXL.jpg']")
    assert tile.locator(".length").inner_text().strip() == "with a short video"
    tile.click()
    button = page.get_by_role("button", name="Play its short video")
    button.wait_for()
    assert page.locator("#viewer img.shot").is_visible()
    page.evaluate("() => { document.querySelector('#viewer video').muted = true; }")
    button.click()
    until(page, "() => { const v = document.querySelector('#viewer video'); return !v.hidden && v.currentTime > 0.2 }")
    # At its end the picture is there again.
    until(page, "() => document.querySelector('#viewer video').hidden")
    assert page.locator("#viewer img.shot").is_visible()
    page.keyboard.press("v")
    until(page, "() => !document.querySelector('#viewer video').hidden")
    page.keyboard.press("Escape")
    page.locator("a.tile[title='plain.jpg']").click()
    page.locator("#viewer img.shot").wait_for()
    button.wait_for(state="hidden")
