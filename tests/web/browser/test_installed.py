"""The page on small screens, and for those who ask their browser for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
from tests.web.browser.conftest import box_of, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

WIDTHS = (320, 360, 412, 740, 820)
TOO_SMALL = """() => [...document.querySelectorAll("#top *, #bar *, #chips *")]
  .filter(one => one.matches("a, button, select, label, input:not([type=checkbox], [hidden])"))
  .filter(one => one.checkVisibility({ visibilityProperty: true }))
  .map(one => [one.id || one.textContent.trim(), one.matches(".field input") ? one.parentElement : one])
  .map(([name, one]) => [name, one.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.height < 44 || box.width < 44 || box.left < 0 || box.right > innerWidth))
  .map(([name, box]) => `${name} ${box.width} x ${box.height} at ${box.left}`)"""
OVERLAPS = """() => {
  const boxes = ["home", "search", "menu-button"].map(id => document.getElementById(id).getBoundingClientRect());
  const middle = box => (box.top + box.bottom) / 2;
  return boxes.slice(1).some((box, at) => box.left < boxes[at].right || Math.abs(middle(box) - middle(boxes[at])) > 4);
}"""
SIZES = """() => Object.fromEntries([...document.querySelectorAll(".cell img.loaded")]
  .map(img => new URL(img.src)).map(url => [url.pathname, Number(url.searchParams.get("size"))]))"""
OUTLINED = "() => getComputedStyle(document.querySelector('#views a[aria-current]')).outlineStyle"


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_in_reach_of_a_finger(open_page: Callable[..., Page], width: int) -> None:
    page = open_page("/?q=a+bird&more=1", width=width, height=740, has_touch=True, is_mobile=True)
    page.wait_for_selector(".chip")
    assert page.evaluate(TOO_SMALL) == []
    assert page.evaluate(OVERLAPS) is False
    assert box_of(page.locator("#top"))["height"] <= 64
    page.tap("#menu-button")
    assert page.get_attribute("#menu-button", "aria-expanded") == "true"
    assert page.evaluate(TOO_SMALL) == []
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.id") == "menu-button"
    page.tap("#menu-button")
    page.tap("#views a[data-view=duplicates]")
    page.wait_for_selector("#duplicates:not([hidden])")
    assert page.get_attribute("#menu-button", "aria-expanded") == "false"


def test_a_person_signs_in_once(
    open_page: Callable[..., Page], start_server: Callable[..., Running], own_gallery: Gallery
) -> None:
    server = start_server(own_gallery.path, "--token", "a-token-of-some-length")
    page = open_page(server=server, width=360)
    page.watch.expected.append("401")  # type: ignore[attr-defined]
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    assert "not the token" in page.inner_text("[role=alert]")
    page.get_by_label("Token").fill("a-token-of-some-length")
    page.get_by_role("button", name="Open the pictures").click()
    wait_for_pictures(page)
    assert "token" not in page.url
    assert page.evaluate("() => document.cookie") == ""
    page.goto(server.url + "/?q=a+bird")
    wait_for_pictures(page)


def test_more_contrast_and_the_systems_colours(open_page: Callable[..., Page]) -> None:
    plain = open_page(color_scheme="dark")
    more = open_page(color_scheme="dark", contrast="more")
    colour = "() => getComputedStyle(document.documentElement).getPropertyValue('--line')"
    assert plain.evaluate(colour) != more.evaluate(colour)
    forced = open_page("/?q=a+bird&more=1", forced_colors="active")
    forced.wait_for_selector(".chip")
    assert forced.evaluate("() => getComputedStyle(document.querySelector('.chip')).borderTopStyle") == "solid"
    assert forced.evaluate(OUTLINED) == "solid"


def test_who_saves_data_gets_smaller_pictures(open_page: Callable[..., Page]) -> None:
    page = open_page(device_scale_factor=2)
    wait_for_pictures(page)
    usual = page.evaluate(SIZES)
    page.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
    page.reload()
    wait_for_pictures(page)
    saved = page.evaluate(SIZES)
    seen_twice = usual.keys() & saved.keys()
    assert all(saved[path] <= usual[path] for path in seen_twice)
    assert any(saved[path] < usual[path] for path in seen_twice)
