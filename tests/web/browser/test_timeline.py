"""Without a question the pictures are a timeline: headings of months and days, a scrubber, memories, sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.browser.albums import make_album
from tests.web.browser.conftest import box_of, count_line, settled, until, wait_for_pictures
from tests.web.browser.many import ALL_DRAWN, MANY, Multiplied

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Running

pytestmark = pytest.mark.browser

SCREENS = [(1280, 800), (820, 1180), (390, 844)]
HEADINGS = """() => [...document.querySelectorAll("#headings .month")].map(span => [
  span.querySelector("h2 span").textContent, Number(span.querySelector("small").textContent.replaceAll(",", ""))])"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
VALUE = "() => document.querySelector('.scrub-thumb').getAttribute('aria-valuetext')"
STUCK = """() => [...document.querySelectorAll("#headings .month > .heading")].filter(heading => {
  const { top } = heading.getBoundingClientRect();
  return Math.abs(top - document.querySelector("#top").getBoundingClientRect().bottom) < 2;
}).map(heading => heading.firstChild.textContent)"""
LAY_OUT = """async ([days, width, target, cut]) => {
  const { unitsOfDays, layOutDays, monthsOf } = await import("/static/days.js");
  const units = unitsOfDays(days, cut);
  const measure = { width, gap: 4, target, cutHeight: 64 };
  return { months: monthsOf(units), units: units.map(unit => {
    const aspects = Float32Array.from({ length: unit.count }, (_, i) => 0.5 + ((unit.first + i) * 7919 % 100) / 50);
    const layout = layOutDays(aspects, measure, unit);
    const sides = ["left", "top", "width", "height"].map(side => [side, [...layout[side]]]);
    return { ...unit, ...Object.fromEntries(sides), total: layout.total, heads: layout.heads };
  }) };
}"""


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    return start_server(make_album(tmp_path_factory.mktemp("timeline")).path)


def timeline(open_page: Callable[..., Page], album: Running, path: str = "/", **how: Any) -> Page:
    page = open_page(path, server=album, **how)
    wait_for_pictures(page)
    return page


@pytest.mark.parametrize("target", [120, 220])
def test_days_are_laid_out_under_their_headings(page: Page, target: int) -> None:
    days = [["2024-03-05", 1], ["2024-03-04", 2], ["2024-03-02", 700], ["2024-02", 3], ["2023", 1], [None, 30]]
    for width in (360, 1000, 3000):
        found = page.evaluate(LAY_OUT, [days, width, target, None])
        assert [(month["month"], month["count"]) for month in found["months"]] == [
            ("2024-03", 703), ("2024-02", 3), ("2023", 1), ("", 30)]  # fmt: skip
        units = found["units"]
        assert [unit["first"] for unit in units[1:]] == [unit["first"] + unit["count"] for unit in units[:-1]]
        assert sum(unit["count"] for unit in units) == 737
        for unit in units:
            for index in range(unit["count"]):
                assert unit["left"][index] >= 0 and unit["left"][index] + unit["width"][index] <= width + 1
                assert unit["top"][index] + unit["height"][index] <= unit["total"]
                assert unit["height"][index] < 2 * target
            assert all(above <= below for above, below in pairwise(unit["top"]))
            for head in unit["heads"]:
                first = sum(part["count"] for part in unit["parts"][: head["part"]])
                assert unit["top"][first] == head["top"] + 36 and unit["left"][first] == round(head["left"])
            for one, other in pairwise(unit["heads"]):
                assert one["top"] < other["top"] or one["left"] + one["width"] < other["left"]


def test_a_short_day_is_not_blown_up(page: Page) -> None:
    found = page.evaluate(LAY_OUT, [[["2024-03-05", 1], ["2024-02-01", 2]], 1600, 220, None])
    assert [unit["height"] for unit in found["units"]] == [[220], [220, 220]]


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_home_is_a_timeline(open_page: Callable[..., Page], album: Running, width: int, height: int) -> None:
    page = timeline(open_page, album, width=width, height=height, has_touch=width < 900)
    assert count_line(page) == "28 pictures"
    seen: dict[str, int] = {}
    for _ in range(60):
        seen |= dict(page.evaluate(HEADINGS))
        if page.evaluate("() => scrollY + innerHeight >= document.documentElement.scrollHeight - 1"):
            break
        page.evaluate("() => scrollBy({ top: 300, behavior: 'instant' })")
        page.wait_for_timeout(50)
    assert sum(seen.values()) == 28 and seen["Without a date"] == 4
    assert seen["January 2015"] == 1
    assert page.evaluate(TOO_WIDE) == 0
    assert page.evaluate("() => Math.max(...[...document.querySelectorAll('.cell')].map(c => c.offsetHeight))") < 330


def test_no_headings_where_dates_do_not_lead(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album, "/?sort=name")
    assert page.evaluate(HEADINGS) == []
    page.select_option("#sort", "date-")
    settled(page)
    until(page, f"() => ({HEADINGS})()[0]?.[0] === 'January 2015'")


def test_one_picture_keeps_the_height_of_rows(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album, "/?after=2015-01-01&before=2015-02-01", width=1600)
    assert count_line(page).startswith("1 picture ")
    assert box_of(page.locator(".cell[data-rank='1']"))["height"] == 220


