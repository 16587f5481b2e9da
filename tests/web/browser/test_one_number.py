"""Relevance holds in every order, and the heading, the facets, the button and the list speak of the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.browser.albums import make_album
from tests.web.browser.conftest import count_line, names, settled, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.conftest import Running

pytestmark = pytest.mark.browser

SUM_IS = """([title, sum]) => (FACETS)(title).reduce((all, [, count]) => all + count, 0) === sum"""
COUNTED = """() => /^\\d+ good match/.test(document.querySelector('#count').textContent)"""
FACETS = """title => {
  const facet = document.querySelector(`.facet[data-facet="${title}"]`);
  const more = facet.querySelector(".facet-more");
  if (more && !more.hidden && more.textContent !== "Show fewer") more.click();
  return [...facet.querySelectorAll(".facet-value")].map(row => [
    row.querySelector(".facet-name").textContent, Number(row.querySelector(".facet-count").textContent)]);
}"""
CUT_AFTER = """() => {
  const cut = document.querySelector('.cut').getBoundingClientRect().top;
  return [...document.querySelectorAll('.cell[data-rank]')].filter(c => c.getBoundingClientRect().top < cut).length;
}"""


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Running]) -> Running:
    return start_server(make_album(tmp_path_factory.mktemp("album")).path)


def good_matches(page: Page) -> int:
    """The number in the heading, once the server has measured what a match is."""
    until(page, COUNTED)
    return int(count_line(page).split()[0])


def facet_sum(page: Page, title: str) -> int:
    return sum(count for _, count in page.evaluate(FACETS, title))


def matches(count: int) -> str:
    return f"{count} good match{'' if count == 1 else 'es'}"


def test_relevance_stays_in_every_order(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page("/?q=a+bird", server=album, height=9000)  # all pictures are in the document
    wait_for_pictures(page)
    count = good_matches(page)
    assert 0 < count < 28
    best = names(page, 28)
    assert len(best) == count, "only the good ones are shown"
    for order in ("", "date", "date-", "name"):
        page.select_option("#sort", order)
        settled(page)
        assert count_line(page) == matches(count), order
        shown = names(page, 28)
        assert sorted(shown) == sorted(best), "the same pictures in every order"
        assert page.inner_text("#fold") == f"Show {28 - count} weaker matches"
        page.click("#fold button")
        settled(page)
        assert count_line(page) == f"{matches(count)} of 28"
        assert page.evaluate(CUT_AFTER) == count, "the line before the weaker ones stands where it says"
        assert page.inner_text(".cut span") == f"{28 - count} weaker matches"
        assert names(page, count) == shown, "nothing above the line has moved"
        assert len(names(page, 28)) == 28
        page.click(".cut button")
        settled(page)
        assert names(page, 28) == shown
    assert shown == sorted(shown, key=str.casefold)


def test_other_words_begin_with_the_best_match_again(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page("/?q=a+bird&sort=name&weaker=true", server=album)
    wait_for_pictures(page)
    page.fill("#q", "an animal")
    settled(page)
    assert page.input_value("#sort") == ""
    assert page.url.endswith("/?q=an+animal")


def test_one_of_each_scene_keeps_relevance(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page("/?q=a+bird", server=album, height=4000)
    wait_for_pictures(page)
    count = good_matches(page)
    best = names(page, 28)
    page.check("#bursts")
    settled(page)
    scenes = names(page, 28)
    assert 0 < len(scenes) <= count and set(scenes) <= set(best)
    assert count_line(page) == matches(len(scenes))
    page.click("#fold button")
    settled(page)
    assert count_line(page).startswith(f"{matches(len(scenes))} of ")
    assert page.evaluate(CUT_AFTER) == len(scenes)


def test_where_nothing_matches_the_nearest_are_shown(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page("/?q=spreadsheet+of+the+tax+office", server=album)
    wait_for_pictures(page)
    until(page, "() => document.querySelector('#count').textContent.startsWith('No good match among 28 pictures')")
    assert page.inner_text(".cut") == "Nothing clearly matches. The nearest pictures:"
    assert page.locator("#fold").is_hidden()
    until(page, SUM_IS.replace("FACETS", FACETS), argument=["Orientation", 28])


def test_facets_and_button_follow_what_is_shown(open_page: Callable[..., Page], album: Running) -> None:
    page = open_page("/?q=an+animal", server=album)
    wait_for_pictures(page)
    count = good_matches(page)
    until(page, SUM_IS.replace("FACETS", FACETS), argument=["Orientation", count])
    assert facet_sum(page, "Camera") == count
    assert page.text_content(".filters-done") == f"Show {count} pictures"
    page.click("#fold button")
    settled(page)
    until(page, SUM_IS.replace("FACETS", FACETS), argument=["Orientation", 28])
    page.click(".cut button")
    settled(page)
    until(page, SUM_IS.replace("FACETS", FACETS), argument=["Orientation", count])
    name, of_it = page.evaluate(FACETS, "Orientation")[0]
    page.locator(".facet[data-facet='Orientation'] .facet-value", has_text=name).click()
    said = f"{of_it} good match"
    until(page, "said => document.querySelector('#count').textContent.startsWith(said)", argument=said)
    settled(page)
    assert len(names(page, 28)) == of_it


def test_skipped_files_are_told(
    open_page: Callable[..., Page], start_server: Callable[..., Running], tmp_path: Path
) -> None:
    server = start_server(make_album(tmp_path).path)
    gone = sorted((tmp_path / "photos").rglob("*.jpg"))[:2]
    for path in gone:
        path.rename(path.with_suffix(".aside"))
    page = open_page("/", server=server)
    wait_for_pictures(page)
    assert count_line(page) == "26 pictures · 2 files missing"
    assert not {path.name for path in gone} & set(names(page, 28))
    page.watch.expected.append("404")  # type: ignore[attr-defined]  # thumbnails that it still asks for
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    page = open_page("/?q=a+dog", server=server)
    page.get_by_role("heading", name="The files of these pictures are gone").wait_for()
    assert "28 files missing" in page.inner_text("#message")
