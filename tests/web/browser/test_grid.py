"""The wall of pictures: its layout as numbers, and in the document with 100,000 of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.browser.conftest import box_of, names, settled, until, wait_for_pictures
from tests.web.browser.many import ALL_DRAWN, MANY, ON_SCREEN, Multiplied

pytest.importorskip("playwright", reason="needs playwright")


if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

FIRST_SEEN = f"""() => {{
  const cell = ({ON_SCREEN})()[0];
  return [Number(cell.dataset.rank), cell.getBoundingClientRect().top];
}}"""

NOTED = "() => Boolean(history.state?.place)"
"""The history knows the place, a moment after the last scrolling."""
AT_REST = """() => new Promise(done => {
  let [last, still] = [scrollY, 0];
  const look = () => {
    still = scrollY === last ? still + 1 : 0;
    last = scrollY;
    if (still < 10) requestAnimationFrame(look); else done();
  };
  look();
})"""
"""Wheels are followed in several frames: until ten of them are alike."""

LAY_OUT = """async ([count, width, target, seed, how]) => {
  const { layOut } = await import("/static/layout.js");
  let state = seed;
  const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  const aspects = Float64Array.from({ length: count }, () => 0.5 + 2.5 * random() ** 2);
  const layout = layOut(aspects, { width, gap: 4, target, cutHeight: 64 }, how);
  return { ...Object.fromEntries(["left", "top", "width", "height"].map(side => [side, [...layout[side]]])),
           total: layout.total, cutTop: layout.cutTop, aspects: [...aspects] };
}"""


def rows_of(layout: dict[str, Any]) -> list[list[int]]:
    rows: dict[int, list[int]] = {}
    for index, top in enumerate(layout["top"]):
        rows.setdefault(top, []).append(index)
    return list(rows.values())


def test_rows_are_straight_on_both_sides(page: Page) -> None:
    for (width, target), fill in product([(1000, 220), (378, 120), (3500, 280), (320, 120)], [True, False]):
        check_rows(page, width, target, fill)


def check_rows(page: Page, width: int, target: int, fill: bool) -> None:
    """Every picture once and in its shape, rows of one height edge to edge, the last one of a list left as it is."""
    layout = page.evaluate(LAY_OUT, [200, width, target, width, {"fill": fill, "cut": None}])
    rows = rows_of(layout)
    assert [index for row in rows for index in row] == list(range(200))
    below = 0
    for row in rows:
        assert layout["top"][row[0]] == below
        below += layout["height"][row[0]] + 4
        assert len({layout["height"][index] for index in row}) == 1
        assert layout["left"][row[0]] == 0
        for one, other in pairwise(row):
            assert layout["left"][one] + layout["width"][one] + 4 == layout["left"][other]
        right = layout["left"][row[-1]] + layout["width"][row[-1]]
        if fill or row is not rows[-1]:
            assert right == width
            assert target / 2 < layout["height"][row[0]] < target * 2
        else:
            assert right <= width
        for index in row:
            shown = layout["width"][index] / layout["height"][index]
            assert shown == pytest.approx(layout["aspects"][index], rel=0.06)
    assert layout["total"] == below


def test_a_last_row_is_not_stretched(page: Page) -> None:
    layout = page.evaluate(LAY_OUT, [2, 1600, 220, 1, {"fill": False, "cut": None}])
    assert layout["height"] == [220, 220]
    assert layout["left"][0] == 0
    assert sum(layout["width"]) < 1600


def test_a_cut_begins_a_row_with_room_for_its_line(page: Page) -> None:
    layout = page.evaluate(LAY_OUT, [200, 1000, 220, 5, {"fill": True, "cut": 37}])
    above, below = layout["top"][36] + layout["height"][36], layout["top"][37]
    assert below - above == 4 + 64
    assert layout["cutTop"] == above + 4
    assert layout["left"][37] == 0


def test_many_rows_take_linear_time_and_no_row_is_lost(page: Page) -> None:
    layout = page.evaluate(LAY_OUT, [MANY, 1000, 220, 9, {"fill": True, "cut": None}])
    assert len(layout["top"]) == MANY
    assert all(one <= other for one, other in pairwise(layout["top"]))
    assert layout["total"] == layout["top"][-1] + layout["height"][-1] + 4


@pytest.fixture
def many(open_page: Callable[..., Page]) -> tuple[Page, Multiplied]:
    """A page that shows 100,000 pictures."""
    page = open_page("/healthz")
    list_ = Multiplied()
    page.route(re.compile(r"/api/v1/search\?(?!day=)"), list_)  # but what was taken on this day
    page.route("**/api/v1/images/*/thumbnail*", Multiplied.thumbnail)
    page.goto(page.url.replace("/healthz", "/"))
    wait_for_pictures(page)
    return page, list_


def test_a_hundred_thousand_are_a_small_document(many: tuple[Page, Multiplied]) -> None:
    page, list_ = many
    assert page.inner_text("#count") == "100,000 pictures"
    assert list_.offsets == [0]
    assert page.evaluate("() => document.documentElement.scrollHeight") > 1_000_000
    most = 0
    for _ in range(25):
        page.evaluate("() => scrollBy({ top: 700, behavior: 'instant' })")
        page.wait_for_timeout(30)
        most = max(most, page.evaluate("() => document.querySelectorAll('.cell').length"))
    assert 10 < most < 150
    until(page, ALL_DRAWN)


def test_the_middle_is_loaded_without_what_lies_before_it(many: tuple[Page, Multiplied]) -> None:
    page, list_ = many
    thumbnails = len([url for url in page.watch.asked if "/thumbnail" in url])  # type: ignore[attr-defined]
    # As a dragged scrollbar does it: past dozens of blocks, and there it rests.
    page.evaluate("""() => new Promise(done => {
      const end = document.documentElement.scrollHeight / 2;
      let step = 0;
      const move = () => {
        scrollTo({ top: end * ++step / 40, behavior: "instant" });
        if (step < 40) requestAnimationFrame(move); else done();
      };
      move();
    })""")
    until(page, ALL_DRAWN)
    rank, _ = page.evaluate(FIRST_SEEN)
    assert 45_000 < rank < 55_000
    # How many places on the way are asked for depends on the frames: each is looked at as long as it is on screen. Not
    # asked for is what lies between them, 250 blocks of 200 pictures.
    assert len(set(list_.offsets)) < rank / 200 / 2
    assert all(offset == 0 or abs(offset - rank) < 600 for offset in list_.offsets[-2:])
    passed = [url for url in page.watch.asked if "/thumbnail" in url][thumbnails:]  # type: ignore[attr-defined]
    assert len(passed) < rank / 10


def test_nothing_jumps_when_what_was_guessed_becomes_known(many: tuple[Page, Multiplied]) -> None:
    page, _ = many
    page.evaluate("() => scrollTo({ top: 800000, behavior: 'instant' })")
    until(page, ALL_DRAWN)
    seen = [page.evaluate(FIRST_SEEN)[0]]
    for _ in range(14):
        before = page.evaluate("() => scrollY")
        page.mouse.move(640, 500)
        page.mouse.wheel(0, -500)
        until(page, "before => scrollY !== before", argument=before)
        page.evaluate(AT_REST)
        until(page, ALL_DRAWN)
        seen.append(page.evaluate(FIRST_SEEN)[0])
    steps = [before - after for before, after in pairwise(seen)]
    assert all(0 < step < 60 for step in steps), seen


def test_a_place_survives_a_reload_and_the_way_back(many: tuple[Page, Multiplied]) -> None:
    page, _ = many
    page.evaluate("() => scrollTo({ top: 500000, behavior: 'instant' })")
    until(page, ALL_DRAWN)
    until(page, NOTED)
    place = page.evaluate(FIRST_SEEN)
    is_there = f"place => String(({FIRST_SEEN})()) === String(place)"
    page.reload()
    until(page, is_there, argument=place)
    page.fill("#q", "bird")
    settled(page)
    until(page, ALL_DRAWN)
    assert page.evaluate("() => scrollY") == 0
    page.go_back()
    until(page, is_there, argument=place)


def test_whoever_goes_back_at_once_keeps_the_place(page: Page) -> None:
    """Scrolled just before, and the answer late: what is noted then is not about the entry gone back to."""
    page.evaluate("() => scrollTo({ top: 300, behavior: 'instant' })")
    until(page, NOTED)
    kept = page.evaluate("() => JSON.stringify(history.state.place)")
    page.fill("#q", "bird")
    settled(page)

    def late(route: Route) -> None:
        time.sleep(0.6)
        route.continue_()

    page.route("**/api/v1/search*", late)
    page.evaluate("() => { scrollTo({ top: 40, behavior: 'instant' }); requestAnimationFrame(() => history.back()); }")
    page.wait_for_timeout(1500)
    until(page, "() => scrollY > 200")
    assert page.evaluate("() => JSON.stringify(history.state.place)") == kept


def test_arrows_lead_through_the_rows_and_one_tab_stop_is_enough(page: Page) -> None:
    page.press("#q", "ArrowDown")
    focused = "() => Number(document.activeElement.closest('.cell')?.dataset.rank ?? 0)"
    until(page, focused)
    assert page.evaluate(focused) == 1
    page.keyboard.press("ArrowRight")
    until(page, "() => document.activeElement.closest('.cell')?.dataset.rank === '2'")
    page.keyboard.press("ArrowDown")
    until(page, "() => Number(document.activeElement.closest('.cell')?.dataset.rank) > 2")
    below = page.evaluate(focused)
    top, upper = (box_of(page.locator(f".cell[data-rank='{rank}']")) for rank in (below, 2))
    assert upper["y"] < top["y"]
    assert top["x"] < upper["x"] + upper["width"] and upper["x"] < top["x"] + top["width"]
    stops = "() => [...document.querySelectorAll('a.tile')].filter(tile => tile.tabIndex === 0).length"
    assert page.evaluate(stops) == 1
    page.keyboard.press("End")
    until(page, "() => document.activeElement.closest('.cell')?.dataset.rank === '120'")
    page.keyboard.press("Home")
    until(page, "() => document.activeElement.closest('.cell')?.dataset.rank === '1'")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.id") == "q"


def test_keys_act_on_the_focused_picture(page: Page) -> None:
    page.press("#q", "ArrowDown")
    until(page, "() => document.activeElement.matches('a.tile')")
    first = names(page, 1)[0]
    page.keyboard.press("m")
    settled(page)
    assert first in page.locator(".chip.more").inner_text()
    page.focus(".cell[data-rank='2'] a.tile")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('#viewer').open")
    assert "open=" in page.url


def test_the_order_in_the_document_is_that_of_ranks(page: Page) -> None:
    for top in (2000, 300, 1500, 0):
        page.evaluate("top => scrollTo({ top, behavior: 'instant' })", top)
        page.wait_for_timeout(120)
        ranks = page.evaluate("() => [...document.querySelectorAll('.cell')].map(cell => Number(cell.dataset.rank))")
        assert ranks == sorted(ranks)