def test_the_month_stays_in_sight(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album, height=500)
    seen = []
    for _ in range(12):
        page.evaluate("() => scrollBy({ top: 200, behavior: 'instant' })")
        page.wait_for_timeout(60)
        seen += page.evaluate(STUCK)
    assert len(set(seen)) > 1


def test_keys_lead_through_the_months(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album, height=500)
    first = page.evaluate(VALUE)
    page.focus(".scrub-thumb")
    page.keyboard.press("ArrowDown")
    until(page, f"first => ({VALUE})() !== first", argument=first)
    page.keyboard.press("End")
    until(page, f"() => ({VALUE})() === 'Without a date'")
    page.keyboard.press("Home")
    until(page, f"first => ({VALUE})() === first", argument=first)


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_scrubber_is_dragged(open_page: Callable[..., Page], album: Running, width: int, height: int) -> None:
    page = timeline(open_page, album, width=width, height=min(height, 600))
    page.focus(".scrub-thumb")  # beside a finger's wall it is there during scrolling, and when it has the focus
    track = box_of(page.locator("#scrubber"))
    x = track["x"] + track["width"] - 8
    page.mouse.move(x, box_of(page.locator(".scrub-thumb"))["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, track["y"] + track["height"] / 2, steps=4)
    label = page.locator(".scrub-label")
    until(page, "() => getComputedStyle(document.querySelector('.scrub-label')).opacity === '1'")
    assert label.inner_text() == page.evaluate(VALUE)
    middle = page.evaluate("() => scrollY")
    page.mouse.move(x, track["y"] + track["height"] + 30, steps=4)
    until(page, f"() => ({VALUE})() === 'Without a date'")
    page.mouse.up()
    end = page.evaluate("() => document.documentElement.scrollHeight - innerHeight")
    assert 0.3 * end < middle < 0.7 * end
    assert page.evaluate("() => scrollY") > 0.9 * end


def test_memories_of_this_day(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album)
    assert page.locator("#memories").is_hidden() or page.evaluate("() => new Date().getDate()") == 5
    page.clock.set_fixed_time("2021-01-05T12:00:00")
    page.reload()
    wait_for_pictures(page)
    page.locator("#memories").wait_for()
    cards = page.locator("#memories li")
    assert cards.locator("b").all_inner_texts() == ["3 years ago", "6 years ago"]
    cards.nth(1).locator("a").click()
    settled(page)
    until(page, "() => document.querySelector('#count').textContent.startsWith('1 picture ')")
    assert "after=2015-01-05" in page.url and "before=2015-01-06" in page.url
    assert page.locator("#memories").is_hidden()
    page.go_back()
    page.locator("#memories").wait_for()


def test_a_gallery_without_dates_has_no_timeline(page: Page) -> None:
    page.clock.set_fixed_time("2021-01-05T12:00:00")
    page.reload()
    wait_for_pictures(page)
    assert page.locator("#memories").is_hidden()
    assert page.locator("#scrubber").is_hidden()


def test_the_size_of_pictures_is_kept(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album)
    height = "() => document.querySelector('.cell').offsetHeight"
    usual = page.evaluate(height)
    page.focus("#size")
    page.keyboard.press("ArrowRight")
    until(page, f"usual => ({height})() > 1.2 * usual", argument=usual)
    larger = page.evaluate(height)
    page.reload()
    wait_for_pictures(page)
    assert page.evaluate(height) == larger
    page.focus("#size")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    until(page, f"usual => ({height})() < 0.8 * usual", argument=usual)


def test_undated_and_unplaced(open_page: Callable[..., Page], album: Running) -> None:
    page = timeline(open_page, album)
    page.click("text=4 pictures without a date")
    settled(page)
    assert page.url.endswith("/?undated=true")
    assert count_line(page) == "4 pictures"
    assert page.evaluate(HEADINGS) == [["Without a date", 4]]
    page = timeline(open_page, album, "/?unplaced=true")
    assert count_line(page) == "20 pictures"


def test_a_hundred_thousand_by_days(open_page: Callable[..., Page], album: Running) -> None:
    """On 5,000 days: the layout needs no more than their numbers."""
    list_ = Multiplied([(f"{2024 - n // 336}-{12 - n // 28 % 12:02}-{28 - n % 28:02}", 20) for n in range(5000)])
    page = open_page("/healthz", server=album)
    page.route(re.compile(r"/api/v1/search\?(?!day=)"), list_)
    page.route("**/api/v1/images/*/thumbnail*", Multiplied.thumbnail)
    page.goto(page.url.replace("/healthz", "/"))
    wait_for_pictures(page)
    assert count_line(page) == f"{MANY:,} pictures"
    assert page.evaluate(HEADINGS)[0] == ["December 2024", 560]
    track = box_of(page.locator("#scrubber"))
    page.mouse.click(track["x"] + track["width"] - 8, track["y"] + track["height"] / 2)
    until(page, ALL_DRAWN)
    assert "2017" in page.evaluate(VALUE), "half of 15 years"
    assert page.evaluate("() => document.querySelectorAll('.cell').length") < 200
    assert page.evaluate("() => document.querySelectorAll('#headings > *').length") < 60
    assert 40_000 < list_.offsets[-1] < 60_000
    assert len(list_.offsets) < 12, "nothing between them was asked for"
