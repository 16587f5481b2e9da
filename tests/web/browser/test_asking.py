"""What the search box offers, by keys, mouse and touch; several pictures in one question."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from tests.conftest import EXAMPLES
from tests.web.browser.conftest import box_of, names, settled, until, wait_for_pictures
from tests.web.conftest import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

OPTIONS = "() => [...document.querySelectorAll('#suggestions [role=option]')].map(one => one.innerText)"
ACTIVE = """() => {
  const id = document.querySelector('#q').getAttribute('aria-activedescendant');
  return id && document.getElementById(id).innerText;
}"""


@pytest.fixture(scope="module")
def labelled(
    web_gallery: Gallery, tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]
) -> Running:
    """A server of a gallery with tags that these tests alone use."""
    place = tmp_path_factory.mktemp("asking")
    shutil.copytree(web_gallery.path, place / "gallery")
    gallery = Gallery(place / "gallery")
    edit_labels(gallery, [1, 2, 3], LabelEdit(tags=("seaside", "new york")))
    edit_labels(gallery, [2, 3, 4], LabelEdit(tags=("season",)))
    return start_server(gallery.path)


@pytest.fixture
def asking(open_page: Callable[..., Page], labelled: Running) -> Page:
    page = open_page(server=labelled)
    wait_for_pictures(page)
    return page


def offered(page: Page, text: str) -> None:
    """Wait until an option says this."""
    until(page, f"text => ({OPTIONS})().some(one => one.includes(text))", argument=text)


def chips(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(".chip").all_inner_texts()]


def test_keys_choose_a_value_which_becomes_a_chip(asking: Page) -> None:
    page = asking
    page.locator("#q").press_sequentially("bird sea", delay=20)
    offered(page, "seaside")
    assert page.get_attribute("#q", "aria-expanded") == "true"
    assert page.evaluate(ACTIVE) is None
    page.keyboard.press("ArrowDown")
    assert "seaside" in page.evaluate(ACTIVE) and "3" in page.evaluate(ACTIVE)
    page.keyboard.press("ArrowDown")
    assert "season" in page.evaluate(ACTIVE)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    settled(page)
    assert chips(page) == ["Tag seaside"]
    assert (page.input_value("#q"), page.get_attribute("#q", "aria-expanded")) == ("bird", "false")
    assert page.evaluate("() => location.search") == "?q=bird&tag=seaside"
    assert page.evaluate("() => document.activeElement.id") == "q"
    page.keyboard.press("Alt+ArrowDown")
    until(page, "() => document.querySelector('#q').getAttribute('aria-expanded') === 'true'")
    page.keyboard.press("Escape")
    assert page.get_attribute("#q", "aria-expanded") == "false"
    assert page.input_value("#q") == "bird", "Escape closes what is offered and keeps what is written"
    page.keyboard.press("ArrowDown")
    until(page, "() => document.activeElement.matches('a.tile')")


def test_a_chosen_value_stays_chosen_when_an_answer_comes_late(asking: Page) -> None:
    page = asking
    page.fill("#q", "sea")
    offered(page, "seaside")
    held: list[Route] = []
    page.route("**/api/v1/suggest*", lambda route: held.append(route))
    page.keyboard.press("Alt+ArrowDown")  # asks again
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "season" in page.evaluate(ACTIVE)
    while not held:
        page.wait_for_timeout(20)
    page.evaluate("() => (document.querySelector('#suggestions [role=option]').dataset.is = 'old')")
    for route in held:
        route.continue_()
    until(page, "() => document.querySelector('#suggestions [role=option]')?.dataset.is === undefined")
    assert "season" in page.evaluate(ACTIVE)


def test_the_query_language_is_offered_and_what_is_left_out_is_a_chip(asking: Page) -> None:
    page = asking
    page.watch.expected.append("400")  # type: ignore[attr-defined]  # a sign that nothing follows yet
    page.click("#q")
    offered(page, "tag:")
    assert {"place:", "person:", "name:", "-", "2:"} <= {text.split()[0] for text in page.evaluate(OPTIONS)}
    page.click("#suggestions .operator:has-text('tag:')")
    assert page.input_value("#q") == "tag:"
    page.keyboard.type("sea")
    offered(page, "season")
    page.click("#suggestions [role=option]:has-text('season')")
    settled(page)
    assert chips(page) == ["Tag season"] and page.input_value("#q") == ""
    page.keyboard.type("animal -new")
    offered(page, "Without “new”")
    page.click("#suggestions [role=option]:has-text('new york')")
    settled(page)
    assert chips(page) == ["Tag season", "Not tag new york"] and page.input_value("#q") == "animal"
    page.keyboard.type(" -water")
    offered(page, "Without “water”")
    page.click("#suggestions [role=option]:has-text('Without')")
    settled(page)
    assert "Not water" in chips(page)
    page.click(".chip:has-text('season') .chip-off")
    settled(page)
    assert chips(page) == ["Not water", "Not tag new york"]


def test_what_was_typed_since_goes_away_as_well(asking: Page) -> None:
    """The answer to the first letters is still shown when somebody has typed more, and chooses from it."""
    page = asking
    page.watch.expected.append("400")  # type: ignore[attr-defined]
    page.click("#q")
    page.keyboard.type("\U0001f40b tag:")
    offered(page, "season")
    page.evaluate("() => (document.querySelector('#q').value += 'sea')")
    page.click("#suggestions [role=option]:has-text('season')")
    settled(page)
    assert chips(page) == ["Tag season"] and page.input_value("#q") == "\U0001f40b"


def test_conditions_that_are_written_become_chips_with_enter(asking: Page) -> None:
    page = asking
    page.fill("#q", 'an animal tag:season -TAG:"new york" name:bear "tag: as words"')
    page.press("#q", "Enter")
    settled(page)
    assert page.input_value("#q") == 'an animal "tag: as words"'
    assert chips(page) == ["Name bear", "Tag season", "Not tag new york"]
    page.go_back()
    settled(page)
    assert chips(page) == []
    page.go_forward()
    until(page, "() => document.querySelectorAll('.chip').length === 3")
    page.click(".chip:has-text('bear') .chip-off")
    settled(page)
    assert chips(page) == ["Tag season", "Not tag new york"]


def test_recent_searches_stay_in_this_browser_until_they_are_cleared(asking: Page) -> None:
    page = asking
    page.click("#q")
    for words in ("a red flower", "mountains"):
        page.fill("#q", words)
        page.press("#q", "Enter")
        settled(page)
    page.reload()
    wait_for_pictures(page)
    page.fill("#q", "")
    offered(page, "a red flower")
    texts = [text.split("\n")[0] for text in page.evaluate(OPTIONS)]
    assert texts.index("mountains") < texts.index("a red flower")
    page.click("#suggestions [role=option]:has-text('a red flower')")
    settled(page)
    assert page.input_value("#q") == "a red flower"
    page.fill("#q", "")
    offered(page, "Clear recent searches")
    page.click("#suggestions [role=option]:has-text('Clear recent searches')")
    until(page, f"() => !({OPTIONS})().some(one => one.includes('mountains'))")
    assert page.evaluate("() => localStorage.getItem('photoseek.recent')") is None


def test_a_search_is_saved_from_the_box(asking: Page) -> None:
    page = asking
    page.goto(page.url + "?q=a+bird&tag=season")
    wait_for_pictures(page)
    page.click("#q")
    offered(page, "Save this search")
    page.click("#suggestions [role=option]:has-text('Save this search')")
    page.keyboard.type("Kept animals")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Kept animals')")
    page.fill("#q", "kept")
    offered(page, "Kept animals")
    page.click("#suggestions [role=option]:has-text('Kept animals')")
    settled(page)
    assert "album=Kept+animals" in page.url


def test_a_finger_chooses_on_a_phone(open_page: Callable[..., Page], labelled: Running) -> None:
    page = open_page(server=labelled, width=360, height=740, has_touch=True, is_mobile=True)
    wait_for_pictures(page)
    page.tap("#q")
    offered(page, "tag:")
    page.keyboard.type("seas")
    offered(page, "season")
    option = page.locator("#suggestions [role=option]:has-text('season')")
    box = box_of(option)
    assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 360
    option.tap()
    settled(page)
    assert chips(page) == ["Tag season"]


def test_each_picture_is_a_chip_more(page: Page) -> None:
    rose, tiger = EXAMPLES / "flowers" / "rose.jpg", next(Path(EXAMPLES).rglob("tiger.webp"))
    page.fill("#q", "words")
    settled(page)
    page.set_input_files("#picture", rose)
    page.wait_for_selector(".chip.like")
    settled(page)
    assert page.input_value("#q") == "", "the first picture takes the place of words"
    page.set_input_files("#picture", [tiger])
    until(page, "() => document.querySelectorAll('.chip.like').length === 2")
    settled(page)
    assert {rose.name, tiger.name} <= set(names(page, 6))
    page.fill("#q", "an animal")
    settled(page)
    assert page.locator(".chip.like").count() == 2, "words are added to pictures"
    page.click(f".chip.like:has-text('{rose.name}') .chip-off")
    settled(page)
    assert names(page, 1) == [tiger.name] and page.input_value("#q") == "an animal"


def test_a_forgotten_picture_leaves_the_rest_of_the_question(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.watch.expected.append("410")  # type: ignore[attr-defined]
    wait_for_pictures(page)
    page.goto(page.url + "?like=u1.never-was-here&like=3")
    until(page, "() => !document.querySelector('#message').hidden")
    page.click("#message >> text=Search without it")
    wait_for_pictures(page)
    assert page.url.endswith("?like=3")
