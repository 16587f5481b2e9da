"""One picture over the whole screen, by mouse, keys and touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.web.browser.conftest import PATIENCE_S, names, settled, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SWIPE = """([fromX, fromY, toX, toY]) => {
  const stage = document.querySelector("#viewer .stage");
  const at = (type, x, y) => stage.dispatchEvent(new PointerEvent(type, {
    pointerId: 7, pointerType: "touch", isPrimary: true, clientX: x, clientY: y, button: 0, bubbles: true }));
  stage.setPointerCapture = () => {};
  at("pointerdown", fromX, fromY);
  at("pointermove", toX, toY);
  at("pointerup", toX, toY);
}"""


def shown(page: Page) -> str:
    """The name of the picture in the viewer, once it is there."""
    until(page, "() => document.querySelector('#viewer').open && document.querySelector('#viewer.sharp')")
    return page.inner_text("#viewer-name")


def is_open(page: Page) -> bool:
    return bool(page.evaluate("() => document.querySelector('#viewer').open"))


def open_rank(page: Page, rank: int) -> None:
    page.click(f".cell[data-rank='{rank}'] a.tile")
    shown(page)


def step(page: Page, key: str, name: str) -> None:
    page.keyboard.press(key)
    until(page, "name => document.querySelector('#viewer-name').textContent === name", argument=name)


def test_a_click_opens_and_arrows_lead_on(page: Page) -> None:
    order = names(page, 5)
    open_rank(page, 2)
    assert shown(page) == order[1]
    assert page.inner_text(".viewer-place") == "2 of 120"
    step(page, "ArrowRight", order[2])
    step(page, "ArrowLeft", order[1])
    step(page, "ArrowLeft", order[0])
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(100)
    assert shown(page) == order[0]
    assert page.locator("#viewer .before").is_disabled()


def test_escape_closes_and_the_focus_returns_to_the_last_picture(page: Page) -> None:
    order = names(page, 5)
    open_rank(page, 2)
    step(page, "ArrowRight", order[2])
    page.keyboard.press("Escape")
    until(page, "() => !document.querySelector('#viewer').open")
    assert "open=" not in page.url
    until(page, "() => document.activeElement.matches('.cell[data-rank=\"3\"] a.tile')")


def test_back_closes_and_forward_opens_again(page: Page) -> None:
    second = names(page, 2)[1]
    open_rank(page, 2)
    page.go_back()
    until(page, "() => !document.querySelector('#viewer').open")
    page.go_forward()
    assert shown(page) == second
    # Closed by its button, what was opened by going forward leaves no entry that would open it once more.
    page.keyboard.press("Escape")
    until(page, "() => !document.querySelector('#viewer').open")
    assert "open=" not in page.url


def test_an_address_opens_the_picture(open_page: Callable[..., Page], page: Page) -> None:
    open_rank(page, 4)
    address, name = page.url, shown(page)
    other = open_page(address.removeprefix(page.watch.origin))  # type: ignore[attr-defined]
    assert shown(other) == name
    until(other, "() => document.querySelector('.viewer-place').textContent === '4 of 120'")
    other.keyboard.press("Escape")
    until(other, "() => !document.querySelector('#viewer').open")
    assert "open=" not in other.url


def test_a_picture_that_is_not_there_is_told_and_left(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.watch.expected.append("404")  # type: ignore[attr-defined]
    page.goto(page.url + "?open=999999")
    page.wait_for_selector(".toast.error")
    wait_for_pictures(page)
    assert not is_open(page)
    assert "open=" not in page.url


def test_details_say_what_is_known(page: Page) -> None:
    name = names(page, 1)[0]
    open_rank(page, 1)
    page.keyboard.press("i")
    details = page.locator("#viewer .details")
    until(page, "() => document.querySelector('.details').textContent.includes('Folder')")
    text = details.inner_text()
    hit = page.request.get(page.watch.origin + "/api/v1/search?k=1").json()["hits"][0]  # type: ignore[attr-defined]
    assert name in text
    assert f"{hit['width']} × {hit['height']}" in text
    assert hit["format"] in text
    assert str(details.get_by_text("Open the original").get_attribute("href")) == f"/api/v1/images/{hit['id']}/file"
    step(page, "ArrowRight", names(page, 2)[1])
    until(page, "name => document.querySelector('.details').textContent.includes(name)", argument=names(page, 2)[1])
    page.keyboard.press("i")
    assert details.is_hidden()


def test_the_folder_of_a_picture_leads_to_its_pictures(page: Page) -> None:
    open_rank(page, 1)
    page.keyboard.press("i")
    folder = page.locator("#viewer .details .facts button").first
    path = folder.inner_text()
    folder.click()
    settled(page)
    assert not is_open(page)
    assert page.locator(".chip.filter").inner_text().split() == ["In", path.rsplit("/", 1)[1]]


def test_zoom_by_keys_and_wheel(page: Page) -> None:
    open_rank(page, 1)
    size = "() => document.querySelector('.shot').getBoundingClientRect().width"
    whole = page.evaluate(size)
    page.keyboard.press("+")
    assert page.evaluate(size) > 1.2 * whole
    assert page.inner_text(".viewer-zoom").endswith("%")
    page.keyboard.press("z")
    assert page.evaluate(size) == pytest.approx(whole)
    page.hover(".stage")
    page.mouse.wheel(0, -300)
    until(page, "least => document.querySelector('.shot').getBoundingClientRect().width > least", argument=1.5 * whole)
    left = "() => document.querySelector('.shot').getBoundingClientRect().left"
    before = page.evaluate(left)
    page.mouse.down()
    page.mouse.move(700, 400, steps=3)
    page.mouse.up()
    assert page.evaluate(left) != before
    page.keyboard.press("-")
    page.keyboard.press("z")
    assert page.evaluate(size) == pytest.approx(whole)


def test_similar_more_and_less_from_the_viewer(page: Page) -> None:
    page.fill("#q", "animal")
    settled(page)
    order = names(page, 3)
    open_rank(page, 3)
    page.keyboard.press("m")
    settled(page)
    assert is_open(page)
    assert page.get_attribute("#viewer [aria-label^='More like']", "aria-pressed") == "true"
    page.keyboard.press("m")
    settled(page)
    assert page.get_attribute("#viewer [aria-label^='More like']", "aria-pressed") == "false"
    page.keyboard.press("s")
    settled(page)
    assert not is_open(page)
    assert order[2] in page.locator(".chip.like").inner_text()


def test_the_keyboard_stays_in_the_viewer(page: Page) -> None:
    open_rank(page, 1)
    for _ in range(14):
        page.keyboard.press("Tab")
        outside = "() => document.activeElement !== document.body && !document.activeElement.closest('#viewer')"
        assert not page.evaluate(outside)


def test_swipes(open_page: Callable[..., Page]) -> None:
    page = open_page(width=390, height=844, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    order = names(page, 3)
    page.tap(".cell[data-rank='2'] a.tile")
    assert shown(page) == order[1]
    page.evaluate(SWIPE, [300, 400, 120, 410])
    until(page, "name => document.querySelector('#viewer-name').textContent === name", argument=order[2])
    page.evaluate(SWIPE, [100, 400, 290, 390])
    until(page, "name => document.querySelector('#viewer-name').textContent === name", argument=order[1])
    page.evaluate(SWIPE, [200, 200, 210, 480])
    until(page, "() => !document.querySelector('#viewer').open")


def test_the_next_picture_is_there_before_it_is_asked_for(page: Page) -> None:
    open_rank(page, 1)
    following = page.get_attribute(".cell[data-rank='2']", "data-id")
    until(page, "() => performance.getEntriesByType('resource').length > 0")
    end = f"/images/{following}/thumbnail?size=1024"
    for _ in range(round(PATIENCE_S / 0.05)):
        if any(end in url for url in page.watch.asked):  # type: ignore[attr-defined]
            return
        page.wait_for_timeout(50)
    pytest.fail("the neighbour was not loaded")
