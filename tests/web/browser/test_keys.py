"""Keys that lead elsewhere, and those that take something along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import EXAMPLES
from tests.web.browser.conftest import names, until, wait_for_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

VIEW = "view => document.body.dataset.view === view"
IN_LIST = "() => Boolean(document.activeElement.closest('.cell'))"


@pytest.mark.parametrize(("letter", "view"), [("a", "albums"), ("d", "duplicates"), ("i", "index"), ("g", "grid")])
def test_g_and_a_letter_lead_to_a_view(page: Page, letter: str, view: str) -> None:
    page.keyboard.press("g")
    page.keyboard.press(letter)
    until(page, VIEW, argument=view)
    page.keyboard.press("g")
    page.keyboard.press("g")
    until(page, VIEW, argument="grid")


def test_g_and_h_lead_to_hidden_pictures_and_hide_none(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird&min_width=5000")
    page.wait_for_selector("#message:not([hidden])")
    page.keyboard.press("g")
    page.keyboard.press("h")
    until(page, "() => location.search === '?hidden=true'")
    page.wait_for_selector("#message:not([hidden])")
    assert page.locator(".toast").count() == 0


def test_what_comes_after_g_is_a_letter_or_nothing(page: Page) -> None:
    page.keyboard.press("g")
    page.focus("#q")
    page.keyboard.type("dad")  # somebody writes: no letter of it leads away
    assert page.input_value("#q") == "dad"
    until(page, "() => location.search === '?q=dad'")
    assert page.evaluate(VIEW, "grid")
    page.focus("#results")
    page.keyboard.press("g")
    page.keyboard.press("q")  # means nothing
    page.keyboard.press("a")
    assert page.evaluate(VIEW, "grid")


def test_g_and_f_lead_to_the_filters(open_page: Callable[..., Page]) -> None:
    for width in (1280, 390):
        page = open_page(width=width)
        wait_for_pictures(page)
        page.keyboard.press("g")
        page.keyboard.press("f")
        until(page, "() => Boolean(document.activeElement.closest('#filters'))")
        page.wait_for_selector("#filters .facet:not([hidden]) > summary")


def test_left_and_right_lead_into_the_list_from_anywhere(page: Page) -> None:
    page.evaluate("() => scrollTo(0, 900)")
    until(page, "() => scrollY > 500")
    page.keyboard.press("ArrowRight")
    until(page, IN_LIST)
    place = page.evaluate("() => document.activeElement.getBoundingClientRect().top")
    assert 0 < place < 800, "a picture on the screen, not the first one of the list"
    page.focus("#help-button")
    page.keyboard.press("ArrowLeft")
    until(page, IN_LIST)
    page.focus("#size")  # a slider has a use for them
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.id") == "size"


def test_the_original_and_the_address_by_a_key(open_page: Callable[..., Page]) -> None:
    page = open_page("/?q=a+bird", permissions=["clipboard-read", "clipboard-write"])
    wait_for_pictures(page)
    first = names(page, 1)[0]
    (original,) = EXAMPLES.rglob(first)
    page.keyboard.press("ArrowRight")
    until(page, IN_LIST)
    for opened in (False, True):
        if opened:
            page.keyboard.press("Enter")
            page.wait_for_selector("#viewer[open].sharp")
        with page.expect_download() as download:
            page.keyboard.press("d")
        assert download.value.suggested_filename == first
        assert Path(download.value.path()).read_bytes() == original.read_bytes()
    page.keyboard.press("C")
    page.wait_for_selector(".toast:has-text('Address copied')")
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
