"""The panel of filters: what it offers and counts, what choosing does to the pictures and to the address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from retrieval.places.locating import can_name_places
from tests.web.browser.albums import CAMERAS, make_album
from tests.web.browser.conftest import box_of, count_line, settled, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    return start_server(make_album(tmp_path_factory.mktemp("album")).path)


@pytest.fixture
def panel(open_page: Callable[..., Page], album: Running) -> Page:
    page = open_page(server=album)
    wait_for_pictures(page)
    page.wait_for_selector("[data-facet=Camera] li")
    return page


def facet(page: Page, title: str) -> Locator:
    return page.locator(f"[data-facet='{title}']")


def value(page: Page, title: str, text: str) -> Locator:
    return facet(page, title).locator("li", has_text=text)


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def counts_to(page: Page, count: int) -> None:
    """Wait until there are so many pictures, in the list and in the panel."""
    text = "1 picture" if count == 1 else f"{count} pictures"
    until(page, "text => document.getElementById('count').textContent.startsWith(text)", argument=text)
    until(page, "text => document.querySelector('.filters-done').textContent === text", argument=f"Show {text}")


def latest_is(page: Page, month: str) -> None:
    """Wait until the later handle of the dates stands there: bars are drawn anew whenever counts arrive."""
    until(
        page,
        "month => document.querySelector('.handle[data-side=\"1\"]').getAttribute('aria-valuetext') === month",
        argument=month,
    )


def test_a_camera_is_chosen_and_a_second_one_beside_it(panel: Page) -> None:
    cameras = facet(panel, "Camera")
    assert cameras.locator("li").all_inner_texts() == ["Camera\n26", "Alpha 1\n2"], "makes with several are closed"
    value(panel, "Camera", "Alpha 1").get_by_role("checkbox").check()
    counts_to(panel, 2)
    assert asked(panel) == {"camera": ["Alpha 1"]}
    # The others are still offered, as they would be beside it.
    cameras.get_by_role("button", name="Cameras by Camera").click()
    assert panel.evaluate("document.activeElement.className") == "tree-turn"
    cameras.get_by_role("checkbox", name="A 2", exact=True).check()
    counts_to(panel, 4)
    assert asked(panel) == {"camera": ["Alpha 1", "Camera A"]}
    assert panel.locator(".filters-count").inner_text() == "2"
    cameras.get_by_role("button", name="Clear").click()
    counts_to(panel, 28)
    assert asked(panel) == {}
    cameras.get_by_role("checkbox", name="Camera 26").check()
    counts_to(panel, 26)
    assert asked(panel) == {"camera": ["Camera"]}


def test_long_lists_open_and_can_be_searched(panel: Page) -> None:
    cameras = facet(panel, "Camera")
    cameras.get_by_role("button", name="Cameras by Camera").click()
    models = cameras.locator("li li input")
    assert models.count() == 8
    cameras.get_by_role("button", name=f"Show {len(CAMERAS) - 9} more").click()
    assert models.count() == len(CAMERAS) - 1
    assert panel.evaluate("document.activeElement.closest('li') !== null"), "the keyboard goes on where the list grew"
    cameras.get_by_role("searchbox").fill("camera f")
    until(panel, "() => document.querySelectorAll('[data-facet=Camera] li').length === 1")
    assert cameras.locator("li").all_inner_texts() == ["F Camera\n2"]
    cameras.get_by_role("searchbox").fill("zeppelin")
    cameras.get_by_text("Nothing of that name").wait_for()


def test_times_are_typed(panel: Page) -> None:
    panel.watch.expected.append("400")  # type: ignore[attr-defined]
    times = facet(panel, "Date").get_by_role("textbox")
    for text, conditions, count in (
        ("2016", {"after": ["2016-01"], "before": ["2017-01"]}, 4),
        ("2017 - 2018", {"after": ["2017-01"], "before": ["2019-01"]}, 8),
        ("since 2020", {"after": ["2020-01"]}, 4),
    ):
        times.fill(text)
        times.press("Enter")
        counts_to(panel, count)
        assert asked(panel) == conditions
    times.fill("whenever")
    times.press("Enter")
    facet(panel, "Date").get_by_role("alert").wait_for()
    assert "no time that is understood" in facet(panel, "Date").get_by_role("alert").inner_text()
    assert asked(panel) == {"after": ["2020-01"]}


def test_the_date_slider_obeys_keys(panel: Page) -> None:
    earliest, latest = (panel.get_by_role("slider", name=name) for name in ("Earliest month", "Latest month"))
    assert (earliest.get_attribute("aria-valuetext"), latest.get_attribute("aria-valuetext")) == (
        "Jan 2015",
        "Dec 2020",
    )
    earliest.focus()
    panel.keyboard.press("PageUp")
    panel.keyboard.press("PageUp")
    for _ in range(8):
        panel.keyboard.press("ArrowLeft")
    assert earliest.get_attribute("aria-valuetext") == "May 2016"
    counts_to(panel, 20)
    assert asked(panel) == {"after": ["2016-05"]}
    latest.focus()
    panel.keyboard.press("Home")  # no further than the other handle
    latest_is(panel, "May 2016")
    counts_to(panel, 1)
    assert asked(panel) == {"after": ["2016-05"], "before": ["2016-06"]}
    panel.go_back()
    counts_to(panel, 20)
    latest_is(panel, "Dec 2020")


LATE_COUNTS = """async () => {
  const { histogram } = await import("/static/histogram.js");
  const sent = [];
  const slider = histogram((range) => sent.push(range));
  const months = ["2015-01", "2018-06", "2020-12"].map((month) => ({ month, count: 1 }));
  const earliest = slider.element.querySelector("[data-side='0']");
  const press = (key) => earliest.dispatchEvent(new KeyboardEvent("keydown", { key }));
  const told = () => earliest.getAttribute("aria-valuetext");
  slider.update(months, null, null);
  press("PageUp");
  slider.update(months.slice(0, 2), null, null); // the answer to an earlier question
  const held = told();
  slider.update(months, "2017-03", null); // "back", or a filter set elsewhere
  const followed = told();
  await new Promise((resolve) => setTimeout(resolve, 400));
  press("PageUp");
  while (!sent.length) await new Promise((resolve) => setTimeout(resolve, 20));
  return [held, followed, sent];
}"""


def test_counts_that_arrive_late_do_not_move_a_handle_back(panel: Page) -> None:
    held, followed, sent = panel.evaluate(LATE_COUNTS)
    assert (held, followed) == ("Jan 2016", "Mar 2017")
    assert sent == [{"after": "2018-03", "before": None}], "what was overtaken by a later wish is not sent"


def test_a_range_is_brushed_over_the_bars(panel: Page) -> None:
    track = box_of(panel.locator(".histogram-track"))
    months = 72
    middle = track["y"] + 20

    def over(month: int) -> float:
        return track["x"] + (month + 0.5) / months * track["width"]

    panel.mouse.move(over(24), middle)
    panel.mouse.down()
    panel.mouse.move(over(30), middle, steps=4)
    panel.mouse.move(over(47), middle, steps=4)
    panel.mouse.up()
    counts_to(panel, 8)
    assert asked(panel) == {"after": ["2017-01"], "before": ["2019-01"]}
    assert "2017 – 2018" in panel.locator(".histogram-told").inner_text()
    panel.get_by_role("button", name="Only 2016").click()
    counts_to(panel, 4)
    assert asked(panel) == {"after": ["2016-01"], "before": ["2017-01"]}


def test_pictures_without_a_date_are_told(panel: Page) -> None:
    assert facet(panel, "Date").get_by_text("4 pictures without a date").is_visible()


def test_folders_are_a_tree_with_roots(panel: Page) -> None:
    folders = facet(panel, "Folder")
    until(panel, "() => document.querySelectorAll('[data-facet=Folder] li li').length === 7")
    rows = [*(f"{year}\n4" for year in range(2015, 2021)), "undated\n4"]
    assert folders.locator("li li").all_inner_texts() == rows
    folders.get_by_role("checkbox", name="2018 4").check()
    counts_to(panel, 4)
    folders.get_by_role("checkbox", name="2019 4").check()
    counts_to(panel, 8)
    panel.reload()
    wait_for_pictures(panel)
    until(panel, "() => document.querySelectorAll('[data-facet=Folder] input:checked').length === 2")
    folders.get_by_role("checkbox", name="photos 28").check()
    counts_to(panel, 28)
    assert len(asked(panel)["under"]) == 3
    folders.get_by_role("button", name="Clear").click()
    until(panel, "() => location.search === ''")
    folders.get_by_role("button", name="Folders in photos").click()
    until(panel, "() => !document.querySelector('[data-facet=Folder] li li')")


def test_a_circle_is_drawn_on_the_map(panel: Page) -> None:
    place = facet(panel, "Place")
    svg = place.locator("svg.map")
    svg.scroll_into_view_if_needed()
    until(panel, "() => document.querySelectorAll('.dot').length === 2")
    paris = box_of(place.locator(".dot").nth(0 if _x(place, 0) < _x(place, 1) else 1))
    x, y = paris["x"] + paris["width"] / 2, paris["y"] + paris["height"] / 2
    place.get_by_role("button", name="Draw a circle").click()
    panel.mouse.move(x - 2, y + 2)
    panel.mouse.down()
    panel.mouse.move(x + 15, y, steps=5)
    panel.mouse.up()
    counts_to(panel, 4)
    latitude, longitude, radius = asked(panel)["near"][0].split(",")
    assert (float(latitude), float(longitude)) == pytest.approx((48.9, 2.35), abs=6)
    assert radius.endswith("km")
    assert float(radius[:-2]) > 100
    assert place.locator("path.near").count() == 1
    # Both places are still there to be chosen.
    assert place.locator(".dot").count() == 2


def _x(place: Locator, which: int) -> float:
    return float(place.locator(".dot").nth(which).get_attribute("cx") or 0)


def test_the_map_is_enlarged_with_pictures_coastlines_and_names(panel: Page) -> None:
    place = facet(panel, "Place")
    svg = place.locator("svg.map")
    svg.scroll_into_view_if_needed()
    until(panel, "() => document.querySelectorAll('.dot').length === 2")
    place.get_by_role("button", name="Larger map").click()
    dialog = panel.locator(".map-dialog")
    frame = box_of(dialog.locator("svg.map"))
    assert frame["width"] > 1200 and frame["height"] > 600
    until(panel, "() => document.querySelectorAll('.map-dialog .dot.picture').length === 2")
    assert all("/thumbnail?" in str(one.get_attribute("href")) for one in dialog.locator("image").all())
    until(panel, "() => [...document.querySelectorAll('.land')].some(one => one.getAttribute('d').length > 30000)")
    if can_name_places():
        until(panel, "() => document.querySelectorAll('.town').length > 5")
    dialog.locator(".dot.picture").first.click()
    counts_to(panel, 4)
    dialog.get_by_role("button", name="Show 4 pictures").click()
    until(panel, "() => !document.querySelector('.map-dialog')")
    assert box_of(place.locator("svg.map"))["width"] < 300
    assert panel.evaluate("document.activeElement.classList.contains('map')")
    place.get_by_role("button", name="Larger map").click()
    until(panel, "() => document.querySelector('.map-dialog')?.open")
    panel.go_back()
    until(panel, "() => !document.querySelector('.map-dialog')")
    assert "near" in asked(panel)


def test_places_can_be_chosen_without_the_map(panel: Page) -> None:
    place = facet(panel, "Place")
    place.get_by_text("as a list").click()
    entry = place.get_by_role("button", name="33.9° S, 151.2° E")
    assert entry.inner_text().split()[-1] == "4"
    entry.focus()
    panel.keyboard.press("Enter")
    counts_to(panel, 4)
    near = asked(panel)["near"][0]
    assert near.startswith("-33.9,151.2")
    facet(panel, "Place").get_by_role("button", name="Clear").click()
    counts_to(panel, 28)


@pytest.mark.skipif(not can_name_places(), reason="needs photoseek[places]")
def test_places_are_a_tree_of_countries_regions_and_towns(panel: Page) -> None:
    tree = facet(panel, "Place").locator(".tree")
    assert sorted(tree.locator(".facet-name").all_inner_texts()) == ["Australia", "France"]
    tree.get_by_role("button", name="Places in France").click()
    tree.get_by_role("button", name="Places in Île-de-France").press("Enter")
    assert panel.evaluate("document.activeElement.dataset.value") == "Île-de-France, France"
    tree.get_by_role("checkbox", name="Paris 4").check()
    counts_to(panel, 4)
    assert asked(panel) == {"place": ["Paris, Île-de-France, France"]}
    assert tree.get_by_role("checkbox", name="Paris 4").is_checked() and tree.get_by_text("Australia").is_visible()
    tree.get_by_role("checkbox", name="Australia 4").check()
    counts_to(panel, 8)
    tree.get_by_role("checkbox", name="Paris 4").uncheck()
    counts_to(panel, 4)
    assert asked(panel) == {"place": ["Australia"]}


def test_the_map_moves_by_keys(panel: Page) -> None:
    svg = panel.locator("svg.map")
    svg.focus()
    before = svg.inner_html()
    panel.keyboard.press("+")
    closer = svg.inner_html()
    panel.keyboard.press("ArrowRight")
    assert len({before, closer, svg.inner_html()}) == 3
    panel.keyboard.press("Enter")
    until(panel, "() => new URLSearchParams(location.search).has('near')")


def test_tags_people_gave_are_a_filter(panel: Page) -> None:
    value(panel, "Tags", "family").get_by_role("checkbox").check()
    counts_to(panel, 2)
    assert asked(panel) == {"tag": ["family"]}


def test_further_conditions_and_clearing_all(panel: Page) -> None:
    more = facet(panel, "More")
    more.locator("summary").click()
    more.get_by_role("checkbox", name="Without tags").check()
    counts_to(panel, 26)
    facet(panel, "Folder").get_by_role("checkbox", name="2015").check()
    counts_to(panel, 2)
    more.get_by_label("Least width").select_option("3840")
    until(panel, "() => document.getElementById('message').textContent.includes('No picture passes')")
    assert asked(panel)["min_width"] == ["3840"]
    panel.locator(".filters-head").get_by_role("button", name="Clear all").click()
    counts_to(panel, 28)
    assert asked(panel) == {}


def test_what_a_camera_was_set_to_is_written_as_a_range(panel: Page) -> None:
    more = facet(panel, "More")
    more.locator("summary").click()
    iso = more.get_by_label("ISO, a value or a range")
    iso.fill("100-400, >=3200")
    iso.press("Enter")
    until(panel, "() => new URLSearchParams(location.search).getAll('iso').length === 2")
    assert asked(panel) == {"iso": ["100-400", ">=3200"]}


def test_a_facet_of_one_value_is_not_shown(panel: Page) -> None:
    assert facet(panel, "Orientation").is_visible()
    assert not facet(panel, "Format").is_visible()  # every picture is a JPEG
    assert not facet(panel, "Lens").is_visible()


def test_galleries_without_places_fetch_no_map(page: Page) -> None:
    page.wait_for_selector("[data-facet=Folder] li")
    assert not facet(page, "Place").is_visible()
    assert not [url for url in page.watch.asked if url.endswith(("/mapbox.js", "/land.js", "/coast.js"))]  # type: ignore[attr-defined]


def test_on_a_phone_the_panel_is_a_drawer(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page(server=album, width=390, height=844, has_touch=True)
    wait_for_pictures(page)
    assert not page.locator("#filters").is_visible()
    page.click("#filters-button")
    box = value(page, "Camera", "Alpha 1").get_by_role("checkbox")
    box.check()
    counts_to(page, 2)
    tall = box_of(value(page, "Camera", "Alpha 1").locator("label"))
    assert tall["height"] >= 44
    page.get_by_role("button", name="Show 2 pictures").click()
    page.wait_for_selector("#filters", state="hidden")
    settled(page)
    assert count_line(page).startswith("2 pictures")


def test_the_panel_has_no_serious_faults_for_assistive_technology(panel: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for section in ("Predicted tags", "More"):
        if facet(panel, section).is_visible():
            facet(panel, section).locator("summary").click()
    found = axe.Axe().run(panel, context="#filters")
    bad = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in bad] == []
