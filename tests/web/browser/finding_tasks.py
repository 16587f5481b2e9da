"""The first half of the afternoon: looking through the years, asking, refining, and one picture at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.browser.afternoon import BIRDS, SEA, Afternoon, Task
from tests.web.browser.conftest import box_of, settled, until

MONTH = "() => document.querySelector('.scrub-thumb').getAttribute('aria-valuetext')"
YEAR = "2016"
SEEN_MONTHS = """() => [...document.querySelectorAll("#headings .month h2 span")].filter(span => {
  const { top, bottom } = span.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}).map(span => span.textContent)"""
GOOD = "() => /^\\d+ good match/.test(document.querySelector('#count').textContent)"
ENLARGED = "() => document.querySelector('.shot').getBoundingClientRect().width"
MIDDLE = (195.0, 300.0)
"""A place on the picture in the viewer of a phone, above the details."""


def goes_to_a_year(day: Afternoon) -> None:
    page = day.page
    page.wait_for_selector("#scrubber", state="attached")
    until(page, "() => !document.querySelector('#scrubber').hidden")
    if day.keys:
        while YEAR not in page.evaluate(MONTH):
            before = page.evaluate(MONTH)
            day.keys.press("y")
            until(page, f"before => ({MONTH})() !== before", argument=before)
            assert day.keys.steps < 20
    elif day.finger:
        drag_to_year(day)
    until(page, f"year => ({SEEN_MONTHS})().some(month => month.includes(year))", argument=YEAR)
    assert page.evaluate("() => scrollY") > 300


def drag_to_year(day: Afternoon) -> None:
    """The handle is there while pictures are scrolled, and a little longer: who is too late swipes once more."""
    finger, page = day.finger, day.page
    assert finger
    while True:
        finger.swipe((150, 600), (150, 350))
        until(page, "() => scrollY > 0")
        thumb, track = box_of(page.locator(".scrub-thumb")), box_of(page.locator("#scrubber"))
        x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2
        finger.touch("touchStart", (x, y))
        if page.evaluate("() => document.querySelector('#scrubber').classList.contains('dragged')"):
            break
        finger.touch("touchCancel")
    while YEAR not in page.evaluate(MONTH) and y < track["y"] + track["height"]:
        y += 6
        finger.touch("touchMove", (x, y))
    finger.touch("touchEnd")
    finger.steps += 1


def sorts_by_date(day: Afternoon) -> None:
    if day.keys:
        day.keys.reach("#sort", back=True)
        day.keys.press("ArrowDown")
    elif day.finger:
        day.finger.choose("#sort", "date-")
    day.url_has("reverse=true")
    assert day.lists()[0]["taken_at"].startswith("2013-01-05")
    until(day.page, f"() => ({SEEN_MONTHS})()[0] === 'January 2013'")


def finds_by_words(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("/")
        day.keys.write("a bird")
        day.keys.press("Enter")
    elif day.finger:
        day.finger.write("#q", "a bird")
        day.finger.enter()
    day.url_has("q=a+bird")
    assert "birds" in day.lists()[0]["path"]
    assert day.page.input_value("#sort") == "", "other words come in the order of relevance"


def unfolds_weaker_matches(day: Afternoon) -> None:
    until(day.page, GOOD)
    page = day.page
    page.wait_for_selector("#fold:not([hidden])", state="attached")
    before = day.api("search?q=a+bird&weaker=fold&k=1")["total"]
    if day.keys:
        day.keys.press("ArrowDown")
        day.keys.lands_on("a.tile")
        day.keys.use("#fold button")
        day.keys.lands_on(f".cell[data-rank='{before + 1}'] a.tile")
    elif day.finger:
        day.finger.tap("#fold button")
    day.url_has("weaker=true")
    settled(page)
    until(page, "() => document.querySelector('#fold').hidden")
    assert int(str(page.get_attribute(".cell[data-rank]", "aria-setsize"))) > before


def refines_by_a_filter(day: Afternoon) -> None:
    row = f".facet-value[title='{BIRDS}']"
    if day.keys:
        day.keys.use(f"{row} input", key="Space", back=True)
    elif day.finger:
        day.finger.tap("#filters-button", row, ".filters-done")
    day.page.wait_for_selector(f".chip:has-text('{BIRDS}')")
    day.url_has(f"tag={BIRDS}")
    assert all("birds" in hit["path"] for hit in day.lists(total=14))


def chooses_a_suggestion(day: Afternoon) -> None:
    page, option = day.page, f"#suggestions [role=option]:has-text('{SEA}')"
    if day.keys:
        day.keys.go_to_box()
        day.keys.write(" by-the")
        page.wait_for_selector(option)
        day.keys.press("ArrowDown", "Enter")
    elif day.finger:
        day.finger.write("#q", " by-the")
        day.finger.tap(option)
    page.wait_for_selector(f".chip:has-text('{SEA}')")
    assert page.input_value("#q") == "a bird"
    day.url_has(f"tag={SEA}")
    day.lists()


def clears_all(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("ArrowDown")
        day.keys.lands_on("a.tile")
        day.keys.use(".chip-clear", back=True)
        day.keys.lands_on("#q")
    elif day.finger:
        day.finger.tap(".chip-clear")
    until(day.page, "() => !document.querySelector('.chip')")
    until(day.page, "() => location.search === '?q=a+bird'")
    day.lists()


def opens_a_picture(day: Afternoon) -> None:
    second = day.lists()[1]
    if day.keys:
        day.keys.press("ArrowDown")
        day.keys.lands_on(".cell[data-rank='1'] a.tile")
        day.keys.press("ArrowRight")
        day.keys.lands_on(".cell[data-rank='2'] a.tile")
        day.keys.press("Enter")
    elif day.finger:
        day.finger.tap(".cell[data-rank='2'] a.tile")
    day.shows(second["name"])
    day.url_has(f"open={second['id']}")


def goes_on_and_back(day: Afternoon) -> None:
    order = day.api("search?q=a+bird&weaker=fold&k=4")["hits"]
    for name, by in ((order[2]["name"], 1), (order[3]["name"], 1), (order[2]["name"], -1)):
        if day.keys:
            day.keys.press("ArrowRight" if by > 0 else "ArrowLeft")
        elif day.finger:
            day.finger.swipe((195 + 90 * by, 400), (195 - 90 * by, 405))
        day.shows(name)
    day.opened = str(order[2]["id"])


def zooms_and_back(day: Afternoon) -> None:
    whole = day.page.evaluate(ENLARGED)
    if day.keys:
        day.keys.press("+")
    elif day.finger:
        day.finger.pinch(MIDDLE, 80, 240)
    until(day.page, f"whole => ({ENLARGED})() > 1.2 * whole", argument=whole)
    if day.keys:
        day.keys.press("z")
    elif day.finger:
        day.finger.pinch(MIDDLE, 300, 60)
    until(day.page, f"whole => Math.abs(({ENLARGED})() - whole) < 2", argument=whole)


def reads_the_details(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("i")
    elif day.finger:
        day.finger.tap("#viewer [aria-label^='Details']")
    picture = day.api(f"images/{day.opened}")
    text = f"{picture['width']} × {picture['height']}"
    until(day.page, "text => document.querySelector('.facts').innerText.includes(text)", argument=text)
    assert picture["camera"] in day.page.inner_text(".facts")
    day.page.wait_for_selector(".edit-caption")


def downloads_the_original(day: Afternoon) -> None:
    summary, item = "#viewer .takeaway summary", "#viewer .takeaway a.menu-item"
    if day.keys:
        with day.page.expect_download() as download:
            day.keys.press("d")
    elif day.finger:
        day.finger.tap(summary)
        with day.page.expect_download() as download:
            day.finger.tap(item)
    else:
        pytest.fail("neither keys nor a finger")
    picture = day.api(f"images/{day.opened}")
    assert Path(download.value.path()).read_bytes() == Path(picture["path"]).read_bytes()
    assert download.value.suggested_filename == picture["name"]


def leaves_the_viewer(day: Afternoon) -> None:
    if day.keys:
        day.keys.press("Escape")
    elif day.finger:
        day.finger.tap("#viewer [aria-label^='Close']")
    day.viewer_is_closed()
    until(day.page, "() => location.search === '?q=a+bird'")
    tile = f".cell[data-id='{day.opened}'] a.tile"
    until(day.page, "selector => document.activeElement.matches(selector)", argument=tile)
    box = box_of(day.page.locator(tile))
    assert box["y"] > 0 and box["y"] + box["height"] <= day.page.evaluate("() => innerHeight")


FINDING: list[tuple[str, Task]] = [
    ("Go to a year on the timeline", goes_to_a_year),
    ("Oldest pictures first", sorts_by_date),
    ("Find by words", finds_by_words),
    ("Show weaker matches, too", unfolds_weaker_matches),
    ("Refine by a tag in the filters", refines_by_a_filter),
    ("Refine by a suggestion", chooses_a_suggestion),
    ("Clear all conditions", clears_all),
    ("Open a picture", opens_a_picture),
    ("Two pictures on, one back", goes_on_and_back),
    ("Zoom, and back to the whole picture", zooms_and_back),
    ("Read the details", reads_the_details),
]
LEAVING: list[tuple[str, Task]] = [
    ("Download the original", downloads_the_original),
    ("Leave the viewer, and be where one was", leaves_the_viewer),
]
