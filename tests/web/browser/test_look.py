"""Small and large screens, light and dark, keys, and a page that can be used without a mouse or sharp eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.browser.conftest import box_of, names, settled, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
WHITE, DARK = "rgb(255, 255, 255)", "rgb(18, 19, 22)"


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640), (768, 1024), (1280, 800), (3840, 2160)])
def test_every_screen_is_filled_and_none_scrolls_sideways(
    open_page: Callable[..., Page], width: int, height: int
) -> None:
    page = open_page("/?q=a+bird&more=1&less=2", width=width, height=height)
    wait_for_pictures(page)
    assert page.evaluate(TOO_WIDE) == 0
    grid, cell = box_of(page.locator("#grid")), box_of(page.locator(".cell[data-rank='1']"))
    assert grid["width"] > 0.55 * width
    least, most = (60, 240) if width < 600 else (110, 560)
    assert least < cell["height"] < most
    for control in ("#q", "#pick-picture", "#sort"):
        box = box_of(page.locator(control))
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["height"] >= 24


def test_on_a_phone_the_filters_are_a_drawer(open_page: Callable[..., Page]) -> None:
    page = open_page(width=390, height=844, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    assert not page.locator("#filters").is_visible()
    page.tap("#filters-button")
    assert page.locator("#filters").is_visible()
    assert page.get_attribute("#filters-button", "aria-expanded") == "true"
    page.keyboard.press("Escape")
    until(page, "() => getComputedStyle(document.querySelector('#filters')).visibility === 'hidden'")
    assert page.evaluate("() => document.activeElement.id") == "filters-button"


def test_a_finger_that_is_held_down_selects(open_page: Callable[..., Page]) -> None:
    page = open_page(width=390, height=844, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    hold = """rank => {
      const tile = document.querySelector(`.cell[data-rank="${rank}"] a.tile`);
      const { x, y } = tile.getBoundingClientRect();
      const where = { clientX: x + 5, clientY: y + 5, bubbles: true };
      tile.dispatchEvent(new PointerEvent("pointerdown", { pointerType: "touch", ...where }));
    }"""
    page.evaluate(hold, 2)
    until(page, "() => document.querySelector('.cell[data-rank=\"2\"] .pick').checked")
    until(page, "() => document.body.classList.contains('picking')")
    page.tap(".cell[data-rank='3'] a.tile")
    until(page, "() => document.querySelector('.cell[data-rank=\"3\"] .pick').checked")
    assert "open=" not in page.url


def test_twice_as_large_letters_still_fit(open_page: Callable[..., Page]) -> None:
    # What a browser does at 200 %: half as many pixels, each of them doubled.
    page = open_page("/?q=a+bird", width=640, height=400, device_scale_factor=2)
    wait_for_pictures(page)
    assert page.evaluate(TOO_WIDE) == 0
    assert page.locator("#q").is_visible()
    assert page.locator("#sort").is_visible()


@pytest.mark.parametrize("view", ["albums", "duplicates", "index"])
def test_views_fit_with_twice_as_large_letters(open_page: Callable[..., Page], view: str) -> None:
    page = open_page(f"/?view={view}", width=640, height=400, device_scale_factor=2)
    page.wait_for_selector("#main h1:visible")
    settled(page)
    assert page.evaluate(TOO_WIDE) == 0


def test_sharp_screens_get_sharper_thumbnails(open_page: Callable[..., Page]) -> None:
    for scale, expected in ((1, {"240", "480"}), (2, {"480", "1024"})):
        page = open_page(width=1280, device_scale_factor=scale)
        wait_for_pictures(page)
        loaded = page.evaluate("() => [...document.querySelectorAll('.cell img.loaded')].map(img => img.src)")
        assert {parse_qs(urlsplit(address).query)["size"][0] for address in loaded} <= expected


def test_the_theme_is_the_devices_until_it_is_chosen(open_page: Callable[..., Page]) -> None:
    assert open_page(color_scheme="light").evaluate(BACKGROUND) == WHITE
    page = open_page(color_scheme="dark")
    assert page.evaluate(BACKGROUND) == DARK
    page.click("#theme")
    assert page.evaluate(BACKGROUND) == WHITE
    page.reload()
    assert page.evaluate(BACKGROUND) == WHITE
    page.click("#theme")
    page.click("#theme")
    assert "as this device" in str(page.get_attribute("#theme", "aria-label"))
    assert page.evaluate(BACKGROUND) == DARK


def test_a_slash_leads_to_the_words(page: Page) -> None:
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.id") == "q"
    page.keyboard.type("a/b")
    assert page.input_value("#q") == "a/b"
    settled(page)


def test_a_question_mark_lists_the_keys(page: Page) -> None:
    page.keyboard.press("?")
    help_ = page.locator("#help")
    assert help_.is_visible()
    assert {"Search", "Similar pictures", "Details"} <= set(help_.locator("dd").all_inner_texts())
    page.keyboard.press("Escape")
    assert help_.is_hidden()
    page.click("#help-button")
    assert help_.is_visible()
    page.locator("#help").get_by_label("Close").click()
    assert help_.is_hidden()


def test_the_first_tab_skips_to_the_pictures(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the pictures"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "results"
    assert names(page)
