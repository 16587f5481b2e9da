"""The viewer for photos: filmstrip, slideshow, full screen, moving by keys, camera settings, and what to take away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, TiffImagePlugin

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import box_of, names, settled, until, wait_for_pictures
from tests.web.browser.test_viewer import open_rank, shown, step

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Running

pytestmark = pytest.mark.browser

CAMERA, EXIF = {0x0110: "Alpha 1"}, 0x8769
SETTINGS = {0x829A: (1, 250), 0x829D: (28, 10), 0x8827: 400, 0x920A: (50, 1), 0xA434: "FE 50mm F1.8"}
FACTS = """() => Object.fromEntries([...document.querySelectorAll(".details .facts > div")].map(row => [
  row.querySelector("dt").textContent, row.querySelector("dd").textContent]))"""
PICTURE_IN_CLIPBOARD = """async () => {
  const [item] = await navigator.clipboard.read();
  const image = await createImageBitmap(await item.getType("image/png"));
  return [image.width, image.height];
}"""


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    """A server of one large photo that says how it was taken."""
    place = tmp_path_factory.mktemp("photo")
    (place / "photos").mkdir()
    exif = Image.Exif()
    exif.update(CAMERA)
    exif.get_ifd(EXIF).update(
        {
            tag: TiffImagePlugin.IFDRational(*value) if isinstance(value, tuple) else value
            for tag, value in SETTINGS.items()
        }
    )
    with Image.open(EXAMPLES / "birds" / "flamingo.png") as image:
        large = image.convert("RGB").resize((3000, 2400))
        large.save(place / "photos" / "flamingo.jpg", exif=exif)
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(place / "photos")
    return start_server(gallery.path)


def current(page: Page) -> str:
    return str(page.get_attribute(".filmstrip [aria-current]", "aria-label"))


def test_the_filmstrip_shows_what_is_around_and_leads_there(page: Page) -> None:
    order = names(page, 8)
    open_rank(page, 3)
    until(page, "name => document.querySelector('.filmstrip [aria-current]')?.ariaLabel === name", argument=order[2])
    strip = page.locator(".filmstrip button")
    assert [strip.nth(n).get_attribute("aria-label") for n in range(5)] == order[:5]
    now, strip_box = box_of(page.locator(".filmstrip [aria-current]")), box_of(page.locator(".filmstrip"))
    assert abs(now["x"] + now["width"] / 2 - strip_box["x"] - strip_box["width"] / 2) < 2
    strip.nth(4).click()
    until(page, "name => document.querySelector('#viewer-name').textContent === name", argument=order[4])
    assert current(page) == order[4]
    step(page, "ArrowRight", order[5])
    assert current(page) == order[5]


def test_a_slideshow_turns_pages_and_stops(page: Page) -> None:
    order = names(page, 4)
    open_rank(page, 1)
    page.keyboard.press("p")
    until(page, "() => document.querySelector('#viewer.playing')")
    assert page.get_attribute("#viewer [aria-label^='Slideshow']", "aria-pressed") == "true"
    for name in order[1:3]:
        until(page, "name => document.querySelector('#viewer-name').textContent === name", argument=name)
    page.keyboard.press(" ")
    until(page, "() => !document.querySelector('#viewer.playing') && !document.fullscreenElement")
    name = shown(page)
    page.wait_for_timeout(300)
    assert shown(page) == name in order


def test_the_whole_screen(page: Page) -> None:
    open_rank(page, 1)
    page.keyboard.press("f")
    until(
        page, "() => document.fullscreenElement === document.documentElement && document.querySelector('#viewer.full')"
    )
    page.keyboard.press("f")
    until(page, "() => !document.fullscreenElement && document.querySelector('#viewer').open")


def test_arrows_move_an_enlarged_picture(page: Page) -> None:
    order = names(page, 2)
    open_rank(page, 1)
    edges = (
        "() => { const { left, top } = document.querySelector('.shot').getBoundingClientRect(); return [left, top]; }"
    )
    page.keyboard.press("z")
    left, top = page.evaluate(edges)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    moved = page.evaluate(edges)
    assert moved[0] < left and moved[1] < top
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(edges) == pytest.approx([left, top], abs=1)
    assert shown(page) == order[0]
    step(page, "PageDown", order[1])


def test_everything_that_the_camera_wrote(open_page: Callable[..., Page], photo: Running) -> None:
    page = open_page("/", server=photo)
    wait_for_pictures(page)
    open_rank(page, 1)
    page.keyboard.press("i")
    until(page, f"() => ({FACTS})()['ISO']")
    facts = page.evaluate(FACTS)
    expected = {
        "Camera": "Alpha 1", "Lens": "FE 50mm F1.8", "Aperture": "f/2.8", "Exposure time": "1/250 s", "ISO": "400",
        "Focal length": "50 mm", "Dimensions": "3,000 × 2,400 · 7.2 megapixels",
    }  # fmt: skip
    assert facts | expected == facts
    assert facts["Path"].endswith("/photos/flamingo.jpg")


def test_the_picture_can_be_taken_away_in_three_sizes(
    open_page: Callable[..., Page], photo: Running, tmp_path: Path
) -> None:
    page = open_page("/", server=photo, accept_downloads=True)
    wait_for_pictures(page)
    open_rank(page, 1)
    for item, name, size in (("Original", "flamingo.jpg", (3000, 2400)), ("Large", "flamingo-2048.webp", (2048, 1638)),
                             ("Small", "flamingo-1024.webp", (1024, 819))):  # fmt: skip
        page.click(".takeaway summary")
        link = page.locator(".takeaway a", has_text=item)
        assert link.locator("small").inner_text() == f"{size[0]} × {size[1]}"
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.size == size
    page.click(".takeaway summary")
    page.keyboard.press("Escape")
    assert page.locator(".takeaway .menu").is_hidden() and page.evaluate("() => document.querySelector('#viewer').open")


def test_the_picture_is_copied(open_page: Callable[..., Page], photo: Running) -> None:
    page = open_page("/", server=photo, permissions=["clipboard-read", "clipboard-write"])
    wait_for_pictures(page)
    open_rank(page, 1)
    page.click(".takeaway summary")
    page.get_by_role("button", name="Copy the picture").click()
    page.get_by_text("Picture copied").wait_for()
    assert page.evaluate(PICTURE_IN_CLIPBOARD) == [2048, 1638]


def test_more_and_less_are_marked_in_the_grid(page: Page) -> None:
    page.fill("#q", "animal")
    settled(page)
    first = page.locator(".cell[data-rank='1']")
    first.hover()
    first.locator("[data-act=more]").click()
    settled(page)
    liked = page.locator(".cell[data-lean=more]")
    liked.wait_for()
    assert liked.locator("[data-act=more]").get_attribute("aria-pressed") == "true"
    assert liked.get_attribute("data-id") in page.url
    liked.hover()
    liked.locator("[data-act=more]").click()
    settled(page)
    until(page, "() => !document.querySelector('.cell[data-lean=more]')")
