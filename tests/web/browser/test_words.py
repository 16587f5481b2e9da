"""Words in pictures: found by the panel, marked on the picture in the viewer, shown line by line, and copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from retrieval.catalog.texts import PictureText, TextLine, unread, write_texts
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.web.browser.conftest import until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LINES = {
    "invoice.png": ("Invoice 2024", "Total due: 8.35"),
    "sign.png": ("EXIT <b>here</b>",),
    "blank.png": (),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    """Three pictures of 400 x 200 pixels; line n stands between 20 and 50 % of the width, from 10 + 40 n % down."""
    home = tmp_path_factory.mktemp("words")
    (home / "photos").mkdir()
    for n, name in enumerate(LINES):
        Image.new("RGB", (400, 200), (250, 250, 200 + n)).save(home / "photos" / name)
    gallery = Gallery(home / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(home / "photos")
    with gallery.reader() as reader:
        waiting = unread(reader, "m1")
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        write_texts(transaction, [(each.content_hash, text_of(Path(each.path).name)) for each in waiting])
    return start_server(gallery.path)


def text_of(name: str) -> PictureText:
    lines = []
    for n, text in enumerate(LINES[name]):
        top, bottom = 0.1 + 0.4 * n, 0.3 + 0.4 * n
        ends = tuple((at + 1) / len(text) for at in range(len(text)))
        lines.append(TextLine(text, 0.9, (0.2, top, 0.5, top, 0.5, bottom, 0.2, bottom), ends))
    return PictureText("m1", "2024-05-01T10:00:00+00:00", tuple(lines))


def open_first(page: Page) -> None:
    page.click(".cell[data-rank='1'] a.tile")
    until(page, "() => document.querySelector('#viewer').open && document.querySelector('#viewer.sharp')")


def test_the_words_that_were_asked_for_are_marked_on_the_picture(
    open_page: Callable[..., Page], pages: Running
) -> None:
    page = open_page("/?text=invoice", server=pages)
    wait_for_pictures(page)
    assert page.inner_text("#count").startswith("1 picture")
    open_first(page)
    page.wait_for_selector(".places .mark")
    assert page.locator(".places polygon").count() == 1
    shown, mark = page.locator("#viewer img.shot").bounding_box(), page.locator(".places .mark").bounding_box()
    assert shown is not None and mark is not None
    scale = min(shown["width"] / 400, shown["height"] / 200)
    left = shown["x"] + (shown["width"] - 400 * scale) / 2
    top = shown["y"] + (shown["height"] - 200 * scale) / 2
    # "Invoice" is seven of the twelve characters of a line from 80 to 200 pixels.
    assert mark["x"] == pytest.approx(left + 80 * scale, abs=3)
    assert mark["width"] == pytest.approx(70 * scale, abs=8)  # with its frame
    assert mark["y"] == pytest.approx(top + 20 * scale, abs=3)
    before = mark["width"]
    page.keyboard.press("+")
    until(page, f"() => document.querySelector('.places .mark').getBoundingClientRect().width > {before * 1.2}")


def test_the_words_are_shown_where_they_stand_and_copied(open_page: Callable[..., Page], pages: Running) -> None:
    page = open_page("/?sort=name", server=pages)
    wait_for_pictures(page)
    page.click(".cell:has-text('invoice') a.tile") if page.locator(".cell:has-text('invoice')").count() else None
    if not page.evaluate("() => document.querySelector('#viewer').open"):
        page.click(".cell[data-rank='2'] a.tile")
    until(page, "() => document.querySelector('#viewer.sharp')")
    page.keyboard.press("i")
    page.wait_for_selector(".words-in p")
    assert page.locator(".words-in p").all_inner_texts() == list(LINES["invoice.png"])
    assert page.locator(".places polygon").count() == 0
    page.get_by_label("Show where").check()
    assert page.locator(".places .line").count() == 2
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy words").click()
    until(page, "async () => (await navigator.clipboard.readText()) === 'Invoice 2024\\nTotal due: 8.35'")
    page.keyboard.press("ArrowRight")
    until(page, "() => document.querySelectorAll('.words-in p').length === 1")
    assert page.inner_text(".words-in p") == "EXIT <b>here</b>"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    until(page, "() => document.querySelector('#viewer-name').textContent === 'blank.png'")
    until(page, "() => !document.querySelector('.words-in') && !document.querySelector('.places polygon')")


def test_the_panel_asks_for_words(open_page: Callable[..., Page], pages: Running) -> None:
    page = open_page("/", server=pages)
    wait_for_pictures(page)
    page.locator("[data-facet='More'] > summary").click()
    page.get_by_label("Words in the picture").fill("exit")
    page.keyboard.press("Enter")
    until(page, "() => document.getElementById('count').textContent.startsWith('1 picture')")
    assert "text=exit" in page.url
    assert "Reads" in page.inner_text(".chips")
