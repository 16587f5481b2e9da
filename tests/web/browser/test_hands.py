"""What hands do without meaning it, and what people expect of the back button, the wheel and a server that returns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
from tests.web.browser.albums import make_album, make_doubles
from tests.web.browser.conftest import box_of, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

DRAG = """far => {
  const tile = document.querySelector(".cell[data-rank='2'] a.tile");
  const { x, y } = tile.getBoundingClientRect();
  const how = { bubbles: true, cancelable: true, clientY: y + 9, dataTransfer: new DataTransfer() };
  const at = by => ({ ...how, clientX: x + 9 + by });
  tile.dispatchEvent(new DragEvent("dragstart", at(0)));
  for (const name of ["dragenter", "dragover", "drop"]) tile.dispatchEvent(new DragEvent(name, at(far)));
}"""

SCORE = """() => [...document.querySelectorAll(".facts dt")]
  .find(one => one.textContent === "Score")?.nextSibling.textContent"""


def test_a_click_that_slips_opens_the_picture(page: Page) -> None:
    page.evaluate(DRAG, 5)
    assert "open=" in page.url and "like=" not in page.url
    page.wait_for_selector("#viewer[open]")


def test_a_picture_that_is_dragged_is_searched_with(page: Page) -> None:
    page.evaluate(DRAG, 120)
    assert "like=" in page.url and "open=" not in page.url


def test_shift_and_click_select_a_range_and_open_nothing(page: Page) -> None:
    page.check(".cell[data-rank='1'] .pick")
    page.click(".cell[data-rank='4'] a.tile", modifiers=["Shift"])
    until(page, "() => document.querySelectorAll('.cell.picked').length === 4")
    assert len(page.context.pages) == 1
    assert "open=" not in page.url


def test_back_closes_the_drawer_and_stays(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird", width=390, height=844, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    page.tap("#filters-button")
    page.go_back()
    until(page, "() => !document.querySelector('#filters').classList.contains('open')")
    assert "q=a+bird" in page.url
    page.tap("#filters-button")
    page.keyboard.press("Escape")
    until(page, "() => !history.state?.layer")  # nothing is left behind by what was closed otherwise
    assert "q=a+bird" in page.url


def test_back_closes_the_comparison_and_views_keep_their_place(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    page = open_page("/?view=duplicates", server=start_server(make_doubles(tmp_path).path), height=400)
    page.wait_for_selector(".member")
    page.evaluate("() => scrollTo(0, 120)")
    page.locator(".member").nth(1).click()
    page.wait_for_selector("dialog.compare[open]")
    page.go_back()
    until(page, "() => !document.querySelector('dialog.compare').open")
    assert "view=duplicates" in page.url
    top = page.evaluate("() => scrollY")
    # By script: playwright's own click scrolls up to the links first, and that is then where the view was left.
    page.evaluate("() => document.querySelector('#views a[data-view=grid]').click()")
    wait_for_pictures(page)
    page.evaluate("() => document.querySelector('#views a[data-view=duplicates]').click()")
    assert top > 0
    until(page, "top => scrollY === top", argument=top)


def test_a_score_is_that_of_the_present_question(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird")
    wait_for_pictures(page)
    page.click(".cell img.loaded")
    until(page, "() => document.querySelector('#viewer').open")
    page.keyboard.press("i")
    until(page, SCORE)
    before = page.evaluate(SCORE)
    page.keyboard.press("m")
    until(page, f"before => ({SCORE})() !== before", argument=before)


def test_views_recover_when_the_server_returns(
    open_page: Callable[..., Page], start_server: Callable[..., Running], web_gallery: Gallery
) -> None:
    server = start_server(web_gallery.path)
    page = open_page(server=server)
    page.watch.expected += ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE"]  # type: ignore[attr-defined]
    wait_for_pictures(page)
    page.click("#views a[data-view=index]")
    page.wait_for_selector(".stats div")
    page.click("#views a[data-view=grid]")
    server.stop()
    page.click("#views a[data-view=index]")
    page.wait_for_selector(".panel-trouble:not([hidden])")
    page.fill("#q", "a dog")  # which asks again and again, from whatever view
    page.wait_for_selector("#banner:not([hidden])")
    start_server(web_gallery.path, "--port", server.url.rpartition(":")[2])
    until(page, "() => document.querySelector('#banner').hidden")
    until(page, "() => document.querySelector('.panel-trouble').hidden")


def test_toasts_stand_above_the_banner(page: Page) -> None:
    page.evaluate("() => document.querySelector('#banner').append('x')")
    page.evaluate("() => (document.querySelector('#banner').hidden = false)")
    page.evaluate("() => import('/static/toast.js').then(({ toast }) => toast('Hello'))")
    toast, banner = box_of(page.locator(".toast")), box_of(page.locator("#banner"))
    assert toast["y"] + toast["height"] <= banner["y"]


def test_the_wheel_passes_the_map(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    page = open_page(server=start_server(make_album(tmp_path).path), height=500)
    page.wait_for_selector(".map .dot")
    land = "() => document.querySelector('.map .land').getAttribute('transform')"
    page.locator(".map").scroll_into_view_if_needed()
    page.hover(".map")
    before = page.evaluate(land)
    page.mouse.wheel(0, 80)
    until(page, "() => document.querySelector('.map-told').textContent.includes('Ctrl')")
    assert page.evaluate(land) == before
    page.focus(".map")
    page.mouse.wheel(0, 80)
    until(page, f"before => ({land})() !== before", argument=before)


@pytest.mark.parametrize("months", [["2018-11", "2020-01"], ["2012-12", "2013-06", "2014-01"], ["2015-06", "2016-01"]])
def test_years_below_the_bars_do_not_touch(page: Page, months: list[str]) -> None:
    gaps = page.evaluate(
        """async months => {
          const { histogram } = await import("/static/histogram.js");
          const made = histogram(() => {});
          document.querySelector("#filters").append(made.element);
          made.update(months.map(month => ({ month, count: 1 })), null, null);
          const labels = made.element.querySelectorAll(".histogram-axis button");
          const boxes = [...labels].map(one => one.getBoundingClientRect());
          return boxes.slice(1).map((box, at) => box.left - boxes[at].right);
        }""",
        months,
    )
    assert all(gap >= 0 for gap in gaps)
