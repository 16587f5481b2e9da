"""Words, with results while they are typed; the address of the page; what is said where nothing is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.web.browser.conftest import box_of, count_line, names, settled, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser


def searched(page: Page) -> list[str]:
    return [url for url in page.watch.asked if "/api/v1/search" in url]  # type: ignore[attr-defined]


def expected_names(page: Page, query: str, count: int) -> list[str]:
    """What the API answers, asked past the page."""
    answer = page.request.get(page.watch.origin + f"/api/v1/search?{query}&k={count}")  # type: ignore[attr-defined]
    return [hit["name"] for hit in answer.json()["hits"]]


def test_all_pictures_are_shown_first(page: Page) -> None:
    assert count_line(page) == "120 pictures"
    assert len(names(page)) == 10
    assert page.input_value("#sort") == "date"


def test_results_follow_what_is_typed_and_are_ranked(page: Page) -> None:
    page.locator("#q").press_sequentially("a bird", delay=15)
    settled(page)
    assert names(page) == expected_names(page, "q=a+bird", 10)
    assert page.url.endswith("/?q=a+bird")
    assert page.input_value("#sort") == ""
    assert page.title() == "a bird · photoseek"


def test_a_badge_says_by_which_words_a_picture_was_found(page: Page) -> None:
    page.fill("#q", "a tiger")
    settled(page)
    badge = page.locator(".cell[data-rank='1'] .badge.why")
    assert badge.inner_text() == "name"
    assert badge.get_attribute("title") == "Found by name: tiger"
    page.fill("#q", "name:tiger")
    settled(page)
    until(page, "() => document.querySelectorAll('.cell').length === 1")
    assert names(page, 1) == ["tiger.webp"]


def test_not_every_letter_is_searched_for(page: Page) -> None:
    before = len(searched(page))
    # In one piece, so that no pause is between two letters, however busy the machine is.
    page.evaluate(
        """words => {
          const box = document.querySelector("#q");
          for (let end = 1; end <= words.length; end++) {
            box.value = words.slice(0, end);
            box.dispatchEvent(new Event("input", { bubbles: true }));
          }
        }""",
        "strawberries",
    )
    settled(page)
    assert len(searched(page)) - before == 1
    assert names(page, 1) == expected_names(page, "q=strawberries", 1)


def test_a_late_answer_does_not_replace_a_newer_one(page: Page) -> None:
    held: list[Route] = []
    page.route("**/api/v1/search?q=dog&*", lambda route: held.append(route))
    page.fill("#q", "dog")
    until(page, "() => location.search === '?q=dog'")
    page.fill("#q", "tree")
    wait_for_pictures(page)
    trees = names(page)
    for route in held:
        answer = page.request.get(route.request.url)
        route.fulfill(response=answer)
    page.wait_for_timeout(200)
    assert held
    assert names(page) == trees == expected_names(page, "q=tree", 10)


def test_counts_and_the_pictures_of_the_list_before_wait_for_the_answer(page: Page) -> None:
    wait_for_pictures(page)
    until(page, "() => document.querySelector('#filters details:not([hidden])')")
    held: list[Route] = []
    page.route("**/api/v1/search?q=dog&*", lambda route: held.append(route))
    page.fill("#q", "dog")
    until(page, "() => document.body.classList.contains('searching')")
    # Below them are pictures that nobody has looked at; coming near, they are asked for.
    page.evaluate("() => scrollTo({ top: 100000, behavior: 'instant' })")
    before = len(page.watch.asked)  # type: ignore[attr-defined]
    page.wait_for_timeout(500)
    meanwhile = [url for url in page.watch.asked[before:] if "thumbnail" in url or "/facets" in url]  # type: ignore[attr-defined]
    assert held and not meanwhile
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/search?q=dog&*")
    wait_for_pictures(page)
    assert names(page, 1) == ["dog.jpg"]
    until(page, "() => performance.getEntriesByType('resource').some(one => one.name.includes('/facets?q=dog'))")


def test_enter_makes_an_entry_of_the_history_and_typing_does_not(page: Page) -> None:
    page.locator("#q").press_sequentially("flower", delay=40)
    settled(page)
    page.press("#q", "Enter")
    flowers = names(page)
    page.fill("#q", "")
    page.locator("#q").press_sequentially("a fish in the sea", delay=40)
    settled(page)
    page.press("#q", "Enter")
    assert names(page) != flowers
    page.go_back()
    settled(page)
    assert (page.input_value("#q"), names(page)) == ("flower", flowers)
    page.go_back()
    settled(page)
    assert page.input_value("#q") == ""
    assert count_line(page) == "120 pictures"
    page.go_forward()
    settled(page)
    assert names(page) == flowers


def test_an_address_opens_the_same_page(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird&sort=name&orientation=landscape")
    wait_for_pictures(page)
    assert page.input_value("#q") == "a bird"
    assert page.input_value("#sort") == "name"
    good = names(page, judged(page))
    assert good == sorted(good, key=str.casefold)
    shown = names(page)
    page.reload()
    wait_for_pictures(page)
    assert names(page) == shown
    assert page.url.endswith("/?q=a+bird&sort=name&orientation=landscape")


def test_the_order_can_be_chosen(page: Page) -> None:
    page.select_option("#sort", "name")
    settled(page)
    until(page, "() => document.querySelector('.cell[data-rank=\"1\"]')")
    shown = names(page)
    assert shown == sorted(shown, key=str.casefold)
    assert "sort=name" in page.url
    page.select_option("#sort", "date-")
    settled(page)
    assert names(page) == expected_names(page, "sort=date&reverse=true", 10)


def judged(page: Page) -> int:
    """How many hits answer the words; a server knows that shortly after its first search."""
    until(page, "() => document.querySelector('#count').textContent.includes('good matches')")
    return int(count_line(page).split()[0])


def test_weaker_matches_are_folded_below_a_line(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird")
    wait_for_pictures(page)
    good = judged(page)
    assert 0 < good < 120
    assert count_line(page) == f"{good} good matches"
    page.evaluate("() => scrollTo({ top: 1e6, behavior: 'instant' })")
    fold = page.locator("#fold")
    assert fold.inner_text() == f"Show {120 - good} weaker matches"
    last = box_of(page.locator(f".cell[data-rank='{good}']"))
    assert last["y"] + last["height"] <= box_of(fold)["y"]
    fold.get_by_role("button").click()
    settled(page)
    assert "weaker=true" in page.url and fold.is_hidden()
    line = page.locator(".cut")
    until(page, f"() => document.querySelector('.cell[data-rank=\"{good + 1}\"]')")
    assert line.locator("span").inner_text() == f"{120 - good} weaker matches"
    last, first_weak = (box_of(page.locator(f".cell[data-rank='{rank}']")) for rank in (good, good + 1))
    assert last["y"] + last["height"] <= box_of(line)["y"] < first_weak["y"]
    assert 0 < last["y"] < 800, "the pictures stay where they are"
    line.get_by_role("button").click()
    settled(page)
    assert "weaker" not in page.url and count_line(page) == f"{good} good matches"
    assert page.locator(".cut").count() == 0


def test_half_a_query_is_explained_and_the_pictures_stay(page: Page) -> None:
    page.watch.expected.append("400")  # type: ignore[attr-defined]
    shown = names(page)
    page.fill("#q", "beach -")
    until(page, "() => !document.querySelector('#message').hidden")
    assert "nothing follows the sign" in page.inner_text("#message")
    assert names(page) == shown
    page.fill("#q", "beach - people")
    settled(page)
    assert page.locator("#message").is_hidden()


@pytest.mark.parametrize(
    ("address", "said", "way_out"),
    [
        ("/?min_width=5000", "No picture passes these filters", "Clear the filters"),
    ],
)
def test_where_nothing_is_found_there_is_a_way_out(
    open_page: Callable[..., Page], address: str, said: str, way_out: str
) -> None:
    page = open_page(address)
    until(page, "() => !document.querySelector('#message').hidden")
    assert said in page.inner_text("#message")
    page.click(f"#message >> text={way_out}")
    wait_for_pictures(page)
    assert page.locator("#message").is_hidden()
    assert "pictures" in count_line(page)


def test_a_filter_that_cannot_be_is_explained_and_can_be_left(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=bird")
    page.watch.expected.append("400")  # type: ignore[attr-defined]
    wait_for_pictures(page)
    page.goto(page.url + "&camera=Leica")
    until(page, "() => !document.querySelector('#message').hidden")
    assert "no picture in this gallery has a camera" in page.inner_text("#message")
    page.click("#message >> text=Clear the filters")
    wait_for_pictures(page)
    assert page.url.endswith("/?q=bird")


def test_counts_are_read_out(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird")
    wait_for_pictures(page)
    said = f"{judged(page)} good matches"
    until(page, "said => document.querySelector('#announce').textContent === said", argument=said)
    page.fill("#q", "")
    until(page, "() => document.querySelector('#announce').textContent === '120 pictures'")
